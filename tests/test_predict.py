"""`predict`: examples in, one located answer each out, whatever the batches they were computed in."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tiny_tokenizers import byte_level, words
from tinyreader.data import Example
from tinyreader.errors import ModelError
from tinyreader.runtimes import ModelFacts, Runtime
from tinyreader.runtimes.reading import BatchLimits, Prediction, predict
from tinyreader.windows import Windower, WindowSettings

TOKENIZER = words()
PAD = 99


class Reader(Runtime):
    """A `Runtime` that likes some tokens better than others, and notes the batches that it was given."""

    facts = ModelFacts(pad_id=PAD)

    def __init__(self, likes: dict[str, float], *, null: float = 0.0, bad: float = 0.0) -> None:
        self.value = np.full(1000, -1.0, np.float32)
        for token, liking in likes.items():
            self.value[TOKENIZER.token_to_id(token)] = liking
        self.value[TOKENIZER.token_to_id("[CLS]")] = null
        self.value[PAD] = 50.0 + bad
        self.batches: list[tuple[Any, Any, Any]] = []

    def logits(self, input_ids: Any, mask: Any, segment_ids: Any) -> tuple[Any, Any]:
        """Start and end logits, equal, by token; padding would be the best answer of all."""
        self.batches.append((input_ids, mask, segment_ids))
        return self.value[input_ids], self.value[input_ids]


def asked(context: str, name: str = "q", question: str = "w0") -> Example:
    """A question on words."""
    return Example(name, question, context)


def windower(**changes: Any) -> Windower:
    """Cuts words into windows."""
    return Windower(TOKENIZER, WindowSettings(**changes))


def many(n: int, seed: int = 0) -> list[Example]:
    """Examples of very different length, in no order; every seventh has no context."""
    rng = np.random.default_rng(seed)
    lengths = [0 if i % 7 == 0 else int(rng.integers(1, 90)) for i in range(n)]
    return [asked(" ".join(f"w{w}" for w in rng.integers(0, 40, k)), f"q{i}") for i, k in enumerate(lengths)]


def test_the_best_span_is_a_slice_of_the_context() -> None:
    """Text, place, score and null odds of one question."""
    context = "w1 w2  w30 w31 w4"
    (found,) = predict([asked(context)], windower(), Reader({"w30": 3.0, "w31": 2.0}, null=1.5))
    assert found == Prediction("q", "w30", 8 - 1, 10, 6.0, 3.0 - 6.0)
    assert context[found.start : found.end] == found.text


def test_predictions_come_in_the_order_of_the_examples() -> None:
    """Windows are sorted by length inside; nobody sees it."""
    examples = many(50)
    found = list(predict(iter(examples), windower(), Reader({f"w{i}": i * 0.1 for i in range(40)})))
    assert [p.id for p in found] == [e.id for e in examples]
    for prediction, one in zip(found, examples, strict=True):
        likes = {w: int(w[1:]) for w in one.context.split()}
        assert prediction.text == max(likes, key=lambda w: likes[w], default="")
        assert one.context[prediction.start : prediction.end] == prediction.text


def test_batches_change_nothing() -> None:
    """One window a batch, a few, or all at once: the same predictions."""
    examples, likes = many(40), {f"w{i}": math.sin(i) for i in range(40)}

    def by(max_batch_tokens: int) -> list[Prediction]:
        cutter = windower(max_seq_len=50, doc_stride=12)
        return list(predict(examples, cutter, Reader(likes), limits=BatchLimits(max_batch_tokens)))

    assert by(1) == by(150) == by(4096) == by(10**9)


def test_other_examples_change_nothing() -> None:
    """An example is answered alone as among others."""
    examples, likes = many(30), {f"w{i}": math.cos(i) for i in range(40)}
    together = list(predict(examples, windower(), Reader(likes)))
    assert together == [next(predict([e], windower(), Reader(likes))) for e in examples]


def test_batches_are_sorted_bounded_and_padded_to_their_longest() -> None:
    """At most `max_batch_tokens`, padding to the longest and to 8 included; each window once, with mask and
    segments.
    """
    reader = Reader({})
    cutter = windower(max_seq_len=50, doc_stride=12)
    list(predict(many(60), cutter, reader, limits=BatchLimits(200)))
    lengths = [mask.sum(1).tolist() for _, mask, _ in reader.batches]
    assert sum(map(len, lengths)) == cutter.counts.windows
    assert all(a >= b for a, b in pairwise([n for batch in lengths for n in batch]))
    for (ids, mask, segments), real in zip(reader.batches, lengths, strict=True):
        assert ids.dtype == mask.dtype == segments.dtype == np.int64
        width = min(50, -(-max(real) // 8) * 8)
        assert ids.shape == mask.shape == segments.shape == (len(real), width)
        assert ids.size <= 200
        for line, n in enumerate(real):
            assert mask[line].tolist() == [1] * n + [0] * (width - n)
            assert (ids[line, n:] == PAD).all()
            assert PAD not in ids[line, :n]
            assert segments[line].tolist() == [0] * 3 + [1] * (n - 3) + [0] * (width - n)


def test_a_window_longer_than_a_batch_may_be_goes_alone() -> None:
    """A small `max_batch_tokens` never leaves a window out."""
    reader = Reader({"w7": 1.0})
    found = list(predict([asked("w1 w7 w2")] * 3, windower(), reader, limits=BatchLimits(2)))
    assert [p.text for p in found] == ["w7"] * 3
    assert len(reader.batches) == 3


def test_of_several_windows_the_best_span_counts_and_the_smallest_null() -> None:
    """The answer stands in the last window, at its right place; a window without it says nothing about the
    rest.
    """
    each = ["w1"] * 40 + ["w5"] + ["w1"] * 40 + ["w6"] + ["w1"] * 8
    context = " ".join(each)
    cutter = windower(max_seq_len=50, doc_stride=12)
    (found,) = predict([asked(context)], cutter, Reader({"w5": 1.0, "w6": 2.0}, null=1.75))
    assert cutter.counts.windows == 3
    assert (found.text, found.start) == ("w6", context.index("w6"))
    assert (found.score, found.null_odds) == (4.0, 3.5 - 4.0)


def test_the_null_score_is_the_smallest_of_all_windows() -> None:
    """One window that is sure of an answer is enough."""

    class Unsure(Reader):
        def logits(self, input_ids: Any, mask: Any, segment_ids: Any) -> tuple[Any, Any]:
            """The null position is unlikely where the answer is."""
            start, end = super().logits(input_ids, mask, segment_ids)
            start[:, 0] = np.where((input_ids == TOKENIZER.token_to_id("w6")).any(1), -3.0, 9.0)
            return start, end

    context = " ".join(["w1"] * 60 + ["w6"])
    cutter = windower(max_seq_len=50, doc_stride=12)
    (found,) = predict([asked(context)], cutter, Unsure({"w6": 2.0}, null=1.0))
    assert cutter.counts.windows > 1
    assert found.null_odds == (-3.0 + 1.0) - 4.0


@pytest.mark.parametrize("context", ["", " \n "])
def test_an_empty_context_gives_no_answer(context: str) -> None:
    """No text and no place; the null odds are infinite, so that no threshold lets it pass for an answer."""
    (found,) = predict([asked(context)], windower(), Reader({}, null=1.0))
    assert (found.text, found.start, found.end, found.score, found.null_odds) == ("", 0, 0, 2.0, math.inf)
    assert found.answer(1e9) == ""
    assert found.answer(math.inf) == ""


@pytest.mark.parametrize(
    ("threshold", "answer"), [(0.0, ""), (2.0, "w3"), (1.9, ""), (math.inf, "w3"), (-math.inf, "")]
)
def test_the_threshold_decides_what_is_answered(threshold: float, answer: str) -> None:
    """An answer is given up only where its null odds exceed the threshold, as in the official script."""
    (found,) = predict([asked("w3")], windower(), Reader({"w3": 1.0}, null=2.0))
    assert found.null_odds == 2.0
    assert found.text == "w3"
    assert found.answer(threshold) == answer


def test_answers_are_no_longer_than_allowed() -> None:
    """`max_answer_tokens` bounds the span."""
    context = "w1 w8 w2 w2 w8 w1"
    spans = {
        n: next(predict([asked(context)], windower(), _Ends(), max_answer_tokens=n)).text
        for n in (1, 3, 4, 30)
    }
    assert spans == {1: "w8", 3: "w8", 4: "w8 w2 w2 w8", 30: "w8 w2 w2 w8"}


class _Ends(Reader):
    """Likes to start at the first w8 and to end at the last."""

    def __init__(self) -> None:
        super().__init__({"w8": 2.0})

    def logits(self, input_ids: Any, mask: Any, segment_ids: Any) -> tuple[Any, Any]:
        start, end = (part.copy() for part in super().logits(input_ids, mask, segment_ids))
        start[:, 7], end[:, 4] = 0.5, 1.0
        return start, end


def test_a_stream_of_any_length_is_answered_in_parts() -> None:
    """More examples than are batched together: order and numbers stay right, and nothing is read
    ahead.
    """
    read = []

    def stream() -> Iterator[Example]:
        for i in range(4100):
            read.append(i)
            yield asked(f"w1 w{i % 40}", f"q{i}")

    found = predict(stream(), windower(), Reader({f"w{i}": 1.0 + i for i in range(40)}))
    assert not read
    assert next(found).id == "q0"
    assert len(read) < 4000
    rest = list(found)
    assert [p.id for p in rest] == [f"q{i}" for i in range(1, 4100)]
    assert all(p.text == f"w{max(1, int(p.id[1:]) % 40)}" for p in rest)


def test_no_examples_give_no_predictions() -> None:
    """An empty data set is no error."""
    assert list(predict([], windower(), Reader({}))) == []


def test_places_are_code_points_of_the_text_as_it_was_passed() -> None:
    """With a byte-level tokenizer, whose tokens are parts of an emoji: the answer is the whole sign."""
    tokenizer, context = byte_level(), "Maya 🎻 won the 🏆 twice."

    class Bytes(Runtime):
        facts = ModelFacts(pad_id=1)

        def logits(self, input_ids: Any, mask: Any, segment_ids: Any) -> tuple[Any, Any]:
            """Points into the middle of the second emoji."""
            scores = np.zeros(input_ids.shape, np.float32)
            (window,) = Windower(tokenizer).windows([asked(context)])
            inside = np.flatnonzero(window.offsets[:, 0] == context.index("🏆"))
            assert len(inside) > 1
            scores[:, inside[1]] = 5.0
            return scores, scores

    (found,) = predict([asked(context)], Windower(tokenizer), Bytes())
    assert found.text == "🏆"
    assert context[found.start : found.end] == "🏆"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_logits_that_are_not_finite_are_an_error(bad: float) -> None:
    """A damaged model gives an error, not an answer."""
    with pytest.raises(ModelError, match="damaged"):
        list(predict([asked("w1 w2")], windower(), Reader({"w2": bad})))


def test_padding_may_be_anything() -> None:
    """What a model says about padding is cut off before it is looked at, not finite or not."""
    examples = [asked("w1 w2 w3"), asked("w1")]
    found = list(predict(examples, windower(), Reader({"w1": 1.0}, bad=math.nan)))
    assert [p.text for p in found] == ["w1", "w1"]
