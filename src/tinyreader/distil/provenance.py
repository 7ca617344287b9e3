"""What makes a run the run it is, and what it ran on; kept beside what it produced."""

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

from tinyreader.distil.network import Precision
from tinyreader.errors import RunError, SettingsError
from tinyreader.files import atomic_path

_PACKAGES = ("tinyreader", "torch", "transformers", "tokenizers", "accelerate", "safetensors", "numpy")
_NAME = "identity.json"


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


def require_same_run(identity: Identity, out: Path) -> None:
    """Raises `RunError` where the directory holds another run than this."""
    path, mine = out / _NAME, asdict(identity)
    if not path.exists():
        return
    try:
        theirs = dict(json.loads(path.read_text()))
    except (ValueError, TypeError):
        raise RunError(f"{path} is damaged; give another --out, or delete {out} to start over.") from None
    differing = [name for name in mine if theirs.get(name) != mine[name]]
    if differing:
        raise RunError(
            f"{out} holds another run: its {', '.join(differing)} differ from what was asked for now. "
            "Give another --out, or delete that directory to start over."
        )


def note_run(identity: Identity, out: Path) -> None:
    """Writes down whose directory `out` is, once the run has something to keep there."""
    if not (out / _NAME).exists():
        with atomic_path(out / _NAME) as partial:
            partial.write_text(json.dumps(asdict(identity), indent=2))


def require_trackers(names: Sequence[str]) -> None:
    """Raises `SettingsError` for a tracker that is not installed: Accelerate would leave it out without a word."""
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
