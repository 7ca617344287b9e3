"""What a fact may say: values drawn by type, all written as they stand in a text."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from tinyreader.sample.names import Names

_RANGE = re.compile(r"(\d+)-(\d+) (\w+)")
_DRAWS: dict[str, Callable[[Random, Names], str]] = {
    "person": lambda rng, names: names.person(rng),
    "place": lambda rng, names: rng.choice(names.places),
    "surname": lambda rng, names: rng.choice(names.surnames),
    "river": lambda rng, names: f"River {rng.choice(names.rivers)}",
    "hill": lambda rng, names: f"Mount {rng.choice(names.rivers)}",
    "ship": lambda rng, names: rng.choice(names.ships),
    "title": lambda rng, names: rng.choice(names.titles),
    "people": lambda rng, names: f"{rng.randint(1, 60)},{rng.randrange(0, 1000, 50):03d}",
}


def drawn(sort: str, rng: Random, names: Names) -> str:
    """A value of the type `sort`: a name, a number of people, or from a range with a unit such as "30-390
    metres".

    Raises:
        KeyError: if there is no such type.
    """
    if bounds := _RANGE.fullmatch(sort):
        return f"{rng.randint(int(bounds[1]), int(bounds[2]))} {bounds[3]}"
    return _DRAWS[sort](rng, names)


def ascending_years(n: int, first: tuple[int, int], gap: tuple[int, int], rng: Random) -> list[str]:
    """`n` years in order: the earliest within `first`, each later one within `gap` years of the one
    before.
    """
    years = [rng.randint(*first)]
    for _ in range(n - 1):
        years.append(years[-1] + rng.randint(*gap))
    return [str(year) for year in years]
