"""Build `everyday.json`, in SQuAD 2.0's format, from `texts/` and `questions/`; refuse whatever is not
verbatim.

    python benchmarks/everyday/build.py            # writes everyday.json beside this file python
    benchmarks/everyday/build.py --check    # exit code 1 where everyday.json is not what would be written

`questions/NAME.toml` belongs to `texts/NAME.txt` or `.md`, which is one context, whole. It names the kind of
text, and has a table for each question: what is asked, and either `answers` or, where the text does not
answer, a `trap` (see `TRAPS`) and the `plausible` wrong answers. An answer is a quotation that stands in the
text once. Where the words of the answer alone stand there more often, or are part of another word, the
quotation is longer and has the answer in square brackets: `"comes down at [8 p.m.]"`. A blank in a quotation
stands for any white space, so that a text may break its lines anywhere.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tinyreader.data import Answer, Example, write_squad
from tinyreader.errors import DataError

HERE = Path(__file__).parent
BUILT = HERE / "everyday.json"

Trap = Literal["entity", "attribute", "time", "condition", "negation"]
TRAPS: dict[str, str] = {
    "entity": "the text says it of another person, thing or place",
    "attribute": "the text says something else about the same thing",
    "time": "the text says it of another time or version",
    "condition": "the text says it for another case",
    "negation": "the text says that there is no such thing, or the contrary",
}
"""Why a question without an answer looks as if it had one."""
assert tuple(TRAPS) == get_args(Trap)


class Question(BaseModel):
    """A question as it is written in `questions/`: with answers, or with a trap and plausible wrong
    answers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ask: str = Field(min_length=1)
    answers: tuple[str, ...] = ()
    trap: Trap | None = None
    plausible: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _either(self) -> Question:
        if bool(self.answers) == (self.trap is not None) or bool(self.plausible) != (self.trap is not None):
            raise ValueError("give either 'answers', or 'trap' and 'plausible'")
        return self


@dataclass(frozen=True)
class Document:
    """A text with its questions by name. `kind` says what sort of text it is."""

    name: str
    kind: str
    text: str
    questions: dict[str, Question]

    def examples(self) -> list[Example]:
        """Return the questions as examples, in their order; raises DataError for a quotation that is not in
        the text.
        """
        return [
            Example(
                f"{self.name}/{key}",
                question.ask,
                self.text,
                tuple(located(each, self.text, f"{self.name}/{key}") for each in question.answers),
                tuple(located(each, self.text, f"{self.name}/{key}") for each in question.plausible),
                self.kind,
            )
            for key, question in self.questions.items()
        ]


def located(quotation: str, text: str, place: str) -> Answer:
    """Return the answer that a quotation (see the top of this file) marks in `text`; `place` is for messages.

    Raises DataError where the quotation does not stand in the text exactly once as whole words, or its
    brackets do not enclose one answer.
    """
    parts = re.split(r"[\[\]]", quotation)
    if len(parts) == 1:
        parts = ["", *parts, ""]
    if len(parts) != 3 or not parts[1] or parts[1] != parts[1].strip():
        raise DataError(
            f"{place}: {quotation!r} must have one pair of brackets or none, with an answer in it"
        )
    before, answer, after = (r"\s+".join(map(re.escape, re.split(r"\s+", part))) for part in parts)
    found = list(re.finditer(rf"(?<!\w){before}(?P<answer>(?<!\w){answer}(?!\w)){after}(?!\w)", text))
    if len(found) != 1:
        remedy = (
            "quote it as it is written" if not found else "quote more of the sentence, the answer in brackets"
        )
        raise DataError(
            f"{place}: {quotation!r} stands in the text {len(found)} times, expected once; {remedy}"
        )
    return Answer(found[0]["answer"], found[0].start("answer"))


def documents(folder: Path = HERE) -> list[Document]:
    """Return the texts below `folder` with their questions, by name; raises DataError where they are not in
    order.
    """
    texts = {path.stem: path for path in sorted((folder / "texts").iterdir())}
    questions = {path.stem: path for path in sorted((folder / "questions").iterdir())}
    if alone := texts.keys() ^ questions.keys():
        raise DataError(
            f"{folder}: a text needs questions and questions need a text: {', '.join(sorted(alone))}"
        )
    return [_document(texts[name], questions[name]) for name in texts]


def _document(text: Path, questions: Path) -> Document:
    raw = tomllib.loads(questions.read_text("utf-8"))
    kind = raw.pop("kind", None)
    if not isinstance(kind, str):
        raise DataError(f'{questions}: says no kind of text; begin it with: kind = "..."')
    parsed: dict[str, Question] = {}
    for key, table in raw.items():
        try:
            parsed[key] = Question.model_validate(table)
        except ValidationError as error:
            raise DataError(f"{questions}: [{key}]: {error}") from error
    return Document(text.stem, kind, text.read_text("utf-8"), parsed)


def examples(folder: Path = HERE) -> list[Example]:
    """Return all questions on the texts below `folder`; raises DataError where something is wrong with
    one.
    """
    found = [example for document in documents(folder) for example in document.examples()]
    twice = [
        question for question, n in Counter(example.question.casefold() for example in found).items() if n > 1
    ]
    if twice:
        raise DataError(f"{folder}: asked more than once: {twice}")
    return found


def built(folder: Path = HERE) -> bytes:
    """Return what `everyday.json` has to hold."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / BUILT.name
        write_squad(examples(folder), path)
        return path.read_bytes()


def main() -> int:
    """Write or check `everyday.json`; return the exit code: 0 done, 1 not current, 2 something is wrong with
    the set.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit code 1 where the file is not current"
    )
    check: bool = parser.parse_args().check
    try:
        content = built()
    except DataError as error:
        print(error, file=sys.stderr)
        return 2
    if check and (not BUILT.exists() or BUILT.read_bytes() != content):
        print(f"{BUILT} is not current; run: python benchmarks/everyday/build.py", file=sys.stderr)
        return 1
    if not check:
        write_squad(examples(), BUILT)
    of_traps = Counter(question.trap for document in documents() for question in document.questions.values())
    n_questions, n_answerable = of_traps.total(), of_traps.pop(None)
    print(
        f"{n_questions} questions on {len(documents())} texts, {n_questions - n_answerable} without an "
        "answer: ",
        end="",
    )
    print(", ".join(f"{n} {trap}" for trap, n in of_traps.most_common()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
