"""What makes a run the run it is, and what it ran on; kept beside what it produced."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from tinyreader.distil.network import Precision
from tinyreader.errors import RunError
from tinyreader.files import atomic_path

_PACKAGES = ("tinyreader", "torch", "transformers", "tokenizers", "accelerate", "safetensors", "numpy")


@dataclass(frozen=True, slots=True)
class Identity:
    """Fingerprints of all that determines a run's weights; a directory holds one such run."""

    recipe: str
    data: dict[str, str]
    dev: str | None
    teacher: str | None
    student: str | None
    precision: Precision
    processes: int


def require_same_run(identity: Identity, out: Path) -> None:
    """Notes the identity in a new directory; raises `RunError` where the directory holds another run."""
    path = out / "identity.json"
    mine = asdict(identity)
    if not path.exists():
        with atomic_path(path) as partial:
            partial.write_text(json.dumps(mine, indent=2))
        return
    try:
        theirs = json.loads(path.read_text())
    except ValueError:
        raise RunError(f"{path} is damaged; give another --out, or delete {out} to start over.") from None
    differing = [name for name in mine if theirs.get(name) != mine[name]]
    if differing:
        raise RunError(
            f"{out} holds another run: its {', '.join(differing)} differ from what was asked for now. "
            "Give another --out, or delete that directory to start over."
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
