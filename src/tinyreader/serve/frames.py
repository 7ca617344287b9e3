"""What front and engine workers say to each other, over the workers' standard input and output.

A frame is its kind (one byte), the length of what follows, and that. Numbers are little-endian.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float32]

HELLO, CALL, LOGITS, FAILED = 1, 2, 3, 4
"""A worker's facts as JSON; windows to compute; their logits; words of why a call failed."""

MOST_BYTES = 1 << 30
"""A longer frame is no frame: something else was written into the pipe."""

_HEAD = struct.Struct("<BI")
_CALL = struct.Struct("<IIIB")
_NUMBER = struct.Struct("<I")


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """Windows for one engine call: token and segment ids of each, and the length they are padded to.

    `shares` says that other calls wait, so that the engine may compute two at a time.
    """

    number: int
    ids: Sequence[IntArray]
    segments: Sequence[IntArray]
    length: int
    shares: bool = False

    def pack(self) -> bytes:
        """The call as a frame's content."""
        lengths = np.array([len(ids) for ids in self.ids], np.uint32)
        head = _CALL.pack(self.number, len(lengths), self.length, self.shares)
        ids = np.concatenate(self.ids).astype("<i4", copy=False)
        segments = np.concatenate(self.segments).astype(np.uint8)
        return b"".join((head, lengths.tobytes(), ids.tobytes(), segments.tobytes()))

    @classmethod
    def unpack(cls, content: bytes) -> Call:
        """The call that `pack` packed."""
        number, rows, length, shares = _CALL.unpack_from(content)
        lengths = np.frombuffer(content, np.uint32, rows, _CALL.size)
        n = int(lengths.sum())
        begin = _CALL.size + 4 * rows
        ends = np.cumsum(lengths)[:-1]
        ids = np.split(np.frombuffer(content, np.int32, n, begin), ends)
        segments = np.split(np.frombuffer(content, np.uint8, n, begin + 4 * n).astype(np.int32), ends)
        return cls(number, ids, segments, length, bool(shares))


def pack_logits(number: int, starts: Sequence[FloatArray], ends: Sequence[FloatArray]) -> bytes:
    """Start and end logits of each window of a call, each float32 [n], as a frame's content."""
    return b"".join(
        (_NUMBER.pack(number), np.concatenate([*starts, *ends]).astype("<f4", copy=False).tobytes())
    )


def unpack_logits(content: bytes) -> tuple[int, FloatArray, FloatArray]:
    """The call's number, and start and end logits of its windows, one after the other."""
    (number,) = _NUMBER.unpack_from(content)
    both = np.frombuffer(content, np.float32, offset=_NUMBER.size)
    return number, both[: len(both) // 2], both[len(both) // 2 :]


def pack_failure(number: int, reason: str) -> bytes:
    """Why a call failed, as a frame's content."""
    return _NUMBER.pack(number) + reason.encode("utf-8", "replace")


def unpack_failure(content: bytes) -> tuple[int, str]:
    """The call's number and why it failed."""
    return _NUMBER.unpack_from(content)[0], content[_NUMBER.size :].decode("utf-8", "replace")


def pack_facts(facts: dict[str, Any]) -> bytes:
    """Facts as a frame's content."""
    return json.dumps(facts).encode()


def write_frame(stream: BinaryIO, kind: int, content: bytes) -> None:
    """Writes a frame and flushes."""
    stream.write(_HEAD.pack(kind, len(content)) + content)
    stream.flush()


def read_frame(stream: BinaryIO) -> tuple[int, bytes]:
    """The next frame's kind and content. Raises `EOFError` where the stream ends, `ValueError` for what is no
    frame.
    """
    kind, length = _HEAD.unpack(_exactly(stream, _HEAD.size))
    if kind not in (HELLO, CALL, LOGITS, FAILED) or length > MOST_BYTES:
        raise ValueError(f"a frame of kind {kind} and {length} bytes is none of ours")
    return kind, _exactly(stream, length)


def _exactly(stream: BinaryIO, n: int) -> bytes:
    content = stream.read(n)
    if len(content) < n:
        raise EOFError("the stream ended")
    return content
