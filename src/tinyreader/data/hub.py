"""Data sets of the Hub and local `datasets` directories, as rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from tinyreader.errors import DataError, MissingExtraError

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FILE_SUFFIXES = {".json", ".jsonl", ".ndjson", ".gz", ".csv", ".tsv", ".txt", ".parquet", ".arrow", ".zip"}


def looks_like_hub_id(name: str) -> bool:
    """Whether `name` has the form org/name and does not end like a data file."""
    return _HUB_ID.fullmatch(name) is not None and Path(name).suffix.lower() not in _FILE_SUFFIXES


def load_rows(name: str, split: str | None) -> Iterable[object]:
    """Return the rows of one split of a Hub data set, or of a directory that `save_to_disk` wrote.

    Raises MissingExtraError without the `datasets` package; DataError where the data set or the split is not
    there, or where there are several splits and none is named.
    """
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError(f"Reading the data set {name!r}", "train") from error
    try:
        if Path(name).is_dir():
            loaded: Any = datasets.load_from_disk(name)
        else:
            chosen = split or pick_split(datasets.get_dataset_split_names(name), name, None)
            loaded = datasets.load_dataset(name, split=chosen)
    except DataError:
        raise
    except Exception as error:  # whatever the library, the network or the file system may raise ends here
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        wanted = f"{name!r}, split {split!r}" if split else repr(name)
        origin = "" if Path(name).is_dir() else " from the Hub (and there is no file of that name)"
        raise DataError(f"cannot load the data set {wanted}{origin}: {reason}") from error
    if isinstance(loaded, Mapping):
        return cast(Iterable[object], loaded[pick_split(list(loaded), name, split)])
    return cast(Iterable[object], loaded)


def pick_split(names: list[str], source: str, split: str | None) -> str:
    """Return `split` if it is one of `names`, or the only name when none is asked for; DataError
    otherwise.
    """
    if split is None and len(names) == 1:
        return names[0]
    if split is not None and split in names:
        return split
    problem = f"{source} has several splits" if split is None else f"{source} has no split {split!r}"
    raise DataError(f"{problem}; choose one of: {', '.join(names)}")


def is_saved(directory: Path) -> bool:
    """Whether `datasets` wrote the directory, by the notes that it leaves there."""
    return any(
        (directory / name).is_file() for name in ("dataset_dict.json", "state.json", "dataset_info.json")
    )
