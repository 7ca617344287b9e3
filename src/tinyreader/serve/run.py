"""The process: opens the model in workers, listens, answers, and on SIGTERM finishes what it accepted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

import uvicorn

from tinyreader.errors import MissingExtraError, ModelError, RunError
from tinyreader.integrations.transformers.inputs import Parameters
from tinyreader.integrations.transformers.models import ModelHandle, TokenizerHandle
from tinyreader.integrations.transformers.pipeline import QuestionAnsweringPipeline
from tinyreader.malloc import M_ARENA_MAX, mallopt
from tinyreader.model_files import model_directory
from tinyreader.reader import Reader
from tinyreader.reader.settings import read_settings
from tinyreader.runtimes import n_cores
from tinyreader.serve.app import make_app
from tinyreader.serve.fair_queue import CallLimits
from tinyreader.serve.indexer import Indexer
from tinyreader.serve.metrics import Metrics
from tinyreader.serve.pool import Pool, PoolSettings, worker_command
from tinyreader.serve.runtime import PooledRuntime
from tinyreader.serve.service import Service
from tinyreader.serve.settings import ServeSettings
from tinyreader.serve.timeouts import TimeoutProtocol
from tinyreader.storage import read_object_if_any
from tinyreader.tokenizer import load_tokenizer

SWITCH_S = 0.0005
"""Threads that wait for the interpreter get it after this time: the event loop must not lag behind them."""

BACKLOG = 1024
ARENAS = 2


def open_service(settings: ServeSettings, command: Sequence[str] | None = None) -> Service:
    """A service with its workers up, each started by the command. Raises `ModelError` for a model that cannot be used."""
    directory = model_directory(settings.model, settings.revision)
    if settings.documents is not None and find_spec("bm25s") is None:
        raise MissingExtraError("asking a folder", "search")
    metrics = Metrics()
    threads = settings.threads or max(1, n_cores() // settings.workers)
    if command is None:
        command = worker_command(str(directory), settings.engine, settings.precision, threads)
    limits = CallLimits(settings.busy_tokens, settings.calm_tokens)
    pool = Pool(PoolSettings(command, settings.workers, limits), metrics)
    pool.start()
    try:
        runtime = PooledRuntime(pool)
        indexer = None
        if settings.documents is not None:
            indexer = Indexer(settings.documents, settings.index, settings.refresh_s, settings.convert_s)
        reader = open_reader(directory, runtime)
        service = Service(settings, pool, reader, open_pipeline(directory, reader, runtime), metrics, indexer)
        if indexer is not None:
            indexer.start()
    except BaseException:
        pool.close()
        raise
    return service


def open_reader(directory: Path, runtime: PooledRuntime) -> Reader:
    """The reader of a model's directory over the pool, with the settings stored there."""
    settings = read_settings(directory).fitted(runtime.facts.max_tokens)
    return Reader(load_tokenizer(directory), runtime, settings)


def open_pipeline(directory: Path, reader: Reader, runtime: PooledRuntime) -> QuestionAnsweringPipeline:
    """The hosted service's pipeline over the same pool and tokenizer."""
    config = directory / "tokenizer_config.json"
    stored = (read_object_if_any(config, ModelError) or {}).get("model_max_length")
    max_length = stored if isinstance(stored, int) and 0 < stored < 10**6 else None  # larger: "no limit"
    name = str(directory)
    tokenizer = TokenizerHandle(reader.tokenizer, name, max_length)
    return QuestionAnsweringPipeline(ModelHandle(directory, name), tokenizer, runtime, Parameters())


def serve(settings: ServeSettings, announce: Callable[[dict[str, object]], None]) -> None:
    """Serves until SIGTERM or Ctrl-C; `announce` gets the address once requests are answered. Raises `RunError`."""
    sys.setswitchinterval(SWITCH_S)
    # Threads that cut texts into tokens, with an arena each, grew the front by some MB a minute; nothing leaked.
    mallopt(M_ARENA_MAX, ARENAS)
    listening = listen(settings)
    try:
        service = open_service(settings)
    except BaseException:
        listening.close()
        raise
    try:
        host, port = listening.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        facts: dict[str, object] = {
            "url": f"http://{shown}:{port}",
            "model": settings.model,
            "workers": service.pool.processes,
        }
        asyncio.run(_serve(service, listening, lambda: announce(facts)))
    finally:
        service.close()


def listen(settings: ServeSettings) -> socket.socket:
    """A socket bound to the settings' address. Raises `RunError` where that is taken, or not this machine's."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        raise RunError(
            f"cannot bind {settings.host}:{settings.port}: {error}. Choose another --port."
        ) from None
    return listening


async def _serve(service: Service, listening: socket.socket, announce: Callable[[], None]) -> None:
    drain = service.settings.drain_s
    config = uvicorn.Config(
        make_app(service),
        http=TimeoutProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=max(1, round(drain)),
        backlog=BACKLOG,
    )
    server = Server(config, announce)
    await server.serve(sockets=[listening])


class Server(uvicorn.Server):
    """uvicorn's server, which announces that it is up, and on a signal exits with code 0 instead of dying of it."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """While the block runs, the first SIGTERM or Ctrl-C drains and the second aborts."""
        before = {}

        def stop(number: int, frame: FrameType | None) -> None:
            self.handle_exit(number, frame)

        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(ValueError):  # outside the main thread, the caller handles signals
                before[number] = signal.signal(number, stop)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def announce_on_stdout(facts: dict[str, object]) -> None:
    """Prints the facts as a line of JSON."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()
