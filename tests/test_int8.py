"""int8: ranges measured on windows, plans beside the model, and logits near those of fp32 with either
engine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiny_engines import BUILT, batch, by_transformers, calibrate, difference
from tiny_models import write_reader
from tinyreader.data import load_examples
from tinyreader.errors import ModelError, SettingsError
from tinyreader.export import compare, make_trial
from tinyreader.export.int8 import Int8Search
from tinyreader.reader.settings import ReaderSettings
from tinyreader.runtimes.architecture import read_architecture
from tinyreader.runtimes.checkpoint import Checkpoint
from tinyreader.runtimes.engines import open_engine
from tinyreader.runtimes.int8 import Int8Plan, Range, quantised, read_plan, write_plan
from tinyreader.runtimes.openvino import EngineSettings, open_openvino
from tinyreader.runtimes.openvino.calibration import InputStatistics, measure_ranges
from tinyreader.tokenizer import load_tokenizer

INT8 = EngineSettings("int8", threads=1)


def test_a_weight_is_int8_with_a_scale_for_each_output() -> None:
    """No number is off by more than half a step of its row, the largest stays exact, and rows of zeros stay
    zeros.
    """
    weight = np.random.default_rng(0).normal(size=(5, 30)).astype(np.float32)
    weight[2] = 0
    whole, scale = quantised(weight)
    assert (whole.dtype, scale.shape) == (np.int8, (5, 1))
    assert np.abs(whole * scale - weight).max() <= scale.max() / 2 + 1e-7
    assert np.abs(whole).max(axis=1).tolist() == [127, 127, 0, 127, 127]


@pytest.mark.parametrize("family", BUILT)
def test_logits_are_near_those_of_fp32(tmp_path: Path, family: str) -> None:
    """With ranges measured on the like, no logit is off by more than a tenth of what logits range over."""
    directory = write_reader(tmp_path, family)
    calibrate(directory)
    runtime = open_engine(directory, "openvino", "int8", 1)
    assert (runtime.facts.engine, runtime.facts.precision) == ("openvino", "int8")
    inputs = batch([40, 31, 8], pad_id=runtime.facts.pad_id, seed=9)
    exact = by_transformers(directory, inputs)
    assert 1e-4 < difference(runtime.logits(*inputs), exact, inputs[1]) < 0.1 * np.ptp(exact[0])


def executed(directory: Path) -> Counter[str]:
    """How many products with weights OpenVINO computes from each number format."""
    model = open_openvino(directory, INT8).compiled.get_runtime_model()
    info = [node.get_rt_info() for node in model.get_ordered_ops()]
    return Counter(
        i["runtimePrecision"].astype(str) for i in info if i["layerType"].astype(str) == "FullyConnected"
    )


def test_products_are_computed_in_int8_but_for_those_kept(tmp_path: Path) -> None:
    """OpenVINO executes every product from unsigned bytes; a kept one it does not."""
    directory = write_reader(tmp_path)
    calibrate(directory)
    assert executed(directory)["u8"] == 12
    calibrate(directory, kept=("encoder.layer.1.output.dense", "encoder.layer.0.attention.self.query"))
    assert executed(directory)["u8"] == 10


def test_uneven_channels_are_made_even() -> None:
    """Where a few channels are a hundred times the others, scales by channel leave a small part of the
    error.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 64)).astype(np.float32)
    x[:, :2] *= 100
    weights = rng.normal(size=(32, 64)).astype(np.float32)
    statistics = InputStatistics()
    statistics.add(x, 1.0, rng)
    found = statistics.best_range(weights)
    assert not found.is_plain
    assert found.scale[:2].min() > 3 * found.scale[2:].max()
    assert found.low < 0 < found.high


def test_even_channels_are_left_alone() -> None:
    """Where channels are alike there are no scales to divide by, and the range covers nearly all."""
    rng = np.random.default_rng(0)
    statistics = InputStatistics()
    statistics.add(rng.uniform(-1, 3, (400, 64)).astype(np.float32), 1.0, rng)
    found = statistics.best_range(rng.normal(size=(32, 64)).astype(np.float32))
    assert found.is_plain
    assert -1.0 <= found.low < -0.8
    assert 2.5 < found.high <= 3.0


def test_a_tensor_of_zeros_has_a_range(tmp_path: Path) -> None:
    """Products whose input is always zero do not divide by zero."""
    statistics = InputStatistics()
    statistics.add(np.zeros((30, 8), np.float32), 1.0, np.random.default_rng(0))
    found = statistics.best_range(np.ones((4, 8), np.float32))
    assert found.low <= 0 < found.high


def test_products_with_one_input_share_their_range(tmp_path: Path) -> None:
    """Query, key and value read the same numbers, and have one range; each product inside the layers has
    some.
    """
    directory = write_reader(tmp_path)
    architecture = read_architecture(directory)
    ranges = measure_ranges(architecture, Checkpoint(directory, "bert"), [batch([12])], 12)
    assert list(ranges) == list(architecture.linears())
    query, key, inner = (ranges[architecture.layer(0, part)] for part in ("query", "key", "inner"))
    assert query is key is not inner
    assert len({id(one) for one in ranges.values()}) == 8


def test_a_plan_lies_beside_the_model(tmp_path: Path) -> None:
    """What is written is read again, what else stands in reader.json stays, and scales survive the
    rounding.
    """
    directory = write_reader(tmp_path)
    (directory / "reader.json").write_text('{"settings": {"top_k": 5}}', encoding="utf-8")
    plan = calibrate(directory, kept=("encoder.layer.1.output.dense",))
    read = read_plan(directory, read_architecture(directory).linears())
    assert json.loads((directory / "reader.json").read_text("utf-8"))["settings"] == {"top_k": 5}
    assert (read.kept, read.weights, list(read.ranges)) == (plan.kept, plan.weights, list(plan.ranges))
    for name, found in plan.ranges.items():
        assert (read.ranges[name].low, read.ranges[name].high) == (found.low, found.high)
        assert np.array_equal(read.ranges[name].scale, found.scale)


def test_int8_without_ranges_says_how_to_get_them(tmp_path: Path) -> None:
    """Asking for int8 where nothing was measured is an error with the command; "auto" never takes int8."""
    directory = write_reader(tmp_path)
    for engine in ("auto", "openvino"):
        with pytest.raises(
            ModelError, match=r"has no int8 ranges.*tinyreader export .* --precision int8 --calibrate"
        ):
            open_engine(directory, engine, "int8", 1)  # type: ignore[arg-type]
    calibrate(directory)
    assert open_engine(directory, "auto", "auto", 1).facts.precision in ("bf16", "fp32")
    with pytest.raises(ModelError, match=r'converted to ONNX at fp32, not int8; set engine to "openvino"'):
        open_engine(directory, "onnx", "int8", 1)
    with pytest.raises(SettingsError, match="torch has no int8"):
        open_engine(directory, "torch", "int8", 1)


def test_a_plan_of_other_weights_is_refused(tmp_path: Path) -> None:
    """Ranges that were measured on another model do not pass for this one's."""
    directory, other = write_reader(tmp_path / "a"), write_reader(tmp_path / "b", layer_norm_eps=1e-5)
    write_plan(directory, calibrate(other))
    with pytest.raises(ModelError, match="measured on other weights"):
        open_openvino(directory, INT8)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda section: section.pop("inputs"), "cannot be read .KeyError"),
        (lambda section: section["inputs"].pop(), "does not fit this model"),
        (lambda section: section.update(kept=["nothing"]), "does not fit this model"),
        (lambda section: section["inputs"][0].update(scale=[1.0]), "does not fit this model"),
        (lambda section: section["inputs"][0].update(low="wide"), "cannot be read .ValueError"),
        (lambda section: section["inputs"][0].update(low=5.0), "range of .* cannot be used"),
        (lambda section: section["inputs"][0].update(scale=[-1.0] * 32), "range of .* cannot be used"),
    ],
)
def test_a_damaged_plan_is_refused(tmp_path: Path, change: Any, said: str) -> None:
    """Whatever is wrong with the section is one clear error that says to measure again."""
    directory = write_reader(tmp_path)
    calibrate(directory)
    path = directory / "reader.json"
    content = json.loads(path.read_text("utf-8"))
    change(content["int8"])
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelError, match=said):
        open_openvino(directory, INT8)


def test_a_kept_product_has_no_range() -> None:
    """`range_of` is None for what is kept and for what was never measured."""
    found = Range(-1.0, 1.0, np.ones(2, np.float32))
    plan = Int8Plan({"a": found, "b": found}, kept=("b",))
    assert (plan.range_of("a"), plan.range_of("b"), plan.range_of("c")) == (found, None, None)


@pytest.fixture(scope="module")
def trained(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A really trained 12-layer reader, unpacked."""
    if not (shared_dir / "models" / "teacher").is_dir():
        pytest.skip("needs the trained teacher in ../shared/models, which this machine does not have")
    target = tmp_path_factory.mktemp("teacher")
    script = shared_dir / "models" / "get.py"
    subprocess.run([sys.executable, str(script), str(target), "teacher"], check=True, capture_output=True)
    return target / "teacher"


def test_a_trained_reader_says_nearly_the_same_in_int8(trained: Path, shared_dir: Path) -> None:
    """Logits of a reader with strong outliers stay near fp32's, where plain ranges do not."""
    examples = load_examples(shared_dir / "data" / "squad2-dev-a.json")
    settings = ReaderSettings(max_seq_len=256, doc_stride=64)
    tokenizer = load_tokenizer(trained)
    measured, held = (make_trial(examples[k::700], tokenizer, settings) for k in (0, 350))
    search = Int8Search(trained)
    n_tokens = sum(map(len, measured.windows))
    ranges = measure_ranges(
        search.architecture, search.weights, measured.batches(search.architecture.pad_id), n_tokens
    )
    exact = held.run(search.runtime("fp32"))
    ours = compare(held, exact, held.run(search.runtime("fp32", Int8Plan(ranges))))
    plain = {
        name: Range(low=-20.0, high=20.0, scale=np.ones_like(found.scale)) for name, found in ranges.items()
    }
    theirs = compare(held, exact, held.run(search.runtime("fp32", Int8Plan(plain))))
    assert ours.mean_logit_difference < 0.25
    assert ours.mean_logit_difference < theirs.mean_logit_difference / 2
    assert ours.equal_answers >= 0.75
