"""What a request costs to read, estimated before it is begun: work that no deadline would see finished is
refused at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from tinyreader.documents import Document
from tinyreader.passages import PASSAGE_CHARACTERS
from tinyreader.reader import Question
from tinyreader.serve.problems import Problem
from tinyreader.windows import MIN_STEP

_CHARACTERS = 4  # of a token, about, in English
_SPECIAL = 3  # tokens of a window that belong to nobody


def read_tokens(questions: Sequence[Question], max_seq_len: int, doc_stride: int, passages: int) -> int:
    """About how many tokens the engine has to compute for these questions, overlaps and repeated questions
    included.

    Of a question's documents, `passages` of them are read, or, with 0, everything; of a question without
    documents so many in any case.
    """
    longest = max((_tokens(question.text) for question in questions), default=0) + _SPECIAL
    room = max(doc_stride + MIN_STEP, max_seq_len - longest)
    sizes: dict[int, tuple[int, int]] = {}
    total = 0
    for question in questions:
        documents: tuple[Document, ...] | None = question.documents  # type: ignore[assignment]
        if documents is None:
            n_windows, n_tokens = passages, passages * (PASSAGE_CHARACTERS // _CHARACTERS)
        else:
            if id(documents) not in sizes:  # many questions may share them
                sizes[id(documents)] = _size(documents, room, doc_stride)
            n_windows, n_tokens = sizes[id(documents)]
            if passages:
                n_windows = min(n_windows, passages)
                n_tokens = min(n_tokens, passages * (PASSAGE_CHARACTERS // _CHARACTERS))
        total += n_tokens + n_windows * (_tokens(question.text) + _SPECIAL)
    return total


def check_cost(tokens: int, limit: int) -> None:
    """Raises `Problem` where that is more than the limit."""
    if tokens > limit:
        raise Problem(
            "limit",
            f"It is about {tokens:,} tokens to read; this server takes {limit:,} in a request. Ask fewer "
            "questions, "
            "send shorter texts, or read only the best passages (passages).",
            where="the body",
            limit=limit,
        )


def _size(documents: Sequence[Document], room: int, stride: int) -> tuple[int, int]:
    """Windows of these documents, and the tokens of text in them."""
    n_windows = n_tokens = 0
    for document in documents:
        own = _tokens(document.text)
        more = max(0, -(-(own - room) // (room - stride)))
        n_windows += 1 + more
        n_tokens += own + more * stride
    return n_windows, n_tokens


def _tokens(text: str) -> int:
    return -(-len(text) // _CHARACTERS)
