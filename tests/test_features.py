"""`distil.features`: windows on disk, and the batches that are made of them."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from small_disk import small_disk
from tiny_tokenizers import mpnet, wordpiece
from tinyreader.data import Answer, Example
from tinyreader.distil import features
from tinyreader.distil.features import (
    FeatureStore,
    choose_rows,
    sorted_batches,
    training_batches,
    visited_rows,
    write_counts,
    write_features,
)
from tinyreader.errors import ModelError, RunError
from tinyreader.storage import directory_lock
from tinyreader.windows import Window, WindowCounts, Windower, WindowSettings, padded_length

CONTEXT = "The ferry at Lenn carries forty people and leaves twice a day. "
EXAMPLES = [
    Example("a", "Who?", CONTEXT),
    Example("b", "What carries people at Lenn?", CONTEXT * 5, (Answer("ferry", 4),)),
    Example("c", "How many people?", CONTEXT * 2, (Answer("forty", 26),)),
]
PAD = 77


def window(
    n: int, *, first: int = 5, example: int = 0, segments: Sequence[int] | None = None, token: int = 7
) -> Window:
    """A window of n equal tokens, [first, n - 1) of them context, in BERT's segments unless others are
    given.
    """
    kinds = [0] * first + [1] * (n - first) if segments is None else segments
    return Window(
        example=example,
        input_ids=np.full(n, token, np.int32),
        segment_ids=np.array(kinds, np.int32),
        offsets=np.zeros((n, 2), np.int32),
        first=first,
        stop=n - 1,
    )


def stored(windows: Sequence[Window], folder: Path, vocab_size: int = 1000) -> FeatureStore:
    """A store of the windows, opened."""
    write_features(iter(windows), folder, vocab_size=vocab_size, fingerprint="f1")
    return FeatureStore(folder)


def rows_of(*numbers: int) -> np.ndarray[Any, Any]:
    """Row numbers as batches have them."""
    return np.array(numbers, dtype=np.int64)


@pytest.mark.parametrize("make", [wordpiece, mpnet], ids=["with-segments", "without"])
def test_a_batch_gives_back_the_windows(tmp_path: Path, make: Any) -> None:
    """Ids, segments, labels and lengths come back for any rows in any order, padded to the longest of them
    (and to 8).
    """
    windows = list(Windower(make(), WindowSettings(max_seq_len=60, doc_stride=10)).windows(EXAMPLES))
    store = stored(windows, tmp_path / "store")
    assert len(store) == len(windows)
    assert store.lengths.tolist() == [len(w) for w in windows]
    for rows in (rows_of(0), rows_of(3, 0, 1), rows_of(*reversed(range(len(windows))))):
        batch = store.batch(rows, PAD)
        longest = padded_length(max(len(windows[row]) for row in rows), max(len(w) for w in windows))
        assert batch.input_ids.shape == (len(rows), longest)
        assert batch.rows.tolist() == rows.tolist()
        for line, row in enumerate(rows):
            w, n = windows[row], len(windows[row])
            gap = longest - n
            assert batch.input_ids[line].tolist() == [*w.input_ids.tolist(), *[PAD] * gap]
            assert batch.segment_ids[line].tolist() == [*w.segment_ids.tolist(), *[0] * gap]
            assert batch.mask[line].tolist() == [1] * n + [0] * gap
            allowed = [i == 0 or w.first <= i < w.stop for i in range(longest)]
            assert batch.allowed[line].tolist() == allowed
            assert (batch.start[line], batch.end[line], batch.lengths[line]) == (w.start, w.end, n)
    assert any(w.start for w in windows)


def test_a_batch_has_the_types_that_a_network_wants(tmp_path: Path) -> None:
    """int64 everywhere, bool for `allowed`, and `padded` says whether there is any padding."""
    store = stored([window(8), window(8), window(9)], tmp_path / "store")
    batch = store.batch(rows_of(0, 2), PAD)
    whole = ("input_ids", "segment_ids", "mask", "start", "end", "rows", "lengths")
    assert {getattr(batch, name).dtype for name in whole} == {torch.int64}
    assert batch.allowed.dtype == torch.bool
    assert batch.padded
    assert not store.batch(rows_of(0, 1), PAD).padded
    assert not store.batch(rows_of(2), PAD).padded


def test_lengths_are_rounded_up_to_spare_engines_new_shapes(tmp_path: Path) -> None:
    """To a multiple of 8, but no longer than any window is; what is added is padding, and said to be."""
    store = stored([window(9), window(9), window(21)], tmp_path / "store")
    batch = store.batch(rows_of(0, 1), PAD)
    assert batch.input_ids.shape == (2, 16)
    assert batch.mask.sum(1).tolist() == [9, 9]
    assert batch.padded
    assert store.batch(rows_of(2, 0), PAD).input_ids.shape == (2, 21)


def test_an_example_without_context_tokens_allows_only_the_null_position(tmp_path: Path) -> None:
    """Nothing but "no answer" can be learned from an empty context."""
    store = stored(list(Windower(wordpiece()).windows([Example("e", "Who?", "")])), tmp_path / "store")
    assert store.batch(rows_of(0), PAD).allowed.sum() == 1


@pytest.mark.parametrize("segments", [[0] * 8, [0] * 5 + [1] * 2 + [0], [1] * 5 + [0] * 3, [1] * 8])
def test_any_one_run_of_ones_is_kept(tmp_path: Path, segments: list[int]) -> None:
    """A template that ends in segment 0, or turns segments round, is trained as it is read."""
    store = stored([window(8, segments=segments), window(10)], tmp_path / "store")
    assert store.batch(rows_of(0, 1), PAD).segment_ids[0].tolist() == [*segments, 0, 0]


@pytest.mark.parametrize("segments", [[2] + [0] * 4 + [1] * 3, [1, 0, 0, 0, 0, 1, 1, 1]])
def test_other_segments_are_refused(tmp_path: Path, segments: list[int]) -> None:
    """What the store could only keep wrongly is an error, not a reader that learned from other inputs than it
    gets.
    """
    with pytest.raises(ModelError, match="segment ids"):
        stored([window(8, segments=segments)], tmp_path / "store")
    assert not list(tmp_path.iterdir())


def test_large_vocabularies_take_four_bytes_and_no_id_is_cut(tmp_path: Path) -> None:
    """Ids above 65,535 come back whole; one that does not fit the vocabulary's size is refused."""
    store = stored([window(6, token=250_001)], tmp_path / "store", vocab_size=250_002)
    assert store.ids.itemsize == 4
    assert store.batch(rows_of(0), PAD).input_ids.tolist() == [[250_001] * 6]
    assert (
        stored([window(6, token=65_535)], tmp_path / "small", vocab_size=65_536).ids.tolist() == [65_535] * 6
    )
    with pytest.raises(ModelError, match="65536 does not fit"):
        stored([window(6, token=65_536)], tmp_path / "refused", vocab_size=65_536)


def test_a_window_of_more_tokens_than_can_be_counted_is_refused(tmp_path: Path) -> None:
    """Lengths are kept in two bytes."""
    with pytest.raises(ModelError, match=r"65,536 tokens.*max_seq_len"):
        stored([window(65_536)], tmp_path / "store")


def test_a_data_set_without_windows_is_an_error(tmp_path: Path) -> None:
    """Nothing is left behind."""
    with pytest.raises(RunError, match="no usable example"):
        stored([], tmp_path / "store")
    assert not list(tmp_path.iterdir())


def test_a_store_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    """An error on the way leaves what was there before; what a kill left behind is removed when the next run
    begins.
    """
    target = tmp_path / "store"
    stored([window(6)], target)
    (tmp_path / ".tmp-0a1b2c3d-store").mkdir()
    (tmp_path / ".tmp-0a1b2c3d-store" / "ids.bin").write_bytes(b"half")

    def broken() -> Iterator[Window]:
        yield window(9)
        assert len(FeatureStore(target)) == 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_features(broken(), target, vocab_size=10, fingerprint="f2")
    assert FeatureStore(target).fingerprint == "f1"
    write_features([window(9), window(9)], target, vocab_size=10, fingerprint="f2")
    assert (len(FeatureStore(target)), FeatureStore(target).fingerprint) == (2, "f2")
    with directory_lock(tmp_path):
        assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "store"]


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    """Windows that do not fit on the disk are an error with advice."""
    with small_disk(tmp_path / "disk", "64k") as disk:
        with pytest.raises(RunError, match=r"No space left.*Make room"):
            stored([window(300)] * 1000, disk / "store")
        assert not list(disk.iterdir())


@pytest.mark.parametrize("name", ["features.json", "ids.bin", "index.bin"])
@pytest.mark.parametrize("damage", ["missing", "empty", "shorter", "longer"])
def test_a_damaged_store_is_refused_with_advice(tmp_path: Path, name: str, damage: str) -> None:
    """The message names the folder, and says that deleting it helps."""
    stored([window(6)] * 3, tmp_path / "store")
    path = tmp_path / "store" / name
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes({"empty": b"", "shorter": content[:-28], "longer": content + content}[damage])
    with pytest.raises(RunError, match="Delete it") as caught:
        FeatureStore(tmp_path / "store")
    assert str(tmp_path / "store") in str(caught.value)


@pytest.mark.parametrize(
    "meta", ["[]", "7", "{}", '{"format": 1, "windows": 1, "tokens": 6, "dtype": "<u2"}']
)
def test_a_store_of_another_kind_is_refused(tmp_path: Path, meta: str) -> None:
    """A description that is none, or one of an earlier version, is no reason for a traceback."""
    stored([window(6)], tmp_path / "store")
    (tmp_path / "store" / "features.json").write_text(meta)
    with pytest.raises(RunError, match="Delete it"):
        FeatureStore(tmp_path / "store")


def test_counts_are_kept_beside_the_store(tmp_path: Path) -> None:
    """What became of the examples can be read later."""
    write_counts(WindowCounts(examples=3, windows=5, truncated_questions=1), tmp_path)
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert (counts["examples"], counts["windows"], counts["truncated_questions"]) == (3, 5, 1)


def squad_like(n: int) -> Iterator[Window]:
    """Windows of 100 to 240 tokens, mean 170, as SQuAD's are."""
    lengths = np.random.default_rng(3).integers(100, 241, n).tolist()
    made = {length: window(length, first=14, token=20_000) for length in range(100, 241)}
    return (made[length] for length in lengths)


def peak_mib(folder: Path, n: int) -> float:
    """The highest memory, in MiB, in use while n windows are written and all of them are read in batches of
    26.
    """
    shutil.rmtree(folder, ignore_errors=True)
    tracemalloc.start()
    try:
        write_features(squad_like(n), folder, vocab_size=30_522, fingerprint="f")
        store = FeatureStore(folder)
        for begin in range(0, n, 26):
            store.batch(np.arange(begin, min(n, begin + 26)), PAD)
        return tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()


def test_a_hundredth_of_the_augmented_data_needs_no_memory_to_speak_of(tmp_path: Path) -> None:
    """26,000 windows take 9.3 MiB of disk and under 8 of memory, the same as a quarter of them; padded it
    would be 305.

    Times a hundred, as the published recipe has them, that is under 1 GiB of disk; memory grows by the
    lengths alone, four bytes a window.
    """
    n = 26_000
    few, all_of_them = peak_mib(tmp_path / "store", n // 4), peak_mib(tmp_path / "store", n)
    assert all_of_them < 8
    assert all_of_them < 1.2 * few
    store = FeatureStore(tmp_path / "store")
    size = sum(path.stat().st_size for path in (tmp_path / "store").iterdir())
    assert size < 2 * int(store.lengths.sum()) + 28 * n + 1000
    assert 100 * size < 2**30


@pytest.mark.parametrize("limit", [None, 100, 1000])
def test_all_rows_where_no_fewer_are_wanted(limit: int | None) -> None:
    """No limit, or one that is not reached, takes every row."""
    assert choose_rows(100, limit, seed=1).tolist() == list(range(100))


def test_a_choice_of_rows_is_seeded_and_grows_by_adding() -> None:
    """The same seed chooses the same rows, ascending; a larger choice contains the smaller one."""
    rows = choose_rows(1000, 50, seed=7)
    assert rows.tolist() == choose_rows(1000, 50, seed=7).tolist()
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert len(rows) == 50
    assert set(rows.tolist()) < set(choose_rows(1000, 80, seed=7).tolist())
    assert rows.tolist() != choose_rows(1000, 50, seed=8).tolist()


@given(
    st.lists(st.integers(1, 400), min_size=1, max_size=200),
    st.integers(1, 30),
    st.integers(1, 8),
    st.integers(0, 2**31),
)
@settings(deadline=None, max_examples=100)
def test_an_epoch_has_each_row_exactly_once(
    lengths: list[int], batch_size: int, pool: int, seed: int
) -> None:
    """All batches but one are full, and the same key gives the same batches."""
    rows = np.arange(len(lengths), dtype=np.int64)[::-1].copy()
    sizes = np.array(lengths, dtype=np.int32)
    batches = training_batches(rows, sizes, batch_size, (seed, 1, 0), pool)
    assert sorted(int(row) for batch in batches for row in batch) == list(range(len(lengths)))
    assert len(batches) == -(-len(lengths) // batch_size)
    assert sorted(len(b) for b in batches)[1:] == [batch_size] * (len(batches) - 1)
    again = training_batches(rows, sizes, batch_size, (seed, 1, 0), pool)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))


def test_each_epoch_stage_and_seed_has_its_own_order() -> None:
    """Any part of the key changes the batches, and their order is not that of the lengths."""
    rows, lengths = np.arange(500), np.random.default_rng(0).integers(100, 400, 500).astype(np.int32)
    orders = {
        tuple(np.concatenate(training_batches(rows, lengths, 20, key)).tolist())
        for key in ((42, 1, 0), (42, 1, 1), (42, 2, 0), (43, 1, 0))
    }
    assert len(orders) == 4
    longest = [int(lengths[batch].max()) for batch in training_batches(rows, lengths, 20, (42, 1, 0))]
    assert longest != sorted(longest)
    assert longest != sorted(longest, reverse=True)


def test_windows_of_like_length_share_a_batch() -> None:
    """Padding takes under 3 % of a batch where unsorted batches would waste 25 % and more."""
    lengths = np.random.default_rng(5).integers(60, 385, 5000).astype(np.int32)

    def waste(batches: Sequence[np.ndarray[Any, Any]]) -> float:
        padded = sum(int(lengths[b].max()) * len(b) for b in batches)
        return 1 - float(lengths.sum()) / padded

    assert waste(training_batches(np.arange(5000), lengths, 26, (1, 1, 0))) < 0.03
    assert waste(np.array_split(np.arange(5000), 5000 // 26)) > 0.25


@given(st.lists(st.integers(1, 400), max_size=120), st.integers(1, 3000))
@settings(deadline=None, max_examples=100)
def test_a_pass_has_each_row_once_and_bounded_batches(lengths: list[int], max_tokens: int) -> None:
    """Longest first; a batch holds at most `max_tokens` with its padding, unless one window alone is
    longer.
    """
    sizes = np.array(lengths, dtype=np.int32)
    batches = sorted_batches(np.arange(len(lengths)), sizes, max_tokens)
    flat = [int(row) for batch in batches for row in batch]
    assert sorted(flat) == list(range(len(lengths)))
    assert all(sizes[a] >= sizes[b] for a, b in pairwise(flat))
    padded = [padded_length(int(sizes[b].max()), max(lengths)) for b in batches]
    assert all(len(b) == 1 or len(b) * n <= max_tokens for b, n in zip(batches, padded, strict=True))
    for batch, n in list(zip(batches, padded, strict=True))[:-1]:
        assert (len(batch) + 1) * n > max_tokens, "a row of the next batch would have fitted"


def test_batches_are_of_the_rows_given() -> None:
    """Rows that were not chosen are in no batch."""
    rows = np.array([3, 8, 11, 40], dtype=np.int64)
    lengths = np.full(50, 10, dtype=np.int32)
    for batches in (training_batches(rows, lengths, 3, (1,)), sorted_batches(rows, lengths, 20)):
        assert sorted(np.concatenate(batches).tolist()) == rows.tolist()


def test_an_index_entry_takes_what_the_docstring_says() -> None:
    """28 bytes: the arithmetic for 2.6 million windows depends on it."""
    assert features._INDEX.itemsize == 28


@pytest.mark.parametrize("steps", [1, 3, 6, 7, 20])
def test_visited_rows_are_those_of_the_first_batches(steps: int) -> None:
    """A stage shorter than an epoch needs the teacher's outputs for the windows it sees, and for no
    others.
    """
    rows = np.arange(3, 56, dtype=np.int64)
    lengths = np.random.default_rng(0).integers(20, 60, 60).astype(np.int32)
    batches = training_batches(rows, lengths, 8, (5, 2, 0))
    seen = sorted(row for batch in batches[:steps] for row in batch.tolist())
    assert visited_rows(rows, lengths, 8, steps, (5, 2)).tolist() == seen
    assert (len(seen) == len(rows)) == (steps >= len(batches))
