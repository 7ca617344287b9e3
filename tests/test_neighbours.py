"""The nearest words: as brute force finds them, whatever is asked with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyreader.augment import Passage, vectors
from tinyreader.augment.neighbours import Neighbours
from tinyreader.augment.vectors import Vectors, load_vectors, nearest_rows
from tinyreader.errors import SettingsError
from tinyreader.storage import cache_directory


def brute_force(unit: Any, row: int, k: int, among: Any = None) -> list[int]:
    """The k nearest of a row by float64 products of pairs, the lower row first where two are equal."""
    wide = unit.astype(np.float64)
    scores = (wide * wide[row]).sum(axis=1)
    order = sorted(range(len(unit)), key=lambda other: (-scores[other], other))
    return [other for other in order if other != row and (among is None or among[other])][:k]


def random_unit(rng: np.random.Generator, n: int, d: int, *, steps: int | None = None) -> Any:
    """Random rows of length 1; with `steps`, of few different values, so that many are the same or equally
    near.
    """
    values = (
        rng.normal(size=(n, d))
        if steps is None
        else rng.integers(-steps, steps + 1, size=(n, d)).astype(float)
    )
    values[~values.any(axis=1)] = 1.0
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def words_of(*texts: str) -> list[Passage]:
    """A passage for each text, with a place for each word between blanks."""
    passages = []
    for text in texts:
        places, at = [], 0
        for word in text.split():
            at = text.index(word, at) + len(word)
            places.append((at - len(word), at))
        passages.append(Passage(text, tuple(places)))
    return passages


@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 90),
    d=st.integers(1, 24),
    k=st.integers(1, 30),
    steps=st.sampled_from([None, 1, 3]),
    n_bytes=st.integers(1, 6000),
    masked=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_nearest_equals_brute_force(
    seed: int, n: int, d: int, k: int, steps: int | None, n_bytes: int, masked: bool
) -> None:
    """On any table, with blocks of any size, equal rows and rows that are left out, the result is that of
    brute force.
    """
    rng = np.random.default_rng(seed)
    unit = random_unit(rng, n, d, steps=steps)
    among = rng.random(n) < 0.5 if masked else None
    rows = rng.choice(n, size=rng.integers(1, n + 1), replace=False).tolist()
    found = nearest_rows(unit, rows, k, among=among, max_score_bytes=n_bytes)
    assert [f.tolist() for f in found] == [brute_force(unit, row, k, among) for row in rows]


def test_more_rows_than_one_product_takes() -> None:
    """Many rows are searched in several products, and the results come back in order."""
    unit = random_unit(np.random.default_rng(1), 60, 5)
    found = nearest_rows(unit, range(60), 4, max_score_bytes=7 * 4 * 60)
    assert [f.tolist() for f in found] == [brute_force(unit, row, 4) for row in range(60)]
    assert nearest_rows(unit, [], 4) == []


def test_what_comes_back_does_not_depend_on_what_else_is_asked() -> None:
    """Alone, in pairs or all at once, in any block size: the same rows in the same order, also where
    thousands are equal.
    """
    rng = np.random.default_rng(2)
    unit = random_unit(rng, 5000, 100)
    unit[1000:4000] = unit[999]  # as for words that some program gave the vector of an unknown word
    unit[4000:4500] = (unit[998] + rng.normal(size=(500, 100)) * 1e-6).astype(
        np.float32
    )  # nearer than float32 can tell
    rows = [*range(0, 5000, 97), 999, 998, 4100]
    together = nearest_rows(unit, rows, 20)
    for size in (1, 2, 7):
        for start in range(0, len(rows), size):
            apart = nearest_rows(unit, rows[start : start + size], 20, max_score_bytes=1 << 16)
            assert [a.tolist() for a in apart] == [t.tolist() for t in together[start : start + size]]
    assert together[-3].tolist() == list(range(1000, 1020))
    assert together[-2].tolist() == brute_force(unit, 998, 20)


@pytest.mark.parametrize("k", [0, -1])
def test_no_neighbours_cannot_be_asked_for(k: int) -> None:
    """The number must be 1 or more."""
    table = make_vectors(["a", "b"], np.eye(2))
    with pytest.raises(SettingsError, match=f"k is {k}; it must be at least 1"):
        table.nearest([0], k)
    with pytest.raises(SettingsError, match=f"k is {k}; it must be at least 1"):
        Neighbours(table, k)


def make_vectors(words: Sequence[str], values: Any) -> Vectors:
    """Vectors from words and their values [N, d] in memory."""
    return vectors._in_memory("the table", [([word.encode() for word in words], values)])


def fan(*words: str) -> Vectors:
    """Vectors on a quarter of a circle, in the order of the words."""
    angles = np.linspace(0, np.pi / 2, len(words))
    return make_vectors(words, np.stack([np.cos(angles), np.sin(angles)], axis=1))


def test_neighbours_come_best_first_for_every_place() -> None:
    """Each place gets the nearest words of the one there, none where the table does not have it, and types
    are counted.
    """
    propose = Neighbours(fan("bridge", "viaduct", "tunnel", "river"), k=2)
    assert propose(words_of("a Bridge", "", "river river zebra Zebra bridge")) == [
        [(), ("viaduct", "tunnel")],
        [],
        [("tunnel", "viaduct"), ("tunnel", "viaduct"), (), (), ("viaduct", "tunnel")],
    ]
    assert (propose.counts.types, propose.counts.unknown) == (4, 2)
    assert propose([]) == []


def test_only_other_words_are_proposed() -> None:
    """Numbers, marks, forms of the word itself and second forms of another take no place among the k."""
    table = fan(
        "Bridge", "bridge", "42", "...", "Viaduct", "viaduct", "BRIDGE", "fire engine", "don't", "tunnel"
    )
    propose = Neighbours(table, k=3)
    ((found, same),) = propose(words_of("bridge BRIDGE"))
    assert found == ("Viaduct", "don't", "tunnel")
    assert set(same) == set(found)
    ((number,),) = propose(words_of("42"))
    assert set(number) == {"Bridge", "Viaduct", "don't"}


def test_a_word_is_searched_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All new words of a call go into one search, and none of them into a later one."""
    asked: list[list[int]] = []
    nearest = Vectors.nearest

    def noted(self: Vectors, rows: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(list(rows))
        return nearest(self, rows, *args, **kwargs)

    monkeypatch.setattr(Vectors, "nearest", noted)
    propose = Neighbours(fan("a", "b", "c", "d"), k=2)
    first = propose(words_of("c a", "A c"))
    assert propose(words_of("c a", "A c")) == first
    propose(words_of("a d"))
    assert [rows for rows in asked if rows] == [[0, 2], [3]]


def test_the_fingerprint_stands_for_table_and_k() -> None:
    """Another table or number of neighbours is another proposer; the same again is not."""
    tables = fan("a", "b", "c"), fan("a", "b", "d")
    said = [Neighbours(tables[t], k).fingerprint for t, k in ((0, 2), (0, 2), (0, 3), (1, 2))]
    assert len(set(said)) == 3
    assert said[0] == said[1]


@pytest.fixture(scope="module")
def real(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Vectors:
    """Really trained vectors, 40,000 x 100, as they come from the cache."""
    path = shared_dir / "models" / "vectors-40k-100d.txt.gz"
    if not path.is_file():
        pytest.skip("needs the development vectors in ../shared/models, which this machine does not have")
    return load_vectors(path, cache=tmp_path_factory.mktemp("cache"))


def test_neighbours_of_real_words(real: Vectors) -> None:
    """Near to a bridge are tunnel, viaduct and embankment, and near to a name are names; k words come for
    each.
    """
    ((bridge, paris),) = Neighbours(real, k=20)(words_of("Bridge Paris"))
    assert {"tunnel", "viaduct", "embankment"} <= set(bridge)
    assert len(bridge) == len(set(bridge)) == len(paris) == 20
    assert all(word.isalpha() or "-" in word or "'" in word for word in bridge)


def test_real_vectors_are_searched_as_by_brute_force(real: Vectors) -> None:
    """On real vectors, too, alone and together are the same, and both are what float64 says."""
    rows = list(range(0, 40_000, 1501))
    together = real.nearest(rows, 20)
    for row, found in list(zip(rows, together, strict=True))[::9]:
        scores = real.unit.astype(np.float64) @ real.unit[row].astype(np.float64)
        scores[row] = -1
        assert found.tolist() == np.argsort(-scores, kind="stable")[:20].tolist()
        assert real.nearest([row], 20)[0].tolist() == found.tolist()


def test_the_cache_directory_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """XDG_CACHE_HOME where it is set, else LOCALAPPDATA, else .cache in the home directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "tinyreader"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache_directory() == tmp_path / "local" / "tinyreader"
    monkeypatch.delenv("LOCALAPPDATA")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_directory() == tmp_path / "home" / ".cache" / "tinyreader"
