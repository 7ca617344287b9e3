"""`FeatureStore`: a data set's windows on disk, memory-mapped and ragged, so that memory does not grow with
their number.

A window costs its token ids (2 bytes each, 4 where the vocabulary exceeds 65,536) and 28 bytes of index.
SQuAD 2.0 augmented twenty-fold, 2.6 million windows of about 170 tokens, takes 2.6e6 * (170 * 2 + 28) = 0.96
GB of disk, of which the operating system keeps in memory what is in use; padded to 384 int64 tensors of four
kinds it would be 32 GB.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tinyreader.arrays import Int32, Int64
from tinyreader.distil.network import Batch
from tinyreader.errors import ModelError, RunError
from tinyreader.storage import atomic_directory, write_json
from tinyreader.windows import Window, WindowCounts, padded_length

_INDEX = np.dtype(
    [
        ("offset", "<i8"),
        ("example", "<i4"),
        ("length", "<u2"),
        ("segment", "<u2"),
        ("first", "<u2"),
        ("stop", "<u2"),
        ("start", "<u2"),
        ("end", "<u2"),
        ("segment_stop", "<u2"),
        ("reserved", "<u2"),
    ]
)
_META, _IDS, _ROWS, _COUNTS = "features.json", "ids.bin", "index.bin", "counts.json"
_FORMAT = 2
_FLUSH, _LONGEST = 4096, 2**16 - 1


class FeatureStore:
    """Windows by row number; `write` makes one, the constructor opens it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.meta = json.loads((folder / _META).read_text())
            self.index: npt.NDArray[np.void] = np.memmap(folder / _ROWS, dtype=_INDEX, mode="r")
            self.ids = np.memmap(folder / _IDS, dtype=self.meta["dtype"], mode="r")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"the feature store {folder} cannot be read ({error}). Delete it to have it made again."
            ) from None
        if self.meta.get("format") != _FORMAT:
            raise RunError(
                f"the feature store {folder} is of another version. Delete it to have it made again."
            )
        if len(self.index) != self.meta["windows"] or len(self.ids) != self.meta["tokens"]:
            raise RunError(f"the feature store {folder} is damaged. Delete it to have it made again.")
        self.lengths: Int32 = np.asarray(self.index["length"], dtype=np.int32)
        self._longest = int(self.lengths.max())

    def __len__(self) -> int:
        return len(self.index)

    @property
    def fingerprint(self) -> str:
        return str(self.meta["fingerprint"])

    def batch(self, rows: Int64, pad_id: int) -> Batch:
        """The windows `rows` padded to the longest of them, rounded up as `padded_length` does."""
        records = self.index[rows]
        lengths = records["length"].astype(np.int64)
        longest = padded_length(int(lengths.max()), self._longest)
        columns = np.arange(longest)
        ids = np.full((len(rows), longest), pad_id, dtype=np.int64)
        for line, (offset, length) in enumerate(
            zip(records["offset"].tolist(), lengths.tolist(), strict=True)
        ):
            ids[line, :length] = self.ids[offset : offset + length]
        mask = columns < lengths[:, None]
        segments = (columns >= records["segment"][:, None]) & (columns < records["segment_stop"][:, None])
        allowed = (columns >= records["first"][:, None]) & (columns < records["stop"][:, None])
        allowed[:, 0] = True
        return Batch(
            input_ids=torch.from_numpy(ids),
            segment_ids=torch.from_numpy(segments.astype(np.int64)),
            mask=torch.from_numpy(mask.astype(np.int64)),
            allowed=torch.from_numpy(allowed),
            start=torch.from_numpy(records["start"].astype(np.int64)),
            end=torch.from_numpy(records["end"].astype(np.int64)),
            rows=torch.from_numpy(np.asarray(rows, dtype=np.int64)),
            lengths=torch.from_numpy(lengths),
            padded=bool((lengths != longest).any()),
        )


def write_features(windows: Iterable[Window], folder: Path, *, vocab_size: int, fingerprint: str) -> None:
    """Writes a feature store of `windows` to `folder`, which appears only when it is whole; streams.

    Raises `RunError` where there are no windows or no room on the disk, and `ModelError` for windows that it
    cannot hold.
    """
    dtype = np.dtype("<u2" if vocab_size <= 2**16 else "<u4")
    try:
        with atomic_directory(folder) as partial:
            n_windows, n_tokens = _stream(windows, partial, dtype)
            if not n_windows:
                raise RunError("there are no windows to train on: the data set has no usable example.")
            meta = {
                "format": _FORMAT,
                "windows": n_windows,
                "tokens": n_tokens,
                "dtype": dtype.str,
                "fingerprint": fingerprint,
            }
            (partial / _META).write_text(json.dumps(meta))
    except OSError as error:
        raise RunError(
            f"the windows could not be written to {folder} ({error}). Make room and run the same command "
            "again."
        ) from None


def _stream(windows: Iterable[Window], folder: Path, dtype: np.dtype[Any]) -> tuple[int, int]:
    """How many windows, and how many tokens of theirs, were written."""
    n_windows = n_tokens = 0
    with (folder / _IDS).open("wb") as ids_file, (folder / _ROWS).open("wb") as rows_file:
        rows: list[tuple[int, ...]] = []
        for window in windows:
            _require_room(window, dtype)
            ids_file.write(window.input_ids.astype(dtype).tobytes())
            segment, segment_stop = _second_segment(window)
            rows.append(
                (
                    n_tokens,
                    window.example,
                    len(window),
                    segment,
                    window.first,
                    window.stop,
                    window.start,
                    window.end,
                    segment_stop,
                    0,
                )
            )
            n_tokens += len(window)
            n_windows += 1
            if len(rows) == _FLUSH:
                rows_file.write(np.array(rows, dtype=_INDEX).tobytes())
                rows = []
        rows_file.write(np.array(rows, dtype=_INDEX).tobytes())
    return n_windows, n_tokens


def write_counts(counts: WindowCounts, folder: Path) -> None:
    """Keeps beside the store what became of the examples."""
    write_json(folder / _COUNTS, asdict(counts))


def read_counts(folder: Path) -> WindowCounts | None:
    """What became of the examples of a whole store; None where it is not whole, and has to be made
    (again).
    """
    try:
        return WindowCounts(**json.loads((folder / _COUNTS).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _require_room(window: Window, dtype: np.dtype[Any]) -> None:
    """Raises where a number would be cut to fit the store's types, as only an odd tokenizer can make it."""
    if len(window) > _LONGEST:
        raise ModelError(
            f"a window has {len(window):,} tokens; at most {_LONGEST:,} can be kept. Lower max_seq_len."
        )
    if window.input_ids.max() > np.iinfo(dtype).max:
        raise ModelError(
            f"token id {window.input_ids.max()} does not fit the store: vocab_size must be the largest id + "
            "1."
        )


def _second_segment(window: Window) -> tuple[int, int]:
    """Where the run of tokens in segment 1 begins and stops; twice the length where there is none."""
    ones = np.flatnonzero(window.segment_ids)
    if not len(ones):
        return len(window), len(window)
    begin, stop = int(ones[0]), int(ones[-1]) + 1
    if len(ones) != stop - begin or window.segment_ids.max() > 1:
        raise ModelError(
            "this tokenizer's segment ids are not a single run of ones among zeros; such readers cannot be "
            "trained here."
        )
    return begin, stop


def choose_rows(n_windows: int, limit: int | None, seed: int) -> Int64:
    """All rows, or the first `limit` of a seeded shuffle, in ascending order."""
    if limit is None or limit >= n_windows:
        return np.arange(n_windows, dtype=np.int64)
    chosen = np.random.default_rng([seed, 1]).permutation(n_windows)[:limit]
    return np.sort(chosen).astype(np.int64)


def training_batches(
    rows: Int64, lengths: Int32, batch_size: int, key: Sequence[int], pool: int = 64
) -> list[Int64]:
    """The batches of one epoch: a seeded order in which windows of like length share a batch.

    Rows are shuffled, sorted by length within pools of `pool` batches, cut into batches, and the batches
    shuffled; `key` (seed, stage, epoch) fixes it all. The last batch of the epoch may be smaller.
    """
    rng = np.random.default_rng(list(key))
    shuffled = rows[rng.permutation(len(rows))]
    batches = []
    for begin in range(0, len(shuffled), pool * batch_size):
        part = shuffled[begin : begin + pool * batch_size]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def visited_rows(rows: Int64, lengths: Int32, batch_size: int, steps: int, key: Sequence[int]) -> Int64:
    """The rows that the first `steps` batches of epoch 0 hold, ascending; all of them from one epoch up.

    `key` is (seed, stage), as for `training_batches`.
    """
    batches = training_batches(rows, lengths, batch_size, (*key, 0))
    return rows if steps >= len(batches) else np.sort(np.concatenate(batches[:steps]))


def sorted_batches(rows: Int64, lengths: Int32, max_tokens: int) -> list[Int64]:
    """Batches for passes without learning: longest first, each of at most `max_tokens` tokens with its
    padding.
    """
    order = rows[np.argsort(-lengths[rows], kind="stable")]
    longest = int(lengths.max(initial=0))
    batches = []
    begin = 0
    while begin < len(order):
        size = max(1, max_tokens // padded_length(int(lengths[order[begin]]), longest))
        batches.append(order[begin : begin + size])
        begin += size
    return batches
