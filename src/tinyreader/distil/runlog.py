"""The JSONL log that a run leaves for people and programs to follow it by."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import Any, BinaryIO

from tinyreader.errors import RunError
from tinyreader.storage import atomic_path


class RunLog:
    """One JSON object a line, appended; `rewind` takes back what a run that went on from a checkpoint will
    write again.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def write(self, event: str, **values: Any) -> None:
        """Appends one line with the event's name, the time and the values; numbers that are not finite become
        null.
        """
        if self.path is None:
            return
        line = (
            json.dumps(_strict({"event": event, "time": round(time.time(), 3), **values}), allow_nan=False)
            + "\n"
        )
        try:
            with self.path.open("ab+") as file:
                if _is_cut_off(file):
                    line = "\n" + line
                file.write(line.encode())
        except OSError as error:
            raise RunError(
                f"the log {self.path} could not be written ({error}). Make room and run the same command "
                "again; it resumes from its last checkpoint."
            ) from None

    def read(self) -> list[dict[str, Any]]:
        """The lines written so far; a last line cut off by a kill is left out."""
        if self.path is None or not self.path.exists():
            return []
        lines = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                continue
        return lines

    def rewind(self, stage: str, step: int) -> None:
        """Removes lines of `stage` after `step`."""
        if self.path is None or not self.path.exists():
            return
        kept = [x for x in self.read() if not (x.get("stage") == stage and x.get("step", 0) > step)]
        with atomic_path(self.path) as path:
            path.write_text("".join(json.dumps(x) + "\n" for x in kept), encoding="utf-8")


def _strict(value: Any) -> Any:
    """The value with null in place of NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {k: _strict(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_cut_off(file: BinaryIO) -> bool:
    """Whether the last line lacks its end, because its writer was killed."""
    if not file.seek(0, os.SEEK_END):
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"
