"""Augmenting a whole data set into a file, in parts, so that a kill costs one part and changes nothing.

The parts are in a directory beside the file, `NAME.parts`, until the file is complete. `NAME.augment.json`
then records the data, options and proposers it was made from, so that the same work is not done twice.
"""

from __future__ import annotations

import gzip
import json
import shutil
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO

from tinyreader.augment.paragraphs import CHUNK, AugmentReport, Paragraph, augment, paragraphs_of
from tinyreader.augment.proposer import AugmentOptions, Proposer
from tinyreader.augment.proposers import fingerprints
from tinyreader.data import (
    Example,
    Fingerprint,
    OnBad,
    ReadReport,
    iter_examples,
    require_rereadable,
    writer_for,
)
from tinyreader.errors import DataError, RunError
from tinyreader.progress import Progress, StopSwitch, duration, stoppable
from tinyreader.storage import (
    atomic_path,
    atomic_text,
    directory_lock,
    file_hash,
    open_text,
    remove_leftovers,
    require_output,
    sync,
)
from tinyreader.windows import chunks

_FORMAT = 1
_IDENTITY = "identity.json"
_AGAIN = "Finished parts are kept; the same command resumes there."


@dataclass(frozen=True, slots=True)
class Input:
    """A data set by name, and what to do about invalid examples in it."""

    name: str
    split: str | None = None
    on_bad: OnBad = "error"

    def examples(self, rejected: ReadReport | None = None) -> Iterator[Example]:
        """Yield the examples."""
        return iter_examples(self.name, split=self.split, on_bad=self.on_bad, rejected=rejected)


@dataclass(frozen=True, slots=True)
class Scan:
    """Result of one pass over the data: its fingerprint, number of paragraphs, and what was left out."""

    fingerprint: str
    n_paragraphs: int
    report: ReadReport


def scan(source: Input, stop: StopSwitch) -> Scan:
    """Read all of `source`, so that errors in it are reported before hours of work."""
    require_rereadable(source.name)
    report, running, n = ReadReport(), Fingerprint(), 0
    for paragraph in paragraphs_of(stoppable(source.examples(report), stop)):
        n += 1
        for example in paragraph:
            running.update(example)
    if not n:
        raise DataError(f"{source.name} has no usable example to augment")
    return Scan(running.hexdigest(), n, report)


def augment_file(
    source: Input,
    out: Path,
    proposers: Sequence[Proposer],
    options: AugmentOptions,
    scanned: Scan,
    progress: Progress,
    stop: StopSwitch,
) -> AugmentReport:
    """Write the rewritten data of `source` to `out` (.json or .jsonl, .gz too), resuming earlier work.

    The file does not depend on interruptions. If the same work has already made it, nothing is done. Raises
    `Interrupted` when a stop is requested (finished parts are kept), and `RunError` when `out` was begun with
    other data, options or proposers, or the data changed after the scan.
    """
    writer_for(out)
    require_output(out, "the output", {"the data": source.name})
    identity = {
        "format": _FORMAT,
        "chunk": CHUNK,
        "data": scanned.fingerprint,
        "options": options.as_dict(),
        "proposers": fingerprints(proposers),
    }
    parts, record = _Parts(out.with_name(f"{out.name}.parts")), _Record(out, identity)
    made = None if parts.are_claimed() else record.read()
    if made is not None:
        progress.say(f"{out} already exists, made from the same data and options")
        if parts.folder.exists():  # left by a kill
            with directory_lock(parts.folder):
                parts.discard()
        return made
    with directory_lock(parts.folder):
        remove_leftovers(out)
        parts.claim(identity)
        report, n_parts = _rewrite_all(source, parts, proposers, options, scanned, progress, stop)
        parts.join(out, n_parts, stop)
        record.write(report)
        parts.discard()
    return report


def _rewrite_all(
    source: Input,
    parts: _Parts,
    proposers: Sequence[Proposer],
    options: AugmentOptions,
    scanned: Scan,
    progress: Progress,
    stop: StopSwitch,
) -> tuple[AugmentReport, int]:
    """Make the missing parts; returns the counts of all, and the number of parts."""
    report, running = AugmentReport(), Fingerprint()
    began, fresh, n_parts = time.monotonic(), 0, 0
    for number, paragraphs in enumerate(chunks(paragraphs_of(source.examples()), CHUNK)):
        for example in chain.from_iterable(paragraphs):
            running.update(example)
        done = parts.report(number)
        if done is None:
            stop.check(_AGAIN)
            done = parts.write(number, paragraphs, proposers, options)
            fresh += len(paragraphs)
        report.add(done)
        n_parts = number + 1
        _show_progress(progress, report.paragraphs, scanned.n_paragraphs, fresh, time.monotonic() - began)
    if (running.hexdigest(), report.paragraphs) != (scanned.fingerprint, scanned.n_paragraphs):
        parts.discard()
        raise RunError(
            f"{source.name} changed while it was being rewritten (from {scanned.n_paragraphs:,} paragraphs "
            f"to {report.paragraphs:,}), so the copies were discarded. Run the same command again."
        )
    return report, n_parts


def _show_progress(progress: Progress, done: int, of: int, fresh: int, seconds: float) -> None:
    text = f"{done:,}/{of:,} paragraphs"
    if fresh:
        rate = fresh / max(seconds, 1e-9)
        text += f"  {60 * rate:,.0f} a minute  {duration((of - done) / rate)} left"
    progress.show(text, force=done == of)


@dataclass(frozen=True, slots=True)
class _Record:
    """The record beside a complete file: what it was made from, its counts and its digest."""

    out: Path
    identity: dict[str, object]

    @property
    def path(self) -> Path:
        """The path of the record."""
        return self.out.with_name(f"{self.out.name}.augment.json")

    def read(self) -> AugmentReport | None:
        """The counts, if the file is there unchanged and the same work made it; else None."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            same = all(content[name] == value for name, value in self.identity.items())
            return (
                AugmentReport(**content["counts"])
                if same and content["digest"] == file_hash(self.out)
                else None
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, report: AugmentReport) -> None:
        """Write the record, unless `out` is a device or a pipe, which keeps nothing."""
        if self.out.is_file():
            content = {**self.identity, "counts": report.counts(), "digest": file_hash(self.out)}
            with atomic_path(self.path) as partial:
                partial.write_text(json.dumps(content, indent=2), encoding="utf-8")


class _Parts:
    """The parts of a file under way: for each chunk of paragraphs its rows, and then its counts, which say it
    is whole.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def are_claimed(self) -> bool:
        """Whether there are parts of a job that is not done."""
        return (self.folder / _IDENTITY).exists()

    def claim(self, identity: dict[str, object]) -> None:
        """Notes whose parts these are; `RunError` when they are another job's."""
        path = self.folder / _IDENTITY
        if not path.exists():
            for nobodys in self.folder.glob("part-*"):  # left by a kill while they were being discarded
                nobodys.unlink()
            sync(self.folder)
            with atomic_path(path) as partial:
                partial.write_text(json.dumps(identity, indent=2), encoding="utf-8")
            return
        try:
            theirs = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise RunError(f"{path} is damaged. Delete {self.folder} to start over.") from None
        unlike = [name for name in identity if identity[name] != theirs.get(name)]
        if unlike:
            raise RunError(
                f"{self.folder} was begun with other {' and '.join(unlike)}. Give another -o, or delete that "
                "folder to start "
                "over."
            )

    def discard(self) -> None:
        """Removes all of them: the note of whose they are first, so that what a kill leaves is nobody's."""
        (self.folder / _IDENTITY).unlink(missing_ok=True)
        sync(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)

    def report(self, number: int) -> AugmentReport | None:
        """The counts of a part that is whole, else None."""
        path = self._counts(number)
        if not path.exists() or not self._rows(number).exists():
            return None
        try:
            return AugmentReport(**json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            return None

    def write(
        self,
        number: int,
        paragraphs: Sequence[Paragraph],
        proposers: Sequence[Proposer],
        options: AugmentOptions,
    ) -> AugmentReport:
        """Rewrites the paragraphs and keeps the result."""
        report = AugmentReport()
        rows = self._rows(number)
        writer_for(rows)(augment(chain.from_iterable(paragraphs), proposers, options, report), rows)
        with atomic_path(self._counts(number)) as partial:
            partial.write_text(json.dumps(report.counts()), encoding="utf-8")
        return report

    def join(self, out: Path, n_parts: int, stop: StopSwitch) -> None:
        """Writes the file `out` from all parts."""
        if writer_for(out) is writer_for(self._rows(0)):
            with atomic_text(out) as file:
                for number in range(n_parts):
                    stop.check(_AGAIN)
                    with self._open(number) as part:
                        shutil.copyfileobj(part, file)
        else:
            writer_for(out)(stoppable(self._examples(n_parts), stop), out)

    def _examples(self, n_parts: int) -> Iterator[Example]:
        for number in range(n_parts):
            yield from iter_examples(self._rows(number))

    @contextmanager
    def _open(self, number: int) -> Iterator[IO[str]]:
        path = self._rows(number)
        try:
            with open_text(path) as part:
                yield part
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise RunError(
                f"{path} is damaged ({error}). Delete it, and the same command makes it again."
            ) from None

    def _rows(self, number: int) -> Path:
        return self.folder / f"part-{number:06d}.jsonl.gz"

    def _counts(self, number: int) -> Path:
        return self.folder / f"part-{number:06d}.json"
