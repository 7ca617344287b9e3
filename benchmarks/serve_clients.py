"""Clients for serve_load.py and serve_soak.py: many at a time in one thread, on plain sockets, so that they
cost little.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Shot:
    """A request's answer: its number among the requests, status (0: the connection broke), seconds, and
    body.
    """

    number: int
    status: int
    seconds: float
    body: bytes = b""


def request_bytes(path: str, body: Any) -> bytes:
    """A POST of the body as JSON."""
    content = json.dumps(body).encode()
    lines = (
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode() + content


def get_json(port: int, path: str) -> Any:
    """What a GET gives."""
    import urllib.request

    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
        return json.load(answer)


def ask_all(port: int, requests: Sequence[bytes], clients: int) -> tuple[float, list[Shot]]:
    """Seconds and answers when so many clients ask the requests, each its next one as soon as it is
    answered.
    """
    started = time.perf_counter()
    shots = asyncio.run(_ask_all(port, iter(enumerate(requests)), clients))
    return time.perf_counter() - started, sorted(shots, key=lambda shot: shot.number)


def ask_at_rate(port: int, requests: Sequence[bytes], rate: float, seconds: float) -> list[Shot]:
    """Answers when requests come at a rate (per second) for so long, whether or not those before are
    answered.
    """
    return asyncio.run(_ask_at_rate(port, requests, rate, seconds))


def ask_beside(port: int, long: bytes, short: Sequence[bytes]) -> tuple[list[Shot], Shot, bool]:
    """Answers to short requests, one at a time, while a long one is being read; its own; and whether it
    outlasted them.
    """
    return asyncio.run(_ask_beside(port, long, short))


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@contextmanager
def server(command: Sequence[str], environment: dict[str, str], log: Path) -> Iterator[tuple[int, int]]:
    """Process id and port of a server that prints a line of JSON with its url once it is up; it is ended by
    SIGTERM.
    """
    with (
        log.open("w") as stderr,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=stderr) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise SystemExit(f"{' '.join(command)} did not come up:\n{log.read_text()[-2000:]}")
            yield process.pid, int(json.loads(line)["url"].rpartition(":")[2])
        finally:
            process.terminate()
            try:
                process.wait(90)
            except subprocess.TimeoutExpired:
                process.kill()


def tree(pid: int) -> list[int]:
    """The process and those below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += tree(int(child))
    return found


def resident_mb(pid: int) -> float:
    """Memory (10^6 bytes) of the process and those below it, as shares of what they have in common (PSS)."""
    total = 0
    for process in tree(pid):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total * 1024 / 1e6


def cpu_seconds(pid: int) -> float:
    """CPU seconds that the process and those below it have used."""
    ticks = 0
    for process in tree(pid):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


class _Connection:
    """A connection that is made when it is needed, and again when it broke."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, number: int, request: bytes) -> Shot:
        """The answer to a request."""
        started = time.perf_counter()
        if (
            self._streams is not None and self._streams[0].at_eof()
        ):  # idle for so long that the server closed it
            self.close()
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 24)
            reader, writer = self._streams
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode("latin-1").lower().split("\r\n")
            length = next(int(line.partition(":")[2]) for line in lines if line.startswith("content-length:"))
            body = await reader.readexactly(length)
        except (OSError, EOFError, asyncio.IncompleteReadError):
            self.close()
            return Shot(number, 0, time.perf_counter() - started)
        if "connection: close" in lines:
            self.close()
        return Shot(number, int(lines[0].split()[1]), time.perf_counter() - started, body)

    def close(self) -> None:
        """Closes it."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _ask_all(port: int, requests: Iterator[tuple[int, bytes]], clients: int) -> list[Shot]:
    shots: list[Shot] = []

    async def client() -> None:
        connection = _Connection(port)
        for number, request in requests:
            shots.append(await connection.ask(number, request))
        connection.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return shots


async def _ask_at_rate(port: int, requests: Sequence[bytes], rate: float, seconds: float) -> list[Shot]:
    shots: list[Shot] = []
    idle: list[_Connection] = []
    asked: set[asyncio.Task[None]] = set()

    async def one(number: int) -> None:
        connection = idle.pop() if idle else _Connection(port)
        shots.append(await connection.ask(number, requests[number % len(requests)]))
        idle.append(connection)

    async for number in _ticks(rate, seconds):
        task = asyncio.create_task(one(number))
        asked.add(task)
        task.add_done_callback(asked.discard)
    await asyncio.gather(*asked)
    for connection in idle:
        connection.close()
    return shots


async def _ticks(
    rate: float, seconds: float, clock: Callable[[], float] = time.perf_counter
) -> AsyncIterator[int]:
    """Yield 0, 1, 2 ... at that rate; late ones at once."""
    started, number = clock(), 0
    while (now := clock() - started) < seconds:
        if number > now * rate:
            await asyncio.sleep(number / rate - now)
        yield number
        number += 1
        await asyncio.sleep(0)


async def _ask_beside(port: int, long: bytes, short: Sequence[bytes]) -> tuple[list[Shot], Shot, bool]:
    reading = asyncio.create_task(_Connection(port).ask(-1, long))
    await asyncio.sleep(1.0)  # its text is tokenised and its first windows are at work
    connection, shots = _Connection(port), []
    for number, request in enumerate(short):
        if reading.done():
            break
        shots.append(await connection.ask(number, request))
    outlasted = not reading.done()
    found = await reading
    connection.close()
    return shots, found, outlasted
