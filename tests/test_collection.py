"""`collection`: a folder's documents on disk, kept up with, and asked by way of their best passages."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest

from fake_engine import Scattered
from serving import QUESTION, SETTINGS, text
from tiny_models import write_vocabulary
from tinyreader.collection import Collection, index_directory, refresh
from tinyreader.collection.collection import best_places
from tinyreader.documents import Document
from tinyreader.errors import DataError, SettingsError
from tinyreader.passages import PassageIndex
from tinyreader.reader import Question, Reader

LONG_AGO = 10_000_000_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three documents, one of them in a folder below, and a file of another kind."""
    home = tmp_path / "documents"
    (home / "below").mkdir(parents=True)
    (home / "bridge.txt").write_text("The bridge over the Orrin was built in 1811. " * 60)
    (home / "mill.md").write_text("# The mill\n\nIt burned down.")
    (home / "below" / "tower.html").write_text("<p>The tower fell in the <b>great storm</b>.</p>")
    (home / "picture.png").write_bytes(b"\x89PNG")
    for path in home.rglob("*"):
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
    return home


def test_passages_come_from_all_documents(folder: Path, tmp_path: Path) -> None:
    """The best ones stand first, at their places in documents named by their path in the folder."""
    collection = Collection.open(folder, tmp_path / "index")
    assert len(collection) > 3
    best = collection.search("Which storm made the tower fall?", 2)[0]
    assert best.document.id == "below/tower.html"
    assert "great storm" in best.text
    assert collection.search("zebra", 3) == []
    assert [p.document.id for p in collection.search("mill", 5)] == ["mill.md"]
    with pytest.raises(SettingsError, match="passages is 0"):
        collection.search("mill", 0)


def test_it_ranks_as_passages_are_ranked_in_memory(folder: Path, tmp_path: Path) -> None:
    """What the index on disk picks is what `PassageIndex` picks of the same documents."""
    collection = Collection.open(folder, tmp_path / "index")
    names = ["below/tower.html", "bridge.txt", "mill.md"]
    documents = [document for name in names if (document := collection.store.document(name)) is not None]
    index = PassageIndex(documents)
    for question in ("bridge built", "the tower in the storm", "It burned", "the"):
        found = collection.search(question, 3)
        assert found == index.best(question, 3)[: len(found)] != []


@pytest.mark.parametrize("n", [1, 5, 99, 100, 500])
def test_the_best_are_those_of_a_whole_sort(n: int) -> None:
    """Ties included, whose order is that of their places; nothing without a score."""
    scores = np.random.default_rng(n).integers(0, 12, 100).astype(np.float32)
    order = [place for place in np.argsort(-scores, kind="stable")[:n] if scores[place] > 0]
    assert best_places(scores, n).tolist() == order
    assert best_places(np.zeros(4, np.float32), n).tolist() == []


def test_what_changed_is_read_again_and_nothing_else(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New, changed and removed files are told apart; a file that only looks newer keeps its document."""
    index = tmp_path / "index"
    first = refresh(folder, index)
    assert (first.added, first.documents, first.unreadable, first.generation) == (3, 3, 0, 1)
    collection = Collection(index)
    read = []
    honest = refresh.__globals__["document_of"]
    monkeypatch.setitem(refresh.__globals__, "document_of", lambda *a: read.append(a[1]) or honest(*a))
    again = refresh(folder, index)
    assert (again.added, again.changed, again.removed, again.generation, read) == (0, 0, 0, 1, [])
    os.utime(folder / "bridge.txt", ns=(LONG_AGO + 1, LONG_AGO + 1))
    assert refresh(folder, index).generation == 1
    assert read == []
    (folder / "mill.md").write_text("The mill was sold to a weaver.")
    (folder / "below" / "tower.html").unlink()
    (folder / "new.txt").write_text("A lighthouse.")
    found = refresh(folder, index)
    assert (found.added, found.changed, found.removed, found.documents, found.generation) == (1, 1, 1, 3, 2)
    assert sorted(read) == ["mill.md", "new.txt"]
    assert collection.search("weaver") == []
    assert collection.reload()
    assert not collection.reload()
    assert collection.search("weaver")[0].document.text == "The mill was sold to a weaver."
    assert collection.search("storm") == []
    assert [path.name for path in index.glob("index-*")] == ["index-2"]


def test_a_file_changed_within_the_clocks_grain_is_seen(folder: Path, tmp_path: Path) -> None:
    """Equal in size and time to what was read a moment ago, it is looked at all the same."""
    now = time.time_ns()
    path = folder / "mill.md"
    for content in (b"The mill was red.", b"The mill was new."):
        path.write_bytes(content)
        os.utime(path, ns=(now, now))
        refresh(folder, tmp_path / "index")
    assert Collection(tmp_path / "index").search("new mill")[0].document.text == "The mill was new."


def test_links_do_not_lead_out_of_the_folder(folder: Path, tmp_path: Path) -> None:
    """Files and folders elsewhere are not served through links; links within the folder are followed."""
    secret = tmp_path / "elsewhere"
    secret.mkdir()
    (secret / "secret.txt").write_text("The password is swordfish.")
    (folder / "link.txt").symlink_to(secret / "secret.txt")
    (folder / "linked").symlink_to(secret)
    (folder / "up").symlink_to(tmp_path)
    (folder / ".hidden.txt").write_text("swordfish")
    collection = Collection.open(folder, tmp_path / "index")
    assert collection.search("swordfish password") == []
    assert collection.store.document("link.txt") is None
    assert collection.store.document("../elsewhere/secret.txt") is None
    assert collection.store.counts() == (3, 0)


def test_files_that_cannot_be_read_are_counted_and_not_tried_again(folder: Path, tmp_path: Path) -> None:
    """A damaged file has no passages; mended, it has."""
    (folder / "bad.pdf").write_bytes(b"%PDF-1.7 nothing")
    os.utime(folder / "bad.pdf", ns=(LONG_AGO, LONG_AGO))
    assert refresh(folder, tmp_path / "index").unreadable == 1
    assert refresh(folder, tmp_path / "index").generation == 1
    (folder / "bad.pdf").unlink()
    assert refresh(folder, tmp_path / "index").unreadable == 0


@pytest.mark.skipif(os.name == "nt", reason="alarms")
def test_a_file_that_takes_too_long_is_given_up(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is counted with those that cannot be read, the others are there, and no alarm is left behind."""
    (folder / "slow.txt").write_text("slow")
    os.utime(folder / "slow.txt", ns=(LONG_AGO, LONG_AGO))
    honest = refresh.__globals__["document_of"]

    def document_of(raw: bytes, name: str, suffix: str) -> Document:
        while name == "slow.txt":
            with suppress(Exception):  # as a parser does that goes on after each fault
                time.sleep(0.01)
        return honest(raw, name, suffix)

    monkeypatch.setitem(refresh.__globals__, "document_of", document_of)
    handler = signal.getsignal(signal.SIGALRM)
    found = refresh(folder, tmp_path / "index", file_s=0.2)
    assert found.unreadable == 1
    assert found.documents > 1
    assert signal.getsignal(signal.SIGALRM) is handler
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert refresh(folder, tmp_path / "index", file_s=0.2).changed == 0
    monkeypatch.setitem(refresh.__globals__, "document_of", honest)
    assert refresh(folder, tmp_path / "index", file_s=0.2).unreadable == 1, "not tried again so soon"
    later = refresh(folder, tmp_path / "index", file_s=0.3)
    assert (later.changed, later.unreadable) == (1, 0), "another limit, another try"


def test_a_folder_without_words_can_be_asked(tmp_path: Path) -> None:
    """Nothing, or signs alone, gives no passages and no error."""
    home = tmp_path / "empty"
    home.mkdir()
    collection = Collection.open(home, tmp_path / "index")
    assert (len(collection), collection.search("a")) == (0, [])
    (home / "signs.txt").write_text("?! ...")
    refresh(home, tmp_path / "index")
    collection.reload()
    assert (len(collection), collection.search("a")) == (1, [])


def test_readings_have_their_places_in_the_documents(folder: Path, tmp_path: Path) -> None:
    """Answers stand in the whole document, and are those that the reader finds in the passages."""
    (folder / "long.txt").write_text(" ".join(text(12, n) + " ." for n in range(300)))
    collection = Collection.open(folder, tmp_path / "index")
    reader = Reader(write_vocabulary(tmp_path / "vocabulary"), Scattered(), SETTINGS)
    reading = collection.read(reader, QUESTION, 4, top_k=6)
    assert len(reading.answers) == 6
    for answer in reading.answers:
        assert answer.document.text[answer.start : answer.end] == answer.text
    assert max(answer.start for answer in reading.answers) > 1000
    several = list(
        collection.read_many(reader, [Question(QUESTION, (), 1), Question("zebra", (), 2)], 4, top_k=6)
    )
    assert several[0].answers == reading.answers
    assert (several[1].id, several[1].answers, several[1].has_answer) == (2, (), False)


def test_a_reader_of_an_old_index_finds_its_way(folder: Path, tmp_path: Path) -> None:
    """Texts that went while a question was looked up are looked up anew."""
    collection = Collection.open(folder, tmp_path / "index")
    (folder / "mill.md").write_text("The mill was sold.")
    refresh(folder, tmp_path / "index")
    assert collection.search("mill")[0].document.text == "The mill was sold."


def test_a_kill_leaves_what_was_there(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped before the end, texts and index are those from before, and the next refresh does it all."""
    index = tmp_path / "index"
    refresh(folder, index)
    (folder / "mill.md").write_text("The mill was sold.")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(refresh.__globals__, "_build", stop)
        with pytest.raises(KeyboardInterrupt):
            refresh(folder, index)
    assert Collection(index).search("mill")[0].document.text == "# The mill\n\nIt burned down."
    assert refresh(folder, index).changed == 1


def test_what_cannot_be_used_is_told(tmp_path: Path) -> None:
    """No folder, no index, a damaged store, a store of another version."""
    with pytest.raises(DataError, match="no such folder"):
        refresh(tmp_path / "nothing", tmp_path / "index")
    with pytest.raises(DataError, match="holds no index"):
        Collection(tmp_path / "nothing")
    home = tmp_path / "home"
    home.mkdir()
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "documents.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(DataError, match="Delete it"):
        refresh(home, damaged)
    index = tmp_path / "other"
    refresh(home, index)
    with closing(sqlite3.connect(index / "documents.sqlite")) as connection, connection:
        connection.execute("UPDATE facts SET value = 99 WHERE name = 'format'")
    with pytest.raises(DataError, match="another version"):
        refresh(home, index)


def test_it_can_be_done_by_a_process_of_its_own(folder: Path, tmp_path: Path) -> None:
    """The module is a command: what changed on stdout, or exit code 2 with the reason."""
    command = [sys.executable, "-m", "tinyreader.collection"]
    done = subprocess.run([*command, str(folder), str(tmp_path / "index")], capture_output=True, check=True)
    assert json.loads(done.stdout)["documents"] == 3
    done = subprocess.run([*command, str(tmp_path / "nothing"), str(tmp_path / "index")], capture_output=True)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"no such folder" in done.stderr


def test_each_folder_has_an_index_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the user's cache directory, by the folder's full path."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    one, other = tmp_path / "a" / "docs", tmp_path / "b" / "docs"
    assert index_directory(one) != index_directory(other)
    assert index_directory(one).is_relative_to(tmp_path)
    assert index_directory(one) == index_directory(tmp_path / "a" / "x" / ".." / "docs")
