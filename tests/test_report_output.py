"""`report.output`: what a report may replace, and where none can be written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tinyreader.errors import SettingsError
from tinyreader.report import output
from tinyreader.report.figures import NAMES


def test_predictions_of_somebody_else_are_not_replaced(tmp_path: Path) -> None:
    """Predictions alone make no report's directory; beside a page or a report.json they are the report's
    own.
    """
    (tmp_path / "predictions.json").write_text(json.dumps({"q": "mine"}))
    with pytest.raises(SettingsError, match=r"holds something else \(predictions.json\)"):
        output.check_output(tmp_path)
    (tmp_path / "index.html").write_text("")
    output.check_output(tmp_path)


def test_pictures_of_somebody_else_stay(tmp_path: Path) -> None:
    """Of the plots that a report does not have any more, those of known names go, and nothing else."""
    (tmp_path / "plots").mkdir()
    for name in ("mine.png", "slices.png", "slices-dark.svg", "layers.svg"):
        (tmp_path / "plots" / name).write_text("x")
    output.remove_old_plots(tmp_path, NAMES, {"layers"})
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"mine.png", "layers.svg"}
