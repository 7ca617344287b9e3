"""What is refused before work is spent on it: requests beyond the number and size that fit into memory, and requests
that take more reading than their deadline could see finished.
"""

from __future__ import annotations

from collections.abc import Sequence

from tinyreader.documents import Document
from tinyreader.passages import PASSAGE_CHARACTERS
from tinyreader.reader import Question
from tinyreader.serve.problems import Problem
from tinyreader.windows import MIN_STEP

_TOKEN_CHARACTERS = 4  # about, in English
_SPECIAL_TOKENS = 3  # of a window


class Admission:
    """The requests that are inside. For one thread: the event loop's."""

    def __init__(self, max_requests: int, max_bytes: int) -> None:
        self.max_requests, self.max_bytes = max_requests, max_bytes
        self.requests = self.bytes = 0

    def enter(self) -> Entry:
        """A place for a request; raises `Problem` where the server is full."""
        if self.requests >= self.max_requests:
            raise Problem(
                "full",
                f"It is working on {self.requests} requests. Try again shortly.",
                limit=self.max_requests,
                retry_after_s=1,
            )
        self.requests += 1
        return Entry(self)


class Entry:
    """A request's place: it counts until all who hold it have left."""

    def __init__(self, admission: Admission) -> None:
        self._admission, self._bytes, self._holders = admission, 0, 1

    def grow(self, n: int) -> None:
        """Adds n bytes to the request; raises `Problem` where all requests together would be too large."""
        inside = self._admission
        if inside.bytes + n > inside.max_bytes:
            raise Problem(
                "full",
                "The requests it is working on have reached their maximum size together. Try again shortly.",
                limit=inside.max_bytes,
                retry_after_s=1,
            )
        inside.bytes += n
        self._bytes += n

    def hold(self) -> None:
        """Adds a holder."""
        self._holders += 1

    def leave(self) -> None:
        """Removes a holder; with the last one, the place is free."""
        self._holders -= 1
        if self._holders == 0:
            self._admission.requests -= 1
            self._admission.bytes -= self._bytes


def read_tokens(questions: Sequence[Question], max_seq_len: int, doc_stride: int, passages: int) -> int:
    """About how many tokens the engine has to compute for these questions, overlaps and repeated questions included.

    Of a question's documents, `passages` passages are read, or everything where that is 0; of a question without
    documents, that number of the folder's.
    """
    longest = max((_n_tokens(question.text) for question in questions), default=0) + _SPECIAL_TOKENS
    room = max(doc_stride + MIN_STEP, max_seq_len - longest)
    sizes: dict[int, tuple[int, int]] = {}
    total = 0
    for question in questions:
        documents: tuple[Document, ...] | None = question.documents  # type: ignore[assignment]
        if documents is None:
            n_windows, n_tokens = passages, passages * (PASSAGE_CHARACTERS // _TOKEN_CHARACTERS)
        else:
            if id(documents) not in sizes:  # many questions may share them
                sizes[id(documents)] = _size(documents, room, doc_stride)
            n_windows, n_tokens = sizes[id(documents)]
            if passages:
                n_windows = min(n_windows, passages)
                n_tokens = min(n_tokens, passages * (PASSAGE_CHARACTERS // _TOKEN_CHARACTERS))
        total += n_tokens + n_windows * (_n_tokens(question.text) + _SPECIAL_TOKENS)
    return total


def check_cost(tokens: int, limit: int) -> None:
    """Raises `Problem` where that is more than the limit."""
    if tokens > limit:
        raise Problem(
            "limit",
            f"There are about {tokens:,} tokens to read; the maximum is {limit:,} in a request. Ask fewer questions, "
            "send shorter texts, or read only the best passages (passages).",
            where="the body",
            limit=limit,
        )


def _size(documents: Sequence[Document], room: int, stride: int) -> tuple[int, int]:
    """Windows of these documents, and the tokens of text in them."""
    n_windows = n_tokens = 0
    for document in documents:
        own = _n_tokens(document.text)
        more = max(0, -(-(own - room) // (room - stride)))
        n_windows += 1 + more
        n_tokens += own + more * stride
    return n_windows, n_tokens


def _n_tokens(text: str) -> int:
    return -(-len(text) // _TOKEN_CHARACTERS)
