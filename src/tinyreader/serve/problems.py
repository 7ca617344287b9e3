"""Refusals as `application/problem+json` (RFC 9457): what was refused, where in the request, and the limit it
exceeded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Self

from pydantic import BaseModel, ValidationError
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"

KINDS = {
    "wrong-json": (400, "The body is not JSON"),
    "wrong-request": (400, "Bad request"),
    "wrong-key": (401, "This server requires a key"),
    "foreign-origin": (403, "Web pages of this origin may not ask"),
    "not-found": (404, "Not found"),
    "wrong-method": (405, "Method not allowed"),
    "too-slow": (408, "The request did not arrive in time"),
    "too-large": (413, "The request is too large"),
    "wrong-media-type": (415, "Unsupported media type"),
    "foreign-host": (421, "This server does not answer to this host name"),
    "wrong-value": (422, "Invalid value"),
    "limit": (422, "A limit is exceeded"),
    "cannot-read": (422, "The text or file cannot be read"),
    "not-served": (422, "This server does not offer that"),
    "failed": (500, "The server failed"),
    "engine-failed": (500, "The engine failed"),
    "full": (503, "The server is full"),
    "not-ready": (503, "The server is not ready"),
    "too-late": (504, "The deadline passed"),
}
"""Every kind of refusal, with its status and title."""

_N_SHOWN = 5
_MAX_LISTED = 1000  # beyond it, errors are counted but not looked at one by one


class ProblemOut(BaseModel):
    """A refusal. Its type is a place on the page /docs; error repeats the detail for clients of the hosted service."""

    type: str
    title: str
    status: int
    detail: str
    error: str
    where: str | None = None
    limit: float | None = None
    errors: list[dict[str, str]] | None = None
    request_id: str | None = None


class Problem(Exception):  # noqa: N818 - the RFC's name
    """A refusal: its kind (a key of `KINDS`), a sentence for the caller, and what else the answer says."""

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        where: str | None = None,
        limit: float | None = None,
        retry_after_s: int | None = None,
        headers: dict[str, str] | None = None,
        errors: list[dict[str, str]] | None = None,
    ) -> None:
        super().__init__(kind)  # the detail may quote a request, so it stays out of tracebacks
        self.kind, self.detail, self.where, self.limit, self.errors = kind, detail, where, limit, errors
        self.status, self.title = KINDS[kind]
        self.headers = dict(headers or {})
        if retry_after_s is not None:
            self.headers["retry-after"] = str(retry_after_s)

    @classmethod
    def too_large(cls, limit: int) -> Self:
        """The problem of a body of more bytes than the limit."""
        return cls("too-large", f"The maximum is {limit:,} bytes.", where="the body", limit=limit)

    def content(self, request_id: str | None = None) -> dict[str, Any]:
        """The fields of `ProblemOut` that have a value."""
        own: dict[str, Any] = {
            "type": f"/docs#{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "error": self.detail,
            "where": self.where,
            "limit": self.limit,
            "errors": self.errors,
            "request_id": request_id,
        }
        return {name: value for name, value in own.items() if value is not None}

    def body(self, request_id: str | None = None) -> bytes:
        """The problem as JSON."""
        return json.dumps(self.content(request_id), ensure_ascii=False).encode("utf-8", "replace")

    def response(self, request_id: str | None = None) -> Response:
        """The problem as an answer."""
        return Response(self.body(request_id), self.status, headers=self.headers, media_type=MEDIA_TYPE)


def of_validation(error: ValidationError, union_names: Iterable[str] = ()) -> Problem:
    """The problem of a body that does not fit its model: the first few places, without the values given there.

    `union_names` are the names of models and types that pydantic puts into places for alternatives.
    """
    if (n := error.error_count()) > _MAX_LISTED:
        return Problem(
            "wrong-value", f"{n:,} values are invalid; /docs describes the valid ones.", where="the body"
        )
    found = error.errors(include_url=False, include_input=False, include_context=False)
    if found[0]["type"] == "json_invalid":
        return Problem("wrong-json", f"{found[0]['msg']}. Send one JSON object in UTF-8.")
    tags = {*union_names, "str", "int"}
    errors = [
        {
            "where": place([part for part in each["loc"] if part not in tags]) or "the body",
            "what": each["msg"],
        }
        for each in found
    ]
    errors.sort(key=lambda each: -each["where"].count("."))  # of alternatives, the one that fitted deepest
    detail = f"{errors[0]['where']}: {errors[0]['what']}"
    if len(errors) > 1:
        detail += f" (and {len(errors) - 1} more)"
    return Problem("wrong-value", detail, where=errors[0]["where"], errors=errors[:_N_SHOWN])


def place(parts: Iterable[int | str]) -> str:
    """A place in a body as people write it: `documents[3].text`."""
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text[:200]


def of_status(status: int, headers: dict[str, str]) -> Problem:
    """The problem that stands for a status of the framework's."""
    kind = {404: "not-found", 405: "wrong-method"}.get(status, "wrong-request" if status < 500 else "failed")
    detail = {
        "not-found": "See /docs for what this server answers.",
        "wrong-method": f"Allowed: {headers.get('allow', 'others')}.",
    }.get(kind, HTTPStatus(status).phrase)
    return Problem(kind, detail, headers=headers)
