"""Students: taken from the teacher at its width or narrower, from checkpoints, at random; reproducible,
checked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from tiny_models import FAMILIES, configuration, inputs, write_reader
from tinyreader.distil.settings import StudentSettings, parse_shape
from tinyreader.distil.students import (
    build_student,
    evenly,
    head_places,
    resolve_layer_map,
    shaped_configuration,
    uniform_layers,
)
from tinyreader.errors import SettingsError
from tinyreader.models import LoadedReader, encoder_layers, load_reader, qa_head

ALL_FAMILIES = sorted(FAMILIES)


def settings(**values: Any) -> StudentSettings:
    """Student settings from plain values."""
    made: StudentSettings = TypeAdapter(StudentSettings).validate_python(values)
    return made


def logits(model: nn.Module) -> Tensor:
    """Start and end logits on fixed inputs."""
    with torch.no_grad():
        out = model(**inputs())
    return torch.stack([out.start_logits, out.end_logits])


@pytest.fixture
def teacher(tmp_path: Path) -> LoadedReader:
    """A BERT teacher of four layers."""
    return load_reader(write_reader(tmp_path / "teacher", n_layers=4))


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_a_student_of_the_same_shape_is_the_teacher(tmp_path: Path, family: str) -> None:
    """With all layers taken at full width the student answers exactly as its teacher, in every family."""
    teacher = load_reader(write_reader(tmp_path, family, n_layers=3))
    student = build_student(settings(init="teacher", shape="3l-32d"), teacher, seed=5)
    assert torch.equal(logits(student.model), logits(teacher.model))


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_a_shallower_student_is_the_teacher_without_the_other_layers(tmp_path: Path, family: str) -> None:
    """Embeddings, the chosen layers and the head are the teacher's, whatever the family calls its parts."""
    teacher = load_reader(write_reader(tmp_path, family, n_layers=4))
    student = build_student(settings(init="teacher", shape="2l-32d", layers=[1, 3]), teacher, seed=5)
    assert len(encoder_layers(student.model)) == 2
    assert torch.equal(qa_head(student.model).weight, qa_head(teacher.model).weight)
    shortened = load_reader(teacher.source)
    layers = encoder_layers(shortened.model)
    del layers[3], layers[1]
    if family == "modernbert":  # it asks its configuration for the kind of each layer while running
        shortened.model.model.config.layer_types = [teacher.config.layer_types[n] for n in (0, 2)]
        shortened.model.model.config.num_hidden_layers = 2
        assert student.config.layer_types == shortened.model.model.config.layer_types
    assert torch.equal(logits(student.model), logits(shortened.model))


def test_layers_are_spread_evenly_where_none_are_named(teacher: LoadedReader) -> None:
    """Without a list the student starts from evenly spaced layers ending with the last."""
    student = build_student(settings(init="teacher", shape="2l-32d"), teacher, seed=0)
    ours, theirs = encoder_layers(student.model), encoder_layers(teacher.model)
    for layer, source in zip(ours, (theirs[1], theirs[3]), strict=True):
        for parameter, origin in zip(layer.parameters(), source.parameters(), strict=True):
            assert torch.equal(parameter, origin)


def test_the_student_is_a_copy(teacher: LoadedReader) -> None:
    """Training the student does not move the teacher."""
    before = logits(teacher.model)
    student = build_student(settings(init="teacher", shape="2l-32d"), teacher, seed=0)
    with torch.no_grad():
        for parameter in student.model.parameters():
            parameter.zero_()
    assert torch.equal(logits(teacher.model), before)


@pytest.mark.parametrize("family", ALL_FAMILIES)
@pytest.mark.parametrize("shape", ["2l-16d", "2l-24d-2h-20f"])
def test_narrower_students_are_cut_out_of_the_teacher(tmp_path: Path, family: str, shape: str) -> None:
    """A narrower student has the asked-for shape, only values of the teacher's, and runs."""
    teacher = load_reader(write_reader(tmp_path, family, n_layers=4))
    student = build_student(settings(init="teacher", shape=shape), teacher, seed=0)
    asked = parse_shape(shape)
    assert student.config.hidden_size == asked.width
    assert student.config.num_attention_heads == (asked.heads or 4)
    assert torch.isfinite(logits(student.model)).all()
    given = dict(teacher.model.named_parameters())
    for name, parameter in student.model.named_parameters():
        if "layer" not in name:
            assert torch.isin(parameter, given[name]).all(), name


def test_narrowing_keeps_the_axes_apart(teacher: LoadedReader) -> None:
    """The same hidden places stay everywhere, heads keep their own places, and biases go with their rows."""
    student = build_student(settings(init="teacher", shape="4l-16d"), teacher, seed=0)
    words, theirs = student.model.get_input_embeddings().weight, teacher.model.get_input_embeddings().weight
    hidden = theirs.var(dim=0).topk(16).indices.sort().values
    assert torch.equal(words, theirs[:, hidden])
    ours, source = encoder_layers(student.model)[1], encoder_layers(teacher.model)[1]
    heads = head_places((32, 16), (4, 4))
    assert torch.equal(ours.attention.self.query.weight, source.attention.self.query.weight[heads][:, hidden])
    assert torch.equal(ours.attention.self.query.bias, source.attention.self.query.bias[heads])
    assert torch.equal(
        ours.attention.output.dense.weight, source.attention.output.dense.weight[hidden][:, heads]
    )
    forward = evenly(48, 24)
    assert torch.equal(ours.intermediate.dense.weight, source.intermediate.dense.weight[forward][:, hidden])
    assert torch.equal(ours.output.LayerNorm.bias, source.output.LayerNorm.bias[hidden])


def test_places_are_even_and_stay_within_their_heads() -> None:
    """Even places ascend without repeats; on the axis of heads each student head is cut out of one teacher
    head.
    """
    for old in range(1, 40):
        for new in range(1, old + 1):
            places = evenly(old, new).tolist()
            assert places == sorted(set(places))
            assert (len(places), places[-1] < old) == (new, True)
    assert head_places((32, 16), (4, 4)).tolist() == [n * 8 + k for n in range(4) for k in (1, 3, 5, 7)]
    assert head_places((32, 16), (4, 2)).tolist() == [*range(8, 16), *range(24, 32)]


def test_random_students_depend_on_the_seed_alone(teacher: LoadedReader) -> None:
    """A random student has the shape after its teacher's pattern, and the same weights for the same seed."""
    make = settings(init="random", shape="1l-16d-2h-40f")
    first, again, other = (build_student(make, teacher, seed=seed) for seed in (1, 1, 2))
    assert (first.config.num_hidden_layers, first.config.hidden_size) == (1, 16)
    assert (first.config.num_attention_heads, first.config.intermediate_size) == (2, 40)
    assert torch.equal(logits(first.model), logits(again.model))
    assert not torch.equal(logits(first.model), logits(other.model))
    assert first.head_is_new


def test_random_students_can_follow_a_checkpoints_configuration(tmp_path: Path) -> None:
    """Without a teacher the configuration and tokenizer are those of the named checkpoint, its weights
    unused.
    """
    source = write_reader(tmp_path, n_layers=3)
    student = build_student(settings(init="random", model=str(source)), None, seed=0)
    assert student.config.num_hidden_layers == 3
    assert not torch.equal(student.model.qa_outputs.weight, load_reader(source).model.qa_outputs.weight)


def test_a_checkpoint_is_taken_as_it_is(tmp_path: Path, teacher: LoadedReader) -> None:
    """A student from a checkpoint has its weights."""
    source = write_reader(tmp_path / "student", n_layers=2, seed=9)
    student = build_student(settings(init="checkpoint", model=str(source)), teacher, seed=0)
    assert torch.equal(logits(student.model), logits(load_reader(source).model))


def test_a_checkpoint_keeps_its_own_tokenizer(tmp_path: Path, teacher: LoadedReader) -> None:
    """A student of another family than its teacher reads with the tokenizer that it came with."""
    source = write_reader(tmp_path / "student", "mpnet")
    student = build_student(settings(init="checkpoint", model=str(source)), teacher, seed=0)
    assert student.tokenizer.token_to_id("<s>") == 0
    assert teacher.tokenizer.token_to_id("<s>") is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"init": "teacher", "shape": "6l-32d"}, "6 layers cannot be spread evenly over a teacher of 4"),
        ({"init": "teacher", "shape": "2l-64d"}, "width, 64, is more than its teacher's 32"),
        ({"init": "teacher", "shape": "2l-32d-8h"}, "number of heads, 8, is more than its teacher's 4"),
        ({"init": "teacher", "shape": "2l-32d-64f"}, "feed-forward width, 64, is more than its teacher's 48"),
        (
            {"init": "teacher", "shape": "2l-32d", "layers": [1, 9]},
            "names layer 9, but the teacher has 1 to 4",
        ),
        ({"init": "random", "shape": "2l-18d"}, "neither into 4 heads nor into heads of 8.*'18d-4h'"),
    ],
)
def test_shapes_that_do_not_fit_the_teacher_are_refused(
    teacher: LoadedReader, values: Any, said: str
) -> None:
    """A shape that cannot be taken from the teacher names what is wrong and what to do."""
    with pytest.raises(SettingsError, match=said):
        build_student(settings(**values), teacher, seed=0)


def test_a_teacher_is_needed_where_one_is_used() -> None:
    """Without a teacher neither its layers nor its configuration can be taken."""
    for values in ({"init": "teacher", "shape": "2l-32d"}, {"init": "random", "shape": "2l-32d"}):
        with pytest.raises(SettingsError, match=r"needs a teacher: set teacher\.model"):
            build_student(settings(**values), None, seed=0)


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_configurations_follow_the_pattern(family: str) -> None:
    """Heads stay as many where they divide the width, the feed-forward width keeps its proportion."""
    config = shaped_configuration(
        configuration(family, n_layers=4), parse_shape("2l-16d"), uniform_layers(2, 4)
    )
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (2, 16, 4)
    assert (config.hidden_dim if family == "distilbert" else config.intermediate_size) == 24
    assert config.vocab_size == 24


def test_heads_of_the_same_size_where_their_number_does_not_divide() -> None:
    """Where the pattern's number of heads does not divide the width, heads keep their size."""
    config = shaped_configuration(configuration(num_attention_heads=16), parse_shape("2l-10d"))
    assert config.num_attention_heads == 5


@pytest.mark.parametrize(
    ("n_student", "n_teacher", "layers"),
    [
        (6, 12, (2, 4, 6, 8, 10, 12)),
        (4, 12, (3, 6, 9, 12)),
        (3, 3, (1, 2, 3)),
        (1, 12, (12,)),
        (5, 12, (2, 5, 7, 10, 12)),
        (4, 6, (2, 3, 5, 6)),
    ],
)
def test_uniform_layers_are_evenly_spaced(n_student: int, n_teacher: int, layers: tuple[int, ...]) -> None:
    """Multiples of the ratio; the nearest layer where it is no whole number, of two the upper."""
    assert uniform_layers(n_student, n_teacher) == layers


def test_uniform_layers_never_repeat_and_end_with_the_last() -> None:
    """For every pair of depths the layers ascend strictly and the last one is the teacher's last."""
    for n_teacher in range(1, 30):
        for n_student in range(1, n_teacher + 1):
            layers = uniform_layers(n_student, n_teacher)
            assert len(set(layers)) == n_student
            assert list(layers) == sorted(layers)
            assert (layers[0] >= 1, layers[-1]) == (True, n_teacher)


def test_a_deeper_student_needs_a_list() -> None:
    """A student deeper than its teacher is no case for even spacing, but a list may repeat layers."""
    with pytest.raises(
        SettingsError, match="4 layers cannot be spread evenly over a teacher of 2: give a list"
    ):
        resolve_layer_map("uniform", 4, 2)
    assert resolve_layer_map((1, 1, 2, 2), 4, 2) == (1, 1, 2, 2)


@pytest.mark.parametrize(
    ("layers", "said"),
    [((1, 2), "2 entries for 3"), ((1, 2, 7), "names layer 7"), ((0, 1, 2), "names layer 0")],
)
def test_lists_are_checked_against_the_models(layers: tuple[int, ...], said: str) -> None:
    """A list has one entry for each student layer, each of them a layer of the teacher."""
    with pytest.raises(SettingsError, match=said):
        resolve_layer_map(layers, 3, 6)
