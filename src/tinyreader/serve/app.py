"""The routes: what each takes and gives. What every request passes before stands in `border`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from tinyreader.collection import Collection
from tinyreader.documents import Document
from tinyreader.serve.admission import Admission, Entry
from tinyreader.serve.border import Border
from tinyreader.serve.documentation import (
    FILE_BODY,
    HOSTED_EXAMPLE,
    READ_EXAMPLE,
    STYLE_PATH,
    answers,
    body_of,
    describe,
    name_of,
    page,
    style,
)
from tinyreader.serve.problems import MEDIA_TYPE, Problem, of_status
from tinyreader.serve.schema import (
    MOST_ID,
    DocumentOut,
    HostedAnswerOut,
    HostedBody,
    HostedInput,
    ReadBody,
    ReadingOut,
    ReadingsOut,
    check_hosted,
    parse,
    questions_of,
)
from tinyreader.serve.service import ClientGone, Service
from tinyreader.serve.settings import ServeSettings

STATIC = Path(__file__).parent / "static"
NDJSON = "application/x-ndjson"
FRESH = {"cache-control": "no-cache"}

_DESCRIPTION = (
    "Answers questions with verbatim pieces of texts, and says where they stand, or that there is no answer."
)


def make_app(service: Service) -> Border:
    """The whole application around a service."""
    settings = service.settings
    admission = Admission(settings.max_requests, settings.max_held_bytes)
    app = FastAPI(
        title="Tinyreader",
        version=version("tinyreader"),
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    _add_reading(app, service)
    _add_documents(app, service)
    _add_state(app, service)
    _add_files(app)
    app.add_exception_handler(Problem, _refused)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(ClientGone, _gone)
    app.add_exception_handler(Exception, _failed)
    return Border(app, settings, admission, service.metrics)


def _add_reading(app: FastAPI, service: Service) -> None:
    settings = service.settings

    @app.post(
        "/read",
        openapi_extra=body_of(ReadBody, READ_EXAMPLE),
        responses=answers(ReadingOut, ReadingsOut, streams=True),
        response_class=Response,
    )
    async def read(request: Request) -> Response:
        """Answer a question, or several, of the documents sent along, or of the folder that is served.

        One question gives a reading; several give {"readings": [...]} in their order, or, with "stream": true
        or where application/x-ndjson is accepted alone, a reading a line; a line with "error" says that
        something went wrong.
        """
        entry: Entry = request.state.entry
        body = parse(ReadBody, await _body(request, entry, settings))
        questions, is_one = questions_of(body, settings)
        options = body.options
        service.check(questions, options)
        _tell(request, questions=len(questions))
        if body.stream or request.headers.get("accept") == NDJSON:
            found = service.stream(lambda: service.parts(questions, options), entry, body.timeout_s)
            return StreamingResponse(_lines(found, request), media_type=NDJSON)
        readings = await service.run(
            lambda: [_json(reading.as_dict()) for reading in service.readings(questions, options)],
            request.receive,
            entry,
            body.timeout_s,
        )
        content = readings[0] if is_one else b'{"readings": [' + b", ".join(readings) + b"]}"
        return Response(content, media_type="application/json")

    @app.post(
        "/",
        openapi_extra=body_of(HostedBody, HOSTED_EXAMPLE),
        responses=answers(HostedAnswerOut),
        response_class=Response,
    )
    async def hosted(request: Request) -> Response:
        """Answer as the hosted question-answering service does: its schema, its parameters, its scores."""
        entry: Entry = request.state.entry
        body = parse(HostedBody, await _body(request, entry, settings))
        is_one = isinstance(body.inputs, HostedInput)
        inputs = [body.inputs] if isinstance(body.inputs, HostedInput) else list(body.inputs)
        check_hosted(inputs, settings)
        _tell(request, questions=len(inputs))
        parameters = {} if body.parameters is None else body.parameters.model_dump(exclude_none=True)
        pairs = [one.model_dump() for one in inputs]
        service.check_hosted(pairs, parameters)
        found = await service.run(
            lambda: service.hosted(pairs, parameters) if pairs else [], request.receive, entry
        )
        return Response(_json(found[0] if is_one else found), media_type="application/json")


def _add_documents(app: FastAPI, service: Service) -> None:
    settings = service.settings

    @app.get(
        "/documents", openapi_extra=name_of("id"), responses=answers(DocumentOut), response_class=Response
    )
    async def document(request: Request) -> Response:
        """The text of a document of the folder, as it was indexed, by its `id`: the name that answers have
        for it.
        """
        name = request.query_params.get("id", "")
        found = await asyncio.to_thread(service.collection().store.document, name)
        if found is None:
            raise Problem("not-found", "The folder has no document of that id.", where="id")
        return _document(found)

    @app.post(
        "/documents/text",
        openapi_extra=name_of("name") | FILE_BODY,
        responses=answers(DocumentOut),
        response_class=Response,
    )
    async def text_of(request: Request) -> Response:
        """The text of a file, which is the body: text, Markdown, HTML, PDF or DOCX, told by its content and
        by `name`.

        What comes back can be sent among the documents of a question; nothing is kept here.
        """
        entry: Entry = request.state.entry
        name = request.query_params.get("name") or "document"
        if len(name) > MOST_ID:
            raise Problem(
                "limit",
                f"name has {len(name):,} characters; {MOST_ID:,} are taken.",
                where="name",
                limit=MOST_ID,
            )
        raw = await _body(request, entry, settings)
        found = await service.run(lambda: service.converter.document(raw, name), request.receive, entry)
        return _document(found)


def _add_state(app: FastAPI, service: Service) -> None:
    settings = service.settings

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Whether the process lives."""
        return {"status": "ok"}

    @app.get("/ready")
    async def ready() -> dict[str, str]:
        """Whether it can answer: workers are up, and the folder is indexed."""
        if (lacking := service.lacks) is not None:
            raise Problem("not-ready", f"Not now: {lacking}.", retry_after_s=2)
        return {"status": "ready"}

    for path, answer in (
        ("/health", health),
        ("/ready", ready),
    ):  # load balancers ask without wanting to read
        app.add_api_route(path, answer, methods=["HEAD"], include_in_schema=False)

    @app.get("/info")
    async def info() -> dict[str, Any]:
        """Model, engine, the reader's settings, the limits of requests, and the folder that is served."""
        names = [name for name in type(settings).model_fields if name.startswith("max_")]
        return {
            "version": app.version,
            "model": settings.model,
            "engine": service.pool.facts["engine"],
            "precision": service.pool.facts["precision"],
            "workers": service.pool.alive,
            "settings": _finite(asdict(service.reader.settings)),
            "limits": {name: getattr(settings, name) for name in [*names, "timeout_s"]},
            "collection": None if service.keeper is None else _of_folder(service.keeper.collection),
        }

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Counts and times for Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> dict[str, Any]:
        return describe(app)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(page(describe(app)))

    @app.get(STYLE_PATH, include_in_schema=False)
    async def docs_style() -> Response:
        return Response(style(), media_type="text/css")


def _add_files(app: FastAPI) -> None:
    """The page: static/index.html at /, and what it loads below /static/."""

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def index() -> Response:
        if (STATIC / "index.html").is_file():
            return FileResponse(STATIC / "index.html", headers=FRESH)
        return PlainTextResponse("Tinyreader is here. What it answers is described at /docs.\n")

    app.mount("/static", _Files(directory=STATIC, check_dir=False), name="static")


class _Files(StaticFiles):
    """The page's files, which browsers ask for again: those of two versions do not fit together."""

    def file_response(self, *args: Any, **named: Any) -> Response:
        """The file, or that it is the same still."""
        response = super().file_response(*args, **named)
        response.headers.update(FRESH)
        return response


async def _body(request: Request, entry: Entry, settings: ServeSettings) -> bytes:
    """The request's body, refused as soon as it is too large or too slow."""
    parts, size = [], 0
    try:
        async with asyncio.timeout(settings.receive_s):
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                part = message.get("body", b"")
                size += len(part)
                if size > settings.max_body_bytes:
                    limit = settings.max_body_bytes
                    raise Problem(
                        "too-large", f"At most {limit:,} bytes are taken.", where="the body", limit=limit
                    )
                entry.grow(len(part))
                parts.append(part)
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        limit_s = settings.receive_s
        raise Problem(
            "too-slow", f"It has to arrive within {limit_s:g} s.", where="the body", limit=limit_s
        ) from None


async def _lines(found: AsyncIterator[Any], request: Request) -> AsyncIterator[bytes]:
    """Yield readings as lines; a problem as a last one."""
    async for item in found:
        if isinstance(item, Problem):
            request.scope["state"]["problem"] = item.kind
            yield _json({"error": item.content(request.state.request_id)}) + b"\n"
        else:
            yield _json(item.as_dict()) + b"\n"


def _document(found: Document) -> Response:
    content = {"id": found.id, "text": found.text, "pages": found.pages}
    return Response(_json(content), media_type="application/json")


def _json(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False, allow_nan=False).encode()


def _of_folder(collection: Collection | None) -> dict[str, int | bool]:
    """How much there is to ask; nothing yet while the folder is being indexed for the first time."""
    documents, unreadable = collection.store.counts() if collection is not None else (0, 0)
    passages = 0 if collection is None else len(collection)
    return {
        "is_ready": collection is not None,
        "documents": documents,
        "unreadable_files": unreadable,
        "passages": passages,
    }


def _finite(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as JSON can hold them: infinity as a text."""
    return {
        name: str(value) if value in (float("inf"), float("-inf")) else value
        for name, value in settings.items()
    }


def _tell(request: Request, **facts: Any) -> None:
    """Adds to the request's line in the log."""
    request.scope["state"].setdefault("told", {}).update(facts)


async def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        error = of_status(error.status_code, dict(error.headers or {}))
    if not isinstance(error, Problem):
        raise error
    request.scope["state"]["problem"] = error.kind
    body = error.body(request.scope["state"].get("request_id"))
    return Response(body, error.status, headers=error.headers, media_type=MEDIA_TYPE)


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)


async def _failed(request: Request, error: Exception) -> Response:
    return await _refused(request, Problem("failed", "The server's log says more."))
