"""A page of the kind that people have lying about, with questions that a small reader can be expected to
answer.
"""

from __future__ import annotations

from importlib.resources import files

from tinyreader.data.example import Answer, Example

MINUTES = files("tinyreader.sample").joinpath("minutes.txt").read_text("utf-8")

_ASKED = (
    ("Who is the treasurer?", "Piet Langmore"),
    ("How much did the water tank cost?", "940 pounds"),
    ("Who has the keys?", "Tom Ishikawa"),
    ("Who takes over the seed orders?", "Ruth Bellamy"),
    ("When is the next working day?", "Sunday 6 April"),
    ("When was the society founded?", None),
)


def minutes() -> tuple[Example, ...]:
    """The page's questions; the last one it does not answer."""
    return tuple(
        Example(f"minutes-{n}", question, MINUTES, answers=_answers(answer), title="Minutes")
        for n, (question, answer) in enumerate(_ASKED)
    )


def _answers(text: str | None) -> tuple[Answer, ...]:
    return () if text is None else (Answer(text, MINUTES.index(text)),)
