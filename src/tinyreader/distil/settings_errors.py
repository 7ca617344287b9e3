"""What is wrong with a recipe, in words: the full place, the value, what is allowed, the nearest known
name.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails


def explain(error: ValidationError, model: type[BaseModel], content: Any) -> str:
    """One line for each thing that is wrong in `content`, which did not become a `model`."""
    return "\n  ".join(_line(detail, model, content) for detail in error.errors(include_url=False))


def _line(detail: ErrorDetails, model: type[BaseModel], content: Any) -> str:
    loc = detail["loc"]
    place = _place(loc, content)
    if detail["type"] == "extra_forbidden":
        return f"unknown key {place}{_hint(place, loc, model)}"
    if detail["type"] == "missing":
        return f"{place} is missing"
    message = detail["msg"].removeprefix("Value error, ")
    message = re.sub(r"^(Input|String|Value|Tuple) (?=should)", "", message)
    message = message.replace("a valid tuple", "a list")
    if detail["type"] == "model_type":
        message = "should be a table of keys"
    if isinstance(detail["input"], dict):  # a check across keys: the message itself names keys and values
        return f"{place}: {message}" if place else message
    return f"{place} = {detail['input']!r}: {message}"


def _place(loc: tuple[int | str, ...], content: Any) -> str:
    """The dotted place, stages by their names: the same words that an override takes."""
    parts = []
    for part in loc:
        inside = None
        if isinstance(content, dict):
            inside = content.get(str(part))
        elif isinstance(content, list) and isinstance(part, int) and part < len(content):
            inside = content[part]
        name = inside.get("name") if isinstance(part, int) and isinstance(inside, dict) else None
        parts.append(name if isinstance(name, str) else str(part))
        content = inside
    return ".".join(parts)


def _hint(place: str, loc: tuple[int | str, ...], model: type[BaseModel]) -> str:
    """What was probably meant: a similar key of the same section, or the section that has this key."""
    key, section = str(loc[-1]), _section(model, loc[:-1])
    near = get_close_matches(key, section.model_fields, n=1)
    if near:
        return f": did you mean '{place.removesuffix(key)}{near[0]}'?"
    homes = [name for name, inner in _sections(model).items() if key in inner.model_fields]
    if homes:
        return f": it belongs to {' or '.join(homes)}"
    return f": known are {', '.join(section.model_fields)}"


def _section(model: type[BaseModel], loc: tuple[int | str, ...]) -> type[BaseModel]:
    """The settings class that stands at a place."""
    for part in loc:
        if isinstance(part, str) and part in model.model_fields:
            model = _inner(model.model_fields[part].annotation) or model
    return model


def _sections(model: type[BaseModel], prefix: str = "") -> dict[str, type[BaseModel]]:
    """Every section below `model`, by its dotted name."""
    found: dict[str, type[BaseModel]] = {}
    for name, field in model.model_fields.items():
        inner = _inner(field.annotation)
        if inner is not None:
            found[prefix + name] = inner
            found |= _sections(inner, f"{prefix}{name}.")
    return found


def _inner(annotation: Any) -> type[BaseModel] | None:
    """The settings class inside an annotation such as `tuple[StageSettings, ...]` or `TeacherSettings |
    None`.
    """
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((inner for part in get_args(annotation) if (inner := _inner(part))), None)
