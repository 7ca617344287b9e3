"""A stand-in for the Hub's API on this machine: what `huggingface_hub` asks when a model is published or
downloaded.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0" * 40


@dataclass
class Repository:
    """A repository: whether it is private, and the files of each branch."""

    private: bool = False
    branches: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"main": {}})
    messages: list[str] = field(default_factory=list)

    def files(self, revision: str) -> dict[str, bytes]:
        """The files of a branch, or of the one commit that the main branch has."""
        return self.branches["main" if revision == COMMIT else revision]


@dataclass
class FakeHub:
    """The stand-in's state, and what it was asked: method, path and token of each request."""

    url: str = ""
    token: str = "hf_right"
    repositories: dict[str, Repository] = field(default_factory=dict)
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)
    fail: dict[str, int] = field(default_factory=dict)
    """Paths that answer with that status, echoing the request's token as a careless server might."""

    @contextmanager
    def running(self) -> Iterator[FakeHub]:
        """The stand-in, listening on a free port."""
        hub = self

        class Handler(_Handler):
            state = hub

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: FakeHub

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the tests read stderr."""

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def _answer(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        self.state.requests.append((method, path, token))
        for part, status in self.state.fail.items():
            if part in path:
                return self._send(status, {"error": f"refused, you sent {token}"})
        if path.startswith("/upload/"):
            return self._store(path.removeprefix("/upload/"), body)
        if token != self.state.token:
            return self._send(401, {"error": "Invalid username or password."})
        return self._route(method, path.strip("/").split("/"), body)

    def _route(self, method: str, parts: list[str], body: bytes) -> None:
        match method, parts:
            case "POST", ["api", "repos", "create"]:
                asked = json.loads(body)
                name = (
                    f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
                )
                self.state.repositories[name] = Repository(
                    asked.get("private") is True or asked.get("visibility") == "private"
                )
                return self._send(200, {"url": f"{self.state.url}/{name}", "name": name, "id": name})
            case "POST", ["api", "validate-yaml"]:
                return self._send(200, {"errors": [], "warnings": []})
            case _, ["api", "models", owner, name, *rest]:
                return self._model(method, f"{owner}/{name}", rest, body)
            case "GET" | "HEAD", [owner, name, "resolve", revision, *path]:
                return self._file(f"{owner}/{name}", revision, "/".join(path))
            case "POST", [owner, name, "info", "lfs", "objects", "batch"]:
                return self._batch(f"{owner}/{name.removesuffix('.git')}", body)
        return self._send(404, {"error": f"the stand-in does not know {method} /{'/'.join(parts)}"})

    def _model(self, method: str, name: str, rest: list[str], body: bytes) -> None:
        repository = self.state.repositories.get(name)
        if repository is None:
            return self._send(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        match method, rest:
            case "GET", [] | ["revision", _]:
                files = repository.branches[rest[1] if rest else "main"]
                return self._send(
                    200,
                    {
                        "_id": "1",
                        "id": name,
                        "sha": COMMIT,
                        "private": repository.private,
                        "tags": [],
                        "downloads": 0,
                        "siblings": [{"rfilename": file} for file in files],
                    },
                )
            case "GET", ["tree", revision, *_]:
                files = repository.files(revision)
                return self._send(
                    200,
                    [
                        {
                            "type": "file",
                            "path": file,
                            "size": len(content),
                            "oid": hashlib.sha1(content).hexdigest(),
                        }
                        for file, content in files.items()
                    ],
                )
            case "POST", ["branch", branch]:
                if branch in repository.branches:
                    return self._send(409, {"error": "Reference already exists"})
                repository.branches[branch] = dict(repository.branches["main"])
                return self._send(201, {})
            case "POST", ["preupload", _]:
                files = [
                    {
                        "path": f["path"],
                        "shouldIgnore": False,
                        "uploadMode": "lfs"
                        if f["path"].endswith((".safetensors", ".bin", ".onnx"))
                        else "regular",
                    }
                    for f in json.loads(body)["files"]
                ]
                return self._send(200, {"files": files})
            case "POST", ["commit", revision]:
                return self._commit(repository, name, revision, body)
        return self._send(404, {"error": f"the stand-in does not know {method} of {name}: {rest}"})

    def _file(self, name: str, revision: str, path: str) -> None:
        repository = self.state.repositories.get(name)
        if repository is None or path not in repository.files(revision):
            return self._send(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        raw = repository.files(revision)[path]
        etag = f'"{hashlib.sha1(raw).hexdigest()}"'
        return self._send_raw(200, raw, {"X-Repo-Commit": COMMIT, "ETag": etag})

    def _batch(self, name: str, body: bytes) -> None:
        objects = [
            {
                "oid": o["oid"],
                "size": o["size"],
                "actions": {"upload": {"href": f"{self.state.url}/upload/{o['oid']}"}},
            }
            for o in json.loads(body)["objects"]
        ]
        return self._send(200, {"transfer": "basic", "objects": objects})

    def _store(self, oid: str, body: bytes) -> None:
        assert hashlib.sha256(body).hexdigest() == oid
        self.state.blobs[oid] = body
        return self._send(200, {})

    def _commit(self, repository: Repository, name: str, revision: str, body: bytes) -> None:
        import base64

        files = repository.branches[revision]
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                repository.messages.append(value["summary"])
            elif entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.state.blobs[value["oid"]]
        oid = "c" * 40
        return self._send(
            200, {"success": True, "commitOid": oid, "commitUrl": f"{self.state.url}/{name}/commit/{oid}"}
        )

    def _send(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
        self._send_raw(
            status, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})}
        )

    def _send_raw(self, status: int, raw: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(raw)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)
