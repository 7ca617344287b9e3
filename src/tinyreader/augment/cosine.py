"""The nearest rows of a table of unit vectors: a fast product finds who may be meant, an exact one
decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tinyreader.errors import SettingsError

Rows = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

MAX_BLOCK_BYTES = 32 << 20
"""Room for one block of scores; some two or three times as much is in use at a time."""

_MAX_QUERIES = (
    1024  # rows asked for in one product: more of them would make its blocks of the table too narrow
)


class _Pool(NamedTuple):
    """Rows that may be among the nearest: for which query, which row, with what score of the fast product."""

    query: Rows
    row: Rows
    score: npt.NDArray[np.float32]

    def where(self, kept: Mask) -> _Pool:
        """The entries that are kept."""
        return _Pool(self.query[kept], self.row[kept], self.score[kept])

    def joined(self, other: _Pool) -> _Pool:
        """The entries of both."""
        return _Pool(
            np.concatenate([self.query, other.query]),
            np.concatenate([self.row, other.row]),
            np.concatenate([self.score, other.score]),
        )


def nearest_rows(
    unit: Matrix,
    rows: Sequence[int],
    k: int,
    *,
    among: Mask | None = None,
    max_block_bytes: int = MAX_BLOCK_BYTES,
) -> list[Rows]:
    """The up to `k` rows nearest to each of `rows` by cosine, best first, of equally near ones the lower
    first.

    `unit` is [N, d] with rows of length 1; a row is not near itself, and only rows where `among` [N] is true
    are given. What comes back for a row does not depend on the others: the product in float32, whose last
    bits depend on the shapes, only chooses all rows that could be meant given its largest possible error, and
    their order is that of float64.
    """
    if k < 1:
        raise SettingsError(f"the {k} nearest words were asked for; ask for 1 or more")
    allowed = np.ones(len(unit), dtype=np.bool_) if among is None else among
    found: list[Rows] = []
    for start in range(0, len(rows), _MAX_QUERIES):
        part = np.asarray(rows[start : start + _MAX_QUERIES], dtype=np.int64)
        found += _nearest(unit, part, k, allowed, max_block_bytes)
    return found


def _nearest(unit: Matrix, rows: Rows, k: int, allowed: Mask, max_block_bytes: int) -> list[Rows]:
    pool = _gather(unit, rows, k, allowed, max_block_bytes)
    if (
        pool is None
    ):  # thousands of words with the same vector; half of the queries at a time need half of the room
        middle = len(rows) // 2
        halves = (rows[:middle], rows[middle:])
        return [found for half in halves for found in _nearest(unit, half, k, allowed, max_block_bytes)]
    exact = _exact_scores(unit, rows[pool.query], pool.row, max_block_bytes)
    order = np.lexsort((pool.row, -exact, pool.query))
    ends = np.bincount(pool.query, minlength=len(rows)).cumsum()
    return [found[:k] for found in np.split(pool.row[order], ends[:-1])]


def _gather(unit: Matrix, rows: Rows, k: int, allowed: Mask, max_block_bytes: int) -> _Pool | None:
    """All rows that can be among the k nearest of their query; None where they are too many for several
    queries at once.

    Of k rows with the largest fast scores, each has at least its fast score minus the error as its exact one.
    So the k-th exact score is no less than the k-th fast one minus the error, and who reaches it is within
    twice the error.
    """
    # Largest error of a dot product of unit vectors in float32, d units in the last place, and some for their
    # own rounding.
    twice_error = np.float32(2 * (unit.shape[1] + 8) * 2**-24)
    queries = unit[rows]
    step = max(1, max_block_bytes // (4 * max(len(rows), 1)))
    floor = np.full(len(rows), -np.inf, dtype=np.float32)
    pool = _Pool(rows[:0], rows[:0], floor[:0])
    for start in range(0, len(unit), step):
        scores = queries @ unit[start : start + step].T
        n = scores.shape[1]
        if start == 0 and n > k:  # one more than k, for the query may be among them itself
            floor = (
                np.partition(np.where(allowed[:n], scores, -np.inf), n - k - 1, axis=1)[:, n - k - 1]
                - twice_error
            )
        query, column = np.divmod(np.flatnonzero(scores > floor[:, None]), n)
        row = column + start
        hits = _Pool(query, row, scores[query, column]).where(allowed[row] & (row != rows[query]))
        pool, floor = _prune(pool.joined(hits), floor, k, twice_error)
        if len(rows) > 1 and 32 * len(pool.row) > max(max_block_bytes, 32 * len(rows) * 2 * k):
            return None
    return pool


def _prune(
    pool: _Pool, floor: npt.NDArray[np.float32], k: int, twice_error: np.float32
) -> tuple[_Pool, npt.NDArray[np.float32]]:
    """The pool without rows that can no longer be meant, and for each query the score that further ones must
    exceed.
    """
    order = np.lexsort((-pool.score, pool.query))
    n_found = np.bincount(pool.query, minlength=len(floor))
    enough = n_found >= k
    last = (n_found.cumsum() - n_found + k - 1)[enough]  # the place of each query's k-th in that order
    floor = floor.copy()
    floor[enough] = np.maximum(floor[enough], pool.score[order[last]] - twice_error)
    return pool.where(pool.score > floor[pool.query]), floor


def _exact_scores(unit: Matrix, left: Rows, right: Rows, max_block_bytes: int) -> npt.NDArray[np.float64]:
    """The dot products of pairs of rows in float64, each summed up by itself."""
    size = max(1, max_block_bytes // (24 * unit.shape[1]))
    scores = np.empty(len(left))
    for start in range(0, len(left), size):
        part = slice(start, start + size)
        scores[part] = (unit[left[part]].astype(np.float64) * unit[right[part]]).sum(axis=1)
    return scores
