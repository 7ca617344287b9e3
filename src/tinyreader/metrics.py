"""Exact match and F1 to the last digit as the official SQuAD 1.1 and 2.0 scripts give them, and how sure the
means are.

The scripts differ: where question and prediction are both empty after normalisation, F1 is 1 in 2.0 and 0 in
1.1; a missing prediction counts 0 in 1.1 and stops 2.0. Means are summed in the scripts' order by the same
operations, so they equal theirs on the same Python (from 3.12 on, `sum` itself rounds better, which can move
the last digit).
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
import numpy.typing as npt

from tinyreader.arrays import Float64
from tinyreader.data.example import Example
from tinyreader.errors import DataError, SettingsError

Version = Literal["1.1", "2.0"]

Tokens = Callable[[str], list[str]]
"""The words of an answer that count: what the scores below compare. The official scripts' own where none is
given.
"""

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_BLOCK = 1 << 18  # values resampled at once


@dataclass(frozen=True, slots=True)
class Gold:
    """What scoring needs of a question: its id and the texts of its gold answers, none where it has no
    answer.
    """

    id: str
    answers: tuple[str, ...]


def normalise_answer(text: str) -> str:
    """The text in lower case without ASCII punctuation, English articles and superfluous white space, in this
    order.
    """
    return " ".join(_tokens(text))


def question_scores(
    question: Example | Gold, prediction: str, tokens: Tokens | None = None
) -> tuple[float, float]:
    """Exact match (0 or 1) and F1 (0 to 1) of one prediction by the 2.0 rules, the best over the gold
    answers.

    Gold answers that normalise to nothing are left out; where none is left, the right prediction is the empty
    one.
    """
    exact, f1 = _scores_v2(_gold(question), prediction, tokens or _tokens)
    return float(exact), float(f1)


def score_v1(
    questions: Iterable[Example | Gold], predictions: Mapping[str, object], *, tokens: Tokens | None = None
) -> dict[str, float]:
    """`exact_match` and `f1` in percent, as the official SQuAD 1.1 script computes them.

    A question without a prediction counts 0; a prediction without a question is ignored. Raises `DataError`
    where the script would stop: no questions, a prediction that is not text, a predicted question without gold
    answers.
    """
    tokens = tokens or _tokens
    exact = f1 = 0.0
    total = 0
    for gold in map(_gold, questions):
        total += 1
        if gold.id not in predictions:
            continue
        if not gold.answers:
            raise DataError(
                f"question {gold.id!r} has no gold answer, which SQuAD 1.1 cannot score; use version 2.0."
            )
        predicted = tokens(_text(predictions, gold.id))
        answers = [tokens(answer) for answer in gold.answers]
        exact += predicted in answers
        f1 += max(_f1(answer, predicted) for answer in answers)
    if not total:
        raise DataError("there are no questions to score.")
    return {"exact_match": 100.0 * exact / total, "f1": 100.0 * f1 / total}


def score_v2(
    questions: Iterable[Example | Gold],
    predictions: Mapping[str, object],
    na_probs: Mapping[str, object] | None = None,
    na_prob_thresh: float = 1.0,
    *,
    tokens: Tokens | None = None,
) -> dict[str, float]:
    """`exact`, `f1` and `total`, over all and for HasAns and NoAns, as the official SQuAD 2.0 script computes
    them.

    A prediction counts as empty where its `na_probs` (probabilities, or any odds that rise with "no answer";
    0 where not given) exceeds `na_prob_thresh`. With `na_probs` come `best_exact`, `best_f1` and their
    thresholds, found for the predictions as they are. Scores are percentages; keys stand in the script's
    order; of questions with one id the last counts. Raises `DataError` where the script would stop: no
    questions, a question without prediction or no-answer probability, a prediction that is not text, a
    probability that is not a number.
    """
    golds = {gold.id: gold for gold in map(_gold, questions)}
    _require_all(golds, predictions, "prediction", 'Give each a text, "" for no answer.')
    tokens = tokens or _tokens
    raw = {qid: _scores_v2(gold, _text(predictions, qid), tokens) for qid, gold in golds.items()}
    odds = dict.fromkeys(golds, 0.0) if na_probs is None else _numbers(golds, na_probs)
    scores = {
        qid: _unanswered(golds[qid]) if odds[qid] > na_prob_thresh else pair for qid, pair in raw.items()
    }
    has_answer = [qid for qid, gold in golds.items() if gold.answers]
    no_answer = [qid for qid, gold in golds.items() if not gold.answers]
    report = _means(scores, golds)
    for prefix, qids in (("HasAns", has_answer), ("NoAns", no_answer)):
        if qids:
            report |= {f"{prefix}_{key}": value for key, value in _means(scores, qids).items()}
    if na_probs is not None:
        penalties = {qid: -float(predictions[qid] != "") for qid in no_answer}
        for which, name in enumerate(("exact", "f1")):
            gains = {qid: pair[which] for qid, pair in raw.items()} | penalties
            best, threshold = _best_threshold(gains, odds, len(no_answer))
            report |= {f"best_{name}": best, f"best_{name}_thresh": threshold}
    return report


@dataclass(frozen=True, slots=True)
class Difference:
    """How much larger one mean is than another over the same questions: the difference and its interval.

    `share_larger` is the share of resamples in which it was larger, a tie counting half.
    """

    mean: float
    low: float
    high: float
    share_larger: float


def bootstrap_interval(
    values: npt.ArrayLike, *, samples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """The percentile bootstrap interval of the mean of `values` [n], one per question, in their unit.

    Resamples the questions `samples` times with replacement (Efron, 1979); the same seed gives the same
    interval. Memory stays at a few times n or eight MiB, whichever is more.
    """
    means = _resampled_means(_finite(values), samples, seed)
    low, high = np.quantile(means, _tails(confidence))
    return float(low), float(high)


def paired_bootstrap(
    ours: npt.ArrayLike,
    theirs: npt.ArrayLike,
    *,
    samples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Difference:
    """The mean of `ours` [n] minus that of `theirs` [n], value by value the same questions, and its
    interval.
    """
    a, b = _finite(ours), _finite(theirs)
    if len(a) != len(b):
        raise DataError(
            f"a paired comparison needs the same questions on both sides, not {len(a)} and {len(b)}."
        )
    means = _resampled_means(a - b, samples, seed)
    low, high = np.quantile(means, _tails(confidence))
    share_larger = np.mean((np.sign(means) + 1.0) / 2.0)
    return Difference(float(np.mean(a - b)), float(low), float(high), float(share_larger))


def auroc(scores: npt.ArrayLike, positive: npt.ArrayLike) -> float:
    """The chance that a random positive has a larger score than a random negative, a tie counting half.

    `scores` [n] are finite, `positive` [n] bool. This is the area under the ROC curve (Hanley and McNeil, 1982): 0.5 is
    chance, 1 tells all apart. Raises `DataError` where there are no positives or no negatives.
    """
    values, is_positive = _finite(scores), np.asarray(positive, dtype=np.bool_)
    if len(values) != len(is_positive):
        raise DataError(
            f"each score needs a label, and there are {len(values)} scores and {len(is_positive)} labels."
        )
    n_positive = int(is_positive.sum())
    n_negative = len(values) - n_positive
    if not n_positive or not n_negative:
        raise DataError("an AUROC needs positives and negatives, and all labels are the same.")
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]  # from 1; equal scores share the mean of theirs
    wins = float(ranks[is_positive].sum()) - n_positive * (n_positive + 1) / 2
    return wins / (n_positive * n_negative)


def gold_from_json(document: object) -> list[Gold]:
    """The questions of a parsed SQuAD file, read as leniently as the official scripts do.

    Only ids and answer texts matter; places, contexts and doubled ids do not. Raises `DataError` for a wrong
    shape.
    """
    return [
        Gold(_string(qa, "id", place), tuple(_string(a, "text", f"an answer of {place}") for a in answers))
        for place, qa in _questions(document)
        for answers in [_members(qa, "answers", place)]
    ]


def squad_version(document: object) -> Version:
    """Which official script scores a parsed SQuAD file.

    The one its `version` names ("1.1" or "2.0", with or without v). Where it names none: 2.0 if any question
    has `is_impossible` or no answers, else 1.1.
    """
    named = str(document.get("version", "")).removeprefix("v") if isinstance(document, dict) else ""
    if named == "1.1":
        return "1.1"
    if named == "2.0":
        return "2.0"
    knows_no_answer = any(
        (isinstance(qa, dict) and "is_impossible" in qa) or not _members(qa, "answers", place)
        for place, qa in _questions(document)
    )
    return "2.0" if knows_no_answer else "1.1"


def _gold(question: Example | Gold) -> Gold:
    if isinstance(question, Gold):
        return question
    return Gold(question.id, tuple(answer.text for answer in question.answers))


def _tokens(text: str) -> list[str]:
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def _f1(gold: list[str], predicted: list[str]) -> float:
    n_same = (Counter(gold) & Counter(predicted)).total()
    if n_same == 0:
        return 0
    precision = n_same / len(predicted)
    recall = n_same / len(gold)
    return (2 * precision * recall) / (precision + recall)


def _scores_v2(gold: Gold, prediction: str, tokens: Tokens) -> tuple[float, float]:
    """Exact match and F1, ints where the script has them: from Python 3.12 on, `sum` rounds ints and floats
    unlike.
    """
    predicted = tokens(prediction)
    answers = [words for words in map(tokens, gold.answers) if words] or [[]]
    f1 = max(
        _f1(answer, predicted) if answer and predicted else int(answer == predicted) for answer in answers
    )
    return int(predicted in answers), f1


def _unanswered(gold: Gold) -> tuple[float, float]:
    right = float(not gold.answers)
    return right, right


def _means(scores: Mapping[str, tuple[float, float]], qids: Iterable[str]) -> dict[str, float]:
    chosen = [scores[qid] for qid in qids]
    total = len(chosen)
    exact, f1 = (100.0 * sum(pair[which] for pair in chosen) / total for which in (0, 1))
    return {"exact": exact, "f1": f1, "total": total}


def _best_threshold(
    gains: Mapping[str, float], odds: Mapping[str, float], n_no_answer: int
) -> tuple[float, float]:
    """The best mean in percent, and the odds up to which to answer for it.

    Starts where every question is left unanswered and answers one after the other by rising odds. A threshold
    between equal odds is considered too, as in the official script.
    """
    score = best = float(n_no_answer)
    threshold = 0.0
    for qid in sorted(odds, key=odds.__getitem__):
        score += gains.get(qid, 0.0)
        if score > best:
            best, threshold = score, odds[qid]
    return 100.0 * best / len(gains), threshold


def _require_all(golds: Mapping[str, Gold], given: Mapping[str, object], what: str, remedy: str) -> None:
    if not golds:
        raise DataError("there are no questions to score.")
    missing = [qid for qid in golds if qid not in given]
    if missing:
        named = ", ".join(map(repr, islice(missing, 3))) + (", ..." if len(missing) > 3 else "")
        raise DataError(f"{len(missing)} of {len(golds)} questions have no {what}: {named}. {remedy}")


def _numbers(golds: Mapping[str, Gold], na_probs: Mapping[str, object]) -> dict[str, float]:
    """The odds of all ids, those of no question too: beside a NaN, each can change how `sorted` orders the
    rest.
    """
    _require_all(golds, na_probs, "no-answer probability", "Give each a number.")
    numbers: dict[str, float] = {}
    for qid, value in na_probs.items():
        if not isinstance(value, (int, float)):
            raise DataError(f"the no-answer probability of {qid!r} is {value!r}, not a number.")
        numbers[qid] = value
    return numbers


def _text(predictions: Mapping[str, object], qid: str) -> str:
    prediction = predictions[qid]
    if not isinstance(prediction, str):
        raise DataError(
            f'the prediction for {qid!r} is {prediction!r}, not a text; "" says that there is no answer.'
        )
    return prediction


def _finite(values: npt.ArrayLike) -> Float64:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise DataError(
            f"an interval needs a list of finite numbers, not {array.size} values of shape {array.shape}."
        )
    return array


def _tails(confidence: float) -> tuple[float, float]:
    if not 0.0 < confidence < 1.0:
        raise SettingsError(f"confidence is {confidence}; it must lie between 0 and 1, for example 0.95.")
    return (1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0


def _resampled_means(values: Float64, samples: int, seed: int) -> Float64:
    """The mean of each of `samples` resamples, [samples], drawn a block at a time to bound memory."""
    if samples < 1:
        raise SettingsError(f"samples is {samples}; it must be at least 1.")
    rng = np.random.default_rng(seed)
    means = np.empty(samples)
    rows = max(1, _BLOCK // len(values))
    for row in range(0, samples, rows):
        count = min(rows, samples - row)
        means[row : row + count] = values[rng.integers(len(values), size=(count, len(values)))].mean(axis=1)
    return means


def _questions(document: object) -> list[tuple[str, object]]:
    """Each question of a parsed SQuAD file with its place in it."""
    return [
        (f"data[{a}].paragraphs[{p}].qas[{q}]", qa)
        for a, article in enumerate(_members(document, "data", "the file"))
        for p, paragraph in enumerate(_members(article, "paragraphs", f"data[{a}]"))
        for q, qa in enumerate(_members(paragraph, "qas", f"data[{a}].paragraphs[{p}]"))
    ]


def _field(holder: object, key: str, place: str) -> object:
    if not isinstance(holder, dict) or key not in holder:
        raise DataError(f'not SQuAD JSON: {place} should be an object with "{key}".')
    return holder[key]


def _members(holder: object, key: str, place: str) -> list[object]:
    value = _field(holder, key, place)
    if value in ("", {}):  # nothing to go through, as the official scripts see it
        return []
    if not isinstance(value, list):
        raise DataError(f'not SQuAD JSON: "{key}" of {place} should be a list, not {type(value).__name__}.')
    return value


def _string(holder: object, key: str, place: str) -> str:
    value = _field(holder, key, place)
    if not isinstance(value, str):
        raise DataError(f'not SQuAD JSON: "{key}" of {place} should be a text, not {value!r}.')
    return value
