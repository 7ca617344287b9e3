"""A folder's documents into the store and the index: what is new or changed is read, what is gone is
forgotten.

A file counts as unchanged while size and time of change are those it had, and else while its content has the
same hash. Texts and index change together; a kill leaves what was there.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tinyreader.collection.store import Change, Entry, FileState, Store
from tinyreader.documents import Document, document_of, find_files
from tinyreader.documents.files import suffix_of
from tinyreader.errors import DataError, MissingExtraError
from tinyreader.passages import passages_of, words_of
from tinyreader.progress import Progress
from tinyreader.storage import directory_lock, open_binary, text_hash

PLACES = "passages.npy"
"""Row of its document, begin and end of each passage, int64 [n, 3], in the order of the index."""

_LATE = "late:"
# A file that took too long is tried again after an hour: the machine may have been busy.
_RETRY_NS = 3_600_000_000_000
_UNSURE_NS = (
    2_000_000_000  # a file changed so shortly before it was read may change again and bear the same time
)


@dataclass(slots=True)
class Refreshed:
    """What changed, in files; documents and passages are all that there are now."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    unreadable: int = 0
    documents: int = 0
    passages: int = 0
    generation: int = 0


def refresh(
    folder: Path, index: Path, progress: Progress | None = None, *, file_s: float | None = None
) -> Refreshed:
    """Brings the index directory up to date with the folder. Raises `DataError` where one of them cannot be
    used.

    Files that cannot be read, hidden ones, and links that lead out of the folder have no documents; neither
    have those that take longer than `file_s` seconds. Such a limit takes SIGALRM: it is for the main thread
    of a process of its own.
    """
    progress = progress or Progress(quiet=True)
    store = Store(index)
    with directory_lock(index), store.change() as change:
        found = Refreshed()
        _remove_old_indexes(index, keep=store.generation)
        _update(folder, change, found, progress, file_s)
        found.generation = store.generation
        if not found.generation or found.added or found.changed or found.removed:
            found.generation += 1
            _build(change, index_path(index, found.generation), progress)
            change.set_generation(found.generation)
    _remove_old_indexes(index, keep=found.generation)
    found.passages = len(np.load(index_path(index, found.generation) / PLACES, mmap_mode="r"))
    found.documents, found.unreadable = store.counts()
    return found


def index_path(index: Path, generation: int) -> Path:
    """Where the index of that number is."""
    return index / f"index-{generation}"


def _update(folder: Path, change: Change, found: Refreshed, progress: Progress, file_s: float | None) -> None:
    known = change.states()
    files = _files(folder)
    for name in known.keys() - files.keys():
        change.remove(name)
        found.removed += 1
    for number, (name, path) in enumerate(files.items()):
        progress.show(f"reading documents: {number:,} of {len(files):,}")
        before = known.get(name)
        try:
            about = path.stat()
            seen = time.time_ns()
            if before is not None and _is_settled(before, about, seen, file_s):
                continue
            with open_binary(path) as file:
                raw = file.read()
        except (OSError, EOFError, ValueError) as error:
            raw, about, seen, problem = b"", None, 0, str(error)
        else:
            problem = ""
        size, mtime_ns = (about.st_size, about.st_mtime_ns) if about is not None else (0, 0)
        state = FileState(size, mtime_ns, seen, problem or text_hash(raw))
        if before is not None and before.fingerprint == state.fingerprint:
            change.touch(name, state)
            continue
        entry = _entry(name, raw, state, suffix_of(path), problem, file_s)
        if before is not None and before.fingerprint == entry.state.fingerprint:  # late again
            change.touch(name, entry.state)
            continue
        change.put(entry)
        if before is None:
            found.added += 1
        else:
            found.changed += 1


def _is_settled(before: FileState, about: os.stat_result, now_ns: int, file_s: float | None) -> bool:
    """Whether nothing has to be read to know what became of a file: it is as it was, and not one to be tried
    once more.
    """
    is_late = before.fingerprint.startswith(_LATE)
    if is_late and (before.fingerprint != f"{_LATE}{file_s}" or now_ns - before.seen_ns > _RETRY_NS):
        return False
    is_old = before.mtime_ns < before.seen_ns - _UNSURE_NS
    return is_old and (about.st_size, about.st_mtime_ns) == (before.size, before.mtime_ns)


def _files(folder: Path) -> dict[str, Path]:
    """The folder's files by their names in it, in order; what leads out of it is left out."""
    home = folder.resolve()
    if not home.is_dir():
        raise DataError(f"{folder}: no such folder")
    files = {}
    for file in find_files([folder])[0]:
        path = file.path.resolve()
        if path.is_relative_to(home):
            files[file.path.relative_to(folder).as_posix()] = path
    return dict(sorted(files.items()))


def _entry(name: str, raw: bytes, state: FileState, suffix: str, problem: str, file_s: float | None) -> Entry:
    if problem:
        return Entry(state, Document(name, ""), problem)
    try:
        with _within(file_s):
            document = document_of(raw, name, suffix)
        document.text.encode("utf-8")
    except (DataError, MissingExtraError, UnicodeEncodeError) as error:
        return Entry(state, Document(name, ""), str(error))
    except _TimeoutReached as error:  # no hash, by which it would count as known for good
        return Entry(replace(state, fingerprint=f"{_LATE}{file_s}"), Document(name, ""), str(error))
    passages = list(passages_of(document))
    return Entry(
        state,
        document,
        None,
        tuple((p.start, p.end) for p in passages),
        tuple(words_of(p.text) for p in passages),
    )


class _TimeoutReached(BaseException):  # not an Exception: parsers catch those and continue
    """A file took longer than it may."""


@contextmanager
def _within(seconds: float | None) -> Iterator[None]:
    """Raises `_TimeoutReached` in the block after that time; never on Windows, which has no such alarm."""
    if seconds is None or not hasattr(signal, "setitimer"):
        yield
        return

    def give_up(*_: object) -> None:
        raise _TimeoutReached(f"it takes longer than {seconds:g} s to read")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _build(change: Change, directory: Path, progress: Progress) -> None:
    """Writes the BM25 index of all passages into the directory."""
    try:
        import bm25s
    except ImportError:
        raise MissingExtraError("indexing documents", "search") from None
    progress.show("indexing", force=True)
    vocabulary: dict[str, int] = {}
    places, ids = [], []
    for row, begin, end, words in change.passages():
        places.append((row, begin, end))
        ids.append([vocabulary.setdefault(word, len(vocabulary)) for word in words])
    directory.mkdir()
    if vocabulary:
        index = bm25s.BM25()
        index.index((ids, vocabulary), show_progress=False)
        index.save(directory, show_progress=False)
    np.save(directory / PLACES, np.array(places, np.int64).reshape(-1, 3))


def _remove_old_indexes(index: Path, *, keep: int) -> None:
    """Removes indexes that are out of date or that a kill left incomplete."""
    for path in index.glob("index-*"):
        if path != index_path(index, keep):
            shutil.rmtree(path, ignore_errors=True)
