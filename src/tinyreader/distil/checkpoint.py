"""Checkpoints: one safetensors file and one JSON file each, written atomically and verified when loaded.

A checkpoint is a folder that appears by one rename after everything in it is on disk, so a kill, a full disk
or a power cut leaves the one before whole. Its JSON holds the position, the digest of the tensors and its
own; a damaged checkpoint is named and the one before it used.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tinyreader.errors import CheckpointError, RunError
from tinyreader.storage import atomic_directory, atomic_path, file_hash, match_parent_mode, text_hash

_TENSORS, _STATE = "state.safetensors", "state.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A point of a stage to resume from: the tensors by name and the rest as JSON values."""

    step: int
    tensors: dict[str, Tensor]
    state: dict[str, Any]


class CheckpointFolder:
    """The checkpoints of one stage, the newest `keep` of them."""

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder = folder
        self.keep = keep

    def save(self, checkpoint: Checkpoint) -> Path:
        """Writes a checkpoint and removes those it makes superfluous; on failure the earlier ones stay.

        Superfluous are all but the newest `keep`.
        """
        final = self.folder / f"step-{checkpoint.step:08d}"
        try:
            with atomic_directory(final) as partial:
                save_file({n: t.contiguous() for n, t in checkpoint.tensors.items()}, partial / _TENSORS)
                match_parent_mode(partial / _TENSORS)
                record = {
                    "step": checkpoint.step,
                    "tensors": file_hash(partial / _TENSORS),
                    "state": checkpoint.state,
                }
                (partial / _STATE).write_text(json.dumps({**record, "digest": _record_digest(record)}))
        except (OSError, SafetensorError) as error:  # a full disk is either, by who finds out
            raise CheckpointError(
                f"the checkpoint at step {checkpoint.step} could not be written to {self.folder} ({error}). "
                "The checkpoint before it is whole: make room and run the same command to resume from it."
            ) from None
        self._tidy()
        return final

    def _tidy(self) -> None:
        for superfluous in self._steps()[self.keep :]:
            shutil.rmtree(superfluous, ignore_errors=True)

    def newest(self, on_damage: Callable[[str], None]) -> Checkpoint | None:
        """The newest whole checkpoint, or None; `on_damage` gets a sentence for each damaged one, which is
        set aside.
        """
        for folder in self._steps():
            try:
                return _load(folder)
            except (OSError, ValueError, SafetensorError, CheckpointError) as error:
                aside = folder.with_name(f"damaged-{folder.name}")
                shutil.rmtree(aside, ignore_errors=True)
                folder.rename(aside)
                on_damage(
                    f"checkpoint {folder} is damaged ({error}); it is kept as {aside.name}, and the run goes "
                    "back "
                    "to what was saved before it"
                )
        return None

    def _steps(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"), reverse=True)


def _load(folder: Path) -> Checkpoint:
    record = json.loads((folder / _STATE).read_text())
    if not isinstance(record, dict) or record.pop("digest", None) != _record_digest(record):
        raise CheckpointError(f"{_STATE} does not match its digest")
    if file_hash(folder / _TENSORS) != record["tensors"]:
        raise CheckpointError(f"{_TENSORS} does not match its digest")
    return Checkpoint(record["step"], load_file(folder / _TENSORS), record["state"])


def _record_digest(record: dict[str, Any]) -> str:
    return text_hash(json.dumps(record, sort_keys=True))


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Writes the tensors to a safetensors file that appears only when it is whole; `RunError` on a full
    disk.
    """
    try:
        with atomic_path(path) as partial:
            save_file({n: t.contiguous() for n, t in tensors.items()}, partial)
            match_parent_mode(partial)
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"{path} could not be written ({error}). Make room and run the same command again."
        ) from None
