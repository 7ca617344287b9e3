"""Invented names, in two pools that share none, for training and for held-out articles; and the values that facts
take, drawn by type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from random import Random

_ROOTS = (
    "Tal Or Mar Ven Kel Bris Dor Fen Gal Hal Ist Jor Lor Mel Nor Os Pel Quil Ras Sel Tor Ul Var Wen Yar Zel "
    "Ald Bran "
    "Cor Dun Eld Far Gren Hes Il Kest Lun Mor Ned Ost Pras Rill Sor Tam Und Ves Wil Yel"
).split()
_LINKS = ("", "a", "en", "is", "o")
_PLACE_ENDS = (
    "mere ford wick holm dale stead mouth combe haven ness thorpe field worth bourne minster leigh strand "
    "fell moor "
    "brook barrow hythe stow wold gard"
).split()
_SURNAME_ENDS = (
    "hart low vane sen quist mond ric lund bell rane dell nell wright lock bury man shaw kin gast ley"
).split()
_RIVER_ENDS = "eth ane ula issa ow een arne olle ima uth erre ax".split()
_GIVEN_ROOTS = (
    "An El Mir Or Sel Tam Ish Lav Ros Cel Dor Em Fen Il Jun Kat Lis Nor Per Ril Sib Tess Ver Win Yl Hal Ben "
    "Gor"
).split()
_FEMALE_ENDS = ("a", "ine", "ia", "enna", "ild", "ette", "isa")
_MALE_ENDS = ("an", "or", "ic", "el", "ard", "us", "on")
_SHIP_QUALITIES = (
    "Grey Patient Merry Silver Restless Northern Golden Humble Brave Quiet Crimson Wandering Lucky Proud Old "
    "Faithful "
    "Gentle Midnight Green Hasty Noble Amber Jolly Sullen White Swift Rosy Steady Ragged Bold"
).split()
_SHIP_THINGS = (
    "Heron Lantern Widow Dolphin Thistle Falcon Pilgrim Duchess Acorn Comet Sparrow Anchor Mermaid Badger "
    "Star Otter "
    "Rose Beacon Drummer Gull Maiden Arrow Juniper Squire Bell Swallow Traveller Crown Fiddler Petrel"
).split()
_TITLE_QUALITIES = (
    "Broken Hidden Empty Winter Paper Distant Sleeping Burning Forgotten Hollow Velvet Seventh Last Lame"
).split()
_TITLE_THINGS = (
    "Orchard Mirror Staircase Garden Letter Harbour Violin Kingdom Candle Window Bridge Shadow Clock Feather"
).split()

RESERVED = frozenset({"Talenford", "Kelissa", "Ornamere", "Fenavane"})  # those of the showcase


@dataclass(frozen=True, slots=True)
class Names:
    """The names one side of the encyclopaedia may use."""

    places: tuple[str, ...]
    rivers: tuple[str, ...]
    surnames: tuple[str, ...]
    women: tuple[str, ...]
    men: tuple[str, ...]
    ships: tuple[str, ...]
    titles: tuple[str, ...]

    def person(self, rng: Random) -> str:
        """A given name and a surname."""
        return f"{rng.choice(rng.choice((self.women, self.men)))} {rng.choice(self.surnames)}"


def divided_names(rng: Random, held_out_share: float) -> tuple[Names, Names]:
    """The names for training articles and those for held-out ones, in each pool `held_out_share` of them.

    The pools differ in their endings, so that no name is in two of them. Given names alone are common to both
    sides: surnames tell people apart.
    """
    given = {"women": _joined(_GIVEN_ROOTS, _FEMALE_ENDS), "men": _joined(_GIVEN_ROOTS, _MALE_ENDS)}
    common = {pool: tuple(sorted(set(names) - RESERVED)) for pool, names in given.items()}
    pools = {
        "places": _joined(_ROOTS, _LINKS, _PLACE_ENDS),
        "rivers": _joined(_ROOTS, _LINKS, _RIVER_ENDS),
        "surnames": _joined(_ROOTS, _LINKS, _SURNAME_ENDS),
        "ships": _joined(_SHIP_QUALITIES, (" ",), _SHIP_THINGS),
        "titles": _joined(("The ",), _TITLE_QUALITIES, (" ",), _TITLE_THINGS),
    }
    train, held_out = {}, {}
    for pool, names in pools.items():
        usable = sorted(set(names) - RESERVED)
        rng.shuffle(usable)
        n_held_out = round(len(usable) * held_out_share)
        held_out[pool], train[pool] = tuple(usable[:n_held_out]), tuple(usable[n_held_out:])
    return Names(**common, **train), Names(**common, **held_out)


def _joined(*parts: Iterable[str]) -> list[str]:
    """Every concatenation of one piece from each part."""
    return ["".join(pieces) for pieces in product(*parts)]


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
