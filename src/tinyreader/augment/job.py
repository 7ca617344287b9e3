"""Augmenting a whole data set into a file, in parts, so that a kill costs one part and changes nothing.

The parts are in a directory beside the file, `NAME.parts`, until the file is complete. `NAME.augment.json`
then records the data, options and proposers it was made from, so that the same work is not done twice.
"""

from __future__ import annotations

import gzip
import shutil
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tinyreader.augment.paragraphs import CHUNK, AugmentReport, augment, paragraphs_of
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
    Parts,
    atomic_text,
    directory_lock,
    file_hash,
    open_text,
    read_object,
    remove_leftovers,
    require_output,
    write_json,
)
from tinyreader.windows import chunks

_FORMAT = 1
_ROWS, _COUNTS = ".jsonl.gz", ".json"  # suffixes of a part's files
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
    parts, record = Parts(out), _Record(out, identity)
    made = None if parts.are_claimed else record.read()
    if made is not None:
        progress.say(f"{out} already exists, made from the same data and options")
        if parts.folder.exists():  # left by a kill
            with directory_lock(parts.folder):
                parts.discard()
        return made
    with parts.claim(identity):
        remove_leftovers(out)
        report, n_parts = _rewrite_all(source, parts, proposers, options, scanned, progress, stop)
        _join(parts, n_parts, out, stop)
        record.write(report)
        parts.discard()
    return report


def _rewrite_all(
    source: Input,
    parts: Parts,
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
        done = _counts(parts, number)
        if done is None:
            stop.check(_AGAIN)
            done = AugmentReport()
            rows = parts.path(number, _ROWS)
            writer_for(rows)(augment(chain.from_iterable(paragraphs), proposers, options, done), rows)
            write_json(parts.path(number, _COUNTS), done.counts())  # last: it marks the part as complete
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
            content = read_object(self.path)
            same = all(content[name] == value for name, value in self.identity.items())
            return (
                AugmentReport(**content["counts"])
                if same and content["digest"] == file_hash(self.out)
                else None
            )
        except (RunError, OSError, KeyError, TypeError):  # missing, damaged or of another version
            return None

    def write(self, report: AugmentReport) -> None:
        """Write the record, unless `out` is a device or a pipe, which keeps nothing."""
        if self.out.is_file():
            write_json(self.path, {**self.identity, "counts": report.counts(), "digest": file_hash(self.out)})


def _counts(parts: Parts, number: int) -> AugmentReport | None:
    """The counts of a complete part, else None."""
    path = parts.path(number, _COUNTS)
    if not path.exists() or not parts.path(number, _ROWS).exists():
        return None
    try:
        return AugmentReport(**read_object(path))
    except (RunError, TypeError):
        return None


def _join(parts: Parts, n_parts: int, out: Path, stop: StopSwitch) -> None:
    """Write the file `out` from all parts."""
    paths = [parts.path(number, _ROWS) for number in range(n_parts)]
    if writer_for(out) is not writer_for(paths[0]):
        examples = chain.from_iterable(map(iter_examples, paths))
        writer_for(out)(stoppable(examples, stop), out)
        return
    with atomic_text(out) as file:
        for path in paths:
            stop.check(_AGAIN)
            try:
                with open_text(path) as part:
                    shutil.copyfileobj(part, file)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise RunError(
                    f"{path} is damaged ({error}). Delete it, and the same command makes it again."
                ) from None
