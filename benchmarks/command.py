"""Tinyreader's own commands, as scripts here run them: printed first, and an end in failure is the script's
end too.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from tinyreader.data.read import looks_like_hub_id


def tinyreader(*words: Any, may_fail: bool = False) -> None:
    """Runs the command; with `may_fail`, its exit code may say that the outcome is a failure."""
    command = [str(word) for word in words]
    print(shlex.join(["tinyreader", *command]), flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "tinyreader", *command], check=False, stdout=subprocess.DEVNULL
    )
    if done.returncode and not (may_fail and done.returncode == 1):
        raise SystemExit(done.returncode)


def require_files(parser: Any, *paths: str | Path | None) -> None:
    """Ends the script with one line where a file that it was given is not there; data sets of the Hub are not
    looked for.
    """
    for path in paths:
        if path is not None and not Path(path).exists() and not looks_like_hub_id(str(path)):
            parser.error(f"{path} does not exist")
