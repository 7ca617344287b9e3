"""Models as files that plain engines read, checked against the original before they are put in place."""

from __future__ import annotations

from tinyreader.export.parity import TOLERANCES, Parity, Tolerance, compare
from tinyreader.export.trial import Outcome, Trial, make_trial, sample_examples
from tinyreader.export.write import Exported, ExportSettings, export, require_place, usual_tolerance

__all__ = [
    "TOLERANCES",
    "ExportSettings",
    "Exported",
    "Outcome",
    "Parity",
    "Tolerance",
    "Trial",
    "compare",
    "export",
    "make_trial",
    "require_place",
    "sample_examples",
    "usual_tolerance",
]
