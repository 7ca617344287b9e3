"""A server for tests: in this process, on a free port, over the fake engine of `fake_engine.py`."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from fake_engine import Scattered, command
from tiny_models import WORDS, write_vocabulary
from tinyreader.reader import Reader, ReaderSettings
from tinyreader.reader.settings import write_settings
from tinyreader.serve.app import make_app
from tinyreader.serve.run import Server, listen, open_service
from tinyreader.serve.service import Service
from tinyreader.serve.settings import ServeSettings
from tinyreader.serve.timeouts import TimeoutProtocol
from tinyreader.tokenizer import load_tokenizer

QUESTION = "who built the bridge ?"
TEXT = "the bridge was built in it . a b c x"
SETTINGS = ReaderSettings(max_seq_len=40, doc_stride=8)
PATIENCE_S = 60.0  # the longest that a test waits for something to happen before it gives up


@dataclass(frozen=True)
class Answer:
    """An answer to a request."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Its content."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Running:
    """A server that answers; `folder` controls its engine."""

    url: str
    port: int
    service: Service
    folder: Path

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """What it answers; a body that is not bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            connection.request(method, path, content, headers or {})
            found = connection.getresponse()
            return Answer(found.status, {n.lower(): v for n, v in found.getheaders()}, found.read())
        finally:
            connection.close()

    def read(self, body: Any, **headers: str) -> Answer:
        """What it answers at /read."""
        return self.ask(
            "POST", "/read", body, {name.replace("_", "-"): value for name, value in headers.items()}
        )

    def raw(self) -> socket.socket:
        """A connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)

    def counted(self, name: str) -> float:
        """A number of its metrics, summed over labels."""
        lines = self.ask("GET", "/metrics").body.decode().splitlines()
        begins = (f"tinyreader_{name} ", f"tinyreader_{name}{{")
        return sum(float(line.split()[-1]) for line in lines if line.startswith(begins))

    def set(self, name: str) -> None:
        """Tells the engine something: hold, die, fail or broken."""
        (self.folder / name).touch()

    def unset(self, name: str) -> None:
        """Takes it back."""
        (self.folder / name).unlink(missing_ok=True)

    def local(self) -> Reader:
        """The same reader, in this process."""
        return Reader(load_tokenizer(self.folder / "model"), Scattered(), SETTINGS)


def until(is_so: Callable[[], Any], what: str = "it") -> None:
    """Returns when something has become so."""
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end, f"{what} did not come about"
        time.sleep(0.01)


def text(n: int, seed: int = 0) -> str:
    """A text of n words that the tiny vocabulary knows."""
    words = [word for word in WORDS if word.isalpha()]
    return " ".join(words[(seed * 31 + i * i + i) % len(words)] for i in range(n))


@contextmanager
def running(folder: Path, **settings: Any) -> Iterator[Running]:
    """A server while the block runs."""
    model = folder / "model"
    write_vocabulary(model)
    write_settings(SETTINGS, model)
    resolved = ServeSettings(model=str(model), port=0, **settings)
    listening = listen(resolved)
    service = open_service(resolved, command(folder))
    up = threading.Event()
    config = uvicorn.Config(
        make_app(service),
        http=TimeoutProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    server = Server(config, up.set)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])), daemon=True)
    thread.start()
    assert up.wait(PATIENCE_S)
    port = listening.getsockname()[1]
    try:
        yield Running(f"http://127.0.0.1:{port}", port, service, folder)
    finally:
        for name in ("hold", "die", "fail"):
            (folder / name).unlink(missing_ok=True)
        server.should_exit = True
        thread.join(PATIENCE_S)
        service.close()
        assert not thread.is_alive()
