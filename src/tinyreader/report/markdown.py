"""Values as Markdown: numbers, names and tables; None is "not stated"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NOT_STATED = "not stated"

WRITTEN_BY = "This card was written by `tinyreader card`."
"""Every card says so, and by this one is known that may be written anew."""


def versions(of: Mapping[str, Any]) -> str:
    """Names with their versions, on one line."""
    return ", ".join(f"{name} {version}" for name, version in of.items()) or NOT_STATED


def linked(names: Iterable[str]) -> str:
    """Data sets of the Hub as links."""
    return ", ".join(f"[{name}](https://huggingface.co/datasets/{name})" for name in names)


def code_or(value: Any) -> str:
    """A text in the type of code, anything else as it is."""
    return NOT_STATED if value is None else f"`{value}`" if isinstance(value, str) else str(value)


def count(value: Any) -> str:
    """A whole number with its thousands apart."""
    return (
        f"{value:,}"
        if isinstance(value, int)
        else f"{value:,.0f}"
        if isinstance(value, float)
        else NOT_STATED
    )


def counted(n: int, what: str) -> str:
    """So many of a thing: 1 core, 2 cores."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def number(value: Any, form: str, unit: str = "") -> str:
    """A number in that format, with its unit."""
    return NOT_STATED if value is None else f"{value:{form}}{unit}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; bars and line ends in cells do not break it."""
    lines = []
    for cells in (heads, ["---"] * len(heads), *rows):
        safe = [cell.replace("|", "\\|").replace("\n", " ") for cell in cells]
        lines.append(f"| {' | '.join(safe)} |\n")
    return "".join(lines)
