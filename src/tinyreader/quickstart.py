"""The whole job without a download: the reader in the package is asked, and a smaller one is distilled from
it and compared.

The student learns on a small invented encyclopaedia that comes with the package, by the code of a real run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyreader.data import Example, write_squad
from tinyreader.distil.recipe import load_recipe
from tinyreader.distil.run import run_recipe
from tinyreader.metrics import question_scores, score_v2
from tinyreader.model_files import STARTER, model_directory
from tinyreader.progress import Progress
from tinyreader.reader import Reader, Reading
from tinyreader.report.machine import parameters
from tinyreader.runtimes.reading import predict
from tinyreader.sample import SHOWCASE, encyclopaedia, minutes
from tinyreader.storage import make_directory
from tinyreader.windows import Windower, WindowSettings

MIN_RIGHT = 5
MIN_SHARE_KEPT = 0.90

_RIGHT_F1 = 0.5


@dataclass(frozen=True, slots=True)
class Row:
    """One reader of the table: its shape, its scores on the held-out articles, and milliseconds for one of
    their questions.
    """

    name: str
    layers: int
    parameters: int
    scores: dict[str, float]
    milliseconds: float


@dataclass(frozen=True, slots=True)
class Asked:
    """What a reader says to questions on a page, and how many it gets right: by F1, or by seeing that there
    is no answer.
    """

    examples: tuple[Example, ...]
    readings: tuple[Reading, ...]

    @property
    def n_right(self) -> int:
        """Questions with an F1 above a half."""
        texts = ("" if reading.answer is None else reading.answer.text for reading in self.readings)
        return sum(
            question_scores(e, text)[1] > _RIGHT_F1 for e, text in zip(self.examples, texts, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the starter said, teacher and student, seconds of distilling, and what the student says to two
    questions.

    `directory` is the student's, `shown` the file of the paragraph that these were about.
    """

    asked: Asked
    teacher: Row
    student: Row
    seconds: float
    answered: Asked
    directory: Path
    shown: Path

    @property
    def share_kept(self) -> float:
        """The part of the teacher's F1 that the student keeps."""
        return self.student.scores["f1"] / max(self.teacher.scores["f1"], 1e-9)

    @property
    def failures(self) -> tuple[str, ...]:
        """What was not reached, in sentences; empty when all is well."""
        found, of = [], len(self.asked.examples)
        if self.asked.n_right < MIN_RIGHT:
            found.append(
                f"{self.asked.n_right} of {of} questions were answered rightly; at least {MIN_RIGHT} were "
                "expected"
            )
        if self.share_kept < MIN_SHARE_KEPT:
            found.append(
                f"the student keeps {self.share_kept:.1%} of F1; at least {MIN_SHARE_KEPT:.0%} was expected"
            )
        return tuple(found)


def ask_starter() -> Asked:
    """What the reader in the package says to the questions on the sample page."""
    return _ask(Reader.from_pretrained(), minutes())


def _ask(reader: Reader, examples: tuple[Example, ...]) -> Asked:
    return Asked(
        examples, tuple(reader.read(example.question, example.context, top_k=1) for example in examples)
    )


def quickstart(out: Path, asked: Asked, progress: Progress) -> Outcome:
    """Distils under `out`, and compares; resumes where an earlier call on the same directory stopped."""
    make_directory(out)
    book = encyclopaedia()
    train, dev = out / "sample" / "train.json", out / "sample" / "held-out.json"
    write_squad(book.train, train)
    write_squad(book.held_out, dev)
    shown = out / "sample" / "showcase.txt"
    shown.write_text(SHOWCASE[0].context + "\n", encoding="utf-8")
    result = run_recipe(load_recipe("quickstart", [_set("data.train", train)]), out / "distilled", progress)
    seconds = (
        sum(stage["seconds"] for stage in result.record["stages"]) + result.record["teacher_pass_seconds"]
    )
    progress.say("both are measured on articles that the student has not seen")
    teacher, student = (
        measured(name, directory, book.held_out)
        for name, directory in (("starter", model_directory(STARTER)), ("student", result.student))
    )
    answered = _ask(Reader.from_pretrained(result.student), SHOWCASE)
    return Outcome(asked, teacher, student, seconds, answered, result.student, shown)


def measured(name: str, directory: Path, examples: Sequence[Example]) -> Row:
    """The row of the reader in that directory: scores at a null threshold of 0, and the time it takes in
    bulk.
    """
    reader = Reader.from_pretrained(directory)
    windower = Windower(reader.tokenizer, WindowSettings())
    list(predict(examples[:100], windower, reader.runtime))
    began = time.perf_counter()
    predictions = list(predict(examples, windower, reader.runtime))
    seconds = time.perf_counter() - began
    scores = score_v2(examples, {p.id: p.answer(0.0) for p in predictions})
    layers = json.loads((directory / "config.json").read_text())["num_hidden_layers"]
    return Row(name, layers, parameters(directory) or 0, scores, 1000 * seconds / len(examples))


def _set(key: str, path: Path) -> str:
    """The override that sets `key` to a path; TOML does not know JSON's escapes of signs beyond U+FFFF."""
    return f"{key}={json.dumps(str(path), ensure_ascii=False)}"
