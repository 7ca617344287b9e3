"""The search for an int8 plan: measure input ranges, rank the products by what int8 does to the logits, and
keep the worst of them in higher precision until the answers are within the tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from tinyreader.arrays import Float32
from tinyreader.errors import ModelError
from tinyreader.export.parity import Outcome, Parity, Tolerance, Trial, compare
from tinyreader.model_files import model_fingerprint
from tinyreader.runtimes.architecture import Architecture, read_architecture
from tinyreader.runtimes.checkpoint import Checkpoint
from tinyreader.runtimes.facts import facts_of
from tinyreader.runtimes.int8 import Int8Plan
from tinyreader.runtimes.openvino import EngineSettings, OpenVinoRuntime, build_model, resolve_precision
from tinyreader.runtimes.openvino.calibration import measure_ranges
from tinyreader.runtimes.openvino.graph import Precision

CALIBRATION_WINDOWS = 96
RANKING_WINDOWS = 16

OnProgress = Callable[[str], None]


class Int8Search:
    """Finds the plan for the model in a directory. Its weights stay in memory, since dozens of networks are
    built from them.
    """

    def __init__(
        self, directory: Path, threads: int | None = None, on_progress: OnProgress = lambda _: None
    ) -> None:
        self.directory, self.threads, self.on_progress = directory, threads, on_progress
        self.architecture: Architecture = read_architecture(directory)
        checkpoint = Checkpoint(directory, self.architecture.family.prefix)
        checkpoint.check(self.architecture.tensors(), self.architecture.n_layers)
        self.weights: Mapping[str, Float32] = {name: checkpoint[name] for name in self.architecture.tensors()}

    def runtime(self, precision: Precision, plan: Int8Plan | None = None) -> OpenVinoRuntime:
        """The model with the plan applied; what is not int8 is computed in `precision`."""
        settings = EngineSettings(precision, self.threads, streams=1)
        model = build_model(self.architecture, self.weights, precision, plan)
        return OpenVinoRuntime(model, facts_of(self.architecture), settings)

    def find(
        self, calibration: Trial, held_out: Trial, tolerance: Tolerance, original: Outcome | None = None
    ) -> Int8Plan:
        """The plan that keeps the fewest products in higher precision and is within the tolerance on the
        held-out questions.

        `original` is the fp32 model's outcome on them, where it is known already. Raises `ModelError` if no
        plan with at least half of the products in int8 is good enough.
        """
        to_measure = calibration.first_windows(CALIBRATION_WINDOWS)
        self.on_progress(f"measuring ranges on {len(to_measure.windows)} windows")
        ranges = measure_ranges(
            self.architecture,
            self.weights,
            to_measure.batches(self.architecture.pad_id),
            n_tokens=sum(map(len, to_measure.windows)),
        )
        plan = Int8Plan(ranges, weights=model_fingerprint(self.directory))
        errors = self.logit_errors(plan, calibration.first_windows(RANKING_WINDOWS))
        worst_first = sorted(errors, key=lambda name: -errors[name])
        original = original or held_out.run(self.runtime("fp32"))
        precision, max_kept = resolve_precision("int8"), len(worst_first) // 2
        for n_kept in _attempts(max_kept):
            candidate = replace(plan, kept=tuple(worst_first[:n_kept]))
            parity = compare(held_out, original, held_out.run(self.runtime(precision, candidate)))
            self.on_progress(f"{n_kept} of {len(ranges)} products kept: {_summary(parity)}")
            if not parity.failures(tolerance):
                return replace(candidate, findings={"parity": parity.as_dict(), "logit_errors": errors})
        raise ModelError(
            f"{self.directory}: int8 is not within the tolerance even with {max_kept} of {len(ranges)} "
            f"products kept in higher precision ({_summary(parity)}). Calibrate with more data, similar to "
            "what the reader will read, raise the tolerance, or choose another precision"
        )

    def logit_errors(self, plan: Int8Plan, trial: Trial) -> dict[str, float]:
        """By product, the root mean square error of the logits when that product alone is computed in int8
        and the rest in fp32.
        """
        exact = trial.run(self.runtime("fp32"))
        errors = {}
        for number, name in enumerate(plan.ranges, 1):
            self.on_progress(f"ranking products: {number} of {len(plan.ranges)}")
            only_this = replace(plan, ranges={name: plan.ranges[name]})
            outcome = trial.run(self.runtime("fp32", only_this))
            pairs = zip(exact.logits, outcome.logits, strict=True)
            squares = [np.square(a - b) for one, two in pairs for a, b in zip(one, two, strict=True)]
            errors[name] = float(np.sqrt(np.concatenate(squares).mean()))
        return errors


def _attempts(max_kept: int) -> list[int]:
    """The numbers of products to keep, one attempt after the other: growing by one, later by half."""
    counts = [0]
    while counts[-1] < max_kept:
        counts.append(min(max_kept, max(counts[-1] + 1, counts[-1] * 3 // 2)))
    return counts


def _summary(parity: Parity) -> str:
    change = "" if parity.f1_change is None else f", F1 {parity.f1_change:+.2f}"
    off = f"mean logit difference {parity.mean_logit_difference:.2g}"
    return f"{parity.equal_answers:.1%} of the answers equal{change}, {off}"
