"""The routes: what each takes and gives. What every request passes before stands in `middleware`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from tinyreader.collection import Collection
from tinyreader.documents import Document
from tinyreader.serve.limits import Entry
from tinyreader.serve.middleware import RequestMiddleware
from tinyreader.serve.problems import KINDS, MEDIA_TYPE, Problem, ProblemOut, of_status
from tinyreader.serve.schema import (
    MAX_ID,
    DocumentOut,
    HostedAnswerOut,
    HostedBody,
    HostedInput,
    M,
    ReadBody,
    ReadingOut,
    ReadingsOut,
    check_hosted,
    parse,
    questions_of,
)
from tinyreader.serve.service import ClientGone, Service

STATIC = Path(__file__).parent / "static"
NDJSON = "application/x-ndjson"
FRESH = {"cache-control": "no-cache"}

_DESCRIPTION = (
    "Answers questions with verbatim pieces of texts and their places, or says that there is no answer."
)
_REF = "#/components/schemas/{model}"

router = APIRouter()


async def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def _entry(request: Request) -> Entry:
    entry: Entry = request.state.entry
    return entry


Served = Annotated[Service, Depends(_service)]
Admitted = Annotated[Entry, Depends(_entry)]


async def _body(request: Request, service: Served, entry: Admitted) -> bytes:
    """The request's body, refused as soon as it is too large or too slow: FastAPI would read it whole first."""
    limit, limit_s = service.settings.max_body_bytes, service.settings.receive_s
    parts, size = [], 0
    try:
        async with asyncio.timeout(limit_s):
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                part = message.get("body", b"")
                size += len(part)
                if size > limit:
                    raise Problem.too_large(limit)
                entry.grow(len(part))
                parts.append(part)
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        detail = f"It must arrive within {limit_s:g} s."
        raise Problem("too-slow", detail, where="the body", limit=limit_s) from None


RawBody = Annotated[bytes, Depends(_body)]


def _parsed(model: type[M]) -> Callable[[bytes], Awaitable[M]]:
    """A dependency: the body as that model. A parameter of that type would be parsed by `json.loads`, which accepts NaN
    and broken surrogates, and fails on 40,000 nested brackets; pydantic's own parser refuses all of them.
    """

    async def parsed(body: RawBody) -> M:
        return parse(model, body)

    return parsed


def _takes(model: type[M]) -> dict[str, Any]:
    """What a route's description says of a body that `_parsed` reads."""
    schema = {"$ref": _REF.format(model=model.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


_TAKES_FILE = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_STREAMS: dict[int | str, dict[str, Any]] = {
    200: {"content": {NDJSON: {"schema": {"$ref": _REF.format(model=ReadingOut.__name__)}}}}
}


@router.post(
    "/read", response_model=ReadingOut | ReadingsOut, responses=_STREAMS, openapi_extra=_takes(ReadBody)
)
async def read(
    request: Request, service: Served, entry: Admitted, body: Annotated[ReadBody, Depends(_parsed(ReadBody))]
) -> Response:
    """Answer one question or several about the documents sent along, or about the served folder.

    One question gives a reading; several give {"readings": [...]} in their order, or, with "stream": true or where
    only application/x-ndjson is accepted, one reading a line; a line with "error" says that something went wrong.
    """
    questions, is_one = questions_of(body, service.settings)
    options = body.options
    service.check(questions, options)
    _log(request, questions=len(questions))
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


@router.post("/", response_model=HostedAnswerOut, openapi_extra=_takes(HostedBody))
async def hosted(
    request: Request,
    service: Served,
    entry: Admitted,
    body: Annotated[HostedBody, Depends(_parsed(HostedBody))],
) -> Response:
    """Answer as the hosted question-answering service does: its schema, its parameters, its scores."""
    is_one = isinstance(body.inputs, HostedInput)
    inputs = [body.inputs] if isinstance(body.inputs, HostedInput) else list(body.inputs)
    check_hosted(inputs, service.settings)
    _log(request, questions=len(inputs))
    parameters = {} if body.parameters is None else body.parameters.model_dump(exclude_none=True)
    pairs = [one.model_dump() for one in inputs]
    service.check_hosted(pairs, parameters)
    found = await service.run(
        lambda: service.hosted(pairs, parameters) if pairs else [], request.receive, entry
    )
    return _json_response(found[0] if is_one else found)


@router.get("/documents", response_model=DocumentOut)
async def document(service: Served, id: str = "") -> Response:
    """The text of a document of the folder, as it was indexed. Its id is the name that answers have for it."""
    found = await asyncio.to_thread(service.collection().store.document, id)
    if found is None:
        raise Problem("not-found", "The folder has no document of that id.", where="id")
    return _document(found)


@router.post("/documents/text", response_model=DocumentOut, openapi_extra=_TAKES_FILE)
async def text_of(
    request: Request, service: Served, entry: Admitted, raw: RawBody, name: str = "document"
) -> Response:
    """The text of a file, which is the body: text, Markdown, HTML, PDF or DOCX, recognised by content and name.

    The answer can be sent among the documents of a question as it is; the server keeps nothing.
    """
    name = name or "document"
    if len(name) > MAX_ID:
        detail = f"name has {len(name):,} characters; the maximum is {MAX_ID:,}."
        raise Problem("limit", detail, where="name", limit=MAX_ID)
    return _document(await service.run(lambda: service.converter.document(raw, name), request.receive, entry))


@router.head("/health", include_in_schema=False)
@router.get("/health")
async def health() -> dict[str, str]:
    """Whether the process lives."""
    return {"status": "ok"}


@router.head("/ready", include_in_schema=False)
@router.get("/ready")
async def ready(service: Served) -> dict[str, str]:
    """Whether it can answer: workers are up, and the folder is indexed."""
    if (lacking := service.lacks) is not None:
        raise Problem("not-ready", f"Not yet: {lacking}.", retry_after_s=2)
    return {"status": "ready"}


@router.get("/info")
async def info(service: Served) -> dict[str, Any]:
    """Model, engine, the reader's settings, the limits of requests, and the served folder."""
    settings = service.settings
    names = [name for name in type(settings).model_fields if name.startswith("max_")]
    return {
        "version": version("tinyreader"),
        "model": settings.model,
        "engine": service.pool.facts["engine"],
        "precision": service.pool.facts["precision"],
        "workers": service.pool.alive,
        "settings": _finite(asdict(service.reader.settings)),
        "limits": {name: getattr(settings, name) for name in [*names, "timeout_s"]},
        "collection": None if service.indexer is None else _of_folder(service.indexer.collection),
    }


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(service: Served) -> Response:
    """Counts and times for Prometheus."""
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/docs", include_in_schema=False)
async def docs() -> Response:
    """A page of ours, as FastAPI's loads its scripts from the web, which a server without network cannot."""
    return FileResponse(STATIC / "docs.html", headers=FRESH)


@router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
async def index() -> Response:
    """The page to ask from."""
    return FileResponse(STATIC / "index.html", headers=FRESH)


class _Files(StaticFiles):
    """The pages' files. Browsers revalidate them each time: those of two versions do not fit together."""

    def file_response(self, *args: Any, **named: Any) -> Response:
        response = super().file_response(*args, **named)
        response.headers.update(FRESH)
        return response


def make_app(service: Service) -> FastAPI:
    """The whole application around a service."""
    refusal = {
        "description": "A refusal.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(model=ProblemOut.__name__)}}},
    }
    app = FastAPI(
        title="Tinyreader",
        version=version("tinyreader"),
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses={"4XX": refusal, "5XX": refusal},
    )
    app.state.service = service
    app.include_router(router)
    app.mount("/static", _Files(directory=STATIC), name="static")
    app.add_middleware(RequestMiddleware, settings=service.settings, metrics=service.metrics)
    app.add_exception_handler(HTTPException, _framework_refusal)
    app.openapi = lambda: _describe(app)  # type: ignore[method-assign]
    return app


def _describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: FastAPI's, with the models that it does not meet in signatures, and the refusals."""
    content = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    models = (ReadBody, HostedBody, ReadingOut, ProblemOut)
    _, schemas = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    content["components"]["schemas"] |= schemas["$defs"]
    content["x-problems"] = {
        kind: {"status": status, "title": title} for kind, (status, title) in KINDS.items()
    }
    return content


async def _framework_refusal(request: Request, error: Exception) -> Response:
    """404 and 405 of the router, raised again as problems for the middleware to answer."""
    assert isinstance(error, HTTPException)
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    raise of_status(error.status_code, headers) from None


async def _lines(found: AsyncIterator[Any], request: Request) -> AsyncIterator[bytes]:
    """Yield readings as lines; a problem as a last one."""
    async for item in found:
        if isinstance(item, Problem):
            request.state.problem = item.kind
            yield _json({"error": item.content(request.state.request_id)}) + b"\n"
        else:
            yield _json(item.as_dict()) + b"\n"


def _document(found: Document) -> Response:
    content = {"id": found.id, "text": found.text, "pages": found.pages}
    return _json_response(content | ({"warnings": found.warnings} if found.warnings else {}))


def _json_response(content: Any) -> Response:
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


def _log(request: Request, **fields: Any) -> None:
    """Adds to the request's line in the log."""
    request.state.log_fields.update(fields)
