"""Small data sets for the tests of `tinyreader.data`, and strategies that draw them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tinyreader.data import Answer, Example

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

MILL = "The mill at Orrin Weir was built in 1811 by Tobe Harl. Tobe Harl sold it nine years later."
FERRY = "A ferry crosses the Lenn twice a day. It carries forty people."

_DOCUMENT: dict[str, Any] = {
    "version": "v2.0",
    "data": [
        {
            "title": "Orrin Weir",
            "paragraphs": [
                {
                    "context": MILL,
                    "qas": [
                        {
                            "id": "m1",
                            "question": "When was the mill built?",
                            "answers": [
                                {"text": "1811", "answer_start": 36},
                                {"text": "in 1811", "answer_start": 33},
                            ],
                            "is_impossible": False,
                        },
                        {
                            "id": "m2",
                            "question": "Who bought the mill?",
                            "answers": [],
                            "is_impossible": True,
                            "plausible_answers": [{"text": "Tobe Harl", "answer_start": 44}],
                        },
                    ],
                }
            ],
        },
        {
            "title": "Lenn",
            "paragraphs": [
                {
                    "context": FERRY,
                    "qas": [
                        {
                            "id": "f1",
                            "question": "What crosses the Lenn?",
                            "answers": [{"text": "A ferry", "answer_start": 0}],
                            "is_impossible": False,
                        }
                    ],
                }
            ],
        },
    ],
}

EXAMPLES = [
    Example(
        "m1", "When was the mill built?", MILL, (Answer("1811", 36), Answer("in 1811", 33)), (), "Orrin Weir"
    ),
    Example("m2", "Who bought the mill?", MILL, (), (Answer("Tobe Harl", 44),), "Orrin Weir"),
    Example("f1", "What crosses the Lenn?", FERRY, (Answer("A ferry", 0),), (), "Lenn"),
]


def document() -> dict[str, Any]:
    """Return a SQuAD v2.0 document that holds `EXAMPLES`, free to be changed."""
    return copy.deepcopy(_DOCUMENT)


def row(example_id: str = "m1", **changes: Any) -> dict[str, Any]:
    """Return a row of the Hub's squad schema with an answer, with some fields changed."""
    answers = {"text": ["1811"], "answer_start": [36]}
    fields = {
        "id": example_id,
        "title": "Orrin Weir",
        "context": MILL,
        "question": "When?",
        "answers": answers,
    }
    return {**fields, **changes}


def write_json(path: Path, value: Any) -> Path:
    """Write one JSON document and return its path."""
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def write_rows(path: Path, *rows: Any) -> Path:
    """Write JSON Lines and return their path."""
    path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    return path


TEXTS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12).filter(
    lambda text: text.strip()
)


@st.composite
def answers_on(draw: st.DrawFn, context: str) -> Answer:
    """Draw an answer that stands in `context`."""
    start = draw(st.integers(0, len(context) - 1))
    stop = draw(st.integers(start + 1, len(context)))
    text = context[start:stop]
    return Answer(text, start) if text.strip() else Answer(context, 0)


@st.composite
def example_lists(draw: st.DrawFn, min_size: int = 0, max_size: int = 8) -> list[Example]:
    """Draw valid examples with unique ids, over a few contexts and titles."""
    contexts = draw(st.lists(TEXTS, min_size=1, max_size=3))
    titles = draw(st.lists(st.one_of(st.just(""), TEXTS), min_size=1, max_size=3))
    ids = draw(st.lists(TEXTS, min_size=min_size, max_size=max_size, unique=True))
    examples = []
    for each in ids:
        context = draw(st.sampled_from(contexts))
        answers = tuple(draw(st.lists(answers_on(context), max_size=2)))
        plausible = () if answers else tuple(draw(st.lists(answers_on(context), max_size=1)))
        examples.append(
            Example(each, draw(TEXTS), context, answers, plausible, draw(st.sampled_from(titles)))
        )
    return examples
