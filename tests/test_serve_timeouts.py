"""`serve.timeouts`: connections that stall are closed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from serving import Running, running, until
from tinyreader.serve import timeouts
from tinyreader.serve.timeouts import TimeoutProtocol


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A server with short limits."""
    monkeypatch.setattr(timeouts, "HEAD_S", 0.3)
    with running(tmp_path) as found:
        yield found


@pytest.mark.parametrize("sent", [b"", b"GET /health HT", b"GET /health HTTP/1.1\r\nHost: localhost\r\n"])
def test_a_head_that_does_not_end_is_not_waited_for(server: Running, sent: bytes) -> None:
    """The connection is closed; others are answered."""
    with server.raw() as connection:
        connection.sendall(sent)
        assert connection.recv(100) == b""
    assert server.ask("GET", "/health").status == 200


def test_a_second_request_has_no_longer_than_the_first(server: Running) -> None:
    """After an answer, half a head is given up as well."""
    with server.raw() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(2000).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /hea")
        rest = b"".join(iter(lambda: connection.recv(2000), b""))
    assert b"HTTP/1.1" not in rest


def test_a_request_at_work_is_not_hurried(server: Running) -> None:
    """However long the engine takes, the connection stays: it outlives one that began later and sent half a head."""
    server.set("hold")
    body = b'{"question": "a", "context": "b"}'
    with server.raw() as connection:
        connection.sendall(
            b"POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        until(lambda: server.counted("requests_inside") == 1, "the request at work")
        with server.raw() as later:
            later.sendall(b"GET /hea")
            assert later.recv(100) == b""
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):
            connection.recv(100)
        connection.settimeout(60.0)
        server.unset("hold")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


def test_an_answer_that_nobody_takes_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that asks for much and reads nothing holds neither its answer nor its connection; one that
    reads gets all.
    """
    home = tmp_path / "home"
    home.mkdir()
    (home / "a.txt").write_text("a b c d\n" * 2_000_000)
    ask = b"GET /documents?id=a.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    monkeypatch.setattr(timeouts, "TAKE_S", 0.3)
    dropped = threading.Event()
    abort = TimeoutProtocol._abort_untaken

    def abort_and_tell(protocol: TimeoutProtocol) -> None:
        abort(protocol)
        dropped.set()

    monkeypatch.setattr(TimeoutProtocol, "_abort_untaken", abort_and_tell)
    with running(tmp_path, documents=home, index=tmp_path / "index") as server:
        until(lambda: server.ask("GET", "/ready").status == 200, "the index")
        assert len(server.ask("GET", "/documents?id=a.txt").body) > 16_000_000
        with socket.socket() as connection:
            connection.settimeout(60)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(ask)
            assert dropped.wait(60)
            n = 0
            with suppress(ConnectionResetError):
                while got := connection.recv(1 << 20):
                    n += len(got)
        assert n < 16_000_000
        assert server.ask("GET", "/health").status == 200


def test_what_is_not_http_is_refused_as_a_problem(server: Running) -> None:
    """Even that in the standard's form."""
    with server.raw() as connection:
        connection.sendall(b"EHLO mail\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(2000), b""))
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"application/problem+json" in answer
    assert b"/docs#wrong-request" in answer
