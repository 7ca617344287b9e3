"""The search for an int8 plan: ranges measured, products ranked by what int8 does to the logits, the worst
ones kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from tinyreader.errors import ModelError
from tinyreader.export.parity import Parity, Tolerance, compare
from tinyreader.export.trial import Outcome, Trial
from tinyreader.model_files import model_fingerprint
from tinyreader.runtimes.architecture import Architecture, read_architecture
from tinyreader.runtimes.checkpoint import Checkpoint, FloatArray
from tinyreader.runtimes.facts import facts_of
from tinyreader.runtimes.int8 import Int8Plan
from tinyreader.runtimes.openvino import EngineSettings, OpenVinoRuntime, build_model, resolve_precision
from tinyreader.runtimes.openvino.calibration import measure
from tinyreader.runtimes.openvino.graph import Precision

CALIBRATION_WINDOWS = 96
RANKING_WINDOWS = 16

Tell = Callable[[str], None]


class Int8Search:
    """Finds the plan for the model in a directory; weights are held in memory, since dozens of networks are
    built of them.
    """

    def __init__(self, directory: Path, threads: int | None = None, tell: Tell = lambda _: None) -> None:
        self.directory, self.threads, self.tell = directory, threads, tell
        self.architecture: Architecture = read_architecture(directory)
        checkpoint = Checkpoint(directory, self.architecture.family.prefix)
        checkpoint.check(self.architecture.tensors(), self.architecture.n_layers)
        self.weights: Mapping[str, FloatArray] = {
            name: checkpoint[name] for name in self.architecture.tensors()
        }

    def runtime(self, precision: Precision, plan: Int8Plan | None = None) -> OpenVinoRuntime:
        """The model with the plan; what is not int8 is computed in `precision`."""
        settings = EngineSettings(precision, self.threads, streams=1)
        model = build_model(self.architecture, self.weights, precision, plan)
        return OpenVinoRuntime(model, facts_of(self.architecture), settings)

    def find(
        self, calibration: Trial, held: Trial, tolerance: Tolerance, original: Outcome | None = None
    ) -> Int8Plan:
        """The plan with the fewest products kept whose loss on the held questions is within the tolerance.

        `original` is what the fp32 model says to them, where that is known already. Raises `ModelError` where
        no plan with at least half of the products in int8 is good enough.
        """
        seen = calibration.some(CALIBRATION_WINDOWS)
        self.tell(f"measuring ranges on {len(seen.windows)} windows")
        n_tokens = sum(map(len, seen.windows))
        ranges = measure(self.architecture, self.weights, seen.batches(self.architecture.pad_id), n_tokens)
        plan = Int8Plan(ranges, weights=model_fingerprint(self.directory))
        errors = self.sensitivities(plan, calibration.some(RANKING_WINDOWS))
        worst_first = sorted(errors, key=lambda name: -errors[name])
        original = original or held.run(self.runtime("fp32"))
        most = len(worst_first) // 2
        parity: Parity | None = None
        for n_kept in _counts(most):
            trial = replace(plan, kept=tuple(worst_first[:n_kept]))
            parity = compare(held, original, held.run(self.runtime(resolve_precision("int8"), trial)))
            failures = parity.failures(tolerance)
            self.tell(f"{n_kept} of {len(ranges)} products kept: {_said(parity)}")
            if not failures:
                return replace(trial, findings={"parity": parity.as_dict(), "logit_errors": errors})
        said = _said(parity) if parity is not None else "nothing was tried"
        raise ModelError(
            f"{self.directory}: int8 is not within the tolerance even with {most} of {len(ranges)} products "
            "kept in higher "
            f"precision ({said}). Calibrate with more data like what it will read, allow more, or take "
            "another precision"
        )

    def sensitivities(self, plan: Int8Plan, trial: Trial) -> dict[str, float]:
        """By product, the root mean square error of the logits when only that one is computed in int8, the
        rest in fp32.
        """
        exact = trial.run(self.runtime("fp32"))
        errors = {}
        for number, name in enumerate(plan.ranges):
            self.tell(f"ranking products: {number + 1} of {len(plan.ranges)}")
            alone = replace(plan, ranges={name: plan.ranges[name]})
            outcome = trial.run(self.runtime("fp32", alone))
            pairs = zip(exact.logits, outcome.logits, strict=True)
            squares = [np.square(a - b) for one, two in pairs for a, b in zip(one, two, strict=True)]
            errors[name] = float(np.sqrt(np.concatenate(squares).mean()))
        return errors


def _counts(most: int) -> list[int]:
    """How many products to keep, one try after the other: growing, but never by more than half."""
    counts = [0]
    while counts[-1] < most:
        counts.append(min(most, max(counts[-1] + 1, counts[-1] * 3 // 2)))
    return counts


def _said(parity: Parity) -> str:
    change = "" if parity.f1_change is None else f", F1 {parity.f1_change:+.2f}"
    off = f"logits off by {parity.mean_logit_difference:.2g} in the mean"
    return f"{parity.equal_answers:.1%} of the answers equal{change}, {off}"
