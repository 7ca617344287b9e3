"""`report.token_view` and which questions it shows: probabilities of the window the best span was read from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import report_samples
from tiny_models import write_reader
from tinyreader.data import Example
from tinyreader.reader import Reader
from tinyreader.report import slices, token_view


def test_probabilities_are_over_context_and_null(tmp_path: Path) -> None:
    """Start and end each sum to 1 with the null position; tokens are places of the text; the best span lies
    inside.
    """
    reader = Reader.from_pretrained(write_reader(tmp_path), max_seq_len=40, doc_stride=8)
    examples = [
        Example(f"{n}", "who built it ?", " ".join(["the bridge was built in it ."] * n)) for n in (1, 20)
    ]
    for example, view in zip(examples, token_view.probabilities(reader, examples), strict=True):
        assert len(view["tokens"]) == len(view["start"]) == len(view["end"])
        for side in ("start", "end"):
            assert sum(view[side]) + view[f"null_{side}"] == pytest.approx(1.0, abs=0.01)
        best = reader.read(example.question, example.context, no_answer_threshold=float("inf")).answers[0]
        starts = [start for start, _ in view["tokens"]]
        assert starts[0] <= best.start < view["tokens"][-1][1]
        assert example.context[starts[0] : view["tokens"][0][1]] in (
            "the",
            "bridge",
            "was",
            "built",
            "in",
            "it",
            ".",
        )
    assert len(view["tokens"]) < 140 / 2


def test_a_context_without_a_token_still_has_a_view(tmp_path: Path) -> None:
    """Where there is nothing to read, all the chance is on "no answer"."""
    reader = Reader.from_pretrained(write_reader(tmp_path))
    (view,) = token_view.probabilities(reader, [Example("a", "who ?", " ")])
    assert view["tokens"] == []
    assert view["null_start"] == view["null_end"] == 1.0


def test_examples_of_every_kind_are_chosen() -> None:
    """What was lost and each kind of mistake by turns, then one that went well; never more than asked for,
    none twice.
    """
    judged = report_samples.questions(report_samples.examples(90), teacher=True)
    worst, lost = slices.failures(judged, 90), slices.lost(judged, 90)
    rows = token_view.chosen_rows(judged, worst, lost, 8)
    assert len(rows) == len(set(rows)) == 8
    assert rows[0] == lost[0].row
    assert {slices.mistake(judged[n]) for n in rows[:-1]} == {f.kind for f in worst}
    assert judged[rows[-1]].exact == 1.0
    assert token_view.chosen_rows(judged, worst, lost, 0) == []
    assert len(token_view.chosen_rows(judged, [], [], 5)) == 1
    assert np.all(np.array(rows) < 90)
