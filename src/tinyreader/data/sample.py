"""A part of a data set, with the share of unanswerable questions that is wanted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tinyreader.data.example import Example
from tinyreader.data.unanswerable import draw_key
from tinyreader.errors import DataError, SettingsError

UNANSWERABLE = "unanswerable questions"
_MAKE_MORE = "make unanswerable ones from answerable ones (--elsewhere, --removed)"


def sample(
    examples: Iterable[Example],
    *,
    n_questions: int | None = None,
    unanswerable: float | None = None,
    seed: int = 0,
) -> list[Example]:
    """Return `n_questions` of the examples (None: as many as there can be), in their order.

    The share `unanswerable` of them has no answer (None: the share that all of them have, as it comes). Which
    are drawn depends on `seed` and their ids and places. Raises `SettingsError` where there are not enough of
    a kind.
    """
    examples = list(examples)
    if n_questions is not None and (type(n_questions) is not int or n_questions < 1):
        raise SettingsError(f"n_questions is {n_questions!r}; give a number of questions from 1 up")
    if unanswerable is None:
        kept = _drawn(range(len(examples)), examples, _enough(n_questions, len(examples), "questions"), seed)
        return [examples[i] for i in sorted(kept)]
    if not 0 <= unanswerable <= 1:
        raise SettingsError(f"unanswerable is {unanswerable!r}; give a share from 0 to 1")
    without = [i for i, example in enumerate(examples) if example.is_impossible]
    answered = [i for i, example in enumerate(examples) if not example.is_impossible]
    n = _largest_sample(len(answered), len(without), unanswerable) if n_questions is None else n_questions
    n_without = round(n * unanswerable)
    kept = _drawn(without, examples, _enough(n_without, len(without), UNANSWERABLE), seed)
    kept |= _drawn(answered, examples, _enough(n - n_without, len(answered), "answerable questions"), seed)
    return [examples[i] for i in sorted(kept)]


def _largest_sample(n_answered: int, n_without: int, share: float) -> int:
    """Return the largest number of questions of which that share can be unanswerable."""
    if not n_answered + n_without:
        raise DataError("there are no questions to draw from")
    n = n_answered + n_without
    while n and (round(n * share) > n_without or n - round(n * share) > n_answered):
        n -= 1  # by ones, since what is rounded does not grow evenly
    # A sample of one rounds its share away.
    if not n or (share > 0 and not n_without) or (share < 1 and not n_answered):
        raise SettingsError(
            f"a share of {share:g} unanswerable questions cannot be drawn: there are {n_answered} answerable and "
            f"{n_without} unanswerable ones; {_MAKE_MORE}"
        )
    return n


def _enough(wanted: int | None, there: int, what: str) -> int:
    if wanted is not None and wanted > there:
        remedy = f"ask for fewer, or {_MAKE_MORE}" if what == UNANSWERABLE else "ask for fewer"
        raise SettingsError(f"{wanted} {what} are wanted, but there are {there}; {remedy}")
    return there if wanted is None else wanted


def _drawn(rows: Sequence[int], examples: Sequence[Example], n: int, seed: int) -> set[int]:
    """That many of the rows."""
    return set(sorted(rows, key=lambda i: draw_key(examples[i].id, i, seed))[:n])
