"""`serve.frames`: what goes through the pipes comes out as it was."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyreader.serve.frames import (
    CALL,
    LOGITS,
    Call,
    pack_failure,
    pack_logits,
    read_frame,
    unpack_failure,
    unpack_logits,
    write_frame,
)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(0, 2**32 - 1), st.booleans())
def test_calls_and_logits_come_back(lengths: list[int], number: int, shares: bool) -> None:
    """Ids, segments and logits of windows of any lengths survive a frame each."""
    draw = np.random.default_rng(number)
    ids = [draw.integers(0, 2**31 - 1, n).astype(np.int32) for n in lengths]
    segments = [draw.integers(0, 2, n).astype(np.int32) for n in lengths]
    pipe = io.BytesIO()
    write_frame(pipe, CALL, Call(number, ids, segments, 64, shares).pack())
    starts = [draw.standard_normal(n).astype(np.float32) for n in lengths]
    write_frame(
        pipe,
        LOGITS,
        pack_logits(number, starts, segments_as_floats := [s.astype(np.float32) for s in segments]),
    )
    pipe.seek(0)
    kind, content = read_frame(pipe)
    call = Call.unpack(content)
    assert (kind, call.number, call.length, call.shares) == (CALL, number, 64, shares)
    assert all(map(np.array_equal, [*call.ids, *call.segments], [*ids, *segments]))
    kind, content = read_frame(pipe)
    found, start, end = unpack_logits(content)
    assert (kind, found) == (LOGITS, number)
    assert np.array_equal(start, np.concatenate(starts))
    assert np.array_equal(end, np.concatenate(segments_as_floats))
    with pytest.raises(EOFError):
        read_frame(pipe)


def test_failures_keep_their_words() -> None:
    """Number and reason, in any script."""
    assert unpack_failure(pack_failure(7, "kein Speicher: 記憶")) == (7, "kein Speicher: 記憶")


@pytest.mark.parametrize(
    "content", [b"Hello from a library\n" * 3, b"\x02\xff\xff\xff\xffxxxx", b"\x09\x01\x00\x00\x00x"]
)
def test_what_is_no_frame_is_told_apart(content: bytes) -> None:
    """Words printed into the pipe, or lengths beyond all sense, are errors and no frames."""
    with pytest.raises(ValueError, match="none of ours"):
        read_frame(io.BytesIO(content))


def test_a_frame_that_ends_early_is_an_end() -> None:
    """A worker that died in the midst of a frame left no frame."""
    pipe = io.BytesIO()
    write_frame(pipe, LOGITS, b"abcdef")
    with pytest.raises(EOFError):
        read_frame(io.BytesIO(pipe.getvalue()[:-1]))
