"""ONNX: files that plain onnx and onnxruntime take, with the logits of Transformers; converted once, or read
as they are.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiny_engines import BUILT, batch, by_transformers, difference
from tiny_models import write_reader
from tinyreader.errors import MissingExtraError, ModelError, SettingsError

onnx = pytest.importorskip("onnx", reason="needs the onnx extra")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs the onnx extra")

from tinyreader.runtimes.onnx.engine import ONNX_FILE, converted_onnx, open_onnx  # noqa: E402 - after the skips


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tinyreader" / "onnx"


@pytest.mark.parametrize("family", [*BUILT, "deberta-v2", "modernbert"])
def test_logits_are_those_of_transformers(tmp_path: Path, family: str) -> None:
    """One file serves any batch and length, padded or not, within 1e-4 in fp32."""
    directory = write_reader(tmp_path, family)
    runtime = open_onnx(directory, "fp32", 1)
    for lengths, longest in (([12], 0), ([40, 31, 8], 0), ([7, 5], 24), ([62], 0)):
        inputs = batch(lengths, longest, pad_id=runtime.facts.pad_id)
        assert difference(runtime.logits(*inputs), by_transformers(directory, inputs), inputs[1]) < 1e-4


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        *(("bert", {"hidden_act": act}) for act in ("gelu_new", "relu", "silu", "tanh")),
        ("bert", {"type_vocab_size": 1}),
        ("bert", {"layer_norm_eps": 0.1}),
        ("roberta", {"type_vocab_size": 2}),
        ("electra", {"embedding_size": 32}),
    ],
    ids=str,
)
def test_what_a_configuration_may_change_agrees(tmp_path: Path, family: str, changes: dict[str, Any]) -> None:
    """Activations, segments, LayerNorm's epsilon and embedding width are those of config.json."""
    directory = write_reader(tmp_path, family, **changes)
    inputs = batch([12, 9], pad_id=1)
    assert (
        difference(
            open_onnx(directory, "fp32", 1).logits(*inputs), by_transformers(directory, inputs), inputs[1]
        )
        < 1e-4
    )


@pytest.mark.parametrize("family", BUILT)
def test_files_are_plain_onnx(tmp_path: Path, family: str) -> None:
    """The checker accepts them, with shapes inferred; only standard operators of one opset are used;
    onnxruntime runs them.
    """
    path = converted_onnx(write_reader(tmp_path, family)) / ONNX_FILE
    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.load(str(path))
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]
    assert {output.name for output in model.graph.output} == {"start_logits", "end_logits"}
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    start, _ = session.run(None, dict(zip(names, batch([9, 4]), strict=False)))
    assert start.shape == (2, 9)


def test_a_model_is_converted_once(tmp_path: Path, cache: Path) -> None:
    """The second time the file in the cache is read; other weights have a file of their own."""
    directory = write_reader(tmp_path / "a")
    first = converted_onnx(directory)
    stamp = (first / ONNX_FILE).stat().st_mtime_ns
    assert converted_onnx(directory) == first
    assert (first / ONNX_FILE).stat().st_mtime_ns == stamp
    other = converted_onnx(write_reader(tmp_path / "b", layer_norm_eps=1e-5))
    assert other != first
    assert {other.parent, first.parent} == {cache}


def test_a_file_of_others_is_read_as_it_is(tmp_path: Path) -> None:
    """A directory with a model.onnx, config.json and tokenizer is enough; nothing is written."""
    directory, holder = write_reader(tmp_path / "a", "roberta"), tmp_path / "exported"
    holder.mkdir()
    shutil.copy(directory / "config.json", holder)
    shutil.copy(converted_onnx(directory) / ONNX_FILE, holder)
    runtime = open_onnx(holder, "auto", 1)
    facts = runtime.facts
    assert (facts.pad_id, facts.max_tokens, facts.takes_segments, facts.precision) == (1, 62, False, "fp32")
    inputs = batch([12, 9], pad_id=1)
    assert difference(runtime.logits(*inputs), by_transformers(directory, inputs), inputs[1]) < 1e-4


def test_what_is_no_reader_is_refused(tmp_path: Path) -> None:
    """A damaged file, and one with other outputs, are one clear error each."""
    directory = write_reader(tmp_path)
    whole = converted_onnx(directory) / ONNX_FILE
    (directory / ONNX_FILE).write_bytes(whole.read_bytes()[:500])
    with pytest.raises(ModelError, match=r"model.onnx cannot be read by ONNX Runtime"):
        open_onnx(directory, "fp32", 1)
    model = onnx.load(str(whole))
    del model.graph.output[1]
    onnx.save(model, str(directory / ONNX_FILE))
    with pytest.raises(
        ModelError, match=r"not a question-answering network: it takes .* and gives start_logits$"
    ):
        open_onnx(directory, "fp32", 1)


def test_wrong_inputs_are_refused(tmp_path: Path) -> None:
    """Too many tokens, or ids that the model does not embed, are errors and no crash; bf16 there is none."""
    directory = write_reader(tmp_path)
    runtime = open_onnx(directory, "fp32", 1)
    with pytest.raises(SettingsError, match="65 tokens; this model takes at most 64"):
        runtime.logits(*batch([65]))
    ids, mask, segments = batch([5])
    ids[0, 2] = 24
    with pytest.raises(ModelError, match="embeds 24 tokens"):
        runtime.logits(ids, mask, segments)
    with pytest.raises(SettingsError, match="does not compute in bf16"):
        open_onnx(directory, "bf16", 1)


def test_converting_without_torch_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch is not installed, converting says what to install."""
    directory = write_reader(tmp_path)
    monkeypatch.setitem(sys.modules, "tinyreader.runtimes.onnx.convert", None)
    with pytest.raises(MissingExtraError, match=r"tinyreader\[train,onnx\]"):
        open_onnx(directory, "fp32", 1)


def test_reading_a_file_takes_no_torch(tmp_path: Path) -> None:
    """From a model.onnx to logits in a process that has imported neither torch nor Transformers."""
    directory, holder = write_reader(tmp_path / "a"), tmp_path / "exported"
    holder.mkdir()
    shutil.copy(directory / "config.json", holder)
    shutil.copy(converted_onnx(directory) / ONNX_FILE, holder)
    code = (
        "import json, sys; from pathlib import Path\n"
        "from tinyreader.runtimes.onnx.engine import open_onnx; import numpy as np\n"
        f"runtime = open_onnx(Path({str(holder)!r}), 'fp32', 1)\n"
        "ids = np.full((1, 9), 7); start, _ = runtime.logits(ids, np.ones_like(ids), np.zeros_like(ids))\n"
        "print(json.dumps([start.tolist(), [name for name in ('torch', 'transformers') if name in "
        "sys.modules]]))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    start, heavy = json.loads(done.stdout)
    ids = np.full((1, 9), 7)
    expected = by_transformers(directory, (ids, np.ones_like(ids), np.zeros_like(ids)))
    assert np.allclose(start, expected[0], atol=1e-4)
    assert heavy == []
