"""`report.calibrate` and `report.leakage`: a reader scored on data, what is learned, and data that it has
seen.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tiny_models import write_vocabulary
from tinyreader.data import Example, fingerprint
from tinyreader.data.example import Answer
from tinyreader.data.write import write_squad
from tinyreader.errors import DataError
from tinyreader.reader import Reader, ReaderSettings
from tinyreader.report.calibrate import check_questions, learn, record, score
from tinyreader.report.calibration import Scored
from tinyreader.report.leakage import find_leakage, traced_run
from tinyreader.report.training import run_record
from tinyreader.runtimes import ModelFacts, Runtime

FILLERS = ("the", "bridge", "was", "built", "in", "a", "b", "c")


class Marked(Runtime):
    """A runtime that wants the token `x`; how high the null logit is depends on the other tokens, so its odds
    are noisy.
    """

    facts = ModelFacts(max_tokens=64)

    def __init__(self, x_id: int) -> None:
        self.x_id = x_id

    def logits(self, input_ids: Any, mask: Any, segment_ids: Any) -> tuple[Any, Any]:
        """High at the token; at the first a number that the sum of the ids decides."""
        scores = np.where(input_ids == self.x_id, 6.0, -6.0).astype(np.float32)
        scores[:, 0] = ((input_ids.sum(1) * 7919) % 97) / 97.0 * 8.0 - 4.0
        return scores, scores.copy()


def example(number: int, draw: random.Random, *, answerable: bool) -> Example:
    """A question whose answer is the x of its context; unanswerable ones mostly have none there."""
    words = [draw.choice(FILLERS) for _ in range(12)]
    has_x = answerable or draw.random() < 0.3
    if has_x:
        words[draw.randrange(12)] = "x"
    context = " ".join(words)
    answers = (Answer("x", len(" ".join([*words[: words.index("x")], ""]))),) if answerable else ()
    return Example(f"q{number}", "who built it ?", context, answers, title=f"article {number % 7}")


def examples(n_answerable: int = 150, n_unanswerable: int = 150) -> list[Example]:
    """Answerable questions, then unanswerable ones."""
    draw = random.Random(0)
    kinds = [True] * n_answerable + [False] * n_unanswerable
    return [example(n, draw, answerable=kind) for n, kind in enumerate(kinds)]


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    """A reader that finds x."""
    tokenizer = write_vocabulary(tmp_path / "vocabulary")
    settings = ReaderSettings(max_seq_len=32, doc_stride=6)
    return Reader(tokenizer, Marked(tokenizer.token_to_id("x")), settings)


def test_a_reader_is_scored_by_its_best_answers(reader: Reader) -> None:
    """Odds are the reader's own; exact and F1 are the official ones of the best span, whatever its threshold
    or score.
    """
    data = [*examples(20, 20), Example("empty", "who ?", "")]
    told: list[int] = []
    reader.settings = reader.settings.changed({"score_threshold": 0.99, "no_answer_threshold": -100.0})
    scored, left_out = score(reader, data, told.append)
    assert (len(scored), left_out) == (40, 1)
    assert told == list(range(1, 42))
    assert scored.answerable.tolist() == [True] * 20 + [False] * 20
    assert scored.exact[:20].tolist() == [1.0] * 20
    assert len(set(scored.article.tolist())) == 7
    reading = reader.read(data[3].question, data[3].context, score_threshold=0.0)
    assert scored.odds[3] == reading.answers[0].null_odds


def test_what_is_learned_makes_the_reader_better(reader: Reader) -> None:
    """Cross-fitted over articles, the calibrated reader is better calibrated and scores no less, and says on
    what.
    """
    data = examples()
    scored, left_out = score(reader, data)
    learned = learn(scored, 0.5, left_out=left_out)
    assert learned.by_article
    assert (learned.questions, learned.answerable, learned.left_out) == (300, 150, 0)
    assert learned.after.ece < learned.before.ece
    assert learned.after.f1 >= learned.before.f1 - 1.0
    assert learned.best_f1 >= learned.after.f1 - 1e-9
    note = record(learned, reader, data, "some/calib.json")
    assert note["fingerprint"] == fingerprint(data)
    assert note["threshold"] == learned.calibration.threshold
    assert json.loads(json.dumps(note)) == note


def test_confidence_is_the_readings_own(reader: Reader) -> None:
    """What was computed on arrays is what a calibrated reader says of itself."""
    from tinyreader.report.calibration import decisions

    data = examples(40, 40)
    scored, _ = score(reader, data)
    learned = learn(replace_all(scored, 3), 0.5)
    settings = reader.settings.changed(dict(learned.calibration.changes()))
    confidence, _, _ = decisions(scored, settings)
    readings = reader.read_many(((e.question, e.context) for e in data), **learned.calibration.changes())
    assert [r.confidence for r in readings] == pytest.approx(confidence.tolist(), abs=1e-12)


def replace_all(scored: Scored, times: int) -> Scored:
    """The same questions so many times over: enough to learn from."""
    return scored[np.tile(np.arange(len(scored)), times)]


def test_few_questions_and_one_kind_are_refused(reader: Reader) -> None:
    """Fewer than a hundred of a kind, or none, are errors that say what to do."""
    scored, _ = score(reader, examples(150, 20))
    with pytest.raises(DataError, match=r"only 20 unanswerable questions to calibrate on; at least 100"):
        learn(scored)
    scored, _ = score(reader, examples(30, 0))
    with pytest.raises(DataError, match=r"none of the 30 questions is unanswerable.*SQuAD 2.0"):
        learn(scored)


def test_few_articles_are_folded_by_question(reader: Reader) -> None:
    """Where there are fewer articles than folds, questions are, and the result says so."""
    scored, _ = score(reader, examples(120, 120))
    assert not learn(replace(scored, article=np.zeros(len(scored), dtype=np.int64))).by_article


def test_a_question_without_room_is_found_before_the_work(reader: Reader) -> None:
    """The question's id is named."""
    with pytest.raises(DataError, match="long"):
        check_questions(reader, [Example("long", "the " * 60, "x")])


def test_data_that_a_reader_has_seen_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By fingerprint, whatever it is called; else by its questions and paragraphs, in files that are still
    there.
    """
    monkeypatch.chdir(tmp_path)
    data = examples(20, 20)
    assert find_leakage(None, data) == []
    run: dict[str, Any] = {
        "identity": {"data": {"gone.json": fingerprint(data)}, "dev": None},
        "recipe": {"data": {}},
    }
    assert find_leakage(run, data) == ["it is gone.json, which the reader was trained on"]
    run["identity"] = {"data": {}, "dev": fingerprint(data)}
    assert find_leakage(run, data) == ["the reader's best weights were chosen on it"]
    write_squad(tuple(data[:30]), Path("train.json"))
    run = {
        "identity": {},
        "recipe": {"data": {"train": "train.json", "dev": "dev.json"}, "stages": [{"data": None}]},
    }
    others = [replace(e, question="another ?") for e in data[:5]]
    assert find_leakage(run, data[25:]) == [
        "5 of its 15 questions are in train.json, which the reader was trained on"
    ]
    assert find_leakage(run, others) == [
        "5 of its 5 questions are on paragraphs of train.json, which it was trained on"
    ]
    assert find_leakage(run, data[30:]) == []
    write_squad(tuple(data[30:]), Path("dev.json"))
    assert find_leakage(run, data[30:]) == [
        "10 of its 10 questions are in dev.json, which the reader was measured on"
    ]
    Path("train.json").write_text("no longer JSON")
    assert find_leakage(run, data[:30]) == []


def test_the_run_beside_a_reader_gives_the_paths(tmp_path: Path) -> None:
    """The record names its data without directories; the run that the reader still lies in has their paths."""
    assert traced_run(tmp_path) is None
    model = tmp_path / "student"
    model.mkdir()
    record = {"recipe": {"data": {"train": "train.json", "dev": "dev.json"}, "name": "mine"}}
    (model / "run.json").write_text(json.dumps(record))
    assert traced_run(model) == record
    (tmp_path / "log.jsonl").write_text("")
    (tmp_path / "identity.json").write_text('{"settings": {"data": {"train": "/data/train.json"}}}')
    assert traced_run(model) == {
        "recipe": {"data": {"train": "/data/train.json", "dev": "dev.json"}, "name": "mine"}
    }


def test_the_run_is_read_where_there_is_one(tmp_path: Path) -> None:
    """A reader that no run made has none."""
    assert run_record(tmp_path) is None
    (tmp_path / "run.json").write_text('{"recipe": {}}')
    assert run_record(tmp_path) == {"recipe": {}}
