"""The service's description: OpenAPI for programs, and a page at /docs for people, which loads nothing from
elsewhere.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from tinyreader.serve.problems import KINDS, MEDIA_TYPE
from tinyreader.serve.schema import (
    DocumentOut,
    HostedAnswerOut,
    HostedBody,
    ReadBody,
    ReadingOut,
    ReadingsOut,
)

_REF = "#/components/schemas/{model}"

READ_EXAMPLE = {
    "question": "Who designed the bridge?",
    "documents": [{"id": "notes", "text": "The bridge, drawn up by Ada Rost, opened in 1911."}, "It rained."],
    "top_k": 3,
}
HOSTED_EXAMPLE = {
    "inputs": {"question": "Who drew it up?", "context": "It was drawn up by Ada Rost."},
    "parameters": {"top_k": 1},
}

FILE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
"""What a route adds to its description to say that it takes a file's bytes."""

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid; border-radius: .25rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { text-align: left; vertical-align: top; padding: .2rem 1rem .2rem 0; }
"""
STYLE_PATH = "/docs.css"


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of the application."""
    content = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    schemas: dict[str, Any] = content.setdefault("components", {}).setdefault("schemas", {})
    for model in (ReadBody, HostedBody, ReadingOut, ReadingsOut, HostedAnswerOut, DocumentOut):
        own = model.model_json_schema(ref_template=_REF)
        schemas |= own.pop("$defs", {})
        schemas[model.__name__] = own
    schemas["Problem"] = {
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "error": {"type": "string"},
            "where": {"type": "string"},
            "limit": {"type": "number"},
            "request_id": {"type": "string"},
            "errors": {"type": "array", "items": {"type": "object"}},
        },
    }
    refusal = {"description": "A refusal.", "content": {MEDIA_TYPE: {"schema": _ref("Problem")}}}
    for operations in content["paths"].values():
        for operation in operations.values():
            operation["responses"]["4XX"] = operation["responses"]["5XX"] = refusal
    return content


def body_of(model: type[BaseModel], example: Mapping[str, Any]) -> dict[str, Any]:
    """What a route adds to its description to say what body it takes."""
    schema = {"schema": _ref(model.__name__), "example": example}
    return {"requestBody": {"required": True, "content": {"application/json": schema}}}


def name_of(parameter: str) -> dict[str, Any]:
    """What a route adds to its description to say that the query names a document."""
    about = {"name": parameter, "in": "query", "required": parameter == "id", "schema": {"type": "string"}}
    return {"parameters": [about]}


def answers(*models: type[BaseModel], streams: bool = False) -> dict[int | str, dict[str, Any]]:
    """What a route gives, as its description says it."""
    choices = [_ref(model.__name__) for model in models]
    schema = choices[0] if len(choices) == 1 else {"anyOf": choices}
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if streams:
        content["application/x-ndjson"] = {"schema": _ref(models[0].__name__)}
    return {200: {"description": "The answer.", "content": content}}


def page(content: Mapping[str, Any]) -> str:
    """The OpenAPI document as a page of HTML."""
    parts = [*_head(content), *_routes(content), *_models(content), *_problems()]
    return "\n".join(parts)


def style() -> str:
    """The page's style sheet."""
    return _STYLE


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _REF.format(model=name)}


def _head(content: Mapping[str, Any]) -> Iterator[str]:
    title = html.escape(f"{content['info']['title']} {content['info']['version']}")
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    yield f'<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="{STYLE_PATH}"></head><body><main>'
    yield f"<h1>{title}</h1><p>{html.escape(content['info'].get('description', ''))}</p>"
    yield '<p>For programs: <a href="/openapi.json">openapi.json</a>.</p>'


def _routes(content: Mapping[str, Any]) -> Iterator[str]:
    for path, operations in content["paths"].items():
        for method, operation in operations.items():
            yield f"<h2>{method.upper()} {html.escape(path)}</h2><p>{html.escape(operation.get('description', ''))}</p>"
            for about in operation.get("parameters", ()):
                yield f"<p>Parameter of the address: <code>{html.escape(about['name'])}</code>.</p>"
            for kind, body in operation.get("requestBody", {}).get("content", {}).items():
                if "$ref" not in body["schema"]:
                    yield f"<p>Takes the bytes of a file (<code>{html.escape(kind)}</code>, or whatever kind it is).</p>"
                    continue
                name = body["schema"]["$ref"].rpartition("/")[2]
                yield f'<p>Takes <a href="#{name}">{name}</a>, for instance</p>'
                yield f"<pre>{html.escape(json.dumps(body['example'], indent=2))}</pre>"


def _models(content: Mapping[str, Any]) -> Iterator[str]:
    for name, schema in content["components"]["schemas"].items():
        if "properties" not in schema or name == "Problem":
            continue
        yield f'<h2 id="{name}">{name}</h2><p>{html.escape(schema.get("description", ""))}</p>'
        yield "<table><thead><tr><th>name</th><th>is</th><th>means</th></tr></thead><tbody>"
        for field, about in schema["properties"].items():
            must = " (required)" if field in schema.get("required", ()) else ""
            means = html.escape(about.get("description", ""))
            yield f"<tr><td><code>{field}</code>{must}</td><td>{html.escape(_kind(about))}</td><td>{means}</td></tr>"
        yield "</tbody></table>"


def _kind(about: Mapping[str, Any]) -> str:
    """What a value may be, in words."""
    if "$ref" in about:
        return str(about["$ref"]).rpartition("/")[2]
    if "anyOf" in about:
        return " or ".join(dict.fromkeys(_kind(one) for one in about["anyOf"] if one.get("type") != "null"))
    if "enum" in about:
        return " or ".join(json.dumps(value) for value in about["enum"])
    if about.get("type") == "array":
        return f"list of {_kind(about.get('items', {}))}"
    bounds = [f"from {about[key]}" for key in ("minimum", "exclusiveMinimum") if key in about]
    bounds += [f"to {about['maximum']}" for _ in "x" if "maximum" in about]
    return " ".join([str(about.get("type", "anything")), *bounds])


def _problems() -> Iterator[str]:
    yield f"<h2>Refusals</h2><p>Come as <code>{MEDIA_TYPE}</code>; the type of each is a place on this page.</p>"
    yield "<table><thead><tr><th>type</th><th>status</th><th>means</th></tr></thead><tbody>"
    for kind, (status, title) in KINDS.items():
        yield f'<tr id="{kind}"><td><code>{kind}</code></td><td>{status}</td><td>{html.escape(title)}</td></tr>'
    yield "</tbody></table></main></body></html>"
