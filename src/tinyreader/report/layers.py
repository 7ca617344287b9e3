"""The layers of a reader compared with its teacher's, by torch: attention per layer and head, and distances.

The distances do not depend on a model's scale. Hidden states: 1 - CKA, linear and unbiased (Kornblith et al.,
arXiv 1905.00414; Nguyen et al., arXiv 2010.15327), 0 where one is the other rotated and scaled, about 1 for
unrelated ones; widths may differ. Attention: half the sum of |p - q| over a row of probabilities, averaged over
real tokens and heads, 0 to 1.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tinyreader.arrays import Float32, Float64
from tinyreader.data import Example
from tinyreader.errors import MissingExtraError, ModelError, SettingsError
from tinyreader.windows import Window, Windower, WindowSettings

if TYPE_CHECKING:
    from torch import Tensor

    from tinyreader.distil.network import Batch, Network
    from tinyreader.models import LoadedReader


MAX_SHOWN_TOKENS = 64
"""Maximum number of tokens whose attention is shown: the page grows with its square."""

N_WINDOWS = 48
_N_TOKENS = 1200  # hidden states compared; their Gram matrices are [n, n]


def require_torch() -> None:
    """Raises `MissingExtraError` where torch and Transformers are not installed."""
    try:
        import tinyreader.distil.network  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtraError("comparing the layers of a reader", "train") from error


class Inside:
    """A reader's network on the CPU in fp32 with its layers observable; they count from 1, 0 is the embedding."""

    def __init__(self, directory: str | Path, weights: Path | None = None) -> None:
        """The reader in that directory; `weights`, those of a stage of its run, replace its own."""
        require_torch()
        import torch

        from tinyreader.distil.network import Network
        from tinyreader.models import load_reader

        self.loaded: LoadedReader = load_reader(directory)
        if weights is not None:
            _put(self.loaded, weights)
        self.network: Network = Network(
            self.loaded.model.eval(), precision="fp32", device=torch.device("cpu")
        )

    @property
    def n_layers(self) -> int:
        """The number of layers, without the embedding."""
        return self.network.n_layers

    def observe(self, window: Window) -> tuple[list[Float64], list[Float32]]:
        """Hidden states [n, width] of layers 0 to the last, and attention [heads, n, n] of layers 1 to the
        last (empty where the model's attention cannot be observed), of one window of n tokens.
        """
        import torch

        layers = range(1, self.n_layers + 1)
        batch = _batch(window)
        ours = self.network.shows_attention
        with torch.no_grad():
            out = self.network.forward(
                batch,
                hidden=[0, *layers],
                attention=layers if ours else (),
                kind="probabilities" if ours else "none",
            )
            attention = [out.attention[m] for m in layers] if ours else self.network.told_attention(batch)
        hidden = [out.hidden[m][0].double().numpy() for m in (0, *layers)]
        return hidden, [one[0].float().numpy() for one in attention]


def agreement(
    student: Inside, teacher: Inside, examples: Sequence[Example], settings: WindowSettings, *, seed: int = 0
) -> dict[str, Any]:
    """The distances of student and teacher, layer by layer, over some windows of the examples.

    `hidden` [S + 1, T + 1]: the distance of the states of student layer s and teacher layer t; `attention`
    [S, T], None where it cannot be observed; `heads`: whether heads were compared one by one or their means.
    Raises `SettingsError` where the two do not cut texts into the same tokens: positions cannot be compared then.
    """
    rng = np.random.default_rng(seed)
    few = [
        examples[i] for i in np.sort(rng.choice(len(examples), min(N_WINDOWS, len(examples)), replace=False))
    ]
    windows = list(Windower(student.loaded.tokenizer, settings).windows(few))[:N_WINDOWS]
    theirs = list(Windower(teacher.loaded.tokenizer, settings).windows(few))[:N_WINDOWS]
    if len(windows) != len(theirs) or any(not _same(a, b) for a, b in zip(windows, theirs, strict=True)):
        raise SettingsError(
            "student and teacher cut texts into different tokens, so their layers cannot be compared"
        )
    states: tuple[list[list[Float64]], list[list[Float64]]] = ([], [])
    attention: Float64 | None = None
    by_head = True
    for ours, other in zip(windows, theirs, strict=True):
        (hidden_s, att_s), (hidden_t, att_t) = student.observe(ours), teacher.observe(other)
        keep = np.sort(rng.choice(len(ours), min(len(ours), -(-_N_TOKENS // len(windows))), replace=False))
        for kept, hidden in zip(states, (hidden_s, hidden_t), strict=True):
            kept.append([h[keep] for h in hidden])
        if att_s and att_t:
            by_head = att_s[0].shape[0] == att_t[0].shape[0]
            distance = _attention_distances(att_s, att_t, by_head)
            attention = distance if attention is None else attention + distance
    grams = [[_gram(np.concatenate(layer)) for layer in zip(*kept, strict=True)] for kept in states]
    hidden_distance = [[round(1.0 - _cka(k, l), 4) for l in grams[1]] for k in grams[0]]  # noqa: E741 - K and L, as in the paper
    return {
        "windows": len(windows),
        "hidden": hidden_distance,
        "attention": None if attention is None else np.round(attention / len(windows), 4).tolist(),
        "heads": "one by one" if by_head else "their means",
    }


def attention_view(
    inside: Inside, example: Example, settings: WindowSettings, around: tuple[int, int]
) -> dict[str, Any] | None:
    """The attention of one window of the example for the page: up to `MAX_SHOWN_TOKENS` tokens about the code
    points `around`; None where the model does not expose it.

    `tokens` are the texts of the m tokens shown; `layers` and `heads` counts; `values` the square roots of
    the probabilities, uint8 [layers, heads, m, m] from 0 to 255 in base64 (roots, for most are small).
    """
    windows = list(Windower(inside.loaded.tokenizer, settings).windows([example]))
    window = next((w for w in windows if _covers(w, around)), windows[0])
    shown = _shown(window, around)
    _, attention = inside.observe(window)
    if not attention:
        return None
    stack = np.stack([layer[:, shown][:, :, shown] for layer in attention])
    return {
        "tokens": [inside.loaded.tokenizer.id_to_token(int(window.input_ids[i])) or "" for i in shown],
        "layers": stack.shape[0],
        "heads": stack.shape[1],
        "values": base64.b64encode(
            np.round(255 * np.sqrt(np.clip(stack, 0, 1))).astype(np.uint8).tobytes()
        ).decode(),
    }


def stages_of(run: Path) -> Iterator[tuple[str, Path]]:
    """Yield the name and weights of each stage of a run whose weights still exist."""
    for folder in sorted((run / "stages").glob("*-*")) if (run / "stages").is_dir() else ():
        weights = folder / "weights.safetensors"
        if weights.is_file():
            yield folder.name.partition("-")[2], weights


def _put(loaded: LoadedReader, weights: Path) -> None:
    from safetensors.torch import load_file

    tensors: dict[str, Tensor] = {
        name.removeprefix("student."): tensor
        for name, tensor in load_file(weights).items()
        if name.startswith("student.")
    }
    if tensors.keys() != dict(loaded.model.named_parameters()).keys():
        raise ModelError(f"{weights} does not hold the weights of this reader")
    loaded.model.load_state_dict(tensors, strict=False)  # buffers are the model's own


def _batch(window: Window) -> Batch:
    import torch

    from tinyreader.distil.network import Batch

    ids = torch.from_numpy(window.input_ids.astype(np.int64))[None]
    ones, none = torch.ones_like(ids), torch.zeros(1, dtype=torch.int64)
    segments = torch.from_numpy(window.segment_ids.astype(np.int64))[None]
    return Batch(ids, segments, ones, ones.bool(), none, none, none, ones.sum(1), padded=False)


def _same(one: Window, other: Window) -> bool:
    """Whether two tokenizers cut a text into tokens at the same places, whatever their ids."""
    return len(one) == len(other) and one.first == other.first and bool((one.offsets == other.offsets).all())


def _covers(window: Window, around: tuple[int, int]) -> bool:
    inside = window.offsets[window.first : window.stop]
    return bool(len(inside)) and inside[0, 0] <= around[0] and around[1] <= inside[-1, 1]


def _shown(window: Window, around: tuple[int, int]) -> npt.NDArray[np.intp]:
    """Tokens to show: special ones and the question, up to half of them, then the text about `around`."""
    head = np.arange(min(window.first, MAX_SHOWN_TOKENS // 2))
    tail = np.arange(window.stop, len(window))[: max(0, MAX_SHOWN_TOKENS - len(head) - 1)]
    room = MAX_SHOWN_TOKENS - len(head) - len(tail)
    inside = window.offsets[window.first : window.stop]
    middle = int(np.searchsorted(inside[:, 0], sum(around) // 2)) if len(inside) else 0
    first = window.first + max(0, min(middle - room // 2, len(inside) - room))
    return np.concatenate([head, np.arange(first, min(window.stop, first + room)), tail]).astype(np.intp)


def _attention_distances(ours: Sequence[Float32], theirs: Sequence[Float32], by_head: bool) -> Float64:
    """[S, T]: half the sum of absolute differences of a row, its mean over rows and heads."""
    if not by_head:
        ours, theirs = [a.mean(0) for a in ours], [a.mean(0) for a in theirs]
    return np.array([[0.5 * float(np.abs(a - b).sum(-1).mean()) for b in theirs] for a in ours])


def _gram(states: Float64) -> Float64:
    """The Gram matrix [n, n] of centred states [n, width], zero on its diagonal for the unbiased estimate."""
    centred = states - states.mean(0)
    gram: Float64 = centred @ centred.T
    np.fill_diagonal(gram, 0.0)
    return gram


def _cka(K: Float64, L: Float64) -> float:
    """Linear CKA of two Gram matrices with zero diagonals; 0 where it is undefined."""
    scale = _hsic(K, K) * _hsic(L, L)
    return float(_hsic(K, L) / np.sqrt(scale)) if scale > 0 else 0.0


def _hsic(K: Float64, L: Float64) -> float:
    """The unbiased estimate of HSIC (Song et al., 2012, equation 5), up to its constant factor."""
    n = len(K)
    k, l = K.sum(0), L.sum(0)  # noqa: E741
    return float((K * L).sum() + k.sum() * l.sum() / ((n - 1) * (n - 2)) - 2.0 * float(k @ l) / (n - 2))
