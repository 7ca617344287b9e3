"""`report.layers`: distances that are 0 between a reader and itself, and attention that is the network's
own.
"""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from tiny_models import write_reader
from tinyreader.data import Example
from tinyreader.errors import ModelError, SettingsError
from tinyreader.report import layers
from tinyreader.windows import Windower, WindowSettings

SETTINGS = WindowSettings(48, 8)
EXAMPLES = [
    Example(f"{n}", "who built it ?", " ".join(["the bridge was built in it ."] * (n % 7 + 1)))
    for n in range(20)
]


def test_a_reader_agrees_with_itself(tmp_path: Path) -> None:
    """Each layer is at distance 0 from itself, for hidden states and attention, and further from the
    others.
    """
    inside = layers.Inside(write_reader(tmp_path, n_layers=3))
    found = layers.agreement(inside, inside, EXAMPLES, SETTINGS)
    hidden, attention = np.array(found["hidden"]), np.array(found["attention"])
    assert hidden.shape == (4, 4)
    assert attention.shape == (3, 3)
    assert np.abs(np.diag(hidden)).max() < 1e-6
    assert np.abs(np.diag(attention)).max() < 1e-6
    assert hidden[0, 3] > 0.01
    assert attention[0, 2] > 0.01
    assert found["heads"] == "one by one"


def test_turned_and_scaled_states_are_the_same_and_strangers_are_not() -> None:
    """CKA knows no rotation and no scale, nor the width; unrelated states are at about 1, without bias for
    few tokens.
    """
    rng = np.random.default_rng(0)
    states = rng.normal(size=(200, 64))
    turned = 3.0 * states @ np.linalg.qr(rng.normal(size=(64, 64)))[0]
    wider = np.concatenate([turned, np.zeros((200, 32))], axis=1)
    gram = layers._gram(states)
    assert layers._cka(gram, layers._gram(turned)) == pytest.approx(1.0)
    assert layers._cka(gram, layers._gram(wider)) == pytest.approx(1.0)
    strangers = [layers._cka(gram, layers._gram(rng.normal(size=(200, 64)))) for _ in range(20)]
    assert abs(np.mean(strangers)) < 0.02


def test_readers_of_other_widths_and_heads_are_compared(tmp_path: Path) -> None:
    """Another width and number of heads: heads are compared by their means; what was not trained together is
    far.
    """
    student = layers.Inside(write_reader(tmp_path / "s", n_layers=2))
    teacher = layers.Inside(
        write_reader(tmp_path / "t", n_layers=3, seed=4, hidden_size=48, num_attention_heads=6)
    )
    found = layers.agreement(student, teacher, EXAMPLES, SETTINGS)
    assert np.array(found["hidden"]).shape == (3, 4)
    assert np.array(found["attention"]).shape == (2, 3)
    assert found["heads"] == "their means"
    assert np.array(found["hidden"])[1:, 1:].min() > 0.05


def test_other_tokens_cannot_be_compared(tmp_path: Path) -> None:
    """Readers that cut texts into other tokens are said to be so."""
    student = layers.Inside(write_reader(tmp_path / "s"))
    teacher = layers.Inside(write_reader(tmp_path / "t", "mpnet"))
    with pytest.raises(SettingsError, match="different tokens"):
        layers.agreement(student, teacher, EXAMPLES, SETTINGS)


@pytest.mark.parametrize("family", ["mpnet", "deberta-v2"])
def test_attention_of_a_models_own_kind_is_as_it_tells(tmp_path: Path, family: str) -> None:
    """Of an architecture with an attention of its own, what it gives out is compared and shown: rows that sum
    to 1.
    """
    inside = layers.Inside(write_reader(tmp_path, family))
    attention = layers.agreement(inside, inside, EXAMPLES, SETTINGS)["attention"]
    assert np.allclose(np.diag(attention), 0)
    (window,) = Windower(inside.loaded.tokenizer, SETTINGS).windows(EXAMPLES[:1])
    shown = np.stack(inside.observe(window)[1])
    assert shown.shape == (inside.n_layers, inside.network.n_heads, len(window), len(window))
    assert np.allclose(shown.sum(-1), 1, atol=1e-5)
    assert layers.attention_view(inside, EXAMPLES[0], SETTINGS, (0, 3)) is not None


def test_attention_that_is_not_given_out_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a model that tells nothing, hidden states are compared, attention is None and nothing is shown."""
    inside = layers.Inside(write_reader(tmp_path, "mpnet"))
    monkeypatch.setattr(inside.network, "told_attention", lambda _: ())
    assert layers.agreement(inside, inside, EXAMPLES, SETTINGS)["attention"] is None
    assert layers.attention_view(inside, EXAMPLES[0], SETTINGS, (0, 3)) is None


def test_attention_is_shown_about_the_answer(tmp_path: Path) -> None:
    """The view holds the network's probabilities, as roots, of at most so many tokens, the answer's among
    them.
    """
    inside = layers.Inside(write_reader(tmp_path))
    example = Example("a", "who built it ?", " ".join(["the"] * 70 + ["bridge"] + ["in"] * 70))
    at = example.context.index("bridge")
    view = layers.attention_view(inside, example, WindowSettings(60, 16), (at, at + 6))
    m = len(view["tokens"])
    assert m <= layers.MAX_SHOWN_TOKENS
    assert "bridge" in view["tokens"]
    assert view["tokens"][0] == "[CLS]"
    values = np.frombuffer(base64.b64decode(view["values"]), np.uint8).reshape(
        view["layers"], view["heads"], m, m
    )
    short = layers.attention_view(inside, EXAMPLES[0], SETTINGS, (0, 3))
    (window,) = Windower(inside.loaded.tokenizer, SETTINGS).windows(EXAMPLES[:1])
    attention = np.stack(inside.observe(window)[1])
    kept = np.frombuffer(base64.b64decode(short["values"]), np.uint8).reshape(attention.shape)
    assert np.abs((kept / 255.0) ** 2 - attention).max() < 0.005
    assert values.max() > 0


def test_weights_of_a_stage_take_the_place_of_the_readers_own(tmp_path: Path) -> None:
    """Stages that left weights are found in order, and their weights are observed; others' weights are
    refused.
    """
    model = write_reader(tmp_path)
    own = load_file(model / "model.safetensors")
    for number, name in ((1, "intermediate"), (2, "prediction")):
        folder = tmp_path / "run" / "stages" / f"{number}-{name}"
        folder.mkdir(parents=True)
        save_file({f"student.{k}": t * number for k, t in own.items()}, folder / "weights.safetensors")
    assert list(layers.stages_of(tmp_path)) == []
    (one, first), (two, second) = layers.stages_of(tmp_path / "run")
    assert (one, two) == ("intermediate", "prediction")
    (window,) = Windower(layers.Inside(model).loaded.tokenizer, SETTINGS).windows(EXAMPLES[:1])
    same, changed = (layers.Inside(model, weights).observe(window)[0] for weights in (first, second))
    assert np.array_equal(same[-1], layers.Inside(model).observe(window)[0][-1])
    assert not np.array_equal(changed[-1], same[-1])
    save_file({"student.other": own[next(iter(own))].contiguous()}, first)
    with pytest.raises(ModelError, match="does not hold the weights of this reader"):
        layers.Inside(model, first)
