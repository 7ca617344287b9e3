"""A stage's data rewritten before it is learned from, kept under the run's directory and used again by its
fingerprint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyreader.augment.job import Input, augment_file
from tinyreader.augment.job import Scan as Read
from tinyreader.augment.proposer import AugmentOptions, Proposer
from tinyreader.augment.proposers import fingerprints
from tinyreader.data import ReadReport
from tinyreader.distil.prepare import Scanned, Source
from tinyreader.distil.settings import AugmentSettings, DataSettings, TrainingSettings
from tinyreader.progress import Progress, StopSwitch


@dataclass(frozen=True, slots=True)
class Rewriting:
    """What is rewritten, how and by whom; `key` stands for all of that, and so for what comes out."""

    plain: Scanned
    on_bad: Any
    options: AugmentOptions
    proposers: Sequence[Proposer]

    @property
    def key(self) -> str:
        """32 hexadecimal digits."""
        parts = [self.plain.fingerprint, self.options.as_dict(), fingerprints(self.proposers)]
        return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).hexdigest()


def plan(
    plain: Scanned,
    settings: AugmentSettings,
    data: DataSettings,
    training: TrainingSettings,
    progress: Progress,
) -> Rewriting:
    """The rewriting that a stage on the data `plain` asks for, its proposers loaded and checked."""
    proposers = settings.proposers(training.precision).open(settings.candidates, progress.say)
    return Rewriting(plain, data.on_bad, settings.options(training.seed), proposers)


def rewrite(
    rewriting: Rewriting, folder: Path, progress: Progress, stop: StopSwitch
) -> tuple[Scanned, dict[str, Any]]:
    """The rewritten data under `folder`, made on the first call, and what making it counted."""
    target, plain = folder / f"{rewriting.key}.jsonl.gz", rewriting.plain
    source, times = plain.source, rewriting.options.times
    progress.say(f"{source.name}: rewriting {plain.n_paragraphs:,} paragraphs {times} times")
    report = augment_file(
        Input(source.name, source.split, rewriting.on_bad),
        target,
        rewriting.proposers,
        rewriting.options,
        Read(plain.fingerprint, plain.n_paragraphs, plain.report),
        progress,
        stop,
    )
    progress.say(f"{target.name}: {report}")
    facts = report.as_dict()
    made = facts["copied_examples"] + _kept_as_they_were(rewriting.options, facts)
    return Scanned(Source(str(target)), rewriting.key, ReadReport(n_kept=made), facts["paragraphs"]), facts


def _kept_as_they_were(options: AugmentOptions, facts: dict[str, Any]) -> int:
    return int(facts["examples"] if options.keep_original else facts["unchanged_examples"])
