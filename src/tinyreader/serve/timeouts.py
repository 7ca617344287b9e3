"""HTTP with an end to patience: no connection may keep a request's head, or an untaken answer, for ever."""

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


class PatientProtocol(H11Protocol):
    """uvicorn's protocol for HTTP/1.1 in Python, with these limits."""

    _late: asyncio.TimerHandle | None = None
    _untaken: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection has begun."""
        super().connection_made(transport)
        self._hurry()

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        super().data_received(data)
        if self._is_at_work():
            self._calm()
        elif self._late is None:
            self._hurry()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._calm()
        self._taken()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client takes less than it is sent."""
        super().pause_writing()
        self._wait_for_taker()

    def resume_writing(self) -> None:
        """It has taken most of it."""
        super().resume_writing()
        self._taken()

    def on_response_complete(self) -> None:
        """An answer has been sent."""
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self._wait_for_taker()
        if self._is_at_work():  # with the next request, which had come already
            self._calm()

    def send_400_response(self, msg: str) -> None:
        """Refuses what is no HTTP, as everything is refused here, and closes the connection."""
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

    def _hurry(self) -> None:
        self._late = self.loop.call_later(HEAD_S, self._give_up)

    def _calm(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _wait_for_taker(self) -> None:
        if self._untaken is None:
            self._untaken = self.loop.call_later(TAKE_S, self._drop)

    def _taken(self) -> None:
        if self._untaken is not None:
            self._untaken.cancel()
            self._untaken = None

    def _drop(self) -> None:
        self._untaken = None
        if self.transport.get_write_buffer_size():
            self.transport.abort()

    def _give_up(self) -> None:
        self._late = None
        if not self._is_at_work():
            self.transport.close()
