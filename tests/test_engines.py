"""Which engine reads a model: chosen by what the model is and what is installed, told, and refused with a
reason.
"""

from __future__ import annotations

import importlib.util
import logging
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from tiny_engines import batch, calibrate, difference
from tiny_models import write_reader
from tinyreader.errors import MissingExtraError, ModelError, SettingsError
from tinyreader.export import ExportSettings, export, sample_examples
from tinyreader.runtimes import engines
from tinyreader.runtimes.engines import choose_engine, installed_engines, open_engine, precisions_of
from tinyreader.runtimes.openvino import IR_FILE, resolve_precision
from tinyreader.runtimes.openvino.engine import converted

BEST = resolve_precision("auto")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("engine", ["openvino", "onnx", "torch"])
def test_every_engine_says_the_same(tmp_path: Path, engine: Any) -> None:
    """Engines agree in fp32 within 1e-4, and each says its name and precision."""
    directory = write_reader(tmp_path)
    inputs = batch([40, 31, 8])
    runtime = open_engine(directory, engine, "fp32", 1)
    assert (runtime.facts.engine, runtime.facts.precision) == (engine, "fp32")
    expected = open_engine(directory, "torch", "fp32", 1).logits(*inputs)
    assert difference(runtime.logits(*inputs), expected, inputs[1]) < 1e-4


def test_auto_says_what_it_took(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """OpenVINO where the architecture is built, torch for others, in the best precision of this CPU; the log
    has the reason.
    """
    with caplog.at_level(logging.INFO, "tinyreader"):
        runtime = open_engine(write_reader(tmp_path / "a"), "auto", "auto", 1)
        other = open_engine(write_reader(tmp_path / "b", "deberta-v2"), "auto", "fp32", 1)
    assert (runtime.facts.engine, runtime.facts.precision) == ("openvino", BEST)
    assert (other.facts.engine, other.facts.precision) == ("torch", "fp32")
    assert f"is read by openvino in {BEST}: the architecture is built from its weights" in caplog.text
    assert "is read by torch in fp32: only Transformers knows the architecture" in caplog.text


def test_auto_goes_by_the_files(tmp_path: Path) -> None:
    """A directory with nothing but an engine's own file is read by that engine."""
    directory = write_reader(tmp_path)
    for name in ("model.onnx", IR_FILE):
        (directory / name).touch()
    assert open_engine(directory, "auto", "fp32", 1).logits(*batch([5]))[0].shape == (
        1,
        5,
    )  # the weights go first
    for name in ("model.safetensors", "model.onnx", IR_FILE):
        (directory / name).unlink()
    assert choose_engine(directory).engine == "openvino"  # whose error says that there are no weights
    (directory / "model.onnx").touch()
    assert choose_engine(directory).engine == "onnx"
    (directory / IR_FILE).touch()
    assert choose_engine(directory).engine == "openvino"


@pytest.mark.parametrize(("held", "asked"), [("onnx", "openvino"), ("openvino", "onnx"), ("onnx", "torch")])
def test_an_export_for_another_engine_says_which_one_it_is_for(tmp_path: Path, held: Any, asked: Any) -> None:
    """Where a directory holds nothing but another engine's network, the error names it, its precision and
    what to choose.
    """
    export(write_reader(tmp_path), tmp_path / "out", ExportSettings(held, threads=1), sample_examples(2))
    with pytest.raises(
        ModelError,
        match=f"holds a network for {held} at fp32, and no weights that {asked} reads: choose the "
        rf"engine {held} \(--engine {held}\) or auto",
    ):
        open_engine(tmp_path / "out", asked, "auto", 1)
    remedies = {
        "onnx": 'fp32, not int8; set precision to "fp32"',
        "openvino": "the original with --precision int8",
    }
    with pytest.raises(ModelError, match=remedies[held]):
        open_engine(tmp_path / "out", held, "int8", 1)


def test_without_torch_other_architectures_are_an_error_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where only Transformers knows the model and is not installed, that is said; what is known needs
    nothing.
    """
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else there(name))
    assert "torch" not in installed_engines()
    assert choose_engine(write_reader(tmp_path / "a")).engine == "openvino"
    with pytest.raises(MissingExtraError, match=r"only Transformers knows.*tinyreader\[train\]"):
        choose_engine(write_reader(tmp_path / "b", "deberta-v2"))


@pytest.mark.parametrize(
    ("engine", "module", "extra"),
    [
        ("torch", "tinyreader.runtimes.torch_runtime", "train"),
        ("onnx", "tinyreader.runtimes.onnx.engine", "onnx"),
    ],
)
def test_an_engine_that_is_not_installed_names_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Any, module: str, extra: str
) -> None:
    """Asking for an engine whose packages are missing says what to install."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"tinyreader\[{extra}\]"):
        open_engine(write_reader(tmp_path), engine, "fp32")


@pytest.mark.parametrize("family", ["deberta-v2", "modernbert"])
def test_openvino_converts_what_it_does_not_build(
    tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other architectures go through torch once; then the cache serves, and torch is not needed."""
    directory = write_reader(tmp_path, family)
    inputs = batch([40, 31, 8])
    expected = open_engine(directory, "torch", "fp32", 1).logits(*inputs)
    assert (
        difference(open_engine(directory, "openvino", "fp32", 1).logits(*inputs), expected, inputs[1]) < 1e-4
    )
    monkeypatch.setitem(sys.modules, "tinyreader.runtimes.openvino.convert", None)
    assert (
        difference(open_engine(directory, "openvino", "fp32", 1).logits(*inputs), expected, inputs[1]) < 1e-4
    )
    shutil.rmtree(converted(directory))
    with pytest.raises(MissingExtraError, match=r"converting .* for OpenVINO.*tinyreader\[train\]"):
        open_engine(directory, "openvino", "fp32", 1)


def test_what_cannot_be_converted_names_the_torch_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the converter fails, or what it makes says other things, the error says how to read the model."""
    from tinyreader.runtimes import tracing
    from tinyreader.runtimes.openvino import convert

    directory = write_reader(tmp_path, "deberta-v2")
    monkeypatch.setattr(tracing.Traceable, "difference", lambda *_: 0.5)
    with pytest.raises(ModelError, match=r'logits would be off by 0.5.*engine = "torch"'):
        open_engine(directory, "openvino", "fp32", 1)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no such operation\nand a long trace")

    monkeypatch.setattr(convert.ov, "convert_model", fail)
    with pytest.raises(
        ModelError, match=r'cannot be converted for OpenVINO .RuntimeError: no such operation.*"torch"'
    ):
        open_engine(directory, "openvino", "fp32", 1)


@pytest.mark.parametrize(
    ("engine", "precision", "said"),
    [
        (
            "tensorflow",
            "auto",
            'engine is \'tensorflow\'; it must be one of "auto", "openvino", "onnx", "torch"',
        ),
        ("auto", "int4", "precision is 'int4'; it must be one of"),
        ("torch", "int8", "torch has no int8"),
        ("onnx", "bf16", "does not compute in bf16"),
    ],
)
def test_wrong_choices_are_refused(tmp_path: Path, engine: Any, precision: Any, said: str) -> None:
    """A choice that cannot be names the allowed ones."""
    with pytest.raises(SettingsError, match=said):
        open_engine(write_reader(tmp_path), engine, precision)


def test_precisions_are_what_an_engine_offers(tmp_path: Path) -> None:
    """ONNX Runtime has fp32; the others also bf16 where the CPU computes in it."""
    directory = write_reader(tmp_path)
    calibrate(directory)
    assert precisions_of("onnx", directory) == ("fp32",)
    assert precisions_of("openvino", directory)[-1] == BEST
    assert engines.installed_engines()[0] == "openvino"
