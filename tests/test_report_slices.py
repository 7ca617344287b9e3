"""`report.slices`: every question in its slice, and the mistakes that say most first."""

from __future__ import annotations

import report_samples
from tinyreader.report import slices


def test_slices_part_the_questions() -> None:
    """Each dimension's slices hold every question it applies to once, with its means; few questions have no
    interval.
    """
    judged = report_samples.questions(report_samples.examples(90), teacher=True)
    answerable = sum(q.answerable for q in judged)
    parts = slices.by_slices(judged, 50)
    assert list(parts) == [
        "question word",
        "answerable",
        "answer length, words",
        "context length, tokens",
        "windows",
        "position of the answer",
    ]
    for name, members in parts.items():
        whole = answerable if name in ("answer length, words", "position of the answer") else 90
        assert sum(s["n"] for s in members) == whole
        weighted = sum(s["f1"] * s["n"] for s in members) / whole
        chosen = [q.f1 for q in judged if whole == 90 or q.answerable]
        assert abs(weighted - 100 * sum(chosen) / whole) < 1e-9
        assert all((s["f1_interval"] is None) == (s["n"] < 10) for s in members)
        assert all("teacher_f1" in s for s in members)
    assert {s["slice"] for s in parts["question word"]} == {
        "who",
        "when",
        "how many",
        "which",
        "other",
        "why",
    }


def test_bins_are_named_by_what_they_hold() -> None:
    """Edges belong to the bin below; the last bin is open."""
    lengths = {q.context_tokens: None for q in report_samples.questions(report_samples.examples(90))}
    judged = report_samples.questions(report_samples.examples(90))
    for part in slices.by_slices(judged, 5)["context length, tokens"]:
        low, _, high = part["slice"].partition("-")
        if high:
            assert part["n"] == sum(int(low) <= q.context_tokens <= int(high) for q in judged)
    assert max(lengths) > 300
    assert "301-500" in [s["slice"] for s in slices.by_slices(judged, 5)["context length, tokens"]]


def test_failures_are_the_surest_first_and_what_the_teacher_knew_apart() -> None:
    """Only questions with nothing right are failures, by confidence; those that the teacher had right are
    what was lost.
    """
    judged = report_samples.questions(report_samples.examples(90), teacher=True)
    worst = slices.failures(judged, 1000)
    assert {f.row for f in worst} == {n for n, q in enumerate(judged) if q.f1 == 0}
    sure = [judged[f.row].confidence for f in worst]
    assert sure == sorted(sure, reverse=True)
    assert [f.row for f in slices.failures(judged, 3)] == [f.row for f in worst[:3]]
    lost = slices.lost(judged, 1000)
    assert {f.row for f in lost} == {f.row for f in worst if judged[f.row].teacher_exact == 1}
    for failure in worst:
        q = judged[failure.row]
        assert failure.kind == (
            slices.FALSE_ANSWER if not q.answerable else slices.WRONG_SPAN if q.answered else slices.MISSED
        )


def test_counts_add_up() -> None:
    """Mistakes, and who was right beside the teacher, count every question once; without a teacher there is
    no table.
    """
    judged = report_samples.questions(report_samples.examples(90), teacher=True)
    assert sum(slices.mistakes(judged).values()) == sum(q.exact == 0 for q in judged)
    assert sum(slices.with_teacher(judged).values()) == 90
    assert slices.with_teacher(report_samples.questions(report_samples.examples(9))) == {}
    assert slices.with_teacher([]) == {}
