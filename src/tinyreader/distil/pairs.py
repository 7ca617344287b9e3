"""The student's windows beside what another tokenizer's teacher reads for them: the same question, the same
slice of text.

A slice that is too long for the teacher is read in overlapping pieces. Places of tokens (`alignment.py`) are
kept with them, since the feature store has no texts: 4 bytes for each token of both, 8 where a window spans
more than 65,535 characters.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from tinyreader.arrays import Int32, Int64
from tinyreader.data import Example
from tinyreader.distil.alignment import Places, Slice, Surroundings, lay_out
from tinyreader.distil.features import FeatureStore, write_features
from tinyreader.errors import DataError, RunError
from tinyreader.storage import atomic_directory
from tinyreader.windows import MIN_STEP, Window, Windower, WindowSettings, chunks, pair_template

_CHUNK = 512  # examples cut together
_WHOLE = WindowSettings(max_seq_len=2**40, doc_stride=0)
_META, _WINDOWS, _BEGINS, _STUDENT, _TEACHER = (
    "pairs.json",
    "windows",
    "begins.bin",
    "student.bin",
    "teacher.bin",
)
_FORMAT = 1
_NARROW = 2**16 - 1


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A window of the teacher: its tokens, their places, and which token of the slice its first context token
    is.
    """

    window: Window
    places: Places
    begin: int


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """The places of a student window's tokens, and the teacher's windows on the same text."""

    student: Places
    pieces: tuple[Piece, ...]


class Pairer:
    """Makes pairs of a student's and a teacher's windows; `max_tokens` is the teacher's longest input, None
    for no limit.
    """

    def __init__(
        self, student: Tokenizer, teacher: Tokenizer, settings: WindowSettings, max_tokens: int | None
    ) -> None:
        self.settings, self.max_tokens = settings, max_tokens
        self._student = Windower(student, settings)
        self._student_whole, self._teacher_whole = Windower(student, _WHOLE), Windower(teacher, _WHOLE)
        self._around_student = _surroundings(self._student)
        self._around_teacher = _surroundings(self._teacher_whole)

    def pairs(self, examples: Iterable[Example]) -> Iterator[Pair]:
        """A pair for each of the student's windows, in the order in which `Windower.windows` yields them.

        Raises `DataError` for a question that leaves the teacher no room for its text.
        """
        for chunk in chunks(examples, _CHUNK):
            windows: list[list[Window]] = [[] for _ in chunk]
            for window in self._student.windows(chunk):
                windows[window.example].append(window)
            questions = [replace(e, context=e.question, answers=()) for e in chunk]
            parts = zip(
                chunk,
                windows,
                self._student_whole.windows(questions),
                self._teacher_whole.windows(questions),
                self._teacher_whole.windows(chunk),
                strict=True,
            )
            for example, own, student_question, teacher_question, whole in parts:
                for number, window in enumerate(own):
                    held, question = self._held(example, own, number, _context(student_question))
                    context = window.offsets[window.first : window.stop]
                    places = lay_out(question, context, self._around_student, held)
                    yield Pair(places, tuple(self._pieces(example, whole, _context(teacher_question), held)))

    def _held(
        self, example: Example, own: Sequence[Window], number: int, question: Int32
    ) -> tuple[Slice, Int32]:
        """What the window holds, and the code points of its question's tokens; the outermost windows reach to
        the ends.
        """
        window = own[number]
        n = window.first - self._around_student.before - self._around_student.between
        length = len(example.question) if n == len(question) else int(question[:n, 1].max(initial=0))
        context = window.offsets[window.first : window.stop]
        begin = 0 if number == 0 else int(context[:, 0].min())
        end = len(example.context) if number == len(own) - 1 else int(context[:, 1].max())
        return Slice(length, begin, end), question[:n]

    def _pieces(self, example: Example, whole: Window, question: Int32, held: Slice) -> Iterator[Piece]:
        """The teacher's windows on a slice: of the tokens that lie whole in it, so that it cannot answer with
        more.
        """
        around = self._around_teacher
        n_question = int(np.count_nonzero(question[:, 1] <= held.question))
        offsets = _context(whole)
        inside = np.flatnonzero((offsets[:, 0] >= held.begin) & (offsets[:, 1] <= held.end))
        low, high = (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, 0)
        n_special = around.before + around.between + around.after
        room = high - low if self.max_tokens is None else self.max_tokens - n_special - n_question
        if room < min(MIN_STEP, high - low):
            raise DataError(
                f"question {example.id!r} has {n_question} tokens for the teacher, which takes at most "
                f"{self.max_tokens} in "
                "all and so has no room for the text. Shorten it, or set data.max_question_tokens."
            )
        overlap = min(self.settings.doc_stride, room // 2)
        between = np.arange(whole.first - around.between, whole.first)
        for begin, stop in _runs(low, high, room, room - overlap):
            taken = np.concatenate(
                [
                    np.arange(around.before + n_question),
                    between,
                    np.arange(whole.first + begin, whole.first + stop),
                    np.arange(whole.stop, len(whole)),
                ]
            )
            places = lay_out(question[:n_question], offsets[begin:stop], around, held)
            window = Window(
                0,
                whole.input_ids[taken],
                whole.segment_ids[taken],
                whole.offsets[taken],
                places.first,
                places.stop,
            )
            yield Piece(window, places, begin - low)


class PairStore:
    """Pairs on disk by the student's row: the teacher's windows in a store of their own, and the places of
    all tokens.
    """

    def __init__(self, folder: Path, student: FeatureStore) -> None:
        """Opens what `write_pairs` left in `folder` for the student's store; `RunError` where it is not
        whole.
        """
        advice = f"Delete {folder} to have it made again."
        try:
            meta = json.loads((folder / _META).read_text())
            kind = np.dtype(meta["dtype"])
            self._student = np.memmap(folder / _STUDENT, dtype=kind, mode="r").reshape(-1, 2)
            self._teacher = np.memmap(folder / _TEACHER, dtype=kind, mode="r").reshape(-1, 2)
            self._begins = np.memmap(folder / _BEGINS, dtype="<i4", mode="r")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"the teacher's windows in {folder} cannot be read ({error}). {advice}") from None
        self.folder, self.student, self.windows = folder, student, FeatureStore(folder / _WINDOWS)
        rows = np.asarray(self.windows.index["example"], dtype=np.int64)
        self._first = np.searchsorted(rows, np.arange(len(student) + 1))
        sizes = (len(self._student), len(self._teacher), len(self._begins))
        if (
            sizes != (len(student.ids), len(self.windows.ids), len(self.windows))
            or meta.get("format") != _FORMAT
        ):
            raise RunError(f"the teacher's windows in {folder} are damaged or of another version. {advice}")
        self.lengths = _added_up(self.windows.lengths, self._first)

    def n_pieces(self, rows: Int64) -> Int64:
        """In how many pieces the teacher reads each of the student's rows."""
        return self._first[rows + 1] - self._first[rows]

    def pieces(self, row: int) -> Int64:
        """The teacher's windows, by their numbers in `windows`, that belong to a row of the student's."""
        return np.arange(self._first[row], self._first[row + 1])

    def begin(self, piece: int) -> int:
        """Which token of its slice a piece's first context token is."""
        return int(self._begins[piece])

    def student_places(self, row: int) -> Places:
        """The places of the tokens of a row of the student's."""
        return _places(self.student.index[row], self._student)

    def teacher_places(self, piece: int) -> Places:
        """The places of the tokens of a window of the teacher's."""
        return _places(self.windows.index[piece], self._teacher)


def write_pairs(
    pairs: Callable[[], Iterable[Pair]], folder: Path, *, vocab_size: int, fingerprint: str
) -> None:
    """Writes a pair store of what `pairs` gives to `folder`, which appears only when it is whole; streams.

    `pairs` is called again where a window turns out to span more characters than two bytes count.
    """
    for dtype in ("<u2", "<u4"):
        try:
            with atomic_directory(folder) as partial:
                with _Writer(partial, np.dtype(dtype)) as writer:
                    write_features(
                        writer.passed_on(pairs()),
                        partial / _WINDOWS,
                        vocab_size=vocab_size,
                        fingerprint=fingerprint,
                    )
                (partial / _META).write_text(
                    json.dumps({"format": _FORMAT, "dtype": dtype, "fingerprint": fingerprint})
                )
            return
        except _TooWideError:
            continue
        except OSError as error:
            raise RunError(
                f"the teacher's windows could not be written to {folder} ({error}). Make room and run the "
                "same command again."
            ) from None


class _TooWideError(Exception):
    """A place is beyond what two bytes hold."""


class _Writer:
    """Takes pairs in, hands the teacher's windows on, and writes the places beside them."""

    def __init__(self, folder: Path, dtype: np.dtype[np.unsignedinteger]) -> None:
        self.dtype = dtype
        self._files: dict[str, BinaryIO] = {n: (folder / n).open("wb") for n in (_STUDENT, _TEACHER, _BEGINS)}

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def passed_on(self, pairs: Iterable[Pair]) -> Iterator[Window]:
        for row, pair in enumerate(pairs):
            self._write(_STUDENT, pair.student)
            for piece in pair.pieces:
                self._write(_TEACHER, piece.places)
                self._files[_BEGINS].write(np.int32(piece.begin).astype("<i4").tobytes())
                yield replace(piece.window, example=row)

    def _write(self, name: str, places: Places) -> None:
        if self.dtype.itemsize == 2 and places.line.max() > _NARROW:
            raise _TooWideError
        self._files[name].write(places.line.astype(self.dtype).tobytes())


def _runs(low: int, high: int, room: int, step: int) -> Iterator[tuple[int, int]]:
    """Runs of tokens that cover [low, high), each at most `room` long, each `step` after the one before; at
    least one.
    """
    begin = low
    while begin + room < high:
        yield begin, begin + room
        begin += step
    yield begin, high


def _surroundings(windower: Windower) -> Surroundings:
    template = pair_template(windower.tokenizer)
    return Surroundings(len(template.before), len(template.between), len(template.after))


def _context(window: Window) -> Int32:
    """The code points [., 2] of a window's context tokens."""
    return window.offsets[window.first : window.stop]


def _places(record: np.void, lines: npt.NDArray[np.unsignedinteger]) -> Places:
    offset, length = int(record["offset"]), int(record["length"])
    return Places(lines[offset : offset + length].astype(np.int64), int(record["first"]), int(record["stop"]))


def _added_up(lengths: Int32, first: Int64) -> Int32:
    """The tokens of all pieces of each row."""
    totals = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    added: Int32 = (totals[first[1:]] - totals[first[:-1]]).astype(np.int32)
    return added
