"""`distil.teacher_cache`: the teacher's outputs are computed once, kept on disk, shared, and survive a kill."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from small_disk import small_disk
from test_pairs import store_of
from tiny_batches import label_windows
from tinyreader.distil import teacher_cache
from tinyreader.distil.alignment import SliceLogits, carry, merge_pieces, softmax
from tinyreader.distil.features import FeatureStore, sorted_batches, write_features
from tinyreader.distil.network import Batch, Network, Outputs
from tinyreader.distil.pairs import PairStore
from tinyreader.distil.teacher_cache import (
    MeanLabels,
    Pass,
    PassReport,
    TeacherCache,
    TeacherLabels,
    by_runtime,
    own_key,
    paired_key,
    paired_windows,
)
from tinyreader.errors import RunError
from tinyreader.runtimes import ModelFacts, Runtime
from tinyreader.windows import Window

N_WINDOWS = 60
ALL = np.arange(N_WINDOWS, dtype=np.int64)
SOME = ALL[5:40:3]
MAX_TOKENS = 64


class Teacher:
    """Stands in for a `Network`: logits between -8 and 8 that depend on the token and its place; remembers
    what it saw.
    """

    def __init__(self, *, scale: float = 8.0, broken_row: int = -1) -> None:
        self.scale, self.broken_row = scale, broken_row
        self.seen: list[int] = []
        self.learning = False

    def forward(self, batch: Batch) -> Outputs:
        """The logits of a batch."""
        self.seen += batch.rows.tolist()
        self.learning |= torch.is_grad_enabled()
        angle = batch.input_ids * 0.37 + torch.arange(batch.input_ids.shape[1]) * 0.11
        start, end = self.scale * angle.sin(), self.scale * angle.cos()
        start[batch.rows == self.broken_row, 2] = float("nan")
        end[batch.mask == 0] = float("-inf")  # padding may be anything
        return Outputs(start, end)


class Stop(BaseException):
    """A pass is stopped from outside."""


class Report(PassReport):
    """Remembers what it is told; raises `Stop` when it is told of progress for the n-th time."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after = stop_after
        self.progressed: list[tuple[int, int]] = []
        self.n_computed: list[int] = []
        self.seconds: list[float] = []
        self.taken: list[tuple[str, int, float]] = []
        self.wholes: list[float] = []

    def progress(self, done: int, of: int) -> None:
        self.progressed.append((done, of))
        if len(self.progressed) == self.stop_after:
            raise Stop

    def computed(self, n_windows: int, seconds: float) -> None:
        self.n_computed.append(n_windows)
        self.seconds.append(seconds)

    def reused(self, source: str, n_windows: int, seconds: float) -> None:
        self.taken.append((source, n_windows, seconds))

    def found(self, n_windows: int, seconds: float) -> None:
        self.wholes.append(seconds)


def made_store(folder: Path, longest: int = 30, n_windows: int = N_WINDOWS) -> FeatureStore:
    """Windows of 5 to `longest` tokens, sixty if nobody says otherwise."""
    rng = np.random.default_rng(1)

    def window(example: int) -> Window:
        n = int(rng.integers(5, longest + 1))
        ids = rng.integers(10, 500, n).astype(np.int32)
        return Window(example, ids, np.zeros(n, np.int32), np.zeros((n, 2), np.int32), 3, n - 1)

    write_features(map(window, range(n_windows)), folder, vocab_size=500, fingerprint="f")
    return FeatureStore(folder)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """Sixty small windows."""
    return made_store(tmp_path / "store")


def label(store: FeatureStore, folder: Path, teacher: Any, **changes: Any) -> TeacherLabels:
    """A pass over all rows, or as `changes` say."""
    given: dict[str, Any] = {"rows": ALL, "max_batch_tokens": MAX_TOKENS} | changes
    return label_windows(cast(Network, teacher), store, given.pop("rows"), folder, **given)


def stopped(store: FeatureStore, folder: Path, teacher: Any, n_batches: int, **changes: Any) -> Report:
    """The report of a pass that is stopped after so many batches."""
    report = Report(n_batches)
    with pytest.raises(Stop):
        label(store, folder, teacher, report=report, **changes)
    return report


def bytes_of(kept: TeacherLabels, store: FeatureStore, rows: Any = ALL) -> bytes:
    """All logits of a pass."""
    return b"".join(logits.numpy().tobytes() for logits in kept.logits(store.batch(rows, 0)))


def passes(folder: Path) -> list[tuple[str, int, float]]:
    """Name, batches and seconds of each pass in the table."""
    with closing(sqlite3.connect(folder / "outputs.sqlite")) as db:
        return db.execute("SELECT name, batches, seconds FROM passes ORDER BY id").fetchall()


def test_each_row_gets_its_own_logits(store: FeatureStore, tmp_path: Path) -> None:
    """In any batch, in any order: right to 0.004 where logits reach 8, and zero on padding."""
    kept = label(store, tmp_path / "labels", Teacher())
    for rows in (ALL[:1], ALL[::-1].copy(), np.array([40, 3, 59, 3])):
        batch = store.batch(rows, 0)
        start, end = kept.logits(batch)
        exact = Teacher().forward(batch)
        exact.end_logits[batch.mask == 0] = 0
        assert start.dtype == end.dtype == torch.float32
        assert start.shape == end.shape == batch.input_ids.shape
        for found, wanted in ((start, exact.start_logits), (end, exact.end_logits)):
            assert ((found - wanted).abs() * batch.mask).max() < 0.004
            assert not (found * (1 - batch.mask)).any()


def test_a_row_is_computed_once_without_gradients(store: FeatureStore, tmp_path: Path) -> None:
    """A finished pass is read from disk by the next caller."""
    teacher, later = Teacher(), Teacher()
    first = label(store, tmp_path / "labels", teacher)
    assert sorted(teacher.seen) == ALL.tolist()
    assert not teacher.learning
    second = label(store, tmp_path / "labels", later)
    assert not later.seen
    batch = store.batch(ALL, 0)
    assert all(torch.equal(a, b) for a, b in zip(first.logits(batch), second.logits(batch), strict=True))


def test_progress_is_told_in_windows(store: FeatureStore, tmp_path: Path) -> None:
    """Progress counts up to all windows, also where a pass resumes."""
    stopped(store, tmp_path / "labels", Teacher(), 4)
    assert [batches for _, batches, _ in passes(tmp_path / "labels")] == [4]
    report = Report()
    label(store, tmp_path / "labels", Teacher(), report=report)
    told = report.progressed
    assert told == sorted(set(told))
    assert told[0][0] > 4
    assert told[-1] == (N_WINDOWS, N_WINDOWS)


@pytest.mark.parametrize("n_batches", [1, 3, 7])
def test_a_stopped_pass_resumes_with_the_same_bytes(
    store: FeatureStore, tmp_path: Path, n_batches: int
) -> None:
    """Stopped after every few batches until it is done: nothing is computed twice, and the logits are the
    same.
    """
    straight = label(store, tmp_path / "straight", Teacher())
    teacher = Teacher()
    for _ in range(200):
        try:
            broken = label(store, tmp_path / "broken", teacher, report=Report(n_batches))
            break
        except Stop:
            continue
    assert sorted(teacher.seen) == ALL.tolist()
    assert bytes_of(broken, store) == bytes_of(straight, store)


@pytest.mark.parametrize("moment", [1, 3, 8, 9])
def test_a_killed_pass_repeats_what_was_not_saved(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """From the files as kill -9 leaves them: what was saved is there, the rest is computed again, to the same
    bytes.
    """
    monkeypatch.setattr(teacher_cache, "_SAVE_EVERY", 3)

    class Photograph(PassReport):
        batches = 0

        def progress(self, done: int, of: int) -> None:
            self.batches += 1
            if self.batches == moment:
                shutil.copytree(tmp_path / "straight", tmp_path / "killed")

    straight = label(store, tmp_path / "straight", Teacher(), report=Photograph())
    assert [batches for _, batches, _ in passes(tmp_path / "killed")] == [moment // 3 * 3]
    teacher = Teacher()
    killed = label(store, tmp_path / "killed", teacher)
    assert (len(teacher.seen) < N_WINDOWS) == (moment >= 3)
    assert bytes_of(killed, store) == bytes_of(straight, store)


def test_another_teacher_starts_again(store: FeatureStore, tmp_path: Path) -> None:
    """Another teacher never resumes from what is there, nor reads it."""
    first = stopped(store, tmp_path / "labels", Teacher(), 5, identity="a", who="a")
    assert first.progressed
    teacher = Teacher(scale=2.0)
    kept = label(store, tmp_path / "labels", teacher, identity="b", who="b")
    assert sorted(teacher.seen) == ALL.tolist()
    batch = store.batch(ALL, 0)
    exact = Teacher(scale=2.0).forward(batch).start_logits
    assert ((kept.logits(batch)[0] - exact).abs() * batch.mask).max() < 0.001


@pytest.mark.parametrize(
    "changes",
    [{"rows": ALL[:50]}, {"rows": ALL[10:]}, {"max_batch_tokens": MAX_TOKENS * 2}],
    ids=["fewer-rows", "other-rows", "batches"],
)
def test_a_pass_over_something_else_takes_only_windows(
    store: FeatureStore, tmp_path: Path, changes: dict[str, Any]
) -> None:
    """Other rows or other batches are another pass, which computes what the stopped one did not."""
    early, late = Teacher(), Teacher()
    stopped(store, tmp_path / "labels", early, 5)
    kept = label(store, tmp_path / "labels", late, **changes)
    rows = changes.get("rows", ALL)
    assert set(late.seen) == set(rows.tolist()) - set(early.seen)
    batch = store.batch(rows, 0)
    exact = Teacher().forward(batch).start_logits
    assert ((kept.logits(batch)[0] - exact).abs() * batch.mask).max() < 0.004


def test_the_time_of_a_pass_is_told_as_it_goes(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each saving tells its windows and seconds, a stop too, so that over all starts they add up to the whole
    pass.
    """
    monkeypatch.setattr(teacher_cache, "_SAVE_EVERY", 2)
    clock = iter(range(1000))
    monkeypatch.setattr(teacher_cache.time, "perf_counter", lambda: float(next(clock)))
    first = stopped(store, tmp_path / "labels", Teacher(), 5)
    assert len(first.n_computed) == 3
    assert sum(first.n_computed) < N_WINDOWS
    rest = Report()
    label(store, tmp_path / "labels", Teacher(), report=rest)
    assert rest.n_computed
    assert sum(first.n_computed + rest.n_computed) == N_WINDOWS
    assert {*first.seconds, *rest.seconds} == {1.0}
    nothing = Report()
    label(store, tmp_path / "labels", Teacher(), report=nothing)
    assert not nothing.n_computed


def test_a_damaged_table_is_named(store: FeatureStore, tmp_path: Path) -> None:
    """The message names the file and the remedy, and the remedy works."""
    whole = bytes_of(label(store, tmp_path / "labels", Teacher()), store)
    file = tmp_path / "labels" / "outputs.sqlite"
    file.write_bytes(b"no table" * 1000)
    with pytest.raises(RunError, match=r"outputs\.sqlite are damaged .*Delete that file"):
        label(store, tmp_path / "labels", Teacher())
    file.unlink()
    assert bytes_of(label(store, tmp_path / "labels", Teacher()), store) == whole


def test_a_table_that_vanishes_under_a_run_is_named(store: FeatureStore, tmp_path: Path) -> None:
    """Zeros are never taken for a teacher's logits."""
    kept = label(store, tmp_path / "labels", Teacher())
    with closing(sqlite3.connect(tmp_path / "labels" / "outputs.sqlite")) as db, db:
        db.execute("DELETE FROM outputs WHERE id = 7")
    with pytest.raises(RunError, match=r"outputs\.sqlite no longer has .*Delete it"):
        bytes_of(kept, store)


def test_logits_that_are_not_finite_are_an_error_that_names_the_window(
    store: FeatureStore, tmp_path: Path
) -> None:
    """Nothing is learned from a broken teacher; what was right before stays."""
    with pytest.raises(RunError, match="not finite for window 33; "):
        label(store, tmp_path / "labels", Teacher(broken_row=33))
    repaired = Teacher()
    label(store, tmp_path / "labels", repaired)
    assert 33 in repaired.seen
    assert len(repaired.seen) < N_WINDOWS


def test_huge_logits_stay_finite(store: FeatureStore, tmp_path: Path) -> None:
    """What half precision cannot hold is cut to the largest number that it can, not to infinity."""
    start, end = label(store, tmp_path / "labels", Teacher(scale=1e6)).logits(store.batch(ALL, 0))
    assert start.isfinite().all()
    assert end.isfinite().all()
    assert start.max() > 59_000


def test_a_full_disk_is_reported_and_the_pass_resumes_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is one with advice, no crash of the process; batches that were saved are kept, and the end is
    the same.
    """
    monkeypatch.setattr(teacher_cache, "_SAVE_EVERY", 1)
    store = made_store(tmp_path / "store", longest=1000)  # some 30 pages of logits
    straight = label(store, tmp_path / "straight", Teacher())
    with small_disk(tmp_path / "disk", "256k") as disk:
        ballast = disk / "ballast"
        ballast.write_bytes(b"." * 4096 * 50)
        with pytest.raises(RunError, match=r"disk.*[Mm]ake room"):
            label(store, disk / "labels", Teacher())
        ballast.unlink()
        teacher = Teacher()
        kept = label(store, disk / "labels", teacher)
        assert bytes_of(kept, store) == bytes_of(straight, store)
        assert 0 < len(teacher.seen) < N_WINDOWS


def test_rows_that_were_not_chosen_take_no_time(store: FeatureStore, tmp_path: Path) -> None:
    """Only the chosen rows are run through the teacher."""
    teacher = Teacher()
    rows = np.array([2, 30, 31, 58], dtype=np.int64)
    kept = label(store, tmp_path / "labels", teacher, rows=rows)
    assert sorted(teacher.seen) == rows.tolist()
    assert kept.logits(store.batch(rows, 0))[0].any(dim=1).all()


class Engine(Runtime):
    """Stands in for a `Runtime`: logits between -8 and 8 that depend on the token and its place."""

    facts = ModelFacts(pad_id=1)

    def __init__(self, broken: float | None = None) -> None:
        self.broken = broken

    def logits(self, input_ids: Any, mask: Any, segment_ids: Any) -> Any:
        """Start and end logits."""
        angle = input_ids * 0.37 + np.arange(input_ids.shape[1]) * 0.11
        start, end = (8 * wave(angle).astype(np.float32) for wave in (np.sin, np.cos))
        start[mask == 0] = np.inf
        if self.broken is not None:
            end[:, 0] = self.broken
        return start, end


def carried(pairs: PairStore, folder: Path, size: int = 4096, value: float | None = None) -> TeacherLabels:
    """All rows of pairs, computed by an engine in batches of that size."""
    rows = np.arange(len(pairs.student), dtype=np.int64)
    asked = Pass(
        identity="t",
        teacher="t",
        batches=sorted_batches(rows, pairs.lengths, size),
        compute=paired_windows(by_runtime(Engine(value)), pairs, 1),
        key=paired_key(pairs),
    )
    return TeacherCache(folder).outputs(asked, PassReport())


@pytest.mark.parametrize("max_tokens", [None, 40])
def test_a_teacher_with_another_tokenizer_is_carried_over(tmp_path: Path, max_tokens: int | None) -> None:
    """Each row holds logarithms of the distribution carried to its tokens, read in one piece or several, in
    any batches.
    """
    pairs = store_of(tmp_path, max_tokens)
    rows = np.arange(len(pairs.student), dtype=np.int64)
    kept = [carried(pairs, tmp_path / f"labels-{size}", size) for size in (50, 4096)]
    assert bytes_of(kept[0], pairs.student, rows) == bytes_of(kept[1], pairs.student, rows)
    batch = pairs.student.batch(rows, 0)
    found = [
        logits.masked_fill(~batch.allowed, -torch.inf).softmax(-1).numpy() for logits in kept[0].logits(batch)
    ]
    for row in rows.tolist():
        slices = []
        for piece in pairs.pieces(row):
            own = pairs.windows.batch(np.array([piece]), 1)
            start, end = (x[0] for x in Engine().logits(own.input_ids.numpy(), own.mask.numpy(), None))
            places = pairs.teacher_places(piece)
            taken = [0, *range(places.first, places.stop)]
            slices.append(SliceLogits(start[taken], end[taken], places.context, pairs.begin(piece)))
        student = pairs.student_places(row)
        for line, expected in zip(found, carry(merge_pieces(slices), student), strict=True):
            assert line[row, : len(student)] == pytest.approx(expected, rel=5e-3, abs=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_found_before_they_are_carried(tmp_path: Path, value: float) -> None:
    """A teacher that says -inf of the null position is as broken as one that says NaN."""
    pairs = store_of(tmp_path)
    with pytest.raises(RunError, match="not finite for window"):
        carried(pairs, tmp_path / "labels", value=value)


def test_several_teachers_are_averaged_by_their_weights(store: FeatureStore, tmp_path: Path) -> None:
    """The mean of the distributions over the allowed positions; one teacher alone is itself."""
    a = label(store, tmp_path / "a", Teacher(scale=2.0))
    b = label(store, tmp_path / "b", Teacher(scale=5.0))
    batch = store.batch(ALL, 0)
    mean = MeanLabels([a, b], [3.0, 1.0])
    for found, one, other in zip(mean.logits(batch), a.logits(batch), b.logits(batch), strict=True):
        assert found.dtype == torch.float32
        for row in range(len(ALL)):
            allowed = batch.allowed[row].numpy()
            expected = 0.75 * softmax(one[row].numpy()[allowed]) + 0.25 * softmax(other[row].numpy()[allowed])
            assert np.exp(found[row].numpy()[allowed]) == pytest.approx(expected, rel=1e-5)
            assert (found[row].numpy()[~allowed] == -1e4).all()
    alone = MeanLabels([a], [0.3]).logits(batch)[0].masked_fill(~batch.allowed, -torch.inf).softmax(-1)
    torch.testing.assert_close(alone, a.logits(batch)[0].masked_fill(~batch.allowed, -torch.inf).softmax(-1))


def test_a_whole_pass_is_found_with_its_seconds(store: FeatureStore, tmp_path: Path) -> None:
    """Whoever finds all outputs is told what they took; whoever computed them is not."""
    first, second = Report(), Report()
    label(store, tmp_path / "labels", Teacher(), report=first)
    assert not first.wholes
    label(store, tmp_path / "labels", Teacher(), report=second)
    assert second.wholes == [seconds for _, _, seconds in passes(tmp_path / "labels")]
    assert second.wholes == pytest.approx([sum(first.seconds)])


@pytest.mark.skipif(os.name == "nt", reason="locks of files")
def test_a_second_run_waits_for_the_first(store: FeatureStore, tmp_path: Path) -> None:
    """Two processes never compute one pass: the second asks whether to wait, and is free when the first dies."""
    folder = tmp_path / "labels"
    folder.mkdir()
    hold = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print('held'); time.sleep(60)"
    lengths, waited = store.lengths, list[int]()

    def compute(rows: Any) -> Any:
        assert other.poll() is not None
        return [np.zeros((n, 2), np.float32) for n in lengths[rows]]

    asked = Pass("t", "t", sorted_batches(ALL, lengths, MAX_TOKENS), compute, own_key(store))

    class Waiting(PassReport):
        def waiting(self) -> None:
            waited.append(1)
            if len(waited) == 1:
                raise Stop
            other.kill()

    command = [sys.executable, "-u", "-c", hold, str(folder / f".{asked.name}.lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(Stop):
            TeacherCache(folder).outputs(asked, Waiting())
        TeacherCache(folder).outputs(asked, Waiting())
    assert len(waited) >= 2


def test_a_whole_pass_is_only_read(store: FeatureStore, tmp_path: Path) -> None:
    """Nothing is written where all is there, not even a lock: another user's directory will do."""
    folder = tmp_path / "labels"
    label(store, folder, Teacher())
    for lock in folder.glob(".*.lock"):
        lock.unlink()
    before = {path: path.stat().st_mtime_ns for path in (folder, *folder.iterdir())}
    bytes_of(label(store, folder, Teacher()), store)
    assert {path: path.stat().st_mtime_ns for path in (folder, *folder.iterdir())} == before


def test_a_directory_that_cannot_be_written_to_is_reported(store: FeatureStore, tmp_path: Path) -> None:
    """The error names the setting that gives another directory."""
    (tmp_path / "labels").write_text("a file")
    with pytest.raises(RunError, match=r"could not be kept in .*labels .*training\.teacher_outputs"):
        label(store, tmp_path / "labels", Teacher())


def test_other_passes_do_not_disturb_one_that_is_in_use(store: FeatureStore, tmp_path: Path) -> None:
    """A run that reads its outputs goes on with them, while another teacher's are added to the table."""
    earlier = label(store, tmp_path / "labels", Teacher())
    wanted = bytes_of(earlier, store)
    stopped(store, tmp_path / "labels", Teacher(scale=2.0), 1, identity="b", who="b")
    label(store, tmp_path / "labels", Teacher(), max_batch_tokens=MAX_TOKENS * 2)
    assert bytes_of(earlier, store) == wanted


def test_windows_of_another_pass_are_reused(store: FeatureStore, tmp_path: Path) -> None:
    """Only what is missing is computed, the whole is the same, and a third pass finds both."""
    first, second = Report(), Report()
    label(store, tmp_path / "p", Teacher(), rows=SOME, report=first)
    teacher = Teacher()
    shared = label(store, tmp_path / "p", teacher, report=second)
    assert sorted(teacher.seen) == sorted(set(ALL.tolist()) - set(SOME.tolist()))
    ((source, n, seconds),) = second.taken  # added up, not batch by batch
    assert (source, n) == (passes(tmp_path / "p")[0][0], len(SOME))
    assert sum(second.n_computed) == len(ALL) - len(SOME)
    assert seconds == pytest.approx(sum(first.seconds))
    alone = label(store, tmp_path / "alone", Teacher())
    assert bytes_of(shared, store) == bytes_of(alone, store)
    silent = Teacher()
    label(store, tmp_path / "p", silent, rows=ALL[1::2])
    assert not silent.seen


def test_other_data_sets_share_windows(store: FeatureStore, tmp_path: Path) -> None:
    """Keys are of what a window holds, not of where it stands: here another store has twenty windows more."""
    before = label(store, tmp_path / "p", Teacher())
    longer, teacher = made_store(tmp_path / "longer", n_windows=80), Teacher()
    kept = label(longer, tmp_path / "p", teacher, rows=np.arange(80), identity="longer")
    assert sorted(teacher.seen) == list(range(60, 80))
    assert kept.logits(longer.batch(ALL, 0))[0].equal(before.logits(store.batch(ALL, 0))[0])


def test_only_the_same_teachers_outputs_are_reused(store: FeatureStore, tmp_path: Path) -> None:
    """Not those of another teacher, precision or engine; those of a pass that was stopped are as good as any."""
    label(store, tmp_path / "p", Teacher(), who="o", identity="o")
    early, teacher = Teacher(), Teacher()
    stopped(store, tmp_path / "p", early, 2, identity="stopped")
    label(store, tmp_path / "p", teacher)
    assert sorted(early.seen + teacher.seen) == ALL.tolist()


def test_a_pass_resumes_with_the_outputs_it_began_with(store: FeatureStore, tmp_path: Path) -> None:
    """What another pass adds between two starts changes nothing: the same windows are computed together."""
    batches: list[list[int]] = []

    class Recording(Teacher):
        def forward(self, batch: Batch) -> Outputs:
            batches.append(batch.rows.tolist())
            return super().forward(batch)

    label(store, tmp_path / "straight", Teacher(), rows=SOME)
    straight = label(store, tmp_path / "straight", Recording())
    wanted, batches[:] = list(batches), []
    label(store, tmp_path / "p", Teacher(), rows=SOME)
    stopped(store, tmp_path / "p", Recording(), 2)
    label(store, tmp_path / "p", Teacher(), identity="later")
    resumed = label(store, tmp_path / "p", Recording())
    assert batches == wanted
    assert bytes_of(resumed, store) == bytes_of(straight, store)


def test_a_batch_that_fails_counts_nothing(store: FeatureStore, tmp_path: Path) -> None:
    """What it had reused is reused again at the next start, and told once."""
    label(store, tmp_path / "p", Teacher(), rows=SOME)
    report = Report()
    for _ in range(3):
        with pytest.raises(RunError, match="not finite"):
            label(store, tmp_path / "p", Teacher(broken_row=59), report=report)
    label(store, tmp_path / "p", Teacher(), report=report)
    assert sum(n for _, n, _ in report.taken) == len(SOME)


def test_keys_tell_windows_apart(tmp_path: Path) -> None:
    """Rows with other tokens have other keys, in a student's own store as in pairs; the same row has one."""
    pairs = store_of(tmp_path)
    for key in (own_key(pairs.student), paired_key(pairs)):
        keys = [key(row) for row in range(len(pairs.student))]
        assert len(set(keys)) == len(keys)
        assert {len(one) for one in keys} == {16}
        assert key(0) == keys[0]


@pytest.mark.parametrize("field", ["segment", "segment_stop", "first", "stop"])
def test_all_that_a_reader_of_the_same_windows_sees_is_in_the_key(tmp_path: Path, field: str) -> None:
    """Tokens are not all: where the segments and the context begin and end fixes what may be said."""
    store = made_store(tmp_path / "s")
    before = own_key(store)(3)
    store.index = np.array(store.index)
    store.index[field][3] += 1
    assert own_key(store)(3) != before


@pytest.mark.parametrize(
    "what", ["_student", "_teacher", "_begins", "ids", "segment", "segment_stop", "first", "stop"]
)
def test_all_that_carrying_needs_is_in_the_key(tmp_path: Path, what: str) -> None:
    """The teacher's tokens and segments, the places of both sides, and where a piece begins."""
    pairs: Any = store_of(tmp_path)
    before = paired_key(pairs)(0)
    if what in ("_student", "_teacher", "_begins", "ids"):
        owner = pairs.windows if what == "ids" else pairs
        setattr(owner, what, np.array(getattr(owner, what)) + 1)
    else:
        pairs.windows.index = np.array(pairs.windows.index)
        pairs.windows.index[what][0] += 1
    assert paired_key(pairs)(0) != before
