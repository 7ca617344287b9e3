"""`serve.middleware`: who may ask, what every answer carries, and that no text reaches a log."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving import QUESTION, TEXT, Running, running
from tinyreader.serve import service as service_module
from tinyreader.serve.logs import JsonFormatter

KEY = "correct horse battery"
READ = {"question": QUESTION, "documents": [TEXT]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with a key, a page that may ask from elsewhere, and a name."""
    options = {
        "api_key": KEY,
        "allow_origins": ("https://good.example",),
        "allow_hosts": ("localhost", "reader.example"),
    }
    with running(tmp_path_factory.mktemp("server"), **options) as found:
        yield found


def test_a_key_is_asked_for(server: Running) -> None:
    """Reading, state and numbers need it; health, readiness and the page do not."""
    host = {"host": "localhost"}
    for wrong in (
        {},
        {"authorization": f"Bearer {KEY}x"},
        {"authorization": f"Basic {KEY}"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer ké".encode().decode("latin-1")},
    ):
        for method, path in (
            ("POST", "/read"),
            ("POST", "/"),
            ("GET", "/info"),
            ("GET", "/metrics"),
            ("GET", "/documents"),
            ("GET", "/docs"),
            ("GET", "/nothing"),
            ("HEAD", "/info"),
        ):
            answer = server.ask(method, path, b"{}", {**host, **wrong})
            assert answer.status == 401, (method, path)
            assert answer.headers["www-authenticate"].startswith("Bearer")
    for path in ("/health", "/ready", "/"):
        assert server.ask("GET", path, headers=host).status == 200
    right = {**host, "authorization": f"bearer {KEY}"}
    assert server.ask("POST", "/read", READ, right).status == 200
    assert server.ask("GET", "/info", headers=right).status == 200


def test_other_pages_may_not_ask(server: Running) -> None:
    """Requests from pages of other origins are refused before any work, whatever their method; allowed ones
    see answers.
    """
    own = {"host": "localhost", "authorization": f"Bearer {KEY}"}
    for origin in (
        "https://evil.example",
        "null",
        "http://localhost.evil.example",
        "file://localhost",
        "http://[",
    ):
        assert server.ask("POST", "/read", READ, {**own, "origin": origin}).status == 403
        answer = server.ask("OPTIONS", "/read", headers={**own, "origin": origin})
        assert answer.status == 403
        assert "access-control-allow-origin" not in answer.headers
    good = {**own, "origin": "https://good.example"}
    answer = server.ask("POST", "/read", READ, good)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "https://good.example")
    preflight = server.ask(
        "OPTIONS", "/read", headers={"host": "localhost", "origin": "https://good.example"}
    )
    assert preflight.status == 204
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    assert server.ask("POST", "/read", READ, {**own, "origin": "http://localhost"}).status == 200


def test_other_names_are_refused(server: Running) -> None:
    """A page whose name was made to point here is not this server's page."""
    for host in ("evil.example", "localhost.evil.example", "", "[", "127.0.0.1"):
        assert server.ask("GET", "/health", headers={"host": host}).status == 421
    assert server.ask("GET", "/health", headers={"host": "READER.example:8080"}).status == 200


def test_bodies_of_other_kinds_are_refused(server: Running) -> None:
    """JSON in UTF-8 it is, by whatever name curl gives it."""
    own = {"host": "localhost", "authorization": f"Bearer {KEY}"}
    for kind in (
        "application/json",
        "application/json; charset=UTF-8",
        "application/x-www-form-urlencoded",
        "text/plain",
    ):
        assert server.ask("POST", "/read", READ, {**own, "content-type": kind}).status == 200
    for wrong in (
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "application/json; charset=latin-1"},
        {"content-encoding": "gzip"},
    ):
        assert server.ask("POST", "/read", READ, {**own, **wrong}).status == 415
    assert server.ask("POST", "/read", None, {**own, "content-length": "9" * 19}).status == 413


def test_every_answer_bears_an_id_and_keeps_browsers_careful(server: Running) -> None:
    """The caller's own id where it is one, else a new one; refusals and errors as well."""
    for path, status in (("/health", 200), ("/nothing", 401)):
        answer = server.ask("GET", path, headers={"host": "localhost", "x-request-id": "job-17.a_B"})
        assert (answer.status, answer.headers["x-request-id"]) == (status, "job-17.a_B")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "script-src 'self'" in answer.headers["content-security-policy"]
    for bad in ("x" * 65, "a b", "<script>", ""):
        assert (
            server.ask("GET", "/health", headers={"host": "localhost", "x-request-id": bad}).headers[
                "x-request-id"
            ]
            != bad
        )


def test_logs_know_requests_and_no_texts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line for each request with id, route, status and time; not a word of questions, texts, keys or
    addresses in it.
    """
    secrets = ["pelican", "ostrich", "heron", "swallow"]

    def fail(*_: object) -> None:
        raise ValueError("the text was: heron")

    with caplog.at_level(logging.DEBUG), running(tmp_path) as server:
        server.read({"question": "pelican ?", "documents": ["ostrich " * 5]}, x_request_id="good")
        server.read({"question": "pelican ?", "documents": [{"ostrich": 1}]}, x_request_id="bad")
        server.read({"question": "pelican " * 100, "documents": ["ostrich"]}, x_request_id="long")
        server.ask("GET", "/swallow?ostrich")
        server.set("fail")
        server.read({"question": "pelican ?", "documents": ["heron"]})
        server.unset("fail")
        monkeypatch.setattr(service_module.Service, "readings", fail)
        broken = server.read({"question": "pelican ?", "documents": ["heron"]})
    assert (broken.status, broken.json["type"]) == (500, "/docs#failed")
    lines = [JsonFormatter().format(record) for record in caplog.records]
    assert not [line for line in lines for secret in secrets if secret in line]
    requests = {row["request"]: row for row in map(json.loads, lines) if row["message"] == "request"}
    assert (requests["good"]["status"], requests["good"]["route"], requests["good"]["questions"]) == (
        200,
        "/read",
        1,
    )
    assert (requests["bad"]["status"], requests["bad"]["problem"]) == (422, "wrong-value")
    assert requests["long"]["problem"] == "cannot-read"
    failed = [row for row in map(json.loads, lines) if "exception" in row]
    assert any(row["exception"] == "ValueError" and row["stack"] for row in failed)


def test_a_server_for_this_machine_takes_local_names_alone(tmp_path: Path) -> None:
    """At a loopback address, with nothing set, any other name is refused."""
    with running(tmp_path) as server:
        for host, status in (
            ("localhost:1", 200),
            ("127.0.0.1", 200),
            ("[::1]:8080", 200),
            ("evil.example", 421),
        ):
            assert server.ask("GET", "/health", headers={"host": host}).status == status
