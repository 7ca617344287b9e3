"""The hand-written templates in `templates/`, typed: each file is a `Kind` of article."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict


class Fact(BaseModel):
    """One relation of a kind: how a text states it and how one asks for each of its slots.

    `slots` gives each slot "year", a type that `names.drawn` knows, or the list it is drawn from. In texts {S} is the
    subject at the start of a sentence, {s} inside one, {o} as an object, {P} and {p} its possessive; in
    questions {q} is its name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slots: dict[str, str | tuple[str, ...]]
    say: tuple[str, ...]
    ask: dict[str, tuple[str, ...]]
    lead: bool = False

    @property
    def is_dated(self) -> bool:
        """Whether the fact has a year."""
        return "year" in self.slots.values()


class Kind(BaseModel):
    """A kind of article: what its subjects are called and the facts that may be told, the earliest in time
    first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    noun: str
    subjects: tuple[str, ...]
    first_year: tuple[int, int]
    year_gap: tuple[int, int]
    fillers: tuple[str, ...]
    facts: tuple[Fact, ...]
    pronouns: tuple[str, str, str] = ("it", "it", "its")

    @property
    def lead(self) -> Fact:
        """The fact every article of this kind opens with."""
        return next(fact for fact in self.facts if fact.lead)


@cache
def kinds() -> tuple[Kind, ...]:
    """All kinds of article."""
    folder = files("tinyreader.sample").joinpath("templates")
    texts = sorted(
        (entry.name, entry.read_text("utf-8")) for entry in folder.iterdir() if entry.name.endswith(".toml")
    )
    return tuple(Kind.model_validate(tomllib.loads(text)) for _, text in texts)
