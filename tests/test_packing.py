"""Weights packed as int8 rows: what they lose, who reads them, and what is wrong with a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from test_export import FREE, SHORT, examples
from tiny_engines import BUILT
from tiny_models import write_reader
from tinyreader import Reader
from tinyreader.errors import ModelError, SettingsError
from tinyreader.export import ExportSettings, export
from tinyreader.model_files import PACKED_FILE, model_fingerprint, read_section, weight_files
from tinyreader.models import load_reader
from tinyreader.reader.settings import read_settings, write_settings
from tinyreader.report.machine import parameters
from tinyreader.runtimes.architecture import read_architecture
from tinyreader.runtimes.checkpoint import Checkpoint

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
