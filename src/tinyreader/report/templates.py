"""The page and the model card are Jinja2 templates in `assets/`; this is the environment that renders them."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

NOT_STATED = "not stated"


def count(n: float | None) -> str:
    """A number of things, with separators of thousands; None is not stated."""
    return NOT_STATED if n is None else f"{n:,.0f}"


def render(template: str, **values: Any) -> str:
    """The template with these values. HTML escapes every value that is not `Markup`; Markdown escapes none.

    Raises `jinja2.UndefinedError` for a name that the template uses and nobody gave.
    """
    return _environment().get_template(template).render(**values)


def asset(name: str) -> Markup:
    """The text of one of our own files, put into a page as it stands."""
    return Markup(files("tinyreader.report").joinpath("assets", name).read_text(encoding="utf-8"))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("tinyreader", "report/assets"),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    environment.filters["thousands"] = count
    return environment
