"""JSON files of a reader as they may leave this machine: without the places where things lay on it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinyreader.errors import ModelError

_START = r"(?:~[^/\\\s]*|[A-Za-z]:|\\\\[^/\\\s]+|file://[^/\\\s]*)?"
_WHOLE = re.compile(rf"{_START}[/\\]", re.ASCII)
# Inside a sentence a path ends at a blank or a quote and has two parts or more: "and/or" and "1/2" are none.
_INSIDE = re.compile(rf"""(?<![\w:/\\.<]){_START}(?:[/\\][^/\\\s"'`:*?<>|,;()\[\]]+){{2,}}[/\\]?""")


def without_places(value: Any) -> Any:
    """Plain data with each absolute path in it, also in the keys of objects, cut to its last part: the name
    stays.
    """
    if isinstance(value, str):
        return _cut(value)
    if isinstance(value, Mapping):
        found: dict[str, Any] = {}
        for key, item in value.items():
            name, number = _cut(str(key)), 1
            while name in found:  # two files of one name, from two places
                number += 1
                name = f"{_cut(str(key))} ({number})"
            found[name] = without_places(item)
        return found
    if isinstance(value, list | tuple):
        return [without_places(item) for item in value]
    return value


def portable_json(path: Path) -> tuple[bytes, bool]:
    """The bytes of a JSON file without absolute paths, and whether that changed it; untouched where it has
    none.
    """
    raw = path.read_bytes()
    try:
        content = json.loads(raw)
    except ValueError as error:
        raise ModelError(f"{path} is damaged: {error}") from None
    cut = without_places(content)
    if cut == content:
        return raw, False
    return json.dumps(cut, indent=2, ensure_ascii=False).encode() + b"\n", True


def _cut(text: str) -> str:
    if _WHOLE.match(text) and "\n" not in text:
        return _name(text)
    return _INSIDE.sub(lambda found: _name(found[0]), text)


def _name(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]
