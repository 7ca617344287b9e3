"""`serve.indexer`: a server asks the folder that it was given, and keeps up with it."""

from __future__ import annotations

import shutil
from pathlib import Path

from serving import QUESTION, Running, running, until
from tinyreader.serve.indexer import Indexer


def names(server: Running) -> set[str]:
    """The documents that answers to the question come from."""
    return {answer["document"] for answer in server.read({"question": QUESTION, "top_k": 50}).json["answers"]}


def test_the_folder_is_asked_and_changes_are_seen(tmp_path: Path) -> None:
    """Before it is indexed the server is not ready for it, then it answers from all files, and soon from new
    ones.
    """
    home = tmp_path / "documents"
    home.mkdir()
    (home / "one.txt").write_text("the bridge was built in it")
    options = {"documents": home, "index": tmp_path / "index", "refresh_s": 1.0}
    with running(tmp_path, **options) as server:
        until(lambda: server.ask("GET", "/ready").status == 200, "the index")
        assert names(server) == {"one.txt"}
        assert server.ask("GET", "/info").json["collection"] == {
            "is_ready": True,
            "documents": 1,
            "unreadable_files": 0,
            "passages": 1,
        }
        assert server.ask("GET", "/documents?id=one.txt").json["text"] == "the bridge was built in it"
        for name in ("two.txt", "..%2Fone.txt", "/etc/passwd", ""):
            assert server.ask("GET", f"/documents?id={name}").status == 404
        (home / "two.txt").write_text("who built the bridge ? x")
        until(lambda: names(server) == {"one.txt", "two.txt"}, "the new file")
        stream = server.read(
            {"questions": [QUESTION, {"question": QUESTION, "context": "a b"}], "stream": True, "passages": 1}
        )
        assert len(stream.body.splitlines()) == 2
    shutil.rmtree(home)
    home.mkdir()
    indexer = Indexer(home, tmp_path / "index", 3600.0, 30.0)
    indexer.start()
    assert indexer.collection is not None  # an earlier run's index serves at once
    until(lambda: indexer.collection is not None and len(indexer.collection) == 0, "the empty folder")
    indexer.close()


def test_a_folder_that_cannot_be_indexed_is_told_and_harms_nothing(tmp_path: Path) -> None:
    """Texts sent along are read all the same; the folder's questions are refused for now."""
    home = tmp_path / "documents"
    home.mkdir()
    (tmp_path / "index").write_text("a file where the index should be")
    with running(tmp_path, documents=home, index=tmp_path / "index") as server:
        assert server.read({"question": QUESTION, "context": "a b"}).status == 200
        answer = server.read({"question": QUESTION})
        assert (answer.status, answer.json["type"]) == (503, "/docs#not-ready")
        assert server.ask("GET", "/ready").status == 503
        assert server.ask("GET", "/health").status == 200
