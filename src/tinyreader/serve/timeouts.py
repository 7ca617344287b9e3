"""HTTP with time limits: no connection keeps a request's head, or an answer that nobody takes, for ever.

uvicorn limits only how long an idle connection is kept. A proxy in front can do the rest (nginx: client_header_timeout,
send_timeout), but clients that send half a head must not hold a server without one, as its file descriptors are few.
So this subclasses uvicorn's protocol, which is not a documented interface: pyproject.toml pins uvicorn below 1, and the
tests of this module fail where a release changes it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from tinyreader.serve.problems import MEDIA_TYPE, Problem

HEAD_S = 15.0
"""Seconds from the first byte of a request, or the beginning of a connection, to the end of its head."""

TAKE_S = 60.0
"""Seconds that a client may leave an answer untaken; it is held in memory as long."""


class TimeoutProtocol(H11Protocol):
    """uvicorn's protocol for HTTP/1.1 in Python, with these limits."""

    _head_timer: asyncio.TimerHandle | None = None
    _take_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_head_timer()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_at_work():
            self._stop_head_timer()
        elif self._head_timer is None:
            self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._stop_take_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._start_take_timer()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_take_timer()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self._start_take_timer()
        if self._is_at_work():  # with the next request, which had arrived already
            self._stop_head_timer()

    def send_400_response(self, msg: str) -> None:
        """Refuses what is not HTTP by a problem, as everything is refused here, and closes the connection."""
        problem = Problem("wrong-request", msg)
        body = problem.body()
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        for event in (
            h11.Response(status_code=problem.status, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _is_at_work(self) -> bool:
        cycle: Any = self.cycle
        return cycle is not None and not cycle.response_complete

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_S, self._close_without_head)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _close_without_head(self) -> None:
        self._head_timer = None
        if not self._is_at_work():
            self.transport.close()

    def _start_take_timer(self) -> None:
        if self._take_timer is None:
            self._take_timer = self.loop.call_later(TAKE_S, self._abort_untaken)

    def _stop_take_timer(self) -> None:
        if self._take_timer is not None:
            self._take_timer.cancel()
            self._take_timer = None

    def _abort_untaken(self) -> None:
        self._take_timer = None
        if self.transport.get_write_buffer_size():
            self.transport.abort()
