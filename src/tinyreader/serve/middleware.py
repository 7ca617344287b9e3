"""What every request passes: its id, who may ask, and how much is accepted; and what every answer gets: headers,
counts, a log line.

Whatever is raised inside becomes a problem here, and nothing of a request but its id, method, route and size is
logged.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import time
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tinyreader.serve.limits import Admission
from tinyreader.serve.logs import FIELDS
from tinyreader.serve.metrics import Metrics
from tinyreader.serve.problems import Problem
from tinyreader.serve.service import ClientGone
from tinyreader.serve.settings import ServeSettings

log = logging.getLogger("tinyreader.serve")

FILE_ROUTE = ("POST", "/documents/text")
"""Takes a file of any kind."""

READING_ROUTES = frozenset((("POST", "/read"), ("POST", "/"), FILE_ROUTE))
"""They cost work: their requests are counted before they are let in."""

OPEN_PATHS = ("/", "/health", "/ready")
"""GET needs no key here: whether the server lives, and the page, which holds nobody's data."""

ANSWER_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_PREFLIGHT_HEADERS = {
    "access-control-allow-methods": "GET, POST",
    "access-control-allow-headers": "authorization, content-type, x-request-id",
    "access-control-max-age": "600",
}
_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_JSON_TYPES = (
    "",
    "application/json",
    "text/plain",
    "application/x-www-form-urlencoded",
)  # curl -d sends the last
_UNUSED = (b"range", b"if-range")  # nothing here is so large that a part of it is of use
_CLIENT_GONE = 499  # as nginx logs a client that did not wait


class RequestMiddleware:
    """Stands before the routes.

    Starlette's own do less than was needed: TrustedHostMiddleware refuses in plain text, and CORSMiddleware withholds
    headers from a foreign page but lets its request through to the engine.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings, metrics: Metrics) -> None:
        self.app, self.settings, self.metrics = app, settings, metrics
        self._admission = Admission(settings.max_requests, settings.max_held_bytes)
        key = settings.api_key
        self._key = None if key is None else _hash(key.get_secret_value().encode())
        self._hosts = {name.lower() for name in settings.allow_hosts} or (
            set(_LOCAL_NAMES) if settings.is_local else None
        )
        metrics.gauge("requests_inside", "Requests at work.", lambda: self._admission.requests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1000})
            else:
                await self.app(scope, receive, send)
            return
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name not in _UNUSED]
        exchange = _Exchange(scope, send, self._cross_origin_headers(Headers(scope=scope)))
        try:
            await self._answer(exchange, receive)
        except Problem as problem:
            await exchange.refuse(problem, receive)
        except ClientGone:
            exchange.status = exchange.status or _CLIENT_GONE
        except Exception as error:
            fields = {FIELDS: {"request": exchange.id}}
            log.error("a request failed", exc_info=(type(error), error, error.__traceback__), extra=fields)
            await exchange.refuse(Problem("failed", "The server's log says more."), receive)
        finally:
            if (entry := scope["state"].get("entry")) is not None:
                entry.leave()
            exchange.note(self.metrics)

    async def _answer(self, exchange: _Exchange, receive: Receive) -> None:
        scope = exchange.scope
        route, headers = (scope["method"], scope["path"]), Headers(scope=scope)
        self._check_host(headers)
        self._check_origin(headers)
        if not _is_open(*route):
            self._check_key(headers)
        if route in READING_ROUTES:
            self._check_body(headers, is_file=route == FILE_ROUTE)
        if scope["method"] == "OPTIONS":
            more = _PREFLIGHT_HEADERS if "origin" in headers else {}
            response = Response(status_code=204, headers={"allow": "GET, HEAD, POST, OPTIONS", **more})
            await response(scope, receive, exchange.send)
            return
        if route in READING_ROUTES:
            scope["state"]["entry"] = self._admission.enter()
        await self.app(scope, receive, exchange.send)

    def _check_host(self, headers: Headers) -> None:
        if self._hosts is None:
            return
        try:
            name = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        except ValueError:
            name = ""
        if name.lower() not in self._hosts:
            raise Problem("foreign-host", "Use the server's own name; allow_hosts adds names.")

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None or self._allows(origin):
            return
        is_web = origin.startswith(("http://", "https://"))
        if not is_web or _netloc(origin) != headers.get("host", "").lower():
            raise Problem("foreign-origin", "allow_origins names the origins whose pages may ask.")

    def _allows(self, origin: str) -> bool:
        return "*" in self.settings.allow_origins or origin in self.settings.allow_origins

    def _cross_origin_headers(self, headers: Headers) -> dict[str, str]:
        """The headers that let an allowed web page of another origin see the answer."""
        origin = headers.get("origin")
        if origin is None or not self._allows(origin):
            return {"cross-origin-resource-policy": "same-origin"}
        return {"access-control-allow-origin": origin, "vary": "Origin"}

    def _check_key(self, headers: Headers) -> None:
        if self._key is None:
            return
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = _hash(token.strip().encode("utf-8", "replace"))
        if not hmac.compare_digest(given, self._key) or scheme.lower() != "bearer":
            raise Problem(
                "wrong-key",
                "Send it as Authorization: Bearer KEY.",
                headers={"www-authenticate": 'Bearer realm="tinyreader"'},
            )

    def _check_body(self, headers: Headers, *, is_file: bool) -> None:
        media_type, _, rest = headers.get("content-type", "").lower().partition(";")
        media_type = media_type.strip()
        charset = re.search(r"charset\s*=\s*\"?([^\s\";]+)", rest)
        is_utf8 = charset is None or charset[1] in ("utf-8", "utf8", "us-ascii")
        if is_file and media_type == "multipart/form-data":
            detail = "Send the file itself as the body, as with curl --data-binary @FILE."
            raise Problem("wrong-media-type", detail, where="content-type")
        if not is_file and not (media_type in _JSON_TYPES and is_utf8):
            raise Problem("wrong-media-type", "Send application/json in UTF-8.", where="content-type")
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise Problem("wrong-media-type", "Send it without a content encoding.", where="content-encoding")
        limit = self.settings.max_body_bytes
        length = headers.get("content-length", "")
        if length.isascii() and length.isdigit() and (len(length) > 15 or int(length) > limit):
            raise Problem.too_large(limit)


class _Exchange:
    """One request and its answer: what is counted and logged of them."""

    def __init__(self, scope: Scope, send: Send, headers: dict[str, str]) -> None:
        given = Headers(scope=scope).get("x-request-id", "")
        self.id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        self.scope, self._send = scope, send
        self.status = 0
        self._headers = {"x-request-id": self.id, **ANSWER_HEADERS, **headers}
        self._began = time.perf_counter()
        scope.setdefault("state", {}).update(request_id=self.id, log_fields={})

    async def send(self, message: Message) -> None:
        """Passes an answer on, with the headers that all answers have."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message).update(self._headers)
        await self._send(message)

    async def refuse(self, problem: Problem, receive: Receive) -> None:
        """Answers with the problem, unless an answer has begun: then breaking it off is all that can be done."""
        self.scope["state"]["problem"] = problem.kind
        if not self.status:
            await problem.response(self.id)(self.scope, receive, self.send)

    def note(self, metrics: Metrics) -> None:
        """Counts and logs the request."""
        seconds = time.perf_counter() - self._began
        state = self.scope["state"]
        route = getattr(self.scope.get("route"), "path", "other")
        metrics.requests.labels(route, str(self.status)).inc()
        metrics.seconds.labels(route).observe(seconds)
        method = self.scope["method"] if self.scope["method"].isalpha() else "other"
        fields: dict[str, Any] = {
            "request": self.id,
            "method": method[:10],
            "route": route,
            "status": self.status,
            "ms": round(1000 * seconds, 1),
        }
        if kind := state.get("problem"):
            metrics.refusals.labels(kind).inc()
            fields["problem"] = kind
        fields |= state["log_fields"]
        log.log(logging.WARNING if self.status >= 500 else logging.INFO, "request", extra={FIELDS: fields})


def _netloc(origin: str) -> str:
    """Host and port of an origin, in small letters; empty where it has none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _is_open(method: str, path: str) -> bool:
    """Whether no key is needed."""
    return method == "OPTIONS" or (
        method in ("GET", "HEAD") and (path in OPEN_PATHS or path.startswith("/static/"))
    )


def _hash(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()
