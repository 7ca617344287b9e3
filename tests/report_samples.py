"""Questions, examples and reports for the tests of `tinyreader.report`, made without a model."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from tinyreader.data import Answer, Example
from tinyreader.report import measure, slices
from tinyreader.report.reading import ReadQuestion
from tinyreader.report.record import Question, Report

WORDS = "mill bridge river stone keeper lock tower ferry winter summer council east".split()
ASKING = (
    "Who built {}?",
    "When did {} open?",
    "How many {} are there?",
    "In which year was {} sold?",
    "Is {} old?",
    "Why {}?",
)


def examples(n: int = 60, seed: int = 0, *, unanswerable: bool = True) -> list[Example]:
    """n examples with contexts of many lengths; every third without an answer where that is wanted."""
    rng = random.Random(seed)
    made = []
    for i in range(n):
        words = rng.choices(WORDS, k=rng.randint(8, 400))
        context = " ".join(words)
        first = rng.randrange(len(words))
        text = " ".join(words[first : first + rng.choice((1, 1, 2, 3, 6, 12))])
        start = len(" ".join(words[:first])) + (first > 0)
        answers = () if unanswerable and i % 3 == 0 else (Answer(text, start),)
        made.append(Example(f"q{i}", rng.choice(ASKING).format(rng.choice(WORDS)), context, answers))
    return made


def read(given: Sequence[Example], seed: int = 1, threshold: float = 0.0) -> list[ReadQuestion]:
    """What a middling reader might have found: right two times of three, odds that say something."""
    rng = random.Random(seed)
    found = []
    for example in given:
        right = bool(example.answers) and rng.random() < 0.66
        answer = example.answers[0] if right else None
        start = answer.start if answer else rng.randrange(max(1, len(example.context) - 8))
        text = answer.text if answer else example.context[start : start + rng.randint(3, 8)]
        odds = rng.gauss(-2.0 if example.answers else 2.0, 2.5)
        score = 1 / (1 + 2.718281828**odds)
        answered = odds <= threshold
        found.append(
            ReadQuestion(
                example.id, text, start, start + len(text), odds, answered, score, max(score, 1 - score)
            )
        )
    return found


def questions(given: Sequence[Example], *, teacher: bool = False, **changes: Any) -> list[Question]:
    """The examples judged, with a teacher that is mostly right where that is wanted."""
    rng = random.Random(5)
    said = {e.id: (e.answers[0].text if e.answers else "") if rng.random() < 0.8 else "east" for e in given}
    texts = measure.Texts(
        [len(e.context.split()) for e in given], [1 + len(e.context) // 1200 for e in given]
    )
    return measure.score(given, read(given), texts, "squad-en", teacher=said if teacher else None, **changes)


def report(given: Sequence[Example], judged: Sequence[Question], **changes: Any) -> Report:
    """A whole report on the questions, of a reader that does not exist."""
    values: dict[str, Any] = {
        "model": {"name": "runs/<student>", "parameters": 22_000_000, "size_bytes": 90_000_000, "run": None},
        "reader": {
            "engine": "openvino",
            "precision": "fp32",
            "settings": {"max_seq_len": 384, "no_answer_threshold": 0.0},
        },
        "data": {
            "name": "dev.json",
            "fingerprint": "0" * 32,
            "questions": len(given),
            "answerable": sum(not e.is_impossible for e in given),
            "left_out": 0,
        },
        "normalisation": "squad-en",
        "official": {"script": "2.0", "na_prob_thresh": 0.0},
        "scores": measure.official_scores(given, judged, "2.0", 0.0, "squad-en"),
        "answered": measure.answered_scores(judged),
        "intervals": measure.intervals(judged, 200),
        "calibration": measure.calibration(judged),
        "curves": measure.all_curves(judged),
        "slices": slices.by_slices(judged, 200),
        "speed": {
            "questions_per_second": 80.0,
            "latency_ms": {"p50": 9.1, "p95": 20.0, "p99": 31.5},
            "latency_questions": 200,
            "peak_memory_bytes": 600_000_000,
            "reading_seconds": 12.5,
            "report_seconds": 1.1,
        },
        "machine": {"processor": "A", "cores": 2, "memory_bytes": 8_000_000_000, "platform": "Linux"},
        "versions": {"python": "3.11", "tinyreader": "0.1.0"},
        "date": "2026-01-02T03:04:05Z",
    }
    return Report(**(values | changes))


def training() -> dict[str, Any]:
    """What the log of a run in two stages says."""
    steps = list(range(10, 500, 10))
    layers = {
        f"{kind}.{m}": [3.0 / s + m / 9 for s in steps]
        for kind in ("hidden", "attention")
        for m in range(1, 4)
    }
    first = {
        "name": "intermediate",
        "step": steps,
        "loss": [9.0 / s for s in steps],
        "learning_rate": [1e-4] * len(steps),
        "windows_per_second": [40.0 + s % 7 for s in steps],
        "gradient_norm": [None] * len(steps),
        "terms": layers | {"embedding": [1.0 / s for s in steps]},
        "evaluations": [],
        "seconds": 600.0,
    }
    second = first | {
        "name": "prediction",
        "terms": {"prediction": [4.0 / s for s in steps], "labels": [None] * len(steps)},
        "evaluations": [
            {"step": s, "best_f1": 50 + s / 30, "answered_f1": 60 + s / 30} for s in (100, 200, 300)
        ],
    }
    return {"stages": [first, second], "teacher_seconds": 10.0, "skipped_steps": 0}


def layers(n_student: int = 6, n_teacher: int = 12) -> dict[str, Any]:
    """Distances of the layers of a student and a teacher."""

    def distances(rows: int, columns: int) -> list[list[float]]:
        return [[abs(r / rows - c / columns) for c in range(columns)] for r in range(rows)]

    return {
        "windows": 48,
        "heads": "one by one",
        "hidden": distances(n_student + 1, n_teacher + 1),
        "attention": distances(n_student, n_teacher),
        "stages": [{"name": "intermediate", "hidden": [0.1] * (n_student + 1)}],
    }
