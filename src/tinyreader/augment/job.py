"""Rewriting a whole data set to a file, in parts: a kill costs the part under way, and the file comes out the same.

The parts lie in a directory beside the file, `NAME.parts`, until the file is whole.
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

from tinyreader.augment.options import AugmentOptions
from tinyreader.augment.paragraphs import CHUNK, Paragraph, augment, paragraphs_of
from tinyreader.augment.proposer import Proposer
from tinyreader.augment.proposers import fingerprints
from tinyreader.augment.report import AugmentReport
from tinyreader.data import Example, Fingerprint, OnBad, ReadReport, iter_examples, writer_for
from tinyreader.errors import DataError, RunError
from tinyreader.files import atomic_path, atomic_text, exclusive, open_text
from tinyreader.progress import Progress, StopSwitch, duration, stoppable
from tinyreader.windows import chunks

_FORMAT = 1
_AGAIN = "What was done is kept; the same command goes on from there."


@dataclass(frozen=True, slots=True)
class Input:
    """A data set by name, and what is to be done about wrong examples in it."""

    name: str
    split: str | None = None
    on_bad: OnBad = "error"

    def examples(self, rejected: ReadReport | None = None) -> Iterator[Example]:
        """Yield the examples."""
        return iter_examples(self.name, split=self.split, on_bad=self.on_bad, rejected=rejected)


@dataclass(frozen=True, slots=True)
class Scan:
    """What one reading from end to end found: the data's fingerprint, its paragraphs, and what was left out."""

    fingerprint: str
    n_paragraphs: int
    report: ReadReport


def scan(source: Input, stop: StopSwitch) -> Scan:
    """Reads all of `source`: what is wrong with it is said now, not after hours."""
    report, running, n = ReadReport(), Fingerprint(), 0
    for paragraph in paragraphs_of(stoppable(source.examples(report), stop)):
        n += 1
        for example in paragraph:
            running.update(example)
    if not n:
        raise DataError(f"{source.name} has no usable example to rewrite")
    return Scan(running.hexdigest(), n, report)


def augment_file(
    source: Input, out: Path, proposers: Sequence[Proposer], options: AugmentOptions, scanned: Scan,
    progress: Progress, stop: StopSwitch,
) -> AugmentReport:  # fmt: skip
    """Write the data of `source`, rewritten, to `out` (.json or .jsonl, .gz too); going on where an earlier call stopped.

    The file does not depend on how often the work was stopped. Raises `Interrupted` when a stop is asked for, with what was
    done kept, and `RunError` when `out` was begun with other data, settings or proposers.
    """
    writer_for(out)
    parts = _Parts(out.with_name(f"{out.name}.parts"))
    identity = {
        "format": _FORMAT, "chunk": CHUNK, "data": scanned.fingerprint,
        "options": options.as_dict(), "proposers": fingerprints(proposers),
    }  # fmt: skip
    with exclusive(parts.folder):
        parts.claim(identity)
        report, began, fresh = AugmentReport(), time.monotonic(), 0
        for number, paragraphs in enumerate(chunks(paragraphs_of(source.examples()), CHUNK)):
            done = parts.report(number)
            if done is None:
                stop.check(_AGAIN)
                done = parts.write(number, paragraphs, proposers, options)
                fresh += len(paragraphs)
            report.add(done)
            _show(progress, report.paragraphs, scanned.n_paragraphs, fresh, time.monotonic() - began)
        parts.join(out, -(-scanned.n_paragraphs // CHUNK), stop)
    shutil.rmtree(parts.folder, ignore_errors=True)
    return report


def _show(progress: Progress, done: int, of: int, fresh: int, seconds: float) -> None:
    text = f"{done:,}/{of:,} paragraphs"
    if fresh:
        rate = fresh / max(seconds, 1e-9)
        text += f"  {60 * rate:,.0f} a minute  {duration((of - done) / rate)} left"
    progress.show(text, force=done == of)


class _Parts:
    """The parts of a file under way: for each chunk of paragraphs its rows, and then its counts, which say it is whole."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def claim(self, identity: dict[str, object]) -> None:
        """Notes whose parts these are; `RunError` when they are another job's."""
        path = self.folder / "identity.json"
        if not path.exists():
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
                f"{self.folder} was begun with other {' and '.join(unlike)}. Give another -o, or delete that folder to start "
                "over."
            )

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
        self, number: int, paragraphs: Sequence[Paragraph], proposers: Sequence[Proposer], options: AugmentOptions
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
            raise RunError(f"{path} is damaged ({error}). Delete it, and the same command makes it again.") from None

    def _rows(self, number: int) -> Path:
        return self.folder / f"part-{number:06d}.jsonl.gz"

    def _counts(self, number: int) -> Path:
        return self.folder / f"part-{number:06d}.json"
