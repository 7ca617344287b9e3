"""Folders become lists of files: walked in order, each file once, with a word about what is left out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyreader.documents.files import SUFFIXES, suffix_of
from tinyreader.errors import DataError


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file to read. One that was `named`, and not met in a folder, must be readable."""

    path: Path
    named: bool


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file or folder that is not read, and why."""

    path: Path
    reason: str
    is_other_kind: bool = False


def find_files(paths: Sequence[Path]) -> tuple[list[FoundFile], list[LeftOut]]:
    """The files of these paths, and what in their folders is left out. Folders are walked in order of names.

    Hidden files and folders are passed over. Links are followed; a file or folder reached twice is taken
    once, so links that go round in a circle end. Raises `DataError` for a path that is not there.
    """
    found: list[FoundFile] = []
    left_out: list[LeftOut] = []
    seen: set[tuple[int, int]] = set()
    are_new = [
        not path.is_dir() and _is_new(path, seen) for path in paths
    ]  # named files first: they must be readable
    for path, is_new in zip(paths, are_new, strict=True):
        if path.is_dir():
            for item in _walk(path, seen):
                if isinstance(item, LeftOut):
                    left_out.append(item)
                else:
                    found.append(FoundFile(item, named=False))
        elif not path.exists():
            raise DataError(f"{path}: no such file or folder")
        elif is_new:
            found.append(FoundFile(path, named=True))
    return found, left_out


def _walk(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path | LeftOut]:
    """Yield the files below a folder that are of a kind that can be read, and what is left out."""
    _is_new(folder, seen)
    problems: list[OSError] = []
    for above, folders, names in os.walk(folder, followlinks=True, onerror=problems.append):
        folders[:] = [
            name for name in sorted(folders) if not name.startswith(".") and _is_new(Path(above, name), seen)
        ]
        for name in sorted(names):
            path = Path(above, name)
            if name.startswith("."):
                continue
            try:
                is_regular = path.is_file()
            except OSError as error:
                yield LeftOut(path, error.strerror or str(error))
                continue
            if not is_regular:
                yield LeftOut(path, "a link that leads nowhere" if path.is_symlink() else "no regular file")
            elif suffix_of(path) not in SUFFIXES:
                yield LeftOut(path, f"not one of {', '.join(sorted(SUFFIXES))}", is_other_kind=True)
            elif _is_new(path, seen):
                yield path
    for problem in problems:
        yield LeftOut(Path(str(problem.filename)), problem.strerror or str(problem))


def _is_new(path: Path, seen: set[tuple[int, int]]) -> bool:
    """Whether the file or folder was not met before, under whatever name."""
    try:
        about = path.stat()
    except OSError:
        return True  # said when it is opened
    key = (about.st_dev, about.st_ino)
    if key in seen:
        return False
    seen.add(key)
    return True
