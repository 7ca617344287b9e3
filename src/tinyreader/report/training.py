"""What a run of `distil` left about the training: its record, and losses, learning rate, throughput and
development scores over steps, per stage, from its log.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinyreader.distil.runlog import RunLog
from tinyreader.errors import DataError, ModelError
from tinyreader.storage import read_object_if_any

LOG, RUN_RECORD = "log.jsonl", "run.json"
POINTS = 300
SERIES = ("loss", "learning_rate", "windows_per_second", "gradient_norm")


def run_record(model: Path) -> dict[str, Any] | None:
    """The record that `distil` left beside the model; None where there is none."""
    return read_object_if_any(model / RUN_RECORD, ModelError)


def run_directory(model: Path) -> Path | None:
    """The directory of the run that made the model, if the model still lies in it: the parent with a log."""
    above = model.resolve().parent
    return above if (model / RUN_RECORD).is_file() and (above / LOG).is_file() else None


def training(run: Path) -> dict[str, Any]:
    """The run's stages in order, each with `name`, `step`, the series of `SERIES`, `terms` of the loss by
    name, `evaluations` and `seconds`; and `teacher_seconds`, `skipped_steps`.

    Long series are thinned to `POINTS`, the first and the last kept. Raises `DataError` where there is no log
    with steps.
    """
    events = RunLog(run / LOG).read()
    names = list(dict.fromkeys(e["stage"] for e in events if e.get("event") == "step" and "stage" in e))
    if not names:
        raise DataError(
            f"{run / LOG} does not exist or holds no training step; give the directory that distil wrote to."
        )
    return {
        "stages": [_stage(name, [e for e in events if e.get("stage") == name]) for name in names],
        "teacher_seconds": sum(e.get("seconds") or 0.0 for e in events if e.get("event") == "teacher"),
        "skipped_steps": sum(e.get("event") == "skipped" for e in events),
    }


def _stage(name: str, events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    steps = _thinned([e for e in events if e["event"] == "step"])
    terms = list(dict.fromkeys(term for e in steps for term in e.get("terms") or {}))
    return {
        "name": name,
        "step": [e["step"] for e in steps],
        **{series: [e.get(series) for e in steps] for series in SERIES},
        "terms": {term: [(e.get("terms") or {}).get(term) for e in steps] for term in terms},
        "evaluations": [{"step": e["step"], **_scores(e)} for e in events if e["event"] == "evaluation"],
        "seconds": steps[-1].get("seconds"),
    }


def _scores(event: dict[str, Any]) -> dict[str, float]:
    scores = event.get("scores") or {}
    return {name: scores[name] for name in ("best_exact", "best_f1", "answered_f1") if name in scores}


def _thinned(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    every = -(-len(events) // POINTS)
    kept = events[::every]
    return kept if not events or kept[-1] is events[-1] else [*kept, events[-1]]
