"""`distil.labels`: the teacher's outputs are computed once, kept on disk, and survive a kill."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from small_disk import small_disk
from test_pairs import store_of
from tiny_batches import label_windows
from tinyreader.distil import labels
from tinyreader.distil.alignment import Said, carry, most_context, softmax
from tinyreader.distil.features import FeatureStore, sorted_batches, write_features
from tinyreader.distil.labels import MeanLabels, TeacherLabels, by_runtime, keep_labels, paired_windows
from tinyreader.distil.network import Batch, Network, Outputs
from tinyreader.errors import RunError
from tinyreader.runtimes import ModelFacts, Runtime
from tinyreader.windows import Window

N_WINDOWS = 60
ALL = np.arange(N_WINDOWS, dtype=np.int64)
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


def stop_after(n_batches: int) -> Any:
    """An `on_batch` that raises `Stop` when it is called for the n-th time."""
    calls = []

    def on_batch(done: int, of: int) -> None:
        calls.append((done, of))
        if len(calls) == n_batches:
            raise Stop

    return on_batch


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


def label(store: FeatureStore, folder: Path, teacher: Teacher, **changes: Any) -> TeacherLabels:
    """A pass over all rows, or as `changes` say."""
    given: dict[str, Any] = {"rows": ALL, "identity": "t", "max_batch_tokens": MAX_TOKENS} | changes
    return label_windows(cast(Network, teacher), store, given.pop("rows"), folder, **given)


def bytes_of(folder: Path) -> bytes:
    """The logits on disk."""
    return (folder / "logits.bin").read_bytes()


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
    """`on_batch` counts up to all windows, also where a pass goes on."""
    told: list[tuple[int, int]] = []
    with pytest.raises(Stop):
        label(store, tmp_path / "labels", Teacher(), on_batch=stop_after(4))
    done = json.loads((tmp_path / "labels" / "labels.json").read_text())["batches"]
    assert done == 4
    label(store, tmp_path / "labels", Teacher(), on_batch=lambda n, of: told.append((n, of)))
    assert told == sorted(set(told))
    assert told[0][0] > 4
    assert told[-1] == (N_WINDOWS, N_WINDOWS)


@pytest.mark.parametrize("n_batches", [1, 3, 7])
def test_a_stopped_pass_goes_on_with_the_same_bytes(
    store: FeatureStore, tmp_path: Path, n_batches: int
) -> None:
    """Stopped after every few batches until it is done: nothing is computed twice, and the file is the
    same.
    """
    label(store, tmp_path / "straight", Teacher())
    teacher = Teacher()
    for _ in range(200):
        try:
            label(store, tmp_path / "broken", teacher, on_batch=stop_after(n_batches))
            break
        except Stop:
            continue
    assert sorted(teacher.seen) == ALL.tolist()
    assert bytes_of(tmp_path / "broken") == bytes_of(tmp_path / "straight")


@pytest.mark.parametrize("moment", [1, 3, 8, 9])
def test_a_killed_pass_repeats_what_was_not_noted(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    """From the files as kill -9 leaves them: what was noted is there, the rest is computed again, to the same
    bytes.
    """
    monkeypatch.setattr(labels, "_SAVE_EVERY", 3)
    batches = 0

    def photograph(done: int, of: int) -> None:
        nonlocal batches
        batches += 1
        if batches == moment:
            shutil.copytree(tmp_path / "straight", tmp_path / "killed")

    label(store, tmp_path / "straight", Teacher(), on_batch=photograph)
    note = tmp_path / "killed" / "labels.json"
    assert (json.loads(note.read_text())["batches"] if note.exists() else 0) == moment // 3 * 3
    teacher = Teacher()
    label(store, tmp_path / "killed", teacher)
    assert (len(teacher.seen) < N_WINDOWS) == (moment >= 3)
    assert bytes_of(tmp_path / "killed") == bytes_of(tmp_path / "straight")


@pytest.mark.parametrize(
    "changes",
    [
        {"identity": "another teacher"},
        {"rows": ALL[:50]},
        {"rows": ALL[10:]},
        {"max_batch_tokens": MAX_TOKENS * 2},
    ],
    ids=["teacher", "fewer-rows", "other-rows", "batches"],
)
def test_a_pass_over_something_else_starts_again(
    store: FeatureStore, tmp_path: Path, changes: dict[str, Any]
) -> None:
    """Another teacher, other rows or other batches never go on from what is there."""
    with pytest.raises(Stop):
        label(store, tmp_path / "labels", Teacher(), on_batch=stop_after(5))
    teacher = Teacher(scale=2.0)
    kept = label(store, tmp_path / "labels", teacher, **changes)
    rows = changes.get("rows", ALL)
    assert sorted(teacher.seen) == rows.tolist()
    batch = store.batch(rows, 0)
    assert (
        (kept.logits(batch)[0] - Teacher(scale=2.0).forward(batch).start_logits).abs() * batch.mask
    ).max() < 0.001


def test_zeros_are_never_taken_for_logits(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after a lost file of logits was made anew and before its first batch: the old note does not
    vouch for it.
    """
    folder, killed = tmp_path / "labels", tmp_path / "killed"
    label(store, folder, Teacher())
    whole = bytes_of(folder)
    (folder / "logits.bin").unlink()

    def photograph(*_: object) -> int:
        shutil.copytree(folder, killed)
        raise Stop

    with monkeypatch.context() as patched:
        patched.setattr(labels, "_label", photograph)
        with pytest.raises(Stop):
            label(store, folder, Teacher())
    assert not any(bytes_of(killed))
    label(store, killed, Teacher())
    assert bytes_of(killed) == whole


def test_the_time_of_a_pass_is_told_as_it_goes(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each note tells its windows and seconds, a stop too, so that over all starts they add up to the whole
    pass.
    """
    monkeypatch.setattr(labels, "_SAVE_EVERY", 2)
    clock = iter(range(1000))
    monkeypatch.setattr(labels.time, "perf_counter", lambda: float(next(clock)))
    told: list[tuple[int, float]] = []
    with pytest.raises(Stop):
        label(
            store, tmp_path / "labels", Teacher(), on_batch=stop_after(5), on_kept=lambda *x: told.append(x)
        )
    n = len(told)
    assert n == 3
    assert sum(windows for windows, _ in told) < N_WINDOWS
    label(store, tmp_path / "labels", Teacher(), on_kept=lambda *x: told.append(x))
    assert len(told) > n
    assert sum(windows for windows, _ in told) == N_WINDOWS
    assert {seconds for _, seconds in told} == {1.0}
    label(store, tmp_path / "labels", Teacher(), on_kept=lambda *_: pytest.fail("nothing was left to do"))


@pytest.mark.parametrize("note", ["", "[]", "7", "{}", '{"identity": 1', '{"batches": 3}', "\x00\x00"])
def test_a_damaged_note_starts_the_pass_again(store: FeatureStore, tmp_path: Path, note: str) -> None:
    """What cannot be trusted is done again."""
    label(store, tmp_path / "labels", Teacher())
    whole = bytes_of(tmp_path / "labels")
    (tmp_path / "labels" / "labels.json").write_text(note)
    teacher = Teacher()
    label(store, tmp_path / "labels", teacher)
    assert len(teacher.seen) == N_WINDOWS
    assert bytes_of(tmp_path / "labels") == whole


@pytest.mark.parametrize("n_batches", [5, None], ids=["half-way", "done"])
@pytest.mark.parametrize("content", [None, b"", b"\x00" * 40])
def test_lost_logits_start_the_pass_again(
    store: FeatureStore, tmp_path: Path, n_batches: int | None, content: bytes | None
) -> None:
    """Where the file of logits is missing or of another size, its zeros are never taken for a teacher's
    opinion.
    """
    folder = tmp_path / "labels"
    label(store, tmp_path / "straight", Teacher())
    try:
        label(store, folder, Teacher(), on_batch=stop_after(n_batches) if n_batches else None)
    except Stop:
        assert n_batches
    (folder / "logits.bin").unlink()
    if content is not None:
        (folder / "logits.bin").write_bytes(content)
    teacher = Teacher()
    label(store, folder, teacher)
    assert len(teacher.seen) == N_WINDOWS
    assert bytes_of(folder) == bytes_of(tmp_path / "straight")


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


def test_a_full_disk_is_said_and_the_pass_goes_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is one with advice, no crash of the process; batches that were noted are kept, and the end is
    the same.
    """
    monkeypatch.setattr(labels, "_SAVE_EVERY", 1)
    store = made_store(tmp_path / "store", longest=1000)  # some 30 pages of logits
    label(store, tmp_path / "straight", Teacher())
    with small_disk(tmp_path / "disk", "256k") as disk:
        ballast = disk / "ballast"
        ballast.write_bytes(b"." * 4096 * 50)
        with pytest.raises(RunError, match=r"No space left.*[Mm]ake room"):
            label(store, disk / "labels", Teacher())
        ballast.unlink()
        teacher = Teacher()
        label(store, disk / "labels", teacher)
        assert bytes_of(disk / "labels") == bytes_of(tmp_path / "straight")
        assert 0 < len(teacher.seen) < N_WINDOWS


def test_rows_that_were_not_chosen_take_no_time(store: FeatureStore, tmp_path: Path) -> None:
    """Only the chosen rows are run through the teacher."""
    teacher = Teacher()
    rows = np.array([2, 30, 31, 58], dtype=np.int64)
    kept = label(store, tmp_path / "labels", teacher, rows=rows)
    assert sorted(teacher.seen) == rows.tolist()
    assert kept.logits(store.batch(rows, 0))[0].any(dim=1).all()
    assert (tmp_path / "labels" / "logits.bin").stat().st_size == 4 * len(store.ids)


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


@pytest.mark.parametrize("max_tokens", [None, 40])
def test_a_teacher_with_another_tokenizer_is_carried_over(tmp_path: Path, max_tokens: int | None) -> None:
    """Each row holds logarithms of the distribution carried to its tokens, read in one piece or several, in
    any batches.
    """
    pairs = store_of(tmp_path, max_tokens)
    rows = np.arange(len(pairs.student), dtype=np.int64)
    kept = [
        keep_labels(
            paired_windows(by_runtime(Engine()), pairs, 1),
            pairs.student,
            sorted_batches(rows, pairs.lengths, size),
            tmp_path / f"labels-{size}",
            identity="t",
        )
        for size in (50, 4096)
    ]
    assert bytes_of(tmp_path / "labels-50") == bytes_of(tmp_path / "labels-4096")
    batch = pairs.student.batch(rows, 0)
    found = [
        logits.masked_fill(~batch.allowed, -torch.inf).softmax(-1).numpy() for logits in kept[0].logits(batch)
    ]
    for row in rows.tolist():
        said = []
        for piece in pairs.pieces(row):
            own = pairs.windows.batch(np.array([piece]), 1)
            start, end = (x[0] for x in Engine().logits(own.input_ids.numpy(), own.mask.numpy(), None))
            places = pairs.teacher_places(piece)
            taken = [0, *range(places.first, places.stop)]
            said.append(Said(start[taken], end[taken], places.context, pairs.begin(piece)))
        student = pairs.student_places(row)
        for line, expected in zip(found, carry(most_context(said), student), strict=True):
            assert line[row, : len(student)] == pytest.approx(expected, rel=5e-3, abs=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_found_before_they_are_carried(tmp_path: Path, value: float) -> None:
    """A teacher that says -inf of the null position is as broken as one that says NaN."""
    pairs = store_of(tmp_path)
    rows = np.arange(len(pairs.student), dtype=np.int64)
    with pytest.raises(RunError, match="not finite for window"):
        keep_labels(
            paired_windows(by_runtime(Engine(value)), pairs, 1),
            pairs.student,
            [rows],
            tmp_path / "labels",
            identity="t",
        )


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
    """Who finds everything there is told what it took; who had to work is not."""
    told: list[float] = []

    def again() -> None:
        batches = sorted_batches(ALL, store.lengths, MAX_TOKENS)
        keep_labels(
            lambda rows: [np.zeros((n, 2), np.float32) for n in store.lengths[rows]],
            store,
            batches,
            tmp_path / "labels",
            identity="t",
            on_found=told.append,
        )

    again()
    assert not told
    again()
    assert told == [json.loads((tmp_path / "labels" / "labels.json").read_text())["seconds"]]


@pytest.mark.skipif(os.name == "nt", reason="locks of files")
def test_a_second_run_waits_for_the_first(store: FeatureStore, tmp_path: Path) -> None:
    """Two processes never write one pass: the second asks whether to go on waiting, and is free when the
    first dies.
    """
    folder = tmp_path / "labels"
    folder.mkdir()
    hold = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print('held'); time.sleep(60)"
    command = [sys.executable, "-u", "-c", hold, str(folder / ".lock")]
    batches = sorted_batches(ALL, store.lengths, MAX_TOKENS)
    waited: list[int] = []

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:

        def wait() -> None:
            waited.append(1)
            if len(waited) == 1:
                raise Stop
            other.kill()

        def read(rows: Any) -> Any:
            assert other.poll() is not None
            return [np.zeros((n, 2), np.float32) for n in store.lengths[rows]]

        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(Stop):
            keep_labels(read, store, batches, folder, identity="t", on_wait=wait)
        keep_labels(read, store, batches, folder, identity="t", on_wait=wait)
    assert len(waited) >= 2


def test_a_whole_pass_is_only_read(store: FeatureStore, tmp_path: Path) -> None:
    """Nothing is written where all is there, not even a lock: another user's folder will do."""
    folder = tmp_path / "labels"
    label(store, folder, Teacher())
    (folder / ".lock").unlink()
    before = {path: path.stat().st_mtime_ns for path in (folder, *folder.iterdir())}
    label(store, folder, Teacher())
    assert {path: path.stat().st_mtime_ns for path in (folder, *folder.iterdir())} == before


def test_a_folder_that_cannot_be_written_to_is_said(store: FeatureStore, tmp_path: Path) -> None:
    """The error names the setting that gives another folder."""
    (tmp_path / "labels" / ".lock").mkdir(parents=True)  # as forbidden as can be, for any user
    with pytest.raises(RunError, match=r"could not be kept in .*labels .*training\.teacher_outputs"):
        label(store, tmp_path / "labels", Teacher())


def test_who_reads_a_pass_keeps_it_when_it_is_made_anew(store: FeatureStore, tmp_path: Path) -> None:
    """A run that has the outputs open goes on with them, where another run finds its pass to be a different
    one.
    """
    folder, batch = tmp_path / "labels", store.batch(ALL, 0)
    earlier = label(store, folder, Teacher())
    wanted = [logits.clone() for logits in earlier.logits(batch)]
    with pytest.raises(Stop):
        label(store, folder, Teacher(), identity="another", on_batch=stop_after(1))
    assert all(torch.equal(a, b) for a, b in zip(earlier.logits(batch), wanted, strict=True))
