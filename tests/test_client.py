"""`client`: a reader elsewhere is used as a reader here, and a server that is busy or away is waited for."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from document_samples import pdf_of
from serving import QUESTION, TEXT, Running, running, text, until
from tinyreader.client import Client, RetryPolicy
from tinyreader.errors import DataError, ServiceError, SettingsError
from tinyreader.reader import Document, Question

QUICK = RetryPolicy(tries=4, pause_s=0.001)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with a folder."""
    home = tmp_path_factory.mktemp("documents")
    (home / "a.txt").write_text(" ".join(text(12, n) + " ." for n in range(40)))
    folder = tmp_path_factory.mktemp("server")
    with running(folder, documents=home, index=folder / "index", api_key="correct horse battery") as found:
        until(lambda: found.ask("GET", "/ready").status == 200, "the folder's index")
        yield found


@pytest.fixture
def client(server: Running) -> Iterator[Client]:
    """A client of it."""
    with Client(server.url, api_key="correct horse battery", retry=QUICK) as found:
        yield found


def test_one_line_moves_code_from_here_to_there(server: Running, client: Client, tmp_path: Path) -> None:
    """Readings are equal, documents the caller's own objects, whatever form they were given in."""
    local = server.local()
    path = tmp_path / "notes.txt"
    path.write_text("the bridge\fwas built in it\n" * 3)
    paged = [Document("d", TEXT, (0, 4)), Document("d", text(30))]
    forms: list[Any] = [TEXT, [text(80), TEXT], [("mine", TEXT)], paged, path, [], ["  ", TEXT, ""]]
    for documents in forms:
        assert client.read(QUESTION, documents, top_k=4) == local.read(QUESTION, documents, top_k=4)
    asked = [Question(f"{QUESTION} {n}", [text(30, n), TEXT], n) for n in range(70)]
    assert list(client.read_many(asked)) == list(local.read_many(asked))


def test_a_stream_goes_in_and_comes_out(client: Client) -> None:
    """Readings come while questions still do: an endless stream is no reason to wait."""

    def endless() -> Iterator[tuple[str, str]]:
        while True:
            yield QUESTION, TEXT

    readings = client.read_many(endless())
    assert [next(readings).question for _ in range(200)] == [QUESTION] * 200
    readings.close()  # type: ignore[attr-defined]


def test_the_servers_own_folder_is_asked(server: Running, client: Client) -> None:
    """Without documents; the answers stand in the folder's texts."""
    reading = client.read(QUESTION)
    assert reading.answers
    for answer in reading.answers:
        assert answer.document.id == "a.txt"
        assert answer.document.text[answer.start : answer.end] == answer.text
    mixed = list(client.read_many([(QUESTION, None), (QUESTION, TEXT)]))
    assert [reading.answers[0].document.id for reading in mixed] == ["a.txt", "0"]
    assert client.info()["collection"]["documents"] == 1


def test_files_become_text_on_the_server(client: Client, tmp_path: Path) -> None:
    """Text and pages as if read here; what cannot be read, there or here, is a `DataError`."""
    (tmp_path / "ä b.pdf").write_bytes(pdf_of(["The mill", "b"]))
    (tmp_path / "c.pdf").write_bytes(b"%PDF-")
    assert client.document(tmp_path / "ä b.pdf") == Document("ä b.pdf", "The mill\nb\n", (0, 9))
    assert client.document(tmp_path / "ä b.pdf", "x").id == "x"
    with pytest.raises(DataError, match=r"c\.pdf is a broken PDF"):
        client.document(tmp_path / "c.pdf")
    with pytest.raises(DataError, match="cannot be read: No such file"):
        client.document(tmp_path / "none")


def test_settings_of_the_client_and_of_a_call(server: Running) -> None:
    """A call's own settings go over the client's."""
    with Client(server.url, api_key="correct horse battery", top_k=2) as client:
        assert len(client.read(QUESTION, TEXT).answers) == 2
        assert len(client.read(QUESTION, TEXT, top_k=1).answers) == 1


def test_errors_are_a_readers_errors(client: Client, server: Running) -> None:
    """Wrong questions are `DataError`, wrong settings `SettingsError`, and a wrong key is told as what it
    is.
    """
    for question in ("", " ", "half \ud800"):
        with pytest.raises(DataError):
            client.read(question, TEXT)
    with pytest.raises(DataError, match="tokens"):
        client.read("the " * 400, TEXT)
    for changes in (
        {"top_k": 0},
        {"max_seq_len": 4000},
        {"no_such": 1},
        {"no_answer_threshold": float("inf")},
    ):
        with pytest.raises(SettingsError):
            client.read(QUESTION, TEXT, **changes)
    with pytest.raises(DataError, match="give a Question"):
        client.read_many([3]).__next__()  # type: ignore[list-item]
    with Client(server.url) as stranger, pytest.raises(ServiceError, match="requires a key"):
        stranger.read(QUESTION, TEXT)
    for url in ("127.0.0.1:8080", "ftp://a.example", "http://"):
        with pytest.raises(SettingsError, match="not the address"):
            Client(url)


def test_threads_share_a_client(client: Client, server: Running) -> None:
    """Each gets its own answers."""
    local = server.local()
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda n: client.read(QUESTION, text(20 + n, n)), range(40)))
    assert found == [local.read(QUESTION, text(20 + n, n)) for n in range(40)]


class Scripted(BaseHTTPRequestHandler):
    """Answers as its script says, one entry a request: a status, or "drop"."""

    protocol_version = "HTTP/1.1"
    script: ClassVar[list[Any]] = []
    seen: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """Plays the next entry."""
        step = self.script.pop(0) if self.script else 200
        self.seen.append(self.path)
        if step == "drop":
            self.close_connection = True
            return
        body = b"nonsense" if step == "nonsense" else json.dumps({"ok": 1}).encode()
        self.send_response(200 if step == "nonsense" else step)
        self.send_header("Content-Length", str(len(body)))
        if step == 503:
            self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def scripted() -> Iterator[tuple[str, type[Scripted]]]:
    """The address of such a server, and its script."""
    handler = type("Own", (Scripted,), {"script": [], "seen": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_address[1]}/behind/", handler
        found.shutdown()


def test_a_full_server_is_asked_again(
    scripted: tuple[str, type[Scripted]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After pauses drawn by chance, each up to twice as long as the one before; the broken connection costs
    none.
    """
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    url, handler = scripted
    handler.script += [503, "drop", 503, 200]
    with Client(url, retry=RetryPolicy(tries=4, pause_s=1.0)) as client:
        assert client.info() == {"ok": 1}
    assert handler.seen == ["/behind/info"] * 4
    assert all(0 < pause <= limit for pause, limit in zip(pauses, (1, 2), strict=True))
    assert len(set(pauses)) == 2


def test_retries_end(scripted: tuple[str, type[Scripted]]) -> None:
    """After so many tries the last reason is told; other failures are not tried again."""
    url, handler = scripted
    handler.script += [503] * 9
    with Client(url, retry=QUICK) as client:
        with pytest.raises(ServiceError, match=r"failed 4 times: .*503"):
            client.info()
        handler.script[:] = [500]
        seen = len(handler.seen)
        with pytest.raises(ServiceError, match="status 500"):
            client.info()
        assert len(handler.seen) == seen + 1
        handler.script[:] = ["nonsense"]
        with pytest.raises(ServiceError, match="not JSON"):
            client.info()
        handler.do_POST = handler.do_GET  # type: ignore[attr-defined]
        with pytest.raises(ServiceError, match="did not give 1 readings"):
            client.read(QUESTION, TEXT)
    with pytest.raises(ServiceError, match="failed 4 times: ConnectionRefusedError"):
        Client("http://127.0.0.1:9", retry=QUICK).info()


def test_a_connection_that_the_server_closed_is_made_anew(scripted: tuple[str, type[Scripted]]) -> None:
    """An idle connection may be gone: that costs no try and no pause."""
    url, handler = scripted
    with Client(url, retry=RetryPolicy(tries=1)) as client:
        client.info()
        handler.script += ["drop"]
        assert client.info() == {"ok": 1}
    assert len(handler.seen) == 3


def test_a_server_that_says_nothing_is_given_up() -> None:
    """After the time that was set."""
    import socket

    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(ServiceError, match=r"within 0\.2 s"),
    ):
        Client(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.2, retry=QUICK).info()
