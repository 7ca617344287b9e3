"""What a run leaves: the student with its record, and the predictions that its scores were computed from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from tinyreader.distil.evaluate import Evaluation
from tinyreader.models import save_reader
from tinyreader.storage import atomic_path, read_object_if_any

_RECORD = "run.json"


def teacher_seconds(lines: list[dict[str, Any]]) -> tuple[float, float]:
    """The seconds of a run's passes of teachers, and those that others spent on outputs that it shares, by
    its log.
    """
    of = {
        event: [x for x in lines if x["event"] == event]
        for event in ("teacher", "teacher_found", "teacher_taken")
    }
    mine = {x["outputs"] for x in of["teacher"]}
    shared = of["teacher_found"] + [x for x in of["teacher_taken"] if x["source"] not in mine]
    own, others = (round(sum(x["seconds"] for x in some), 3) for some in (of["teacher"], shared))
    return own, others


def save_student(model: Any, tokenizer: Any, target: Path, record: dict[str, Any]) -> None:
    """Puts the student and its record into `target`; where it is there already, only what was measured is
    new.

    What somebody laid beside the student since then, such as a card, stays. `record` gets the earlier one's
    time and machine.
    """
    earlier = read_object_if_any(target / _RECORD)
    if earlier and _holds(target, model):
        record |= {key: earlier[key] for key in ("environment", "finished") if key in earlier}
        with atomic_path(target / _RECORD) as path:
            path.write_text(json.dumps(record, indent=2), encoding="utf-8")
    else:
        save_reader(model, tokenizer, target, extra={_RECORD: json.dumps(record, indent=2)})


def keep_predictions(measured: Evaluation, out: Path) -> None:
    """Leaves what the scores were computed from: `tinyreader score` on these files gives them again."""
    found = measured.predictions
    for name, content in (
        ("predictions.json", {p.id: p.text for p in found}),
        ("null_odds.json", {p.id: p.null_odds for p in found}),
    ):
        with atomic_path(out / name) as path:
            path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _holds(directory: Path, model: Any) -> bool:
    """Whether a reader's directory is whole and its weights are those of `model`."""
    try:
        saved = load_file(directory / "model.safetensors")
    except (OSError, SafetensorError):
        return False
    own = model.state_dict()
    same = saved.keys() == own.keys() and all(
        torch.equal(tensor, own[name]) for name, tensor in saved.items()
    )
    return same and all(
        (directory / name).is_file() for name in ("config.json", "tokenizer.json", "tokenizer_config.json")
    )
