"""Models as files for plain engines, compared with the original before they are put in place."""

from __future__ import annotations

from tinyreader.export.parity import (
    TOLERANCES,
    Outcome,
    Parity,
    Tolerance,
    Trial,
    compare,
    make_trial,
    sample_examples,
    trial_questions,
)
from tinyreader.export.write import Exported, ExportSettings, default_tolerance, export, require_out

__all__ = [
    "TOLERANCES",
    "ExportSettings",
    "Exported",
    "Outcome",
    "Parity",
    "Tolerance",
    "Trial",
    "compare",
    "default_tolerance",
    "export",
    "make_trial",
    "require_out",
    "sample_examples",
    "trial_questions",
]
