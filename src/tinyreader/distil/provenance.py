"""What a run leaves beside its student: what identifies the run, what it ran on, and what its scores came from."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from accelerate.tracking import get_available_trackers
from safetensors import SafetensorError
from safetensors.torch import load_file

from tinyreader.distil.evaluate import Evaluation
from tinyreader.distil.network import Precision
from tinyreader.errors import RunError, SettingsError
from tinyreader.models import save_reader
from tinyreader.storage import json_text, read_object, read_object_if_any, write_json

_PACKAGES = ("tinyreader", "torch", "transformers", "tokenizers", "accelerate", "safetensors", "numpy")
_NAME, _RECORD = "identity.json", "run.json"


@dataclass(frozen=True, slots=True)
class Identity:
    """Fingerprints of all that determines a run's weights; a directory holds one such run."""

    recipe: str
    data: dict[str, str]
    dev: str | None
    teacher: str | None
    student: str | None
    tokenizer: str
    precision: Precision
    processes: int


_WORDS = {
    "recipe": "other settings",
    "data": "other training data",
    "dev": "other development data",
    "teacher": "another teacher",
    "student": "other first weights of the student",
    "tokenizer": "another tokenizer",
    "precision": "another precision",
    "processes": "another number of processes",
}
_SHOWN = 5  # settings that are named where they differ


def require_same_run(identity: Identity, settings: dict[str, Any], out: Path) -> None:
    """Raises `RunError` where the directory holds another run than this; `settings` are those that determine
    a run.
    """
    path, mine = out / _NAME, asdict(identity)
    if not path.exists():
        return
    try:
        theirs = read_object(path)
    except RunError:
        raise RunError(f"{path} is damaged; give another --out, or delete {out} to start over.") from None
    found = []
    for name, words in _WORDS.items():
        if theirs.get(name) != mine[name]:
            is_plain = name in ("precision", "processes")
            changes = [f"{theirs.get(name)} -> {mine[name]}"] if is_plain else []
            if name == "recipe" and isinstance(theirs.get("settings"), dict):
                changes = _changes(theirs["settings"], settings)
            found.append(f"{words} ({', '.join(changes)})" if changes else words)
    if found:
        listed = " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)
        raise RunError(
            f"{out} holds another run, with {listed}. Give another --out, or delete that directory to start "
            "over."
        )


def _changes(theirs: dict[str, Any], mine: dict[str, Any]) -> list[str]:
    """What differs between two resolved recipes, setting by setting, as `training.seed: 7 -> 8`."""
    old, new = _flat(theirs), _flat(mine)
    changes = [
        f"{key}: {json.dumps(old.get(key), ensure_ascii=False)} -> "
        f"{json.dumps(new.get(key), ensure_ascii=False)}"
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key)
    ]
    more = len(changes) - _SHOWN
    return [*changes[:_SHOWN], f"and {more} more"] if more > 0 else changes


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    """The leaves by dotted key; an entry of a list of tables goes by its name, as in `--set`."""
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        value = {str(each.get("name", n)): each for n, each in enumerate(value)}
    if not isinstance(value, dict):
        return {key: value}
    return {k: v for name, each in value.items() for k, v in _flat(each, f"{key}.{name}".lstrip(".")).items()}


def note_run(identity: Identity, settings: dict[str, Any], out: Path) -> None:
    """Writes down whose directory `out` is, once the run has something to keep there."""
    if not (out / _NAME).exists():
        write_json(out / _NAME, asdict(identity) | {"settings": settings})


def require_trackers(names: Sequence[str]) -> None:
    """Raises `SettingsError` for a tracker that is not installed: Accelerate would leave it out without a
    word.
    """
    installed = {str(tracker) for tracker in get_available_trackers()}
    missing = [name for name in names if name not in installed]
    if missing:
        raise SettingsError(
            f"training.trackers names {', '.join(missing)}, which is not installed. "
            f"Install it (pip install {' '.join(missing)}) or take it out: --set training.trackers=[]"
        )


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, machine, device and threads of this process."""
    return {
        "versions": {"python": platform.python_version(), **{p: version(p) for p in _PACKAGES}},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "cpu": {
            "threads": torch.get_num_threads(),
            "amx": torch.cpu._is_amx_tile_supported(),
            "avx512_bf16": torch.cpu._is_avx512_bf16_supported(),
        },
    }


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

    What was put beside the student since then, such as a card, stays. `record` gets the earlier one's
    time and machine.
    """
    earlier = read_object_if_any(target / _RECORD)
    if earlier and _holds(target, model):
        record |= {key: earlier[key] for key in ("environment", "finished") if key in earlier}
        write_json(target / _RECORD, record)
    else:
        save_reader(model, tokenizer, target, extra={_RECORD: json_text(record)})


def keep_predictions(measured: Evaluation, out: Path) -> None:
    """Leaves what the scores were computed from: `tinyreader score` on these files gives them again."""
    found = measured.predictions
    for name, content in (
        ("predictions.json", {p.id: p.text for p in found}),
        ("null_odds.json", {p.id: p.null_odds for p in found}),
    ):
        write_json(out / name, content, indent=None)


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
