"""`distil.said_before`: a window that a teacher has read for one pass is not read again for another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from test_labels import ALL, MAX_TOKENS, Stop, Teacher, bytes_of, made_store, stop_after
from test_pairs import store_of
from tiny_batches import label_windows
from tinyreader.distil.features import FeatureStore
from tinyreader.distil.labels import TeacherLabels
from tinyreader.distil.said_before import KEYS, Speaker, Taken, finished_passes, own_key, paired_key
from tinyreader.errors import RunError

SOME = ALL[5:40:3]


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """Sixty windows."""
    return made_store(tmp_path / "store")


def label(
    store: FeatureStore, folder: Path, teacher: Any, rows: Any = ALL, who: str = "t", **told: Any
) -> TeacherLabels:
    """A pass of a speaker of that name."""
    speaker = Speaker(who, own_key(store))
    return label_windows(
        teacher, store, rows, folder, **{"max_batch_tokens": MAX_TOKENS, "speaker": speaker} | told
    )


def test_windows_of_another_pass_are_taken(store: FeatureStore, tmp_path: Path) -> None:
    """Only what is missing is asked for, the whole is the same, and a third pass finds both."""
    label(store, tmp_path / "p" / "some", Teacher(), SOME)
    teacher, told, kept = Teacher(), list[Taken](), list[int]()
    label(
        store,
        tmp_path / "p" / "all",
        teacher,
        on_taken=told.append,
        on_kept=lambda n, seconds: kept.append(n),
    )
    assert sorted(teacher.seen) == sorted(set(ALL.tolist()) - set(SOME.tolist()))
    assert [(taken.source, taken.windows) for taken in told] == [
        ("some", len(SOME))
    ]  # added up, not batch by batch
    assert sum(kept) == len(ALL) - len(SOME)
    spent = json.loads((tmp_path / "p" / "some" / "labels.json").read_text())["seconds"]
    assert sum(taken.seconds for taken in told) == pytest.approx(spent)
    label(store, tmp_path / "alone", Teacher())
    assert bytes_of(tmp_path / "p" / "all") == bytes_of(tmp_path / "alone")
    silent = Teacher()
    label(store, tmp_path / "p" / "again", silent, ALL[1::2])
    assert not silent.seen


def test_other_data_sets_share_windows(store: FeatureStore, tmp_path: Path) -> None:
    """Keys are of what a window holds, not of where it stands: here another store has twenty windows more."""
    label(store, tmp_path / "p" / "first", Teacher())
    longer, teacher = made_store(tmp_path / "longer", n_windows=80), Teacher()
    kept = label(longer, tmp_path / "p" / "second", teacher, np.arange(80))
    assert sorted(teacher.seen) == list(range(60, 80))
    before = TeacherLabels(tmp_path / "p" / "first", store)
    assert kept.logits(longer.batch(ALL, 0))[0].equal(before.logits(store.batch(ALL, 0))[0])


def test_only_the_same_speakers_words_are_taken(store: FeatureStore, tmp_path: Path) -> None:
    """Not those of another teacher, precision or engine, nor of a pass that was stopped, nor from files that
    are damaged.
    """
    label(store, tmp_path / "p" / "other", Teacher(), who="o")
    with pytest.raises(Stop):
        label(store, tmp_path / "p" / "stopped", Teacher(), on_batch=stop_after(2))
    label(store, tmp_path / "p" / "damaged", Teacher())
    (tmp_path / "p" / "damaged" / KEYS).write_bytes(b"no list")
    label(store, tmp_path / "p" / "empty", Teacher())
    (tmp_path / "p" / "empty" / KEYS).write_bytes(b"")
    (tmp_path / "p" / "broken").mkdir()
    (tmp_path / "p" / "broken" / KEYS).write_bytes(b"")
    (tmp_path / "p" / "broken" / "labels.json").write_text("[")
    teacher = Teacher()
    label(store, tmp_path / "p" / "mine", teacher)
    assert sorted(teacher.seen) == ALL.tolist()


def test_a_pass_goes_on_with_the_passes_it_began_with(store: FeatureStore, tmp_path: Path) -> None:
    """One that is finished between two starts changes nothing; one that has gone is computed."""
    parent = tmp_path / "p"
    label(store, parent / "some", Teacher(), SOME)
    with pytest.raises(Stop):
        label(store, parent / "mine", Teacher(), on_batch=stop_after(2))
    assert json.loads((parent / "mine" / "labels.json").read_text())["donors"] == ["some"]
    label(store, parent / "later", Teacher(), identity="later")
    assert finished_passes(parent, Speaker("t", own_key(store))) == ["later", "some"]
    (parent / "some" / KEYS).unlink()
    teacher = Teacher()
    label(store, parent / "mine", teacher)
    assert len(teacher.seen) > 0
    assert bytes_of(parent / "mine") == bytes_of(parent / "later")


def test_a_batch_that_fails_counts_nothing(store: FeatureStore, tmp_path: Path) -> None:
    """What it had taken is taken again at the next start, and told once."""
    label(store, tmp_path / "p" / "some", Teacher(), SOME)
    told: list[Taken] = []
    for _ in range(3):
        with pytest.raises(RunError, match="not finite"):
            label(store, tmp_path / "p" / "all", Teacher(broken_row=59), on_taken=told.append)
    label(store, tmp_path / "p" / "all", Teacher(), on_taken=told.append)
    assert sum(taken.windows for taken in told) == len(SOME)


def test_outputs_of_an_earlier_version_are_shared_once_they_were_used(
    store: FeatureStore, tmp_path: Path
) -> None:
    """They have no list of their windows and do not say whose words they are; the next run that finds them
    whole adds both.
    """
    label_windows(cast(Any, Teacher()), store, ALL, tmp_path / "p" / "old", max_batch_tokens=MAX_TOKENS)
    note = tmp_path / "p" / "old" / "labels.json"
    note.write_text(
        json.dumps({k: v for k, v in json.loads(note.read_text()).items() if k not in ("speaker", "donors")})
    )
    label(store, tmp_path / "p" / "old", Teacher())
    silent = Teacher()
    label(store, tmp_path / "p" / "new", silent, SOME)
    assert not silent.seen


def test_keys_tell_windows_apart(tmp_path: Path) -> None:
    """Rows with other tokens have other keys, in a student's own store as in pairs; the same row has one."""
    pairs = store_of(tmp_path)
    for key in (own_key(pairs.student), paired_key(pairs)):
        keys = [key(row) for row in range(len(pairs.student))]
        assert len(set(keys)) == len(keys)
        assert {len(one) for one in keys} == {16}
        assert key(0) == keys[0]


@pytest.mark.parametrize("field", ["segment", "segment_stop", "first", "stop"])
def test_all_that_a_reader_of_the_same_windows_sees_is_in_the_key(tmp_path: Path, field: str) -> None:
    """Tokens are not all: where the segments and the context begin and end fixes what may be said."""
    store = made_store(tmp_path / "s")
    before = own_key(store)(3)
    store.index = np.array(store.index)
    store.index[field][3] += 1
    assert own_key(store)(3) != before


@pytest.mark.parametrize(
    "what", ["_student", "_teacher", "_begins", "ids", "segment", "segment_stop", "first", "stop"]
)
def test_all_that_carrying_needs_is_in_the_key(tmp_path: Path, what: str) -> None:
    """The teacher's tokens and segments, the places of both sides, and where a piece begins."""
    pairs: Any = store_of(tmp_path)
    before = paired_key(pairs)(0)
    if what in ("_student", "_teacher", "_begins", "ids"):
        owner = pairs.windows if what == "ids" else pairs
        setattr(owner, what, np.array(getattr(owner, what)) + 1)
    else:
        pairs.windows.index = np.array(pairs.windows.index)
        pairs.windows.index[what][0] += 1
    assert paired_key(pairs)(0) != before
