"""The OpenVINO runtime: the logits of Transformers for every family it builds, and answers without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

from tiny_engines import BUILT, batch, by_transformers, difference
from tiny_models import write_reader
from tinyreader.data import Example
from tinyreader.distil.evaluate import NetworkRuntime
from tinyreader.distil.network import Network
from tinyreader.errors import ModelError, SettingsError
from tinyreader.models import load_reader, max_tokens, takes_segments
from tinyreader.runtimes import Runtime
from tinyreader.runtimes.architecture import mpnet_buckets
from tinyreader.runtimes.openvino import (
    EngineSettings,
    OpenVinoRuntime,
    engine,
    load_model,
    open_openvino,
    resolve_precision,
)
from tinyreader.runtimes.openvino.engine import LONG_STREAM
from tinyreader.runtimes.reading import BatchLimits, predict
from tinyreader.windows import Windower, WindowSettings

FP32 = EngineSettings("fp32", threads=1)
needs_bf16 = pytest.mark.skipif(
    resolve_precision("auto") != "bf16", reason="this CPU does not compute in bf16"
)


def rewrite_config(directory: Path, **changes: object) -> Path:
    """Change values of a directory's config.json."""
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), encoding="utf-8")
    return directory


@pytest.mark.parametrize(
    ("lengths", "longest"),
    [([12], 0), ([12, 9, 1], 0), ([7, 5], 24), ([62], 0)],
    ids=["plain", "padded", "wide", "full"],
)
@pytest.mark.parametrize("family", BUILT)
def test_logits_are_those_of_transformers(
    tmp_path: Path, family: str, lengths: list[int], longest: int
) -> None:
    """With segments, padding, and as many tokens as the model takes, fp32 logits agree within 1e-4."""
    directory = write_reader(tmp_path, family)
    runtime = open_openvino(directory, FP32)
    inputs = batch(lengths, longest, pad_id=runtime.facts.pad_id)
    theirs = by_transformers(directory, inputs)
    assert difference(runtime.logits(*inputs), theirs, inputs[1]) < 1e-4
    assert np.ptp(theirs[0]) > 1 or len(theirs[0][0]) == 1, (
        "a model that says the same everywhere shows nothing"
    )


@pytest.mark.parametrize("family", BUILT)
def test_long_windows_agree(tmp_path: Path, family: str) -> None:
    """Windows of hundreds of tokens, where MPNet's distances reach beyond its table, agree within 1e-4."""
    directory = write_reader(tmp_path, family, max_position_embeddings=514)
    inputs = batch([500, 317])
    assert (
        difference(
            open_openvino(directory, FP32).logits(*inputs), by_transformers(directory, inputs), inputs[1]
        )
        < 1e-4
    )


@pytest.mark.parametrize("model_type", ["xlm-roberta", "camembert"])
def test_relatives_of_roberta_agree(tmp_path: Path, model_type: str) -> None:
    """Models that are RoBERTa under another name are built as it is."""
    directory = rewrite_config(write_reader(tmp_path, "roberta"), model_type=model_type)
    inputs = batch([12, 9], pad_id=1)
    assert (
        difference(
            open_openvino(directory, FP32).logits(*inputs), by_transformers(directory, inputs), inputs[1]
        )
        < 1e-4
    )


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        *(
            ("bert", {"hidden_act": act})
            for act in ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "tanh")
        ),
        ("distilbert", {"activation": "relu"}),
        ("bert", {"type_vocab_size": 1}),
        ("bert", {"type_vocab_size": 3}),
        ("bert", {"layer_norm_eps": 0.1}),
        ("roberta", {"type_vocab_size": 2}),
        ("roberta", {"pad_token_id": 4}),
        ("electra", {"embedding_size": 32}),
        ("mpnet", {"layer_norm_eps": 1e-5}),
    ],
    ids=str,
)
def test_what_a_configuration_may_change_agrees(tmp_path: Path, family: str, changes: dict[str, Any]) -> None:
    """Activations, segments, LayerNorm's epsilon, padding id and embedding width are those of config.json."""
    directory = write_reader(tmp_path, family, **changes)
    runtime = open_openvino(directory, FP32)
    inputs = batch([12, 9], pad_id=runtime.facts.pad_id)
    assert difference(runtime.logits(*inputs), by_transformers(directory, inputs), inputs[1]) < 1e-4


def test_mpnets_buckets_are_transformers() -> None:
    """Every distance that 512 tokens can have goes to the same row."""
    theirs = MPNetEncoder.relative_position_bucket(torch.arange(-511, 512), num_buckets=32)
    assert np.array_equal(mpnet_buckets(512), theirs.numpy())


def test_a_configuration_may_leave_out_what_is_usual(tmp_path: Path) -> None:
    """Missing values are the family's own, and a configuration without a model type is BERT's."""
    directory = write_reader(tmp_path, "bert", num_attention_heads=2)
    path = directory / "config.json"
    content = json.loads(path.read_text("utf-8"))
    for key in ("model_type", "hidden_act", "layer_norm_eps", "pad_token_id", "position_embedding_type"):
        content.pop(key, None)
    inputs = batch([12, 9])
    expected = by_transformers(directory, inputs)
    path.write_text(json.dumps(content), encoding="utf-8")
    assert difference(open_openvino(directory, FP32).logits(*inputs), expected, inputs[1]) < 1e-4


@pytest.mark.parametrize("family", BUILT)
def test_the_runtime_knows_its_model(tmp_path: Path, family: str) -> None:
    """Padding id, longest input, vocabulary and use of segments are those of the Transformers model."""
    directory = write_reader(tmp_path, family)
    model, runtime = load_reader(directory).model, open_openvino(directory, FP32)
    facts = runtime.facts
    assert (facts.max_tokens, facts.takes_segments) == (max_tokens(model), takes_segments(model))
    assert (facts.pad_id, facts.vocab_size) == (model.config.pad_token_id, model.config.vocab_size)


def test_segments_reach_the_model(tmp_path: Path) -> None:
    """Leaving the segments out gives other logits."""
    runtime = open_openvino(write_reader(tmp_path), FP32)
    ids, mask, segments = batch([12])
    with_them, without = runtime.logits(ids, mask, segments), runtime.logits(ids, mask, 0 * segments)
    assert difference(with_them, without, mask) > 0.01


@pytest.mark.parametrize("family", BUILT)
def test_batches_and_padding_change_nothing(tmp_path: Path, family: str) -> None:
    """A window alone, among others and padded further gives the same logits but for rounding."""
    runtime = open_openvino(write_reader(tmp_path, family), FP32)
    ids, mask, segments = batch([20, 11, 3], 32, pad_id=runtime.facts.pad_id)
    together = runtime.logits(ids, mask, segments)
    for row, n in enumerate([20, 11, 3]):
        alone = runtime.logits(ids[row : row + 1, :n], mask[row : row + 1, :n], segments[row : row + 1, :n])
        assert np.allclose(alone[0][0], together[0][row, :n], atol=1e-5)
        assert np.allclose(alone[1][0], together[1][row, :n], atol=1e-5)


def test_logits_are_the_callers_to_keep(tmp_path: Path) -> None:
    """What was returned does not change when the next batch is computed."""
    runtime = open_openvino(write_reader(tmp_path), FP32)
    first = runtime.logits(*batch([12], seed=1))
    copy = first[0].copy()
    runtime.logits(*batch([12], seed=2))
    assert np.array_equal(first[0], copy)
    assert first[0].dtype == first[1].dtype == np.float32
    assert first[0].flags.writeable


@pytest.mark.parametrize("streams", [1, 2])
def test_a_stream_gives_the_same_in_order(tmp_path: Path, streams: int) -> None:
    """Batches of all sizes, more than can be at work, come back as `logits` gives them one by one."""
    directory = write_reader(tmp_path)
    runtime: Runtime = open_openvino(directory, EngineSettings("fp32", threads=streams, streams=streams))
    single: Runtime = open_openvino(directory, FP32)
    batches = [batch([1 + (7 * i) % 60, 5], seed=i) for i in range(20)]
    for (ids, mask, segments), ours in zip(batches, runtime.stream(iter(batches)), strict=True):
        assert difference(ours, single.logits(ids, mask, segments), mask) < 1e-5
    assert list(runtime.stream([])) == []


def test_long_streams_are_computed_two_at_a_time(tmp_path: Path) -> None:
    """By default a question has all threads for itself; a long stream gets a second compiled model, made
    once.
    """
    if EngineSettings(threads=2).n_threads < 2:
        pytest.skip("this process may use one core only")
    runtime = open_openvino(write_reader(tmp_path), EngineSettings("fp32", threads=2))
    batches = [batch([5 + i], seed=i) for i in range(LONG_STREAM + 3)]
    list(runtime.stream(batches[: LONG_STREAM - 1]))
    assert runtime._double is None
    found = list(runtime.stream(iter(batches)))
    double = runtime._double
    assert double is not None
    assert double.get_property("NUM_STREAMS") == 2
    assert runtime.compiled.get_property("NUM_STREAMS") == 1
    for ours, one in zip(found, batches, strict=True):
        assert difference(ours, runtime.logits(*one), one[1]) < 1e-5
    list(runtime.stream(batches))
    assert runtime._double is double
    alone = open_openvino(tmp_path / "reader", EngineSettings("fp32", threads=1))
    list(alone.stream(batches))
    assert alone._double is None  # one thread cannot be shared


def test_more_streams_share_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a reader is compiled, its weights are read once, and every compiled form says the
    same.
    """
    built = []
    load = engine.load_model
    monkeypatch.setattr(engine, "load_model", lambda *about: built.append(about) or load(*about))
    runtime = open_openvino(write_reader(tmp_path), EngineSettings("fp32", threads=2))
    two = runtime.with_streams(2)
    ids, mask, segments = batch([9, 30, 4])
    assert difference(two.logits(ids, mask, segments), runtime.logits(ids, mask, segments), mask) < 1e-5
    assert (two.settings.streams, two.settings.precision, two.facts) == (2, "fp32", runtime.facts)
    runtime.doubled()
    assert len(built) == 1


def test_a_stream_reads_little_ahead_and_may_be_left(tmp_path: Path) -> None:
    """Only a few batches are taken ahead of what was given back; leaving early or failing input does no
    harm.
    """
    runtime = open_openvino(write_reader(tmp_path), EngineSettings("fp32", threads=1, streams=2))
    read = []

    def batches() -> Any:
        for i in range(50):
            read.append(i)
            yield batch([9], seed=i)
        raise ValueError("no more")

    stream = runtime.stream(batches())
    next(stream)
    assert len(read) <= 5
    stream.close()
    with pytest.raises(ValueError, match="no more"):
        list(runtime.stream(batches()))
    assert len(runtime.logits(*batch([9]))) == 2


def test_threads_may_share_a_runtime(tmp_path: Path) -> None:
    """Calls from many threads give what they give one after the other."""
    runtime = open_openvino(write_reader(tmp_path), EngineSettings("fp32", threads=1, streams=2))
    batches = [batch([3 + i % 30], seed=i) for i in range(60)]
    expected = [runtime.logits(*one) for one in batches]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda one: runtime.logits(*one), batches))
    assert all(np.allclose(a[0], b[0], atol=1e-5) for a, b in zip(found, expected, strict=True))


@needs_bf16
@pytest.mark.parametrize("family", BUILT)
def test_bf16_is_close(tmp_path: Path, family: str) -> None:
    """At bf16 no logit is further off than a few hundredths of their spread."""
    directory = write_reader(tmp_path, family)
    inputs = batch([40, 31, 8], pad_id=1)
    exact = open_openvino(directory, FP32).logits(*inputs)
    rounded = open_openvino(directory, EngineSettings("bf16", threads=1)).logits(*inputs)
    assert 0 < difference(rounded, exact, inputs[1]) < 0.05 * np.ptp(exact[0])


@needs_bf16
def test_at_bf16_products_are_bf16_and_sums_are_not(tmp_path: Path) -> None:
    """OpenVINO executes what the graph is built for: bf16 products; residual sums and LayerNorms in fp32."""
    runtime = open_openvino(write_reader(tmp_path), EngineSettings("bf16", threads=1))
    executed = [node.get_rt_info() for node in runtime.compiled.get_runtime_model().get_ordered_ops()]
    precisions: dict[str, list[str]] = {}
    for info in executed:
        precisions.setdefault(info["layerType"].astype(str), []).append(info["runtimePrecision"].astype(str))
    assert len(precisions["MVN"]) == 5
    assert set(precisions["MVN"]) == {"f32"}
    assert len(precisions["FullyConnected"]) == 12
    assert set(precisions["FullyConnected"]) == {"bf16"}
    written = [
        i["outputPrecisions"].astype(str) for i in executed if i["layerType"].astype(str) == "FullyConnected"
    ]
    assert sorted(written) == ["bf16"] * 8 + ["f32"] * 4


def test_auto_is_the_best_of_this_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The precision "auto" is resolved and told; bf16 where it cannot be is an error, not fp32 in silence."""
    runtime = open_openvino(write_reader(tmp_path), EngineSettings(threads=1))
    assert runtime.settings.precision == resolve_precision("auto") != "auto"

    class Old:
        def get_property(self, *_: str) -> list[str]:
            """An older CPU's abilities."""
            return ["FP32", "INT8"]

    monkeypatch.setattr("tinyreader.runtimes.openvino.engine._core", Old)
    assert resolve_precision("auto") == "fp32"
    with pytest.raises(SettingsError, match="does not compute in bf16"):
        resolve_precision("bf16")


def test_products_are_named_as_in_the_checkpoint(tmp_path: Path) -> None:
    """Every product with weights can be found by name, for those who put int8 ranges in front of it."""
    _, model = load_model(write_reader(tmp_path, n_layers=1), "fp32")
    named = {op.get_friendly_name() for op in model.get_ops() if op.get_type_name() == "MatMul"}
    layer = "encoder.layer.0."
    parts = (
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
        "intermediate.dense",
        "output.dense",
    )
    assert {*(layer + part for part in parts), "qa_outputs"} <= named
    assert [one.get_any_name() for one in model.inputs] == ["input_ids", "attention_mask", "token_type_ids"]
    assert [one.get_any_name() for one in model.outputs] == ["start_logits", "end_logits"]


def test_what_does_not_fit_the_model_is_refused(tmp_path: Path) -> None:
    """Too many tokens, or ids that the model does not embed, are errors and not zeros."""
    runtime = open_openvino(write_reader(tmp_path), FP32)
    with pytest.raises(SettingsError, match="65 tokens; this model takes at most 64"):
        runtime.logits(*batch([65]))
    ids, mask, segments = batch([5])
    for wrong, said in ((24, "from .* to 24"), (-1, "from -1 to")):
        ids[0, 2] = wrong
        with pytest.raises(ModelError, match=said + ".*embeds 24 tokens"):
            list(runtime.stream([batch([5]), (ids, mask, segments)]))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"precision": "int4"}, "precision is 'int4'"),
        ({"threads": 0}, "threads is 0; it must be a whole number, and at least 1"),
        ({"threads": "2"}, "threads is '2'"),
        ({"streams": 0}, "streams is 0; it must be a whole number, and at least 1"),
    ],
)
def test_wrong_settings_are_refused(values: dict[str, Any], said: str) -> None:
    """A setting that cannot be names itself."""
    with pytest.raises(SettingsError, match=said):
        EngineSettings(**values)


def questions(n: int = 24) -> list[Example]:
    """Questions on contexts of very different length, some of several windows, one empty."""
    rng = np.random.default_rng(3)
    words = ["the", "bridge", "was", "built", "in", "it", "a", "b", "c", "x", ".", ","]
    contexts = [" ".join(rng.choice(words, int(k))) for k in rng.integers(1, 120, n - 1)] + [""]
    return [Example(f"q{i}", "who built it ?", context) for i, context in enumerate(contexts)]


@pytest.mark.parametrize("family", BUILT)
def test_predictions_are_those_of_the_torch_runtime(tmp_path: Path, family: str) -> None:
    """The whole path, windows and batches and decoding, gives the same answers, places and scores with either
    engine.
    """
    directory = write_reader(tmp_path, family)
    reader = load_reader(directory)
    device = torch.device("cpu")
    torch_runtime = NetworkRuntime(
        Network(reader.model, precision="fp32", device=device), reader.config.pad_token_id, device
    )

    def by(runtime: Runtime) -> Any:
        windower = Windower(reader.tokenizer, WindowSettings(max_seq_len=48, doc_stride=12))
        return list(predict(questions(), windower, runtime, limits=BatchLimits(200)))

    for ours, theirs in zip(by(open_openvino(directory, FP32)), by(torch_runtime), strict=True):
        assert (ours.id, ours.text, ours.start, ours.end) == (
            theirs.id,
            theirs.text,
            theirs.start,
            theirs.end,
        )
        assert ours.score == pytest.approx(theirs.score, abs=2e-4)
        assert ours.null_odds == pytest.approx(theirs.null_odds, abs=4e-4)


ALONE = """
import sys
from pathlib import Path
from tinyreader.data import Example
from tinyreader.runtimes.reading import predict
from tinyreader.runtimes.openvino import EngineSettings, open_openvino
from tinyreader.tokenizer import load_tokenizer
from tinyreader.runtimes.openvino.engine import LONG_STREAM
from tinyreader.windows import Windower

directory = Path(sys.argv[1])
runtime = open_openvino(directory, EngineSettings("fp32", threads=1))
examples = [Example("q", "who built it ?", "the bridge was built in a.")]
print([p.text for p in predict(examples, Windower(load_tokenizer(directory)), runtime)])
print(sorted({name.split(".")[0] for name in sys.modules} & {"torch", "transformers", "accelerate", "datasets"}))
"""


def test_questions_are_answered_without_torch(tmp_path: Path) -> None:
    """From a model directory to an answer, no package of the train extra is imported, and nothing is warned
    of.
    """
    directory = write_reader(tmp_path)
    command = [sys.executable, "-W", "error", "-c", ALONE, str(directory)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    answers, heavy = done.stdout.splitlines()
    reader = load_reader(directory)
    runtime = open_openvino(directory, FP32)
    assert answers == str([answer(reader.tokenizer, runtime)])
    assert heavy == "[]"
    assert done.stderr == ""


def answer(tokenizer: Tokenizer, runtime: OpenVinoRuntime) -> str:
    """The same question, asked in this process."""
    (found,) = predict(
        [Example("q", "who built it ?", "the bridge was built in a.")], Windower(tokenizer), runtime
    )
    return found.text
