"""Recipes: read by name or path, changed by overrides, checked with messages that name the place,
fingerprinted.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tinyreader.distil.recipe import Recipe, load_recipe, make_recipe, recipe_names, recipe_schema
from tinyreader.distil.settings import Shape, parse_shape
from tinyreader.errors import SettingsError

PUBLISHED = "tinybert-6l-768d-squad2"
NEEDED = {  # what some recipes leave to the command that uses them
    "adapt": ("student.model=reader", "data.train=train.json"),
    "finetune": ("student.model=encoder", "data.train=train.json"),
    "minilm-3l-384d": ("teacher.model=teacher",),
    "quickstart": ("data.train=train.json",),
}


def small(**changes: Any) -> dict[str, Any]:
    """A short recipe as plain data, top-level keys replaced by `changes`."""
    stage = {"name": "answers", "kind": "prediction", "batch_size": 8, "learning_rate": 1e-4}
    content: dict[str, Any] = {
        "name": "small",
        "teacher": {"model": "teacher"},
        "student": {"init": "teacher", "shape": "2l-32d"},
        "data": {"train": "train.json"},
        "stages": [stage],
    }
    return content | changes


def stage(**changes: Any) -> dict[str, Any]:
    """A short recipe whose one stage is `changes` on top of an intermediate one."""
    plain = {"name": "hidden", "kind": "intermediate", "batch_size": 8, "learning_rate": 1e-4}
    return small(stages=[plain | changes])


def complaint(content: dict[str, Any], *overrides: str) -> str:
    """What the error says that the recipe is refused with."""
    with pytest.raises(SettingsError) as caught:
        make_recipe(content, overrides=overrides)
    return str(caught.value)


@pytest.mark.parametrize("name", recipe_names())
def test_packaged_recipes_load_and_survive_a_round_trip(name: str) -> None:
    """Every recipe in the package is valid, named as its file, and equal to what its resolved form gives
    back.
    """
    recipe = load_recipe(name, NEEDED.get(name, ()))
    assert recipe.name == name
    assert recipe.description
    again = make_recipe(json.loads(json.dumps(recipe.resolved())))
    assert again.resolved() == recipe.resolved()
    assert again.fingerprint() == recipe.fingerprint()


def test_published_recipe_has_the_values_of_its_card() -> None:
    """Everything that the model card of deepset/tinybert-6l-768d-squad2 states stands in its recipe."""
    recipe = load_recipe(PUBLISHED)
    assert recipe.teacher is not None
    assert recipe.teacher.model == "deepset/bert-base-uncased-squad2"
    assert (recipe.student.init, recipe.student.model) == (
        "checkpoint",
        "huawei-noah/TinyBERT_General_6L_768D",
    )
    assert (recipe.data.train, recipe.data.max_seq_len) == ("rajpurkar/squad_v2", 384)
    first, second = recipe.stages
    assert [(s.kind, s.batch_size, s.epochs, s.schedule) for s in recipe.stages] == [
        ("intermediate", 26, 5.0, "linear"),
        ("prediction", 26, 5.0, "linear"),
    ]
    assert (first.learning_rate, second.learning_rate) == (5e-5, 3e-5)
    assert first.augment is not None
    assert first.augment.times == 20
    assert second.augment is None
    assert (second.embeds_dropout, second.temperature, second.distillation_weight) == (0.1, 1.0, 1.0)


def test_recipe_can_be_read_without_torch() -> None:
    """Reading a recipe loads none of the training packages, so that a wrong one is refused at once."""
    code = (
        "import sys; from tinyreader.distil.recipe import load_recipe; "
        f"load_recipe({PUBLISHED!r}); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_path_is_read_as_a_file(tmp_path: Path) -> None:
    """A .toml path is a recipe named after its file where it gives no name; a byte order mark does no
    harm.
    """
    path = tmp_path / "mine.toml"
    text = """
        student = { init = "checkpoint", model = "encoder" }
        data = { train = "train.json" }
        stages = [{ name = "labels", kind = "labels", batch_size = 4, learning_rate = 5e-5 }]
    """
    path.write_text("\ufeff" + text, encoding="utf-8")
    assert load_recipe(path).name == "mine"


def test_a_stray_file_does_not_hide_a_recipe_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name of the package means its recipe, whatever files are about; with ./ before it, it means the
    file.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "finetune").write_text("#!/bin/sh\n", encoding="utf-8")
    assert load_recipe("finetune", NEEDED["finetune"]).name == "finetune"
    with pytest.raises(SettingsError, match=r"\./finetune|finetune: "):
        load_recipe("./finetune")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A missing file, broken TOML, bytes that are no text, and an unknown name are each one clear error."""
    broken, binary = tmp_path / "broken.toml", tmp_path / "binary.toml"
    broken.write_text("name = \n", encoding="utf-8")
    binary.write_bytes(b"name = '\xff'")
    for path, said in (
        (tmp_path / "no.toml", "no.toml"),
        (broken, "not valid TOML"),
        (binary, "binary.toml"),
    ):
        with pytest.raises(SettingsError, match=said):
            load_recipe(path)
    with pytest.raises(
        SettingsError, match=f"no recipe is called 'tinybert-6l'.*Did you mean '{PUBLISHED}'.*finetune"
    ):
        load_recipe("tinybert-6l")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (small(tecaher={}), "unknown key tecaher: did you mean 'teacher'?"),
        (
            small(data={"train": "x", "max_seq_length": 3}),
            "unknown key data.max_seq_length: did you mean 'data.max_seq_len'?",
        ),
        (
            stage(temprature=2),
            "unknown key stages.hidden.temprature: did you mean 'stages.hidden.temperature'?",
        ),
        (
            stage(augment={"tines": 2}),
            "unknown key stages.hidden.augment.tines: did you mean 'stages.hidden.augment.times'?",
        ),
        (
            small(data={"train": "x", "learning_rate": 1}),
            "unknown key data.learning_rate: it belongs to stages",
        ),
        (small(zzz=1), "unknown key zzz: known are name, description"),
    ],
)
def test_unknown_keys_are_refused_with_the_nearest_name(content: dict[str, Any], said: str) -> None:
    """An unknown key is named with its full place, and what was probably meant."""
    assert said in complaint(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            stage(kind="hidden"),
            "stages.hidden.kind = 'hidden': should be 'intermediate', 'prediction' or 'labels'",
        ),
        (stage(learning_rate="5e-5"), "stages.hidden.learning_rate = '5e-5': should be a valid number"),
        (stage(learning_rate=float("nan")), "stages.hidden.learning_rate = nan: should be a finite number"),
        (stage(batch_size=0), "stages.hidden.batch_size = 0: should be greater than or equal to 1"),
        (stage(batch_size=True), "stages.hidden.batch_size = True: should be a valid integer"),
        (stage(epochs=0), "stages.hidden.epochs = 0: should be greater than 0"),
        (stage(dropout=1.0), "stages.hidden.dropout = 1.0: should be less than 1"),
        (
            stage(layer_map=[0, 2]),
            "stages.hidden.layer_map = [0, 2]: should be 'uniform' or a list of teacher layers",
        ),
        (stage(layer_map="all"), "stages.hidden.layer_map = 'all': should be 'uniform' or a list"),
        (stage(name="a.b"), "stages.a.b.name = 'a.b'"),
        (small(data=3), "data = 3: should be a table of keys"),
        (small(name="../mine"), "name = '../mine': should match pattern"),
        (small(name=".."), "name = '..': should match pattern"),
        (small(stages=[]), "stages = []: should have at least 1 item"),
        (small(data={}), "data.train is missing"),
        (
            small(training={"trackers": ["tb"]}),
            "training.trackers.0 = 'tb': should be 'tensorboard', 'wandb'",
        ),
        (
            small(training={"keep_checkpoints": 1}),
            "training.keep_checkpoints = 1: should be greater than or equal to 2",
        ),
        (
            small(student={"init": "teacher", "shape": "6x768"}),
            "student.shape = '6x768': shape '6x768' is not understood",
        ),
    ],
)
def test_wrong_values_are_named_with_what_is_allowed(content: dict[str, Any], said: str) -> None:
    """A wrong value is named with its full place, the value itself and what is allowed there."""
    assert said in complaint(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            stage(temperature=2.0),
            "stages.hidden.temperature = 2.0 would have no effect with kind = 'intermediate', whose own keys are layer_map, ",
        ),
        (
            stage(embeds_dropout=0.1),
            "relation_layer: take it out ('--set stages.hidden.embeds_dropout=' does)",
        ),
        (
            stage(attention="none", attention_weight=2.0),
            "attention_weight = 2.0 would have no effect with attention",
        ),
        (stage(relation_heads=4), "relation_heads = 4 would have no effect with relation_weight = 0"),
        (
            stage(relation_weight=1.0, hidden_weight=0.0, attention="none", layer_map=[1, 2]),
            "layer_map = (1, 2) would have no effect without hidden states and attention",
        ),
        (stage(kind="prediction", relation_weight=1.0), "relation_weight = 1.0 would have no effect"),
        (stage(kind="prediction", hidden_weight=2.0), "hidden_weight = 2.0 would have no effect"),
        (
            stage(kind="labels", layer_map=[1, 2]),
            "layer_map = [1, 2] would have no effect with kind = 'labels'",
        ),
        (stage(kind="labels", distillation_weight=0.5), "distillation_weight = 0.5 would have no effect"),
        (stage(data_split="train"), "data_split = 'train' would have no effect without the stage's own data"),
        (
            small(data={"train": "x", "dev_split": "dev"}),
            "dev_split = 'dev' would have no effect without data.dev",
        ),
        (
            small(student={"init": "checkpoint", "model": "x", "shape": "2l-32d"}),
            "shape = '2l-32d' would have no effect with init = 'checkpoint'",
        ),
        (
            small(student={"init": "teacher", "shape": "2l-32d", "model": "x"}),
            "model = 'x' would have no effect with init = 'teacher'",
        ),
        (
            small(student={"init": "random", "shape": "2l-32d", "layers": [1, 2]}),
            "layers = [1, 2] would have no effect with init = 'random', whose own keys are",
        ),
    ],
)
def test_settings_without_effect_are_refused(content: dict[str, Any], said: str) -> None:
    """A key that changes nothing in its place is an error, never silently ignored."""
    assert said in complaint(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (small(teacher=None), "stages.answers.kind = 'prediction' needs a teacher: set teacher.model"),
        (small(student={"init": "teacher"}), "student.shape is missing, which init = 'teacher' needs"),
        (small(student={"init": "checkpoint"}), "student.model is missing, which init = 'checkpoint' needs"),
        (small(student={"init": "random"}), "init = 'random' needs shape, or model"),
        (
            small(student={"init": "teacher", "shape": "2l-32d", "layers": [1]}),
            "layers names 1 teacher layers",
        ),
        (
            stage(batch_size=8, micro_batch_size=3),
            "batch_size (8) must be a multiple of micro_batch_size (3)",
        ),
        (
            stage(layer_map=[1, 2, 3]),
            "stages.hidden.layer_map has 3 entries, but student.shape = '2l-32d' has 2 layers",
        ),
        (
            stage(embedding_weight=0.0, hidden_weight=0.0, attention="none"),
            "embedding_weight, hidden_weight, attention_weight and relation_weight are all 0",
        ),
        (small(stages=small()["stages"] * 2), "more than one stage is called 'answers'"),
        (small(data={"train": "x", "max_seq_len": 64, "doc_stride": 64}), "doc_stride (64) must be smaller"),
        (
            small(data={"train": "x", "max_seq_len": 64, "doc_stride": 50}),
            "max_seq_len (64) by at least 20 tokens",
        ),
        (
            small(evaluation={"every_steps": 5}),
            "evaluation.every_steps needs data to measure on: set data.dev",
        ),
        (
            small(evaluation={"choose_best": "f1"}, data={"train": "x", "dev": "y"}),
            "evaluation.choose_best needs evaluation.every_steps",
        ),
    ],
)
def test_combinations_that_cannot_be_are_refused(content: dict[str, Any], said: str) -> None:
    """Settings that contradict or miss each other are named together with the remedy."""
    assert said in complaint(content)


def test_labels_alone_need_no_teacher() -> None:
    """A recipe of label stages on a checkpoint has no teacher, and a random student then needs a
    configuration.
    """
    labels = {"name": "labels", "kind": "labels", "batch_size": 4, "learning_rate": 5e-5}
    content = small(teacher=None, stages=[labels], student={"init": "checkpoint", "model": "encoder"})
    assert make_recipe(content).teacher is None
    content["student"] = {"init": "random", "shape": "2l-32d"}
    assert "set teacher.model or student.model" in complaint(content)


def test_augmenting_needs_somebody_who_proposes() -> None:
    """A stage with augmented data names a masked language model, word vectors or synonyms."""
    assert "there are no proposers: set masked_lm, vectors or synonyms" in complaint(
        stage(augment={"times": 2})
    )


def test_every_mistake_is_listed() -> None:
    """All mistakes are told at once, one a line."""
    said = complaint(small(zzz=1, data={}))
    assert "zzz" in said
    assert "data.train is missing" in said


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("data.train=my.json", lambda r: r.data.train == "my.json"),
        ("teacher.model=./my-teacher", lambda r: r.teacher.model == "./my-teacher"),
        ('data.dev="5"', lambda r: r.data.dev == "5"),
        ("data.train=2024-01-01", lambda r: r.data.train == "2024-01-01"),
        ("stages.0.epochs=2", lambda r: r.stages[0].epochs == 2.0),
        ("stages.answers.learning_rate=1e-5", lambda r: r.stages[0].learning_rate == 1e-5),
        ("stages.answers.augment.vectors=v.txt", lambda r: r.stages[0].augment.vectors == "v.txt"),
        ("stages.answers.augment={times = 4, synonyms = 's'}", lambda r: r.stages[0].augment.times == 4),
        ("student.layers=[1, 3]", lambda r: r.student.layers == (1, 3)),
        ("training.trackers=[]", lambda r: r.training.trackers == ()),
        ("evaluation.at_end=false", lambda r: r.evaluation.at_end is False),
        ("stages.0.max_grad_norm=none", lambda r: r.stages[0].max_grad_norm is None),
        ("stages.0.max_steps=7", lambda r: r.stages[0].max_steps == 7),
        ("stages.0.temperature=", lambda r: r.stages[0].temperature == 1.0),
        ("stages.first=", lambda r: [stage.name for stage in r.stages] == ["answers"]),
        ("stages.1=", lambda r: [stage.name for stage in r.stages] == ["answers"]),
    ],
)
def test_overrides_reach_every_place(override: str, read: Any) -> None:
    """An override is read as TOML where it is TOML and as text where not; stages go by number or name."""
    content = small()
    content["stages"][0] |= {"epochs": 3.0, "temperature": 2.0}
    if override in ("stages.first=", "stages.1="):
        content["stages"].append(content["stages"][0] | {"name": "first"})
    before = json.dumps(content)
    assert read(make_recipe(content, overrides=[override]))
    assert json.dumps(content) == before


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("data.train", "not of the form key=value"),
        ("=5", "not of the form key=value"),
        ("data..train=5", "not of the form key=value"),
        ("stages.other.epochs=2", "there is no stages.other; there are: 0 (answers)"),
        ("stages.5.epochs=2", "there is no stages.5"),
        ("name.first=x", "name has no keys of its own"),
        ("name.first.second=x", "name has no keys of its own"),
        ("stages.0=3", "stages has no keys of its own"),
        ("stages.other=", "there is no stages.other"),
        ("data.tarin=x", "unknown key data.tarin: did you mean 'data.train'?"),
    ],
)
def test_wrong_overrides_are_named(override: str, said: str) -> None:
    """An override that leads nowhere says so and shows what there is."""
    assert said in complaint(small(), override)


def test_turning_a_stage_into_labels_names_what_must_go() -> None:
    """Keys that an override makes idle are all listed, and `key=` takes them out."""
    content = stage(kind="prediction", temperature=2.0, distillation_weight=0.5)
    said = complaint(content, "stages.0.kind=labels")
    assert "temperature = 2.0" in said
    assert "distillation_weight = 0.5" in said
    overrides = ["stages.0.kind=labels", "stages.0.temperature=", "stages.0.distillation_weight="]
    assert make_recipe(content, overrides=overrides).stages[0].kind == "labels"


def test_stages_without_relations_are_what_they_were_before_there_were_any() -> None:
    """Relations enter a recipe's record and fingerprint only where they are learned: earlier runs go on."""
    (before,) = (s for s in make_recipe(stage()).resolved()["stages"] if s["kind"] == "intermediate")
    assert not [key for key in before if "relation" in key]
    assert make_recipe(stage(relation_weight=0.0)).fingerprint() == make_recipe(stage()).fingerprint()
    with_them = make_recipe(stage(relation_weight=2.0, relation_heads=4, relation_layer=3))
    assert with_them.fingerprint() != make_recipe(stage()).fingerprint()
    assert make_recipe(with_them.resolved()) == with_them


def test_fingerprint_covers_what_determines_the_weights() -> None:
    """The fingerprint changes with what changes weights, and only with that."""
    plain = make_recipe(small()).fingerprint()

    def changed(*overrides: str) -> bool:
        return make_recipe(small(), overrides=overrides).fingerprint() != plain

    for same in (
        "name=other",
        "description=text",
        "training.trackers=[]",
        "training.log_every_steps=1",
        "training.checkpoint_every_minutes=1",
        "training.keep_checkpoints=5",
        "evaluation.at_end=false",
        "data.dev=dev.json",
        "stages.0.epochs=1",
        "stages.0.temperature=1.0",
    ):
        assert not changed(same), same
    for other in (
        "training.seed=1",
        "training.precision=fp32",
        "data.train=b.json",
        "data.max_windows=5",
        "stages.0.epochs=2",
        "stages.0.temperature=2",
        "teacher.model=b",
        "student.shape=1l-32d",
        "stages.0.micro_batch_size=4",
    ):
        assert changed(other), other
    assert changed("data.dev=dev.json", "evaluation.every_steps=5", "evaluation.choose_best=f1")


def test_resolved_recipe_shows_only_what_has_an_effect() -> None:
    """Defaults are written out, settings that the stage's kind does not use are not."""
    resolved = make_recipe(stage()).resolved()
    assert resolved["stages"][0]["attention"] == "scores"
    assert resolved["training"]["seed"] == 42
    assert "temperature" not in resolved["stages"][0]
    json.dumps(resolved, allow_nan=False)


def test_settings_are_frozen() -> None:
    """A recipe does not change after it was checked."""
    recipe = make_recipe(small())
    with pytest.raises(ValueError, match="frozen"):
        recipe.data.train = "other"  # type: ignore[misc]


def test_stage_is_found_by_name() -> None:
    """A stage is found by its name, and an unknown name shows the known ones."""
    recipe = make_recipe(small())
    assert recipe.stage("answers") is recipe.stages[0]
    with pytest.raises(SettingsError, match="answers"):
        recipe.stage("other")


def test_schema_describes_recipes() -> None:
    """The JSON schema names every section and refuses unknown keys."""
    schema = recipe_schema()
    assert set(schema["properties"]) == set(Recipe.model_fields)
    assert schema["additionalProperties"] is False
    json.dumps(schema)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("6l-768d", Shape(6, 768)),
        ("4l-312d-12h", Shape(4, 312, 12)),
        ("4l-312d-1200f", Shape(4, 312, None, 1200)),
        ("4l-312d-12h-1200f", Shape(4, 312, 12, 1200)),
    ],
)
def test_shapes_are_parsed(text: str, shape: Shape) -> None:
    """Layers and width, and heads and feed-forward width where given."""
    assert parse_shape(text) == shape


@pytest.mark.parametrize(
    "text", ["", "6l", "6l-0d", "06l-768d", "6l-768d-5h", "6L-768D", "6l-768d ", "6l-768d-1200f-12h"]
)
def test_wrong_shapes_are_refused(text: str) -> None:
    """What is not a shape, or heads that do not share the width evenly, is an error that shows the text."""
    with pytest.raises(SettingsError, match=f"shape {text!r}"):
        parse_shape(text)


MORE = [{"name": "big", "model": "b", "weight": 2.0}, {"name": "other", "model": "c"}]


def test_more_teachers_have_names_and_weights() -> None:
    """They stand in a list of their own, are changed by name, and go through the record and back."""
    recipe = make_recipe(
        small(more_teachers=MORE), overrides=["more_teachers.other.weight=0.5", "teacher.weight=3"]
    )
    assert recipe.teacher is not None
    assert [recipe.teacher.weight, *(t.weight for t in recipe.more_teachers)] == [3.0, 2.0, 0.5]
    assert make_recipe(recipe.resolved()) == recipe
    assert recipe.fingerprint() != make_recipe(small()).fingerprint()


def test_one_teacher_is_recorded_as_ever() -> None:
    """What came with several teachers leaves no trace in recipes without them: their runs are still the same
    runs.
    """
    content = make_recipe(small()).determining()
    assert content["teacher"] == {"model": "teacher", "revision": None}
    assert "more_teachers" not in content
    assert not {"teacher_engine", "teacher_outputs"} & content["training"].keys()
    other = make_recipe(small(), overrides=["training.teacher_outputs=cache"])
    assert other.fingerprint() == make_recipe(small()).fingerprint()
    engine = make_recipe(small(), overrides=["training.teacher_engine=openvino"])
    assert engine.fingerprint() != other.fingerprint()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"teacher": {"model": "t", "weight": 2.0}},
            "teacher.weight = 2.0 would have no effect without [[more_teachers]]",
        ),
        ({"more_teachers": [MORE[0], MORE[0]]}, "more than one teacher is called 'big'"),
        ({"more_teachers": [MORE[0] | {"name": "teacher"}]}, "more than one teacher is called 'teacher'"),
        ({"more_teachers": [{"model": "b"}]}, "more_teachers.0.name is missing"),
        (
            {"more_teachers": [{"name": "b", "model": "b", "weight": 0.0}]},
            "more_teachers.b.weight = 0.0: should be greater",
        ),
        (
            {
                "more_teachers": MORE,
                "teacher": None,
                "student": {"init": "checkpoint", "model": "x"},
                "stages": [{"name": "answers", "kind": "labels", "batch_size": 4, "learning_rate": 1e-3}],
            },
            "[[more_teachers]] teach beside [teacher]",
        ),
        (
            {
                "more_teachers": MORE,
                "stages": [
                    {"name": "inside", "kind": "intermediate", "batch_size": 4, "learning_rate": 1e-3}
                ],
            },
            "[[more_teachers]] would have no effect without a stage of kind 'prediction'",
        ),
    ],
)
def test_teachers_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    """With the place, and what to set instead."""
    with pytest.raises(SettingsError) as refused:
        make_recipe(small(**changes))
    assert message in str(refused.value)
