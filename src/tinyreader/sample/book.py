"""The encyclopaedia: articles for training, others that share no name with them, and two questions to show; and
a page of meeting minutes with questions that a small reader can be expected to answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from random import Random

from tinyreader.data.example import Answer, Example
from tinyreader.sample.articles import written
from tinyreader.sample.kinds import kinds
from tinyreader.sample.names import Names, divided_names

HELD_OUT_NAMES = 0.15  # the share of all names that only held-out articles may use


@dataclass(frozen=True, slots=True)
class Encyclopaedia:
    """Questions on articles to learn from, and on articles about other, unheard-of subjects to be measured
    by.
    """

    train: tuple[Example, ...]
    held_out: tuple[Example, ...]


def encyclopaedia(*, n_articles: int = 4000, n_held_out: int = 200, seed: int = 0) -> Encyclopaedia:
    """An encyclopaedia of `n_articles` articles and `n_held_out` held-out ones, the same for the same
    arguments.

    Each article is a paragraph with six questions, two of which it does not answer.
    """
    rng = Random(seed)
    for_train, for_held_out = divided_names(rng, HELD_OUT_NAMES)
    return Encyclopaedia(
        train=_examples("train", n_articles, for_train, rng),
        held_out=_examples("held-out", n_held_out, for_held_out, rng),
    )


def _examples(side: str, n_articles: int, names: Names, rng: Random) -> tuple[Example, ...]:
    """The questions of `n_articles` articles, each kind as often as the others."""
    examples, taken = [], set[str]()
    for number in range(n_articles):
        article = written(kinds()[number % len(kinds())], names, rng, taken)
        for index, (question, answer) in enumerate(article.questions):
            answers = () if answer is None else (answer,)
            examples.append(
                Example(f"{side}-{number}-{index}", question, article.text, answers, (), article.title)
            )
    return tuple(examples)


_SHOWN = (
    "The Talenford Bridge crosses the River Kelissa at Ornamere. It was designed by Tamine Fenavane, until "
    "then known "
    "only for churches. After a long dispute the building work was begun in 1764. From bank to bank the "
    "bridge has a "
    "length of 218 metres."
)

SHOWCASE = (
    Example(
        id="showcase-0",
        question="Who was the architect of the Talenford Bridge?",
        context=_SHOWN,
        answers=(Answer("Tamine Fenavane", _SHOWN.index("Tamine")),),
        title="The Talenford Bridge",
    ),
    Example("showcase-1", "Why was the Talenford Bridge closed?", _SHOWN, title="The Talenford Bridge"),
)
"""One question that its paragraph answers and one that it does not; its names (`names.RESERVED`) are in no
article.
"""

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
