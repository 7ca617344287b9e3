"""What every request passes: its id, who may ask, how much is taken; and what every answer gets: headers,
counts, a log line.

A plain ASGI application around the routes. Whatever is raised inside becomes a problem here, and nothing of a
request but its id, method, route and size is logged.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from tinyreader.serve.admission import Admission
from tinyreader.serve.logs import FIELDS
from tinyreader.serve.metrics import Metrics
from tinyreader.serve.problems import MEDIA_TYPE, Problem
from tinyreader.serve.service import ClientGone
from tinyreader.serve.settings import ServeSettings

log = logging.getLogger("tinyreader.serve")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

FILE_ROUTE = ("POST", "/documents/text")
"""What takes a file, of whatever kind."""

READING_ROUTES = frozenset((("POST", "/read"), ("POST", "/"), FILE_ROUTE))
"""What costs work, and is therefore counted before it is let in."""

OPEN_PATHS = ("/", "/health", "/ready")
"""What is answered to GET without a key: whether the server lives, and the page, which holds nothing of
anybody's.
"""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_ANSWER_HEADERS = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_JSON_KINDS = (
    "",
    "application/json",
    "text/plain",
    "application/x-www-form-urlencoded",
)  # the last is what curl -d says
_UNUSED = (b"range", b"if-range")  # nothing here is so large that a part of it is of use
_GONE = 499  # as nginx notes a client that did not wait


class Border:
    """The application that stands before the routes."""

    def __init__(self, app: App, settings: ServeSettings, admission: Admission, metrics: Metrics) -> None:
        self.app, self.settings, self.admission, self.metrics = app, settings, admission, metrics
        key = settings.api_key
        self._key = None if key is None else _hash(key.get_secret_value().encode())
        self._names = {name.lower() for name in settings.allow_hosts} or (
            set(_LOCAL_NAMES) if settings.is_local else None
        )
        metrics.gauge("requests_inside", "Requests at work.", lambda: admission.requests)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1000})
            else:
                await self.app(scope, receive, send)
            return
        await _Passage(self, scope, send).run(receive)

    def check(self, scope: MutableMapping[str, Any], headers: dict[str, str]) -> None:
        """Raises `Problem` where the request may not come in."""
        self._check_host(headers)
        self._check_origin(headers)
        if not _is_open(scope["method"], scope["path"]):
            self._check_key(headers)
        if (scope["method"], scope["path"]) in READING_ROUTES:
            self._check_body(headers, is_file=(scope["method"], scope["path"]) == FILE_ROUTE)

    def cross_origin(self, headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
        """The headers that let an allowed web page of another origin see the answer."""
        origin = headers.get("origin")
        if origin is None or not self._allows(origin):
            return [(b"cross-origin-resource-policy", b"same-origin")]
        return [(b"access-control-allow-origin", origin.encode("latin-1")), (b"vary", b"Origin")]

    def _check_host(self, headers: dict[str, str]) -> None:
        if self._names is None:
            return
        try:
            name = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        except ValueError:
            name = ""
        if name.lower() not in self._names:
            raise Problem("foreign-host", "Ask it by its own name; allow_hosts adds names.")

    def _check_origin(self, headers: dict[str, str]) -> None:
        origin = headers.get("origin")
        if origin is None or self._allows(origin):
            return
        if _netloc(origin) != headers.get("host", "").lower() or not origin.startswith(
            ("http://", "https://")
        ):
            raise Problem("foreign-origin", "allow_origins names the web pages that may ask.")

    def _allows(self, origin: str) -> bool:
        return "*" in self.settings.allow_origins or origin in self.settings.allow_origins

    def _check_key(self, headers: dict[str, str]) -> None:
        if self._key is None:
            return
        kind, _, token = headers.get("authorization", "").partition(" ")
        given = _hash(token.strip().encode("utf-8", "replace"))
        if not hmac.compare_digest(given, self._key) or kind.lower() != "bearer":
            raise Problem(
                "wrong-key",
                "Send it as Authorization: Bearer KEY.",
                headers={"www-authenticate": 'Bearer realm="tinyreader"'},
            )

    def _check_body(self, headers: dict[str, str], *, is_file: bool) -> None:
        kind, _, rest = headers.get("content-type", "").lower().partition(";")
        charset = re.search(r"charset\s*=\s*\"?([^\s\";]+)", rest)
        if is_file and kind.strip() == "multipart/form-data":
            detail = "Send the file itself as the body, as with curl --data-binary @FILE."
            raise Problem("wrong-media-type", detail, where="content-type")
        if not is_file and (
            kind.strip() not in _JSON_KINDS or (charset and charset[1] not in ("utf-8", "utf8", "us-ascii"))
        ):
            raise Problem("wrong-media-type", "Send application/json in UTF-8.", where="content-type")
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise Problem("wrong-media-type", "Send it without a content encoding.", where="content-encoding")
        limit = self.settings.max_body_bytes
        length = headers.get("content-length", "")
        if length.isascii() and length.isdigit() and (len(length) > 15 or int(length) > limit):
            raise Problem("too-large", f"At most {limit:,} bytes are taken.", where="the body", limit=limit)


class _Passage:
    """One request on its way through."""

    def __init__(self, border: Border, scope: MutableMapping[str, Any], send: Send) -> None:
        self.border, self.scope, self._send = border, scope, send
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name not in _UNUSED]
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        given = self.headers.get("x-request-id", "")
        self.id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        self.status = 0
        self.kind: str | None = None
        self.began = time.perf_counter()

    async def run(self, receive: Receive) -> None:
        """Answers, counts and logs."""
        state = self.scope.setdefault("state", {})
        state["request_id"] = self.id
        entry = None
        try:
            self.border.check(self.scope, self.headers)
            if self.scope["method"] == "OPTIONS":
                await self._preflight()
                return
            if (self.scope["method"], self.scope["path"]) in READING_ROUTES:
                entry = state["entry"] = self.border.admission.enter()
            await self.border.app(self.scope, receive, self.send)
        except Problem as problem:
            await self._refuse(problem)
        except ClientGone:
            self.status = self.status or _GONE
        except Exception as error:
            told = {FIELDS: {"request": self.id}}
            log.error("a request failed", exc_info=(type(error), error, error.__traceback__), extra=told)
            if not self.status:
                await self._refuse(Problem("failed", "The server's log says more."))
        finally:
            if entry is not None:
                entry.leave()
            self._note()

    async def send(self, message: Message) -> None:
        """Passes an answer on, with the headers that all answers have."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = [
                (b"x-request-id", self.id.encode()),
                *_ANSWER_HEADERS,
                *self.border.cross_origin(self.headers),
            ]
            message = {**message, "headers": [*message.get("headers", []), *own]}
        await self._send(message)

    async def _refuse(self, problem: Problem) -> None:
        self.kind = problem.kind
        if self.status:  # the answer has begun: that it breaks off is all that can be said
            return
        body = problem.body(self.id)
        headers = [(name.encode(), value.encode("latin-1")) for name, value in problem.headers.items()]
        headers += [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        await self.send({"type": "http.response.start", "status": problem.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    async def _preflight(self) -> None:
        headers = [(b"allow", b"GET, HEAD, POST, OPTIONS"), (b"content-length", b"0")]
        if "origin" in self.headers:
            headers += [
                (b"access-control-allow-methods", b"GET, POST"),
                (b"access-control-allow-headers", b"authorization, content-type, x-request-id"),
                (b"access-control-max-age", b"600"),
            ]
        await self.send({"type": "http.response.start", "status": 204, "headers": headers})
        await self.send({"type": "http.response.body", "body": b""})

    def _note(self) -> None:
        seconds = time.perf_counter() - self.began
        route = getattr(self.scope.get("route"), "path", "other")
        kind = self.kind or self.scope["state"].get("problem")
        metrics = self.border.metrics
        metrics.requests.labels(route, str(self.status)).inc()
        metrics.seconds.labels(route).observe(seconds)
        if kind:
            metrics.refusals.labels(kind).inc()
        method = self.scope["method"] if self.scope["method"].isalpha() else "other"
        fields: dict[str, Any] = {
            "request": self.id,
            "method": method[:10],
            "route": route,
            "status": self.status,
            "ms": round(1000 * seconds, 1),
        }
        if kind:
            fields["problem"] = kind
        fields |= self.scope["state"].get("told", {})
        log.log(logging.WARNING if self.status >= 500 else logging.INFO, "request", extra={FIELDS: fields})


def _netloc(origin: str) -> str:
    """Host and port of an origin, in small letters; empty where it has none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _is_open(method: str, path: str) -> bool:
    """Whether no key is asked for."""
    return method == "OPTIONS" or (
        method in ("GET", "HEAD") and (path in OPEN_PATHS or path.startswith("/static/"))
    )


def _hash(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()
