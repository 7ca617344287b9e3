"""What a fact may say: values drawn by type, all written as they stand in a text."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tinyreader.sample.names import Names

COUNTS = (
    "three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
).split()

_DRAWS: dict[str, Callable[[Random, Names], str]] = {
    "person": lambda rng, names: names.person(rng),
    "place": lambda rng, names: rng.choice(names.places),
    "surname": lambda rng, names: rng.choice(names.surnames),
    "river": lambda rng, names: f"River {rng.choice(names.rivers)}",
    "hill": lambda rng, names: f"Mount {rng.choice(names.rivers)}",
    "coined": lambda rng, names: rng.choice(names.instruments),
    "ship": lambda rng, names: rng.choice(names.ships),
    "title": lambda rng, names: rng.choice(names.titles),
    "count": lambda rng, names: rng.choice(COUNTS),
    "crew": lambda rng, names: str(rng.randint(20, 99)),
    "people": lambda rng, names: f"{rng.randint(1, 60)},{rng.randrange(0, 1000, 50):03d}",
    "money": lambda rng, names: f"{rng.randint(2, 95)} {rng.choice(('crowns', 'ducats', 'shillings', 'guilders'))}",
    "metres": lambda rng, names: f"{rng.randint(20, 980)} metres",
    "kilometres": lambda rng, names: f"{rng.randint(20, 980)} kilometres",
    "centimetres": lambda rng, names: f"{rng.randint(12, 98)} centimetres",
    "grams": lambda rng, names: f"{rng.randrange(110, 980, 10)} grams",
    "kilograms": lambda rng, names: f"{rng.randint(2, 40)} kilograms",
    "days": lambda rng, names: f"{rng.choice(COUNTS)} days",
    "months": lambda rng, names: f"{rng.choice(COUNTS)} months",
    "years": lambda rng, names: f"{rng.choice(COUNTS)} years",
}  # fmt: skip
TYPES = frozenset(_DRAWS)


def drawn(kind: str, rng: Random, names: Names) -> str:
    """A value of the type `kind`, one of `TYPES`."""
    return _DRAWS[kind](rng, names)


def ascending_years(n: int, first: tuple[int, int], gap: tuple[int, int], rng: Random) -> list[str]:
    """`n` years in order: the earliest within `first`, each later one within `gap` years of the one before."""
    years = [rng.randint(*first)]
    for _ in range(n - 1):
        years.append(years[-1] + rng.randint(*gap))
    return [str(year) for year in years]
