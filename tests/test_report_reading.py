"""`report.reading`: questions are read as `Reader` reads them, whatever its thresholds leave out."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tiny_models import write_reader
from tinyreader.data import Example
from tinyreader.reader import Reader, ReaderSettings
from tinyreader.report.reading import answer_threshold, latencies, percentiles, read_examples

EXAMPLES = [
    Example(f"{n}", "who built it ?", " ".join(["the bridge was built in it ."] * n)) for n in (1, 3, 9)
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random reader."""
    return write_reader(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize(
    "changes", [{}, {"no_answer_threshold": -1e9}, {"score_threshold": 0.5, "temperature": 3.0}]
)
def test_what_is_found_is_what_the_reader_says(model: Path, changes: dict[str, float]) -> None:
    """The best span is there always; whether it is the answer, and how sure that is, is as `read` has it."""
    reader = Reader.from_pretrained(model, max_seq_len=60, doc_stride=8, **changes)
    done: list[int] = []
    for example, found in zip(EXAMPLES, read_examples(reader, iter(EXAMPLES), done.append), strict=True):
        reading = reader.read(example.question, example.context)
        best = reader.read(
            example.question, example.context, score_threshold=0.0, no_answer_threshold=math.inf
        ).answers[0]
        assert (found.id, found.text, found.start, found.end) == (example.id, best.text, best.start, best.end)
        assert found.null_odds == pytest.approx(best.null_odds, abs=1e-3)
        assert found.answered == reading.has_answer
        assert example.context[found.start : found.end] == found.text
        assert found.confidence == pytest.approx(
            found.score if found.answered else reading.no_answer_score, abs=1e-3
        )
    assert done == [1, 2, 3]


def test_a_score_threshold_is_one_of_odds() -> None:
    """The largest odds at which an answer is given: the no-answer threshold or where the score falls below
    its own.
    """
    assert answer_threshold(ReaderSettings(no_answer_threshold=1.5)) == 1.5
    settings = ReaderSettings(score_threshold=0.8, temperature=2.0, no_answer_threshold=math.inf)
    limit = answer_threshold(settings)
    assert settings.score(limit) == pytest.approx(0.8)
    assert settings.score(limit - 0.01) > 0.8
    assert answer_threshold(ReaderSettings(score_threshold=1.0)) == -math.inf
    assert answer_threshold(ReaderSettings(score_threshold=0.5, no_answer_threshold=-3.0)) == -3.0


def test_latencies_are_of_questions_spread_over_the_data(model: Path) -> None:
    """So many questions are timed one by one, after a few that are not counted; percentiles rise."""
    reader = Reader.from_pretrained(model, max_seq_len=60, doc_stride=8)
    checked: list[int] = []
    taken = latencies(reader, EXAMPLES, 2, check=lambda: checked.append(1))
    assert len(taken) == 2
    assert len(checked) == 4
    assert all(milliseconds > 0 for milliseconds in taken)
    assert latencies(reader, EXAMPLES, 0) == []
    assert percentiles([]) == {}
    assert percentiles([float(n) for n in range(101)]) == {"p50": 50.0, "p95": 95.0, "p99": 99.0}
