"""Whatever is sent to a server, it answers: no status of 500 or more, no hang, every refusal in the
standard's form.

    FUZZ_REQUESTS=20000 pytest tests/test_serve_fuzz.py     # as many as that; a few by default

Requests are drawn over the schema (right and wrong values, by name), as mutilated right ones, and as raw
bytes on connections that are slow, half closed or broken off.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving import PATIENCE_S, QUESTION, TEXT, Running, running, until
from tinyreader.serve import timeouts
from tinyreader.serve.schema import HostedBody, HostedParameters, ReadBody

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "200"))
OFTEN = settings(
    max_examples=REQUESTS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

NUMBERS = st.one_of(
    st.integers(-3, 50),
    st.integers(),
    st.floats(),
    st.sampled_from([2**31, 2**63, 10**400, -(2**63), 1e308, 0.5, -0.0]),
)
TEXTS = st.one_of(
    st.sampled_from([QUESTION, TEXT, "", " ", "\x00", "\ufeff", "é", "😀" * 3, "\u202e", "the " * 300]),
    st.text(max_size=40),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)
DOCUMENT = st.fixed_dictionaries({"text": TEXTS}, optional={"id": TEXTS, "pages": VALUES})
DOCUMENTS = st.lists(st.one_of(TEXTS, DOCUMENT, VALUES), max_size=4)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        name: st.one_of(NUMBERS, VALUES)
        for name in ReadBody.model_fields
        if name not in ("question", "questions")
    },
)
ASKED = st.fixed_dictionaries(
    {"question": TEXTS}, optional={"documents": DOCUMENTS, "context": TEXTS, "id": VALUES}
)
MANY = st.lists(st.one_of(TEXTS, ASKED, VALUES), max_size=4)
READ = st.one_of(
    st.builds(lambda options, one: {**options, **one}, OPTIONS, ASKED),
    st.builds(lambda options, many: {**options, "questions": many}, OPTIONS, MANY),
    st.fixed_dictionaries({}, optional=dict.fromkeys(ReadBody.model_fields, VALUES)),
    VALUES,
)
PAIR = st.fixed_dictionaries({"question": TEXTS, "context": TEXTS})
PARAMETERS = st.fixed_dictionaries(
    {}, optional={name: st.one_of(NUMBERS, VALUES) for name in HostedParameters.model_fields}
)
HOSTED = st.one_of(
    st.fixed_dictionaries(
        {"inputs": st.one_of(PAIR, st.lists(PAIR, max_size=3))}, optional={"parameters": PARAMETERS}
    ),
    st.fixed_dictionaries({}, optional=dict.fromkeys(HostedBody.model_fields, VALUES)),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with short time limits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timeouts, "HEAD_S", 0.5)
        with running(tmp_path_factory.mktemp("server"), receive_s=0.5, max_body_bytes=50_000) as found:
            yield found
            until(lambda: found.counted("requests_inside") == 0, "an empty server")
            assert found.counted("worker_restarts_total") == 0


def check(
    server: Running, method: str, path: str, body: bytes | None, headers: dict[str, str] | None = None
) -> int:
    """The status of the answer, which is a good one or a refusal in due form."""
    answer = server.ask(method, path, body, headers)
    assert 200 <= answer.status < 500, (method, path, body, headers, answer)
    if answer.status >= 400 and method != "HEAD":
        assert answer.headers["content-type"] == "application/problem+json", answer
        assert answer.json["status"] == answer.status
    return answer.status


def encoded(body: Any) -> bytes:
    """The body as JSON, with NaN and infinity as Python writes them."""
    return json.dumps(body).encode()


@OFTEN
@given(READ)
def test_read_takes_or_refuses(server: Running, body: Any) -> None:
    """Any JSON, near the schema or far from it."""
    check(server, "POST", "/read", encoded(body))


@OFTEN
@given(HOSTED)
def test_the_hosted_schema_takes_or_refuses(server: Running, body: Any) -> None:
    """The same at the hosted service's address."""
    check(server, "POST", "/", encoded(body))


@OFTEN
@given(st.sampled_from(["/read", "/"]), READ, st.integers(0, 500), st.integers(0, 5), st.binary(max_size=6))
def test_mutilated_bodies_are_refused(
    server: Running, path: str, body: Any, place: int, gap: int, instead: bytes
) -> None:
    """Right requests with bytes taken out and others put in their place."""
    raw = encoded(body)
    check(server, "POST", path, raw[:place] + instead + raw[place + gap :])


@settings(OFTEN, max_examples=max(5, REQUESTS // 50))
@given(st.text(max_size=20), st.binary(max_size=200))
def test_any_file_is_taken_or_refused(server: Running, name: str, raw: bytes) -> None:
    """Whatever its bytes and its name."""
    check(server, "POST", f"/documents/text?name={quote(name, errors='replace')}", raw)


METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "FROB"])
PATHS = st.one_of(
    st.sampled_from(
        [
            "/",
            "/read",
            "/health",
            "/ready",
            "/info",
            "/metrics",
            "/docs",
            "/openapi.json",
            "/static/page.js",
            "/static/../app.py",
            "/static/%2e%2e/app.py",
            "/documents?id=%00",
            "/documents?id=../etc",
            "//",
            "/%ff",
        ]
    ),
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#?"), max_size=20).map(
        lambda s: "/" + s
    ),
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "Accept",
            "Origin",
            "Host",
            "Content-Type",
            "Content-Encoding",
            "X-Request-ID",
            "Authorization",
            "Expect",
            "Upgrade",
            "Connection",
            "Range",
        ]
    ),
    st.one_of(
        st.text(
            st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"),
            min_size=1,
            max_size=30,
        ),
        st.sampled_from(["*/*", "null", "http://a:b", "[", "websocket", "bytes=0-1", "application/x-ndjson"]),
    ),
    max_size=4,
)


@OFTEN
@given(METHODS, PATHS, HEADERS, st.one_of(st.none(), st.binary(max_size=50)))
def test_any_request_is_answered(
    server: Running, method: str, path: str, headers: dict[str, str], body: bytes | None
) -> None:
    """Whatever method, path, headers and bytes."""
    try:
        check(server, method, path, body, headers)
    except (http.client.RemoteDisconnected, http.client.BadStatusLine, ConnectionError, UnicodeEncodeError):
        assert {"Upgrade", "Connection", "Expect"} & set(headers)


RAW = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from(
            [
                b"POST /read HTTP/1.1\r\n",
                b"Host: localhost\r\n",
                b"Content-Length: 10\r\n",
                b"\r\n",
                b"{",
                b"a" * 300,
                b"Transfer-Encoding: chunked\r\n",
                b"5\r\nhello\r\n",
                b"0\r\n\r\n",
                b"\x00",
                b"GET /health HTTP/1.1\r\n",
            ]
        ),
    ),
    max_size=8,
)


@settings(OFTEN, max_examples=max(20, REQUESTS // 10))
@given(RAW, st.sampled_from(["half-close", "wait", "go"]))
def test_raw_bytes_hang_nothing(server: Running, parts: list[bytes], end: str) -> None:
    """Bytes in pieces, then the sending side closed, nothing more, or all closed: it ends, and others are
    answered.
    """
    with server.raw() as connection:
        connection.settimeout(PATIENCE_S)
        try:
            for part in parts:
                connection.sendall(part)
            if end == "half-close":
                connection.shutdown(socket.SHUT_WR)
            if end != "go":
                received = b"".join(iter(lambda: connection.recv(65536), b""))
                assert b"HTTP/1.1 5" not in received
        except TimeoutError:
            raise
        except OSError:  # the server had enough of it before it was all sent
            pass
    assert server.ask("GET", "/health").status == 200
