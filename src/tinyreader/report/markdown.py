"""Values as Markdown: numbers, names and tables; None is "not stated"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NOT_STATED = "not stated"


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
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if isinstance(value, float) else NOT_STATED


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
