"""`distil.network`: what a reader computes is what Transformers computes, and its inside can be seen."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tiny_batches import CPU, batch, model, network
from tiny_models import FAMILIES
from tinyreader.distil.dropout import StepRandom
from tinyreader.distil.network import Batch, best_precision
from tinyreader.errors import ModelError
from tinyreader.models import encoder_layers, qa_head

OBSERVABLE = ["bert", "roberta", "electra", "distilbert", "modernbert"]
CLOSED = ["mpnet", "deberta-v2"]
VECTOR_PARTS = {
    "q": ("query", "q", "q_lin", "query_proj"),
    "k": ("key", "k", "k_lin", "key_proj"),
    "v": ("value", "v", "v_lin", "value_proj"),
}
N_LAYERS = 3
BATCHES = {"even": [14, 14], "padded": [20, 7, 13]}


def pad_id(of: Any) -> int:
    """The padding id of a model, as RoBERTa's positions depend on it."""
    return int(of.config.pad_token_id)


def reference(of: Any, on: Batch) -> Any:
    """What Transformers' own eager forward gives, with everything it can show."""
    plain = copy.deepcopy(of).eval()
    plain.set_attn_implementation("eager")
    inputs = {"input_ids": on.input_ids, "attention_mask": on.mask}
    if of.config.model_type in ("bert", "electra"):
        inputs["token_type_ids"] = on.segment_ids
    with torch.no_grad():
        return plain(**inputs, output_hidden_states=True, output_attentions=True)


def assert_close_where_real(found: Tensor, expected: Tensor, mask: Tensor, tolerance: float = 2e-6) -> None:
    """Equality at real tokens; what is computed at padding is nobody's business."""
    real = mask.bool()
    torch.testing.assert_close(found[real], expected[real], atol=tolerance, rtol=1e-5)


@pytest.mark.parametrize("lengths", BATCHES.values(), ids=BATCHES.keys())
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_forward_equals_transformers(family: str, lengths: list[int]) -> None:
    """Logits and hidden states in fp32 are those of Transformers' eager forward, with padding and without."""
    reader = model(family, n_layers=N_LAYERS)
    on = batch(lengths, pad_id=pad_id(reader))
    expected = reference(reader, on)
    out = network(reader).forward(on, hidden=range(N_LAYERS + 1))
    assert_close_where_real(out.start_logits, expected.start_logits, on.mask)
    assert_close_where_real(out.end_logits, expected.end_logits, on.mask)
    assert sorted(out.hidden) == [0, 1, 2, 3]
    assert not out.attention
    last = N_LAYERS - (family == "modernbert")  # Transformers shows its last state after the final norm
    for layer in range(last + 1):
        assert_close_where_real(out.hidden[layer], expected.hidden_states[layer], on.mask)


@pytest.mark.parametrize("lengths", BATCHES.values(), ids=BATCHES.keys())
@pytest.mark.parametrize("family", OBSERVABLE)
@torch.no_grad()
def test_attention_equals_transformers(family: str, lengths: list[int]) -> None:
    """Probabilities are those Transformers outputs, and the softmax of the scores is the probabilities."""
    reader = model(family, n_layers=N_LAYERS)
    on = batch(lengths, pad_id=pad_id(reader))
    expected = reference(reader, on).attentions
    net = network(reader)
    probabilities = net.forward(on, attention=[1, 3], kind="probabilities").attention
    scores = net.forward(on, attention=[1, 3], kind="scores").attention
    assert sorted(probabilities) == sorted(scores) == [1, 3]
    for layer in (1, 3):
        assert_close_where_real(
            probabilities[layer].transpose(1, 2), expected[layer - 1].transpose(1, 2), on.mask
        )
        hidden = on.mask[:, None, None, :] == 0
        if family == "modernbert":
            hidden = hidden | out_of_reach(reader, layer, on.input_ids.shape[1])
        softmax = scores[layer].masked_fill(hidden, -torch.inf).softmax(-1).nan_to_num()
        assert_close_where_real(softmax.transpose(1, 2), expected[layer - 1].transpose(1, 2), on.mask)


def out_of_reach(reader: Any, layer: int, length: int) -> Tensor:
    """The pairs that ModernBERT's local attention leaves out."""
    places = torch.arange(length)
    distance = (places[:, None] - places[None, :]).abs()
    is_local = reader.config.layer_types[layer - 1] == "sliding_attention"
    return (distance > reader.config.local_attention // 2) & torch.tensor(is_local)


@torch.no_grad()
def test_scores_are_scaled_products_of_query_and_key() -> None:
    """A recorded score is q·k/√d, neither masked nor normalised, computed here from BERT's own
    projections.
    """
    reader = model("bert", n_layers=2)
    on = batch([12, 5])
    net = network(reader)
    out = net.forward(on, hidden=[1], attention=[2], kind="scores")
    attention = encoder_layers(reader)[1].attention.self
    heads = reader.config.num_attention_heads
    q, k = (
        project(out.hidden[1]).view(2, 12, heads, -1).transpose(1, 2)
        for project in (attention.query, attention.key)
    )
    expected = torch.einsum("bhid,bhjd->bhij", q.double(), k.double()) / (q.shape[-1] ** 0.5)
    torch.testing.assert_close(out.attention[2].double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_padding_changes_nothing(family: str) -> None:
    """A window gives the same logits alone, beside longer ones, and whatever ids stand at its padding."""
    reader = model(family, n_layers=N_LAYERS)
    net, pad = network(reader), pad_id(reader)
    alone = net.forward(batch([9], pad_id=pad)).start_logits
    beside = net.forward(batch([9, 30], pad_id=pad)).start_logits[:1, :9]
    torch.testing.assert_close(beside, alone, atol=2e-6, rtol=1e-5)
    if family not in ("roberta", "mpnet"):  # their positions are counted from the padding id
        on = batch([9, 30], pad_id=pad)
        on.input_ids[0, 9:] = 17
        torch.testing.assert_close(net.forward(on).start_logits[:1, :9], alone, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "modernbert"])
@torch.no_grad()
def test_queries_keys_and_values_are_those_of_the_layer(family: str) -> None:
    """In this order, made of what the layer takes in, also where attention itself cannot be observed."""
    reader = model(family, n_layers=N_LAYERS)
    net, on = network(reader), batch([9, 14], pad_id=pad_id(reader))
    out = net.forward(on, hidden=[1], vectors=[2])
    assert sorted(out.vectors) == [2]
    parts = dict(net.layers[1].named_modules())
    for found, ending in zip(out.vectors[2], ("q", "k", "v"), strict=True):
        (made_by,) = (part for name, part in parts.items() if name.split(".")[-1] in VECTOR_PARTS[ending])
        torch.testing.assert_close(found, made_by(out.hidden[1]), atol=2e-6, rtol=1e-5)
    assert not net.forward(on).vectors


def test_queries_that_share_a_part_with_keys_are_refused() -> None:
    """ModernBERT makes all three in one; nothing else is given out in their place."""
    with pytest.raises(ModelError, match="queries, keys and values of a modernbert model cannot be observed"):
        network(model("modernbert")).forward(batch([8]), vectors=[1])


@pytest.mark.parametrize("family", CLOSED)
def test_hidden_attention_is_refused(family: str) -> None:
    """Where attention cannot be observed it is said which model and what to set, not returned empty."""
    net = network(model(family))
    assert not net.shows_attention
    with pytest.raises(ModelError, match=rf'{family} model cannot be observed.*attention = "none"'):
        net.forward(batch([8]), attention=[1], kind="scores")
    assert net.forward(batch([8]), attention=[1], kind="none").attention == {}


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_bf16_is_close_to_fp32(family: str) -> None:
    """Under bf16 the layers' weights are bf16, embeddings and head fp32; logits are fp32, finite and near
    those of fp32.
    """
    reader = model(family, n_layers=N_LAYERS)
    on = batch([48, 5, 20], pad_id=pad_id(reader))  # in ModernBERT padding here sees nothing but padding
    expected = network(copy.deepcopy(reader)).forward(on, hidden=[0, N_LAYERS])
    net = network(reader, "bf16")
    out = net.forward(on, hidden=[0, N_LAYERS])
    assert {p.dtype for p in net.layers.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in reader.base_model.embeddings.parameters()} == {torch.float32}
    assert {p.dtype for p in qa_head(reader).parameters()} == {torch.float32}
    assert all(b.dtype != torch.bfloat16 for b in reader.buffers())
    for found, wanted in ((out.start_logits, expected.start_logits), (out.end_logits, expected.end_logits)):
        assert found.dtype == torch.float32
        assert found.isfinite().all()
        real = on.mask.bool()
        assert float((found - wanted)[real].norm()) < 0.03 * float(wanted[real].norm())
    for layer in (0, N_LAYERS):
        assert out.hidden[layer].isfinite().all()
        assert_close_where_real(out.hidden[layer].float(), expected.hidden[layer], on.mask, tolerance=0.2)


@pytest.mark.parametrize("family", FAMILIES)
def test_bf16_gradients_reach_every_weight(family: str) -> None:
    """A backward pass under bf16 gives each weight a finite gradient near the one under fp32."""
    reader = model(family, n_layers=2)
    on = batch([24, 5], pad_id=pad_id(reader))
    gradients = []
    for precision in ("fp32", "bf16"):
        net = network(copy.deepcopy(reader), precision, StepRandom(), dropout=0.0)  # type: ignore[arg-type]
        out = net.forward(on)
        (
            out.start_logits[on.mask.bool()].square().sum() + out.end_logits[on.mask.bool()].square().sum()
        ).backward()
        gradients.append({n: p.grad.float() for n, p in net.model.named_parameters() if p.grad is not None})
    exact, rounded = gradients
    assert exact.keys() == rounded.keys()
    for name, gradient in exact.items():
        assert rounded[name].isfinite().all()
        if float(gradient.norm()) > 0.1:  # a bias of the keys has none but rounding errors
            assert float((rounded[name] - gradient).norm()) < 0.15 * float(gradient.norm()), name


def test_students_keep_the_weights_they_rounded() -> None:
    """A bf16 network that learns holds the exact fp32 values of what it rounded; one that does not learn
    holds none.
    """
    reader = model("bert")
    before = {n: p.detach().clone() for n, p in reader.named_parameters()}
    net = network(reader, "bf16", StepRandom())
    rounded = {n for n, p in reader.named_parameters() if p.dtype == torch.bfloat16}
    assert net.unrounded.keys() == rounded
    assert rounded
    assert all(torch.equal(t, before[n]) for n, t in net.unrounded.items())
    assert network(model("bert"), "bf16").unrounded == {}
    assert network(model("bert"), "fp32", StepRandom()).unrounded == {}


@pytest.mark.parametrize("family", FAMILIES)
def test_dropout_override_silences_all_dropout(family: str) -> None:
    """With dropout 0 a model in training computes what it does in evaluation; with its own rates it does
    not.
    """
    changes: dict[str, Any] = {}
    if family == "modernbert":
        changes = {"attention_dropout": 0.2, "mlp_dropout": 0.2, "embedding_dropout": 0.2}
    reader = model(family, **changes)
    on = batch([12, 7], pad_id=pad_id(reader))
    expected = network(copy.deepcopy(reader)).forward(on).start_logits
    random = StepRandom()
    own, silent = (network(copy.deepcopy(reader), "fp32", random, **o) for o in ({}, {"dropout": 0.0}))
    random.reseed(1)
    assert torch.equal(silent.forward(on).start_logits, expected)
    noisy = own.forward(on).start_logits
    assert not torch.allclose(noisy, expected, atol=1e-3)
    random.reseed(1)
    assert torch.equal(own.forward(on).start_logits, noisy)


@pytest.mark.parametrize("family", OBSERVABLE)
def test_attention_is_recorded_before_dropout_and_dropped_after(family: str) -> None:
    """Probabilities are seen whole, each row adding up to 1, though the model goes on with dropped ones."""
    reader = model(family, n_layers=1)
    on = batch([12, 12], pad_id=pad_id(reader))
    net = network(reader, "fp32", StepRandom(), dropout=0.0)
    calm = net.forward(on, attention=[1], kind="probabilities")
    for module in encoder_layers(reader)[0].modules():  # the attention's own dropout alone
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.5
        elif "Attention" in type(module).__name__ and isinstance(
            getattr(module, "dropout", None), nn.Dropout
        ):
            module.dropout.p = 0.5
    noisy = net.forward(on, attention=[1], kind="probabilities")
    torch.testing.assert_close(noisy.attention[1], calm.attention[1])
    torch.testing.assert_close(noisy.attention[1].sum(-1), torch.ones(2, 4, 12))
    assert not torch.allclose(noisy.start_logits, calm.start_logits, atol=1e-3)


def test_embeds_dropout_works_on_the_head_alone() -> None:
    """Dropout on the encoder's output zeroes what the head takes in, in training only, and nothing before
    it.
    """
    reader, random = model("bert"), StepRandom()
    on = batch([12, 7])
    net = network(reader, "fp32", random, dropout=0.0, embeds_dropout=0.5)
    seen: list[Tensor] = []
    qa_head(reader).register_forward_hook(lambda _, args, __: seen.append(args[0].detach()))
    out = net.forward(on, hidden=[2])
    share = float((seen[0] == 0).double().mean())
    assert share == pytest.approx(0.5, abs=0.06)
    kept = seen[0] != 0
    torch.testing.assert_close(seen[0][kept], out.hidden[2].detach()[kept] * 2)
    reader.eval()
    out = net.forward(on, hidden=[2])
    assert torch.equal(seen[1], out.hidden[2].detach())


def test_observing_leaves_no_trace() -> None:
    """Observation hooks go after the pass, also where the pass fails, and two networks do not record each
    other.
    """
    net = network(model("bert"))
    before = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.model.modules()]
    net.forward(batch([8]), hidden=range(3), attention=[1, 2], kind="scores")
    wrong = batch([8])
    wrong.input_ids[0, 0] = 10**6
    with pytest.raises(IndexError):
        net.forward(wrong, hidden=range(3), attention=[1, 2], kind="scores")
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.model.modules()] == before
    first = net.forward(batch([8]), attention=[1], kind="scores")
    network(model("bert", seed=5)).forward(batch([8]))
    second = net.forward(batch([8]), attention=[1], kind="scores")
    assert torch.equal(first.attention[1], second.attention[1])


def test_hidden_states_carry_gradients() -> None:
    """Observed states and scores are part of the graph: a loss on them alone trains the layers below, not
    above.
    """
    net = network(model("bert", n_layers=3), "fp32", StepRandom(), dropout=0.0)
    out = net.forward(batch([8, 5]), hidden=[0, 1], attention=[2], kind="scores")
    (out.hidden[1].sum() + out.attention[2].sum()).backward()
    reached = [any(p.grad is not None for p in layer.parameters()) for layer in net.layers]
    assert reached == [True, True, False]
    assert net.layers[1].output.dense.weight.grad is None
    assert net.model.get_input_embeddings().weight.grad is not None


def test_sizes_are_told_alike() -> None:
    """Layers, width and heads are read off every family's configuration, whatever it calls them."""
    for family in FAMILIES:
        net = network(model(family, n_layers=N_LAYERS))
        assert (net.n_layers, net.width, net.n_heads) == (N_LAYERS, 32, 4)


def test_batch_moves_whole() -> None:
    """A batch on another device has all its tensors there and its other values unchanged."""
    moved = batch([8, 5]).to(torch.device("meta"))
    assert all(
        getattr(moved, name).is_meta
        for name in ("input_ids", "segment_ids", "mask", "allowed", "start", "rows")
    )
    assert moved.padded


def test_precision_follows_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU bf16 is chosen where AMX or AVX-512 multiplies it, fp32 elsewhere."""
    for amx, avx512, expected in ((True, False, "bf16"), (False, True, "bf16"), (False, False, "fp32")):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda avx=avx512: avx)
        assert best_precision(CPU) == expected
