"""The sections of a report's page, as HTML; every text that comes from data or files is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from tinyreader.progress import duration
from tinyreader.report.languages import OFFICIAL
from tinyreader.report.record import Report

if TYPE_CHECKING:
    from tinyreader.report.page import Shown

Rows = Iterable[Sequence[str]]

FEW = 50
"""With fewer questions a bin, a calibration error of 0.05 is mostly noise: the share of so many varies by
0.07.
"""


def headline(report: Report) -> str:
    """The scores with their intervals, as tiles, and a table of everything the official script says."""
    scores, spread, official = report.scores, report.intervals, report.official
    tiles = [
        _score_tile(label, scores[name], spread.get(name))
        for name, label in (("f1", "F1"), ("exact", "Exact match"))
    ]
    if "HasAns_f1" in scores and "NoAns_f1" in scores:
        tiles.append(_score_tile("F1, answerable", scores["HasAns_f1"], spread.get("HasAns_f1")))
        tiles.append(_score_tile("F1, unanswerable", scores["NoAns_f1"], spread.get("NoAns_f1")))
    if report.answered:
        tiles.append(
            _score_tile("F1, answerable, no-answer off", report.answered["f1"], spread.get("answered_f1"))
        )
    calibration = report.calibration
    against = f"; against F1 {calibration['ece_f1']:.3f}" if "ece_f1" in calibration else ""
    bins = f"{len(calibration['bins'])} bins of equal mass{against}"
    tiles.append(tile("Calibration error", f"{calibration['ece']:.3f}", bins))
    if report.teacher is not None:
        tiles.append(tile("Teacher", f"{report.teacher['f1']:.1f}", "F1 on the same questions"))
    a_bin = report.data["questions"] / len(calibration["bins"])
    rule = f"official SQuAD {official['script']} script"
    threshold = official.get("na_prob_thresh")
    said = (
        f"Scores are those of the {rule} on <code>predictions.json</code>"
        + (
            ""
            if official["script"] == "1.1"
            else f" with <code>null_odds.json</code>, {_threshold(threshold)}"
        )
        + f"; answers compared by normalisation <code>{escape(report.normalisation)}</code>"
        + (
            ""
            if report.normalisation == OFFICIAL
            else ", not the official one: do not set these beside others' scores"
        )
        + ". Intervals: 95 %, bootstrap over questions."
        + (
            f" Bins of {a_bin:.0f} questions are small: chance alone makes the calibration error larger."
            if a_bin < FEW
            else ""
        )
    )
    rows = [
        (escape(name), f"{value:,.4f}" if isinstance(value, float) else f"{value:,}")
        for name, value in scores.items()
    ]
    return (
        f'<div class="tiles">{"".join(tiles)}</div><p class="note">{said}</p>'
        "<details><summary>All of the script's "
        f"scores</summary>{table(('score', '%'), rows, numbers=(1,))}</details>"
    )


def slices_tables(report: Report) -> str:
    """A table of each dimension's slices."""
    parts = []
    for dimension, slices in report.slices.items():
        has_teacher = bool(slices) and "teacher_f1" in slices[0]
        head = ("", "questions", "EM", "F1", "95 %", "answered", *(("teacher's F1",) if has_teacher else ()))
        rows = [
            (
                escape(s["slice"]),
                f"{s['n']:,}",
                f"{s['exact']:.1f}",
                f"{s['f1']:.1f}",
                "{:.1f} to {:.1f}".format(*s["f1_interval"]) if s["f1_interval"] else "",
                f"{100 * s['answered']:.0f} %",
                *((f"{s['teacher_f1']:.1f}",) if has_teacher else ()),
            )
            for s in slices
        ]
        parts.append(f"<h3>{escape(dimension)}</h3>{table(head, rows, numbers=range(1, len(head)))}")
    return f"<details><summary>The same as tables</summary>{''.join(parts)}</details>"


def examples_section(
    shown: Shown, picked: Sequence[tuple[int, str]], anchor: str, contexts: Mapping[int, str]
) -> str:
    """The picked questions, each with its answers, its context and what the teacher said, to be filtered by
    kind.
    """
    if not picked:
        return ""
    kinds = list(dict.fromkeys(kind for _, kind in picked))
    intro = {
        "lost": "The teacher was exactly right here and nothing of this reader's answer was; the surest first. "
        + _counted(shown.beside_teacher),
        "worst": "Nothing of the answer was right; the surest first. In all: " + _counted(shown.counts),
    }[anchor]
    buttons = "".join(
        f'<button type="button" data-kind="{escape(kind)}" aria-pressed="{str(not kind).lower()}">{escape(kind) or "all"}'
        "</button>"
        for kind in ("", *kinds)
    )
    body = "".join(_example(shown, n, kind, contexts[n]) for n, kind in picked)
    marks = 'In the text: <mark class="gold">gold</mark>, <mark class="said">the reader\'s best words</mark>.'
    return (
        f'<p class="note">{intro}. {marks}</p><div class="controls filter" data-of="{anchor}-list">{buttons}</div>'
        f'<div id="{anchor}-list">{body}</div>'
    )


def eye_section(eye: Sequence[Mapping[str, Any]]) -> str:
    """Where the page's script shows probabilities over tokens, and attention."""
    if not eye:
        return ""
    n_inside = sum(bool(item["attention"]) for item in eye)
    inside = f" Attention is shown for the first {n_inside}." if 0 < n_inside < len(eye) else ""
    options = "".join(f'<option value="{n}">{escape(item["label"])}</option>' for n, item in enumerate(eye))
    return (
        '<p class="note">The chance that the answer starts<i class="key start"></i>and ends<i class="key end"></i>at each '
        "token, in the window that the best words were read from: the stronger the bar, the greater the "
        "chance. Point at a "
        f'token for its numbers.{inside}</p><div class="controls"><label for="eye-pick">Question</label>'
        f'<select id="eye-pick">{options}</select></div>'
        '<div id="eye-view"><noscript>This part needs scripts; they are in this file and load nothing.</noscript></div>'
    )


def layers_section(report: Report, plot: str) -> str:
    """The plot of the layers with what its numbers mean, and what each stage of training changed; or why it
    is not there.
    """
    layers = report.layers
    if layers is None:
        return ""
    if "note" in layers:
        return f'<p class="note">Not measured: {escape(layers["note"])}.</p>'
    head = ("", *(f"layer {m}" for m in range(len(layers["hidden"]))))
    rows = [(escape(s["name"]), *(f"{v:.3f}" for v in s["hidden"])) for s in layers.get("stages", [])]
    title = "<h3>Distance of the hidden states to the nearest layer of the teacher, after each stage</h3>"
    stages = title + table(head, rows, range(1, len(head))) if rows else ""
    return (
        f'{plot}<p class="note">Over {layers["windows"]} windows; 0 is the same, 1 unrelated. Hidden states: 1 - linear CKA, '
        "layer 0 is the embedding. Attention: half the sum of absolute differences of the probabilities, "
        "heads compared "
        f"{escape(layers['heads'])}.</p>{stages}"
    )


def cost(report: Report) -> str:
    """What the reader takes: time, memory, disk, and the machine it took them on."""
    speed, model = report.speed, report.model
    late = speed.get("latency_ms") or {}
    tiles = [
        tile("Questions a second", _figure(speed["questions_per_second"]), "read in one stream"),
        *(
            tile(f"Latency {name}", f"{_figure(value)} ms", "one question alone")
            for name, value in late.items()
        ),
        tile("Peak memory", _bytes(speed.get("peak_memory_bytes")), "of the process"),
        tile("On disk", _bytes(model.get("size_bytes")), _count(model.get("parameters"))),
    ]
    rows = [(escape(name), escape(_plain(value))) for name, value in report.machine.items()]
    rows += [(escape(name), escape(value)) for name, value in report.versions.items()]
    rows.append(("reading took", f"{speed['reading_seconds']:.1f} s"))
    rows.append(("the report took", f"{speed['report_seconds']:.1f} s more"))
    return f'<div class="tiles">{"".join(tiles)}</div>{table(("machine and versions", ""), rows)}'


def provenance(report: Report) -> str:
    """What was read by what, with which settings, and how the model was made as far as its run says."""
    rows: list[tuple[str, str]] = []
    for group, values in (("data", report.data), ("reader", report.reader)):
        for name, value in values.items():
            if isinstance(value, dict):
                rows += [(escape(f"{group}: {key}"), escape(_plain(item))) for key, item in value.items()]
            else:
                rows.append((escape(f"{group}: {name}"), escape(_plain(value))))
    run = report.model.get("run") or {}
    for stage in run.get("stages", []) if isinstance(run, dict) else []:
        took = f"{stage.get('steps', 0):,} steps, {duration(stage.get('seconds', 0.0))}"
        rows.append((escape(f"trained: stage {stage.get('name')}"), escape(took)))
    if isinstance(run, dict) and run.get("finished"):
        rows.append(("trained: finished", escape(str(run["finished"]))))
    return table(("", ""), rows)


def tile(label: str, value: str, below: str) -> str:
    """One number with what it is."""
    return f'<div class="tile"><span>{escape(label)}</span><b>{escape(value)}</b><span>{escape(below)}</span></div>'


def table(head: Sequence[str], rows: Rows, numbers: Iterable[int] = ()) -> str:
    """A table of cells that are HTML already; the columns `numbers` are set to the right."""
    right = set(numbers)

    def line(tag: str, cells: Sequence[str]) -> str:
        return (
            "<tr>"
            + "".join(
                f"<{tag}{' class=n' if n in right else ''}>{cell}</{tag}>" for n, cell in enumerate(cells)
            )
            + "</tr>"
        )

    top = f"<thead>{line('th', head)}</thead>" if any(head) else ""
    return f'<div class="scroll"><table>{top}<tbody>{"".join(line("td", row) for row in rows)}</tbody></table></div>'


def _example(shown: Shown, n: int, kind: str, context: str) -> str:
    example, question = shown.examples[n], shown.questions[n]
    golds = " | ".join(dict.fromkeys(answer.text for answer in example.answers))
    best = (
        question.prediction
        if question.answered
        else f"no answer (best words: {question.prediction or 'none'})"
    )
    rows = [("gold", golds or "no answer"), ("reader", best)]
    if question.teacher is not None:
        rows.append(("teacher", question.teacher or "no answer"))
    rows.append(("sure of it", f"{100 * question.confidence:.0f} % (null odds {question.null_odds:.2f})"))
    rows.append(("id", example.id))
    said = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    return (
        f'<details data-kind="{escape(kind)}"><summary>{escape(example.question)} <span class="kind">{escape(kind)}, '
        f'{100 * question.confidence:.0f} % sure</span></summary><dl class="said-row">{said}</dl>'
        f'<div class="context">{context}</div></details>'
    )


def _score_tile(label: str, value: float, spread: tuple[float, float] | None) -> str:
    return tile(label, f"{value:.2f}", "" if spread is None else f"95 %: {spread[0]:.1f} to {spread[1]:.1f}")


def _threshold(value: float | None) -> str:
    return "always an answer" if value is None else f"no answer above {value:.4g}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{escape(name)}: {n:,}" for name, n in counts.items())


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _bytes(n: int | None) -> str:
    if n is None:
        return "unknown"
    return f"{n / 1e9:.2f} GB" if n >= 1e9 else f"{n / 1e6:.1f} MB"


def _count(n: int | None) -> str:
    return "parameters unknown" if n is None else f"{n / 1e6:.1f} million parameters"


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
