"""Models that were built once and are kept in the user's cache directory: whole or absent, built by one
process at a time.
"""

from __future__ import annotations

import json
import logging
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from tinyreader.errors import SettingsError
from tinyreader.storage import cache_directory, file_lock, sync

log = logging.getLogger(__name__)

_DONE = "sizes.json"


def kept(kind: str, name: str, build: Callable[[Path], None]) -> Path:
    """The cache's directory of that kind and name, filled by `build(directory)` where it is not there yet.

    A second process that asks for the same waits for the first one. A process that is killed leaves a
    directory that is never taken for whole (its name says so) and goes with the next build; so does one whose
    files have other sizes than they were written with. Raises `SettingsError` where the cache directory
    cannot be made.
    """
    home = cache_directory() / kind
    target = home / name
    if _is_whole(target):
        return target
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"{home}, where converted models are kept, cannot be made ({error.strerror}). Set XDG_CACHE_HOME "
            "to a directory "
            "that can be written to"
        ) from None
    with file_lock(
        home / f".{name}.lock"
    ):  # on Windows two processes may build the same; the rename keeps it whole
        if _is_whole(target):
            return target
        for left in (target, *home.glob(f".tmp-*-{name}")):
            if left.exists():
                log.warning("%s is not whole, and is made again", left)
                shutil.rmtree(left, ignore_errors=True)
        partial = home / f".tmp-{secrets.token_hex(4)}-{name}"
        partial.mkdir()
        try:
            build(partial)
            _seal(partial)
            _take_place(partial, target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        sync(home)
    return target


def _take_place(partial: Path, target: Path) -> None:
    try:
        partial.rename(target)
    except OSError:
        if not _is_whole(target):  # without locks another process may have been first
            raise
        shutil.rmtree(partial, ignore_errors=True)


def _seal(directory: Path) -> None:
    """Note the files' sizes beside them, and make all of it survive a power cut."""
    files = sorted(directory.iterdir())
    (directory / _DONE).write_text(
        json.dumps({path.name: path.stat().st_size for path in files}), encoding="utf-8"
    )
    sync(*directory.iterdir(), directory)


def _is_whole(directory: Path) -> bool:
    try:
        sizes = json.loads((directory / _DONE).read_text(encoding="utf-8"))
        return all((directory / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False
