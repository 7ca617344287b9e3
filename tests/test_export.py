"""`export`: files that plain engines and our Reader read, put in place only if they agree with the original;
weights packed as int8 rows.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
import torch
from safetensors.numpy import load_file, save_file

from tiny_engines import BUILT, batch, by_transformers, difference
from tiny_models import write_reader
from tinyreader.data import Answer, Example
from tinyreader.errors import ModelError, SettingsError
from tinyreader.export import ExportSettings, Outcome, Tolerance, compare, export, make_trial, sample_examples
from tinyreader.export.bench import _first_answer, bench
from tinyreader.export.int8 import Int8Search
from tinyreader.export.parity import balanced_f1
from tinyreader.model_files import PACKED_FILE, model_fingerprint, read_section, weight_files
from tinyreader.models import load_reader
from tinyreader.reader import Reader
from tinyreader.reader.settings import ReaderSettings, read_settings, write_settings
from tinyreader.report.machine import parameters
from tinyreader.runtimes.architecture import read_architecture
from tinyreader.runtimes.checkpoint import Checkpoint
from tinyreader.runtimes.engines import open_engine
from tinyreader.runtimes.openvino import IR_FILE, resolve_precision
from tinyreader.tokenizer import load_tokenizer

SHORT = ReaderSettings(max_seq_len=48, doc_stride=12)
FREE = Tolerance(equal_answers=0.0, f1=100.0)
HAS_BF16 = resolve_precision("auto") == "bf16"
WORDS = ["the", "bridge", "was", "built", "in", "it", "a", "b", "c", "x", ".", ","]


def examples(n: int = 24, *, answered: bool = True) -> list[Example]:
    """Questions on contexts of many lengths, every other one with an answer."""
    rng = np.random.default_rng(3)
    made = []
    for i, length in enumerate(rng.integers(3, 80, n)):
        context = " ".join(rng.choice(WORDS, int(length)))
        word = context.split()[-1]
        answers = (Answer(word, context.rindex(word)),) if answered and i % 2 else ()
        made.append(Example(f"q{i}", "who built it ?", context, answers))
    return made


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A tiny reader with settings beside it."""
    made = write_reader(tmp_path)
    write_settings(replace(SHORT, no_answer_threshold=1.5), made)
    return made


def settings(engine: Any, precision: Any = "fp32", **changes: Any) -> ExportSettings:
    """For one thread."""
    return ExportSettings(engine, precision, threads=1, **changes)


@pytest.mark.parametrize("engine", ["openvino", "onnx"])
def test_an_export_is_read_back(tmp_path: Path, directory: Path, engine: Any) -> None:
    """Our Reader finds files, settings and tokenizer in the new directory alone, and says what the original
    says.
    """
    report = export(directory, tmp_path / "out", settings(engine), examples())
    assert report.failures == ()
    assert report.parity.equal_answers == 1.0
    assert report.parity.largest_logit_difference < 1e-4
    assert report.parity.f1_change == 0.0
    assert report.reference == "torch fp32"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "config.json",
        "reader.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "vocab.txt",
        *(["model.onnx"] if engine == "onnx" else [IR_FILE, "openvino_model.bin"]),
    }
    shutil.move(directory, tmp_path / "gone")
    reader = Reader.from_pretrained(tmp_path / "out", precision="fp32", threads=1)
    original = Reader.from_pretrained(tmp_path / "gone", precision="fp32", threads=1)
    assert reader.engine == engine
    assert reader.settings == original.settings
    for example in examples(6):
        ours, theirs = (one.read(example.question, example.context) for one in (reader, original))
        assert [(a.text, a.start) for a in ours.answers] == [(a.text, a.start) for a in theirs.answers]


@pytest.mark.parametrize("family", ["electra", "mpnet"])
def test_plain_openvino_reads_the_files(tmp_path: Path, family: str) -> None:
    """OpenVINO alone compiles them and gives Transformers' logits, for any batch and length."""
    directory = write_reader(tmp_path, family)
    export(directory, tmp_path / "out", settings("openvino"), examples(4))
    compiled = ov.Core().compile_model(
        str(tmp_path / "out" / IR_FILE), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    for lengths in ([12], [40, 9]):
        inputs = batch(lengths, pad_id=1)
        named = dict(zip(("input_ids", "attention_mask", "token_type_ids"), inputs, strict=True))
        out = compiled({one.get_any_name(): named[one.get_any_name()] for one in compiled.inputs})
        assert (
            difference(
                (out["start_logits"], out["end_logits"]), by_transformers(directory, inputs), inputs[1]
            )
            < 1e-4
        )


@pytest.mark.skipif(not HAS_BF16, reason="this CPU does not compute in bf16")
def test_a_bf16_export_is_half_the_size(tmp_path: Path, directory: Path) -> None:
    """Weights take half the bytes; fp32 cannot be had of them any more, and that is said."""
    full = export(directory, tmp_path / "full", settings("openvino"), examples(8)).sizes["openvino_model.bin"]
    half = export(directory, tmp_path / "out", settings("openvino", "bf16", tolerance=FREE), examples(8))
    assert half.sizes["openvino_model.bin"] < 0.6 * full
    assert half.parity.largest_logit_difference < 0.2
    assert open_engine(tmp_path / "out", "auto", "auto", 1).facts.precision == "bf16"
    with pytest.raises(
        SettingsError, match='was exported at bf16; set precision to "bf16" or "auto", not "fp32"'
    ):
        open_engine(tmp_path / "out", "openvino", "fp32", 1)


def test_int8_is_calibrated_exported_and_found(tmp_path: Path, directory: Path) -> None:
    """Ranges go beside the model and into the export; then precision="int8" works with both, and no
    calibration is needed.
    """
    report = export(
        directory,
        tmp_path / "out",
        settings("openvino", "int8", tolerance=FREE),
        examples(32),
        calibrates=True,
    )
    assert report.failures == ()
    assert report.parity.questions == 16
    assert report.parity.largest_logit_difference < 0.5
    for place in (directory, tmp_path / "out"):
        section = json.loads((place / "reader.json").read_text("utf-8"))
        assert section["settings"]["no_answer_threshold"] == 1.5
        assert section["int8"]["findings"]["parity"]["questions"] == 16
        assert len(section["int8"]["findings"]["logit_errors"]) == 12
        assert open_engine(place, "openvino", "int8", 1).facts.precision == "int8"
    assert open_engine(tmp_path / "out", "auto", "auto", 1).facts.precision == "int8"  # it holds nothing else
    again = export(directory, tmp_path / "again", settings("openvino", "int8", tolerance=FREE))
    assert again.kept == report.kept
    wrong = pytest.raises((SettingsError, ModelError), match="int8")
    with wrong:
        open_engine(tmp_path / "out", "openvino", "fp32", 1)


def test_the_worst_products_are_kept_until_it_is_good_enough(directory: Path) -> None:
    """Products are kept in the order of what int8 does to the logits, as few as the tolerance allows."""
    search = Int8Search(directory, threads=1)
    calibration, held = (
        make_trial(examples(12, answered=False)[k::2], load_tokenizer(directory), SHORT) for k in (0, 1)
    )
    free = search.find(calibration, held, FREE)
    assert free.kept == ()
    errors = free.findings["logit_errors"]
    off = free.findings["parity"]["largest_logit_difference"]
    plan = search.find(calibration, held, replace(FREE, logit=0.95 * off))
    assert 0 < len(plan.kept) <= 6
    assert list(plan.kept) == sorted(errors, key=lambda name: -errors[name])[: len(plan.kept)]
    assert plan.findings["parity"]["largest_logit_difference"] < off


def test_int8_that_is_never_good_enough_is_an_error(tmp_path: Path, directory: Path) -> None:
    """Where half of the products are kept and it still is not within the tolerance, nothing is written
    anywhere.
    """
    before = (directory / "reader.json").read_bytes()
    strict = settings("openvino", "int8", tolerance=Tolerance(equal_answers=1.0, logit=1e-6))
    with pytest.raises(ModelError, match="int8 is not within the tolerance even with 6 of 12 products kept"):
        export(directory, tmp_path / "out", strict, examples(32), calibrates=True)
    assert not (tmp_path / "out").exists()
    assert (directory / "reader.json").read_bytes() == before


def test_what_says_other_things_is_not_put_in_place(tmp_path: Path, directory: Path) -> None:
    """Beyond the tolerance the report says so, and an earlier export stays."""
    export(directory, tmp_path / "out", settings("openvino"), examples(8))
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    report = export(
        directory, tmp_path / "out", settings("openvino", tolerance=Tolerance(1.0, logit=1e-12)), examples(8)
    )
    assert len(report.failures) == 1
    assert "a logit differs by" in report.failures[0]
    assert report.as_dict()["ok"] is False
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert not list(tmp_path.glob(".tmp-*"))


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (
            lambda d, out: out.mkdir() or (out / "notes.txt").touch(),
            SettingsError,
            "holds something other than an export",
        ),
        (lambda d, out: out.touch(), SettingsError, "is a file"),
        (lambda d, out: out.symlink_to(d), SettingsError, "out holds the model that is exported"),
        (lambda d, out: out.symlink_to(d.parent), SettingsError, "out holds the model that is exported"),
        (
            lambda d, out: [one.unlink() for one in d.glob("[tv]o*")],
            ModelError,
            "no tokenizer that can be used",
        ),
        (
            lambda d, out: (d / "model.safetensors").write_bytes(b""),
            ModelError,
            "damaged or not a safetensors file",
        ),
    ],
)
def test_what_cannot_be_exported_is_said(
    tmp_path: Path, directory: Path, spoil: Callable[[Path, Path], object], error: type[Exception], said: str
) -> None:
    """Each mistake is one clear error."""
    spoil(directory, tmp_path / "out")
    with pytest.raises(error, match=said):
        export(directory, tmp_path / "out", settings("openvino"), examples(8))


def test_a_place_that_cannot_be_is_said_before_any_work(
    tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is computed where the result could not be put in place."""
    monkeypatch.setattr("tinyreader.export.write._original", lambda *_: pytest.fail("the original was read"))
    with pytest.raises(SettingsError, match="holds the model that is exported"):
        export(directory, directory, settings("openvino"), examples(4))
    with pytest.raises(ModelError, match="has no int8 ranges"):
        export(directory, tmp_path / "out", settings("openvino", "int8"), examples(4))
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"file/out cannot be written: .*file \("):
        export(directory, tmp_path / "file" / "out", settings("openvino"), examples(4))


def test_what_was_put_beside_an_export_is_not_lost(tmp_path: Path, directory: Path) -> None:
    """An earlier export is replaced, but not with a card or notes in it, which are named."""
    export(directory, tmp_path / "out", settings("openvino"), examples(4))
    (tmp_path / "out" / "README.md").write_text("a card")
    with pytest.raises(
        SettingsError, match=r"an earlier export and beside it README\.md, which would be lost"
    ):
        export(directory, tmp_path / "out", settings("openvino"), examples(4))
    assert (tmp_path / "out" / "README.md").read_text() == "a card"


def test_wrong_settings_are_refused(tmp_path: Path, directory: Path) -> None:
    """What does not go together is said before work is spent."""
    with pytest.raises(SettingsError, match="precision is 'packed'; it must be one of fp32, bf16, int8"):
        settings("openvino", "packed")
    for precision in ("bf16", "int8"):
        with pytest.raises(SettingsError, match=f'at fp32, not {precision}; set precision to "fp32"'):
            settings("onnx", precision)
    with pytest.raises(SettingsError, match="6 questions are too few to calibrate with"):
        export(directory, tmp_path / "out", settings("openvino", "int8"), examples(6), calibrates=True)
    with pytest.raises(SettingsError, match="is exported as fp32 only"):
        export(
            write_reader(tmp_path / "m", "modernbert"),
            tmp_path / "out",
            settings("openvino", "int8"),
            examples(8),
        )
    export(directory, tmp_path / "out", settings("openvino"), examples(4))
    with pytest.raises(ModelError, match="is an export itself"):
        export(tmp_path / "out", tmp_path / "out2", settings("openvino"), examples(4))


def test_a_damaged_export_is_refused(tmp_path: Path, directory: Path) -> None:
    """A weights file that was cut is an error, and no wrong answer."""
    export(directory, tmp_path / "out", settings("openvino"), examples(4))
    path = tmp_path / "out" / "openvino_model.bin"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"openvino_model.xml is damaged, or its .bin file is"):
        open_engine(tmp_path / "out", "openvino", "fp32", 1)


def test_parity_counts_what_differs() -> None:
    """Equal answers, logits and F1 are compared question by question, and each limit has its sentence."""
    data = [
        Example("a", "q", "one two", (Answer("one", 0),)),
        Example("b", "q", "one two", (Answer("two", 4),)),
    ]
    trial = make_trial(data, load_tokenizer_of_words(), ReaderSettings(max_seq_len=32, doc_stride=4))
    logits = tuple((np.zeros(len(w), np.float32), np.zeros(len(w), np.float32)) for w in trial.windows)
    moved = (*logits[:1], (logits[1][0] + 0.25, logits[1][1]))
    parity = compare(trial, Outcome(("one", "two"), logits), Outcome(("one", "one"), moved))
    assert (parity.equal_answers, parity.largest_logit_difference, parity.f1_change) == (0.5, 0.25, -50.0)
    assert parity.failures(Tolerance(0.4, f1=60.0)) == []
    sentences = parity.failures(Tolerance(0.6, logit=0.1, f1=1.0))
    assert [one.split()[0] for one in sentences] == ["a", "F1", "50.0%"]
    assert len(parity.failures(Tolerance(0.6, f1=60.0))) == 1
    assert (
        len(replace(parity, questions=5000).failures(Tolerance(0.6, f1=60.0))) == 1
    )  # F1 alone is a matter of luck
    blind = replace(parity, f1=None, f1_original=None)
    assert len(blind.failures(Tolerance(0.6))) == 1


def test_both_kinds_of_questions_count_half() -> None:
    """A loss on a few unanswerable questions is not hidden by many answerable ones."""
    answerable = [Example(str(n), "q", "one two", (Answer("one", 0),)) for n in range(450)]
    questions = [*answerable, *(Example(f"x{n}", "q", "one two", ()) for n in range(50))]
    assert balanced_f1(questions, ["one"] * 450 + [""] * 50) == 100.0
    assert balanced_f1(questions, ["one"] * 500) == 50.0
    assert balanced_f1(questions[:499], ["one"] * 499) == pytest.approx(
        100 * 450 / 499
    )  # too few to decide by themselves
    assert balanced_f1(answerable, ["one"] * 450) == 100.0


def load_tokenizer_of_words() -> Any:
    """The tiny vocabulary's tokenizer."""
    import tempfile

    from tiny_models import write_vocabulary

    with tempfile.TemporaryDirectory() as folder:
        return write_vocabulary(Path(folder))


def test_the_sample_has_many_lengths_and_no_told_answers() -> None:
    """Our own texts come in one to six paragraphs, the same each time, and claim nothing about what is
    right.
    """
    made = sample_examples(24)
    assert made == sample_examples(24)
    assert len(made) == 24
    assert {example.context.count("\n") for example in made} == set(range(6))
    assert not any(example.answers for example in made)


def test_a_process_is_timed_to_its_first_answer(directory: Path) -> None:
    """The time is that of a process of its own, which must answer."""
    assert _first_answer(directory, "openvino", "fp32", 1, ("who built it ?", "the bridge was built")) > 0.1
    with pytest.raises(ModelError, match="could not answer in a process of its own"):
        _first_answer(directory / "nowhere", "openvino", "fp32", 1, ("who ?", "it"))


def test_bench_puts_engines_side_by_side(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every installed engine and precision has a row, or its reason; all that were measured agree in fp32."""
    monkeypatch.setattr("tinyreader.export.bench._first_answer", lambda *_: 1.5)
    with pytest.raises(ModelError, match=r"has no config\.json"):
        next(bench(directory.parent, examples(6), threads=1, repeats=1))
    rows = {(row.engine, row.precision): row for row in bench(directory, examples(6), threads=1, repeats=1)}
    assert {("openvino", "fp32"), ("onnx", "fp32"), ("torch", "fp32")} <= rows.keys()
    assert "has no int8 ranges" in str(rows["openvino", "int8"].failure)
    for (_, precision), row in rows.items():
        if precision == "fp32":
            assert row.failure is None
            assert row.equal_answers == 1.0
            assert row.largest_logit_difference is not None
            assert row.largest_logit_difference < 1e-4
            assert min(row.questions_per_s or 0, row.one_question_p50_ms or 0, row.first_answer_s or 0) > 0


PACKED = ExportSettings("packed", tolerance=FREE)


def packed(tmp_path: Path, family: str = "bert") -> tuple[Path, Path]:
    """Return a reader's directory and that of its packed form."""
    directory = write_reader(tmp_path / "whole", family)
    write_settings(SHORT, directory)
    found = export(directory, tmp_path / "packed", PACKED, examples(12))
    assert found.failures == ()
    return directory, tmp_path / "packed"


@pytest.mark.parametrize("family", BUILT)
def test_every_number_is_within_half_a_step(tmp_path: Path, family: str) -> None:
    """Matrices are off by half of their row's scale at most, vectors by nothing; torch and the engines unpack
    alike.
    """
    directory, small = packed(tmp_path, family)
    architecture = read_architecture(directory)
    prefix = architecture.family.prefix
    whole, unpacked = Checkpoint(directory, prefix), Checkpoint(small, prefix)
    by_torch = load_reader(small).model.state_dict()
    for name, shape in architecture.tensors().items():
        before, after = whole[name], unpacked[name]
        assert after.shape == shape
        step = np.abs(before).max(axis=1, keepdims=True) / 127 if before.ndim == 2 else 0.0
        assert (np.abs(after - before) <= step * 0.5001).all()
        same = by_torch[name if name.startswith("qa_outputs.") else f"{prefix}.{name}"]
        torch.testing.assert_close(same, torch.from_numpy(after), rtol=0, atol=0)


def test_a_packed_reader_is_a_reader(tmp_path: Path) -> None:
    """It answers, keeps its settings, says how many numbers it learned, is exported again, and is far
    smaller.
    """
    directory, small = packed(tmp_path)
    assert weight_files(small) == [small / PACKED_FILE]
    assert {path.stat().st_mode & 0o777 for path in small.iterdir()} == {small.stat().st_mode & 0o666}
    assert read_settings(small) == read_settings(directory)
    assert parameters(small) == parameters(directory)
    assert model_fingerprint(small) != model_fingerprint(directory)
    assert (small / PACKED_FILE).stat().st_size < 0.5 * (
        directory / "model.safetensors"
    ).stat().st_size  # tiny: many vectors
    one = examples(1)[0]
    for precision in ("fp32", "auto"):
        reading = Reader.from_pretrained(small, precision=precision, threads=1).read(
            one.question, one.context
        )
        assert all(one.context[a.start : a.end] == a.text for a in reading.answers)
    again = export(small, tmp_path / "again", ExportSettings("openvino", tolerance=FREE), examples(12))
    assert again.failures == ()
    export(directory, small, PACKED, examples(12))  # in the place of the earlier one


def test_what_was_learned_of_the_reader_goes_along(tmp_path: Path) -> None:
    """Its threshold, and the note that its scores mean something; other engines' files, which round
    otherwise, get no note.
    """
    directory = write_reader(tmp_path / "whole")
    write_settings(
        SHORT.changed({"no_answer_threshold": -0.5}), directory, {"calibration": {"threshold": -0.5}}
    )
    for engine, kept in (("packed", {"threshold": -0.5}), ("openvino", None)):
        export(directory, tmp_path / engine, ExportSettings(engine, tolerance=FREE), examples(12))
        assert read_settings(tmp_path / engine).no_answer_threshold == -0.5
        assert read_section(tmp_path / engine, "calibration") == kept


def test_what_is_no_packed_reader_is_refused(tmp_path: Path) -> None:
    """A matrix without its scales, with too few, or scales that are not finite: one error that names it, in
    either reader.
    """
    _, small = packed(tmp_path)
    path = small / PACKED_FILE
    good = load_file(path)
    name = next(name for name in good if name.endswith("layer.0.output.dense.weight"))
    lonely = {key: value for key, value in good.items() if key != f"{name}.scale"}
    for content in (
        lonely,
        good | {f"{name}.scale": good[f"{name}.scale"][:-1]},
        good | {name: good[name][0]},
    ):
        save_file(content, path)
        for opening in (load_reader, lambda d: Reader.from_pretrained(d, engine="openvino")):
            with pytest.raises(ModelError, match=r"output.dense.weight"):
                opening(small)
    broken = good[f"{name}.scale"].copy()
    zero = good[name].copy()
    zero[3, 0] = 0  # times infinity is no number, and no warning of numpy's beside the error
    for value in (np.inf, np.nan, 3e38):
        broken[3] = value
        save_file(good | {f"{name}.scale": broken, name: zero}, path)
        with pytest.raises(ModelError, match="not finite"):
            Reader.from_pretrained(small)


def test_what_cannot_be_packed_is_said_before_work(tmp_path: Path) -> None:
    """Precisions are for later; architectures that are not known here have names that this does not know."""
    with pytest.raises(SettingsError, match="leave precision out"):
        ExportSettings("packed", "int8")
    directory = write_reader(tmp_path, "modernbert")
    with pytest.raises(SettingsError, match="cannot be packed"):
        export(directory, tmp_path / "out", PACKED, examples(4))
