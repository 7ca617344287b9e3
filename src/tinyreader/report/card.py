"""A model card for the Hub: metadata and text, from what the report measured and the run left. See
`card_facts`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tinyreader.report.card_facts import CardFacts, metadata
from tinyreader.report.card_training import infrastructure, provenance, recipe_of, training
from tinyreader.report.markdown import NOT_STATED, code_or, count, counted, linked, number, table

REFERENCE = "deepset/tinybert-6l-768d-squad2"
PUBLISHED = (("as its authors give it", 71.88, 76.36), ("verified by the Hub", 73.82, 77.17))
"""Exact match and F1 of the reader whose recipe this follows, on the SQuAD 2.0 dev set, by its own card."""

CONTEXT = "The bridge, drawn up by Ada Rost, was opened in 1911."
QUESTION = "Who drew up the bridge?"


def card(facts: CardFacts) -> str:
    """The card: YAML metadata between lines of ---, then Markdown."""
    parts = [
        f"---\n{metadata(facts).rstrip()}\n---\n",
        f"# {facts.name}\n",
        _summary(facts),
        _overview(facts),
        _use(facts),
        _results(facts),
        _speed(facts),
        training(facts),
        _limits(facts),
        provenance(facts),
    ]
    return "\n".join(part for part in parts if part)


def snippets(facts: CardFacts) -> dict[str, str]:
    """The card's pieces of Python, by the library they use."""
    name = json.dumps(facts.repository)
    ask = json.dumps(QUESTION), json.dumps(CONTEXT)
    return {
        "tinyreader": (
            "from tinyreader import Reader\n\n"
            f"reader = Reader.from_pretrained({name})\n"
            f"reading = reader.read({ask[0]}, {ask[1]})\n"
            "for answer in reading.answers:\n"
            '    print(answer.text, answer.start, answer.end, f"{answer.score:.2f}")\n'
            'print(reading.has_answer, f"{reading.no_answer_score:.2f}")\n'
        ),
        "transformers": (
            "import torch\n"
            "from transformers import AutoModelForQuestionAnswering, AutoTokenizer\n\n"
            f"tokenizer = AutoTokenizer.from_pretrained({name})\n"
            f"model = AutoModelForQuestionAnswering.from_pretrained({name})\n"
            f"question, context = {ask[0]}, {ask[1]}\n"
            'inputs = tokenizer(question, context, return_tensors="pt", return_offsets_mapping=True)\n'
            'offsets, in_context = inputs.pop("offset_mapping")[0], torch.tensor([i == 1 for i in inputs.sequence_ids()])\n'
            "with torch.no_grad():\n"
            "    out = model(**inputs)\n"
            "start, end = out.start_logits[0], out.end_logits[0]\n"
            "allowed = torch.triu(in_context[:, None] & in_context[None, :])\n"
            "spans = (start[:, None] + end[None, :]).masked_fill(~allowed, -torch.inf)\n"
            "first, last = divmod(int(spans.argmax()), len(start))\n"
            'print(context[offsets[first][0] : offsets[last][1]], "| no answer:", bool(start[0] + end[0] > spans.max()))\n'
        ),
    }


def _summary(facts: CardFacts) -> str:
    scores, teacher = facts.report.scores, recipe_of(facts).get("teacher")
    taught = f", taught by `{teacher['model']}`" if teacher else ""
    return (
        f"A small reader for extractive question answering{taught}: it answers a question with a piece of "
        "the text it is "
        f"given, or says that the text has no answer. EM {scores['exact']:.2f}, F1 {scores['f1']:.2f} on "
        f"{facts.measured_on}.\n"
    )


def _overview(facts: CardFacts) -> str:
    recipe, report = recipe_of(facts), facts.report
    environment = facts.run.get("environment") or {}
    data = report.data
    rows = [
        ("Language model", _language_model(facts)),
        ("Language", ", ".join(facts.languages) or NOT_STATED),
        ("Downstream task", "extractive question answering"),
        ("Training data", linked(facts.train_datasets) or code_or(recipe.get("data", {}).get("train"))),
        (
            "Eval data",
            f"{facts.data.name}, {facts.data.split}: {count(data.get('questions'))} questions, "
            f"{count(data.get('answerable'))} of them answerable",
        ),
        ("Infrastructure", infrastructure(environment, facts.run.get("identity") or {})),
        ("Code", f"[{facts.options.code}]({facts.options.code})" if facts.options.code else "Tinyreader"),
        ("Licence", facts.license or NOT_STATED),
    ]
    return "## Overview\n\n" + "  \n".join(f"**{name}:** {value}" for name, value in rows) + "\n"


def _use(facts: CardFacts) -> str:
    code = snippets(facts)
    own = (
        "## Use\n\nWith Tinyreader, which reads texts of any length in windows and needs neither torch nor "
        "Transformers for it:"
        f"\n\n```python\n{code['tinyreader']}```\n\n"
    )
    if facts.is_packed:
        return (
            own + "The weights are packed (int8 with their scales), a form that Transformers does not know.\n"
        )
    return own + (
        "With Transformers (5.3 took the `question-answering` pipeline out, so the span is found here; one "
        "window of text):\n\n"
        f"```python\n{code['transformers']}```\n"
    )


def _results(facts: CardFacts) -> str:
    r = facts.report
    threshold = r.official.get("na_prob_thresh")
    at = (
        "with an answer to every question"
        if threshold is None
        else f"with no-answer above null odds of {threshold:.2f}"
    )
    lines = [
        "## Results\n",
        f"On {facts.measured_on} (`{facts.data_file}`), in percent, {at}; "
        + (
            f"answers are compared as by the official SQuAD {r.official.get('script')} script."
            if r.normalisation == "squad-en"
            else f"answers are compared by the rules `{r.normalisation}`, not by the official script's."
        ),
        "",
    ]
    rows = [[f"**{facts.name}**", _with_interval(r, "exact"), _with_interval(r, "f1")]]
    if r.teacher and "exact" in (teacher := r.teacher.get("scores", r.teacher)):
        rows.append(["its teacher, same questions", f"{teacher['exact']:.2f}", f"{teacher['f1']:.2f}"])
    if facts.data.type == "rajpurkar/squad_v2":
        rows += [[f"`{REFERENCE}`, {who}", f"{em:.2f}", f"{f1:.2f}"] for who, em, f1 in PUBLISHED]
    lines.append(table(["reader", "EM [95 %]", "F1 [95 %]"], rows))
    if facts.data.type == "rajpurkar/squad_v2":
        lines.append(
            "The reference reader's figures are from its card, on the whole SQuAD 2.0 dev set; not measured "
            "here.\n"
        )
    kinds = [("answerable", "HasAns"), ("without an answer", "NoAns")]
    parts = [
        [
            label,
            count(r.scores.get(f"{key}_total")),
            _with_interval(r, f"{key}_exact"),
            _with_interval(r, f"{key}_f1"),
        ]
        for label, key in kinds
        if f"{key}_f1" in r.scores
    ]
    if r.answered:
        interval = r.intervals.get("answered_f1")
        parts.append(
            [
                "answerable, no-answer switched off",
                count(r.data.get("answerable")),
                f"{r.answered['exact']:.2f}",
                f"{r.answered['f1']:.2f}{_interval(interval)}",
            ]
        )
    lines.append(table(["questions", "n", "EM [95 %]", "F1 [95 %]"], parts))
    lines.append(_confidence(facts))
    return "\n".join(lines)


def _confidence(facts: CardFacts) -> str:
    ece = facts.report.calibration.get("ece")
    if ece is None:
        return ""
    against_f1 = facts.report.calibration.get("ece_f1")
    beside = "" if against_f1 is None else f", {against_f1:.3f} against F1"
    text = f'Calibration error, "no answer" included: {ece:.3f} against exact match{beside} (15 bins of equal mass). '
    fitted = facts.calibration
    if not fitted:
        return text + "The reader is not calibrated: its scores are no chances.\n"
    text += (
        'The score of an answer is the F1 to expect of it, that of "no answer" the chance that there is none. '
        f"Threshold and scores were fitted on {count(fitted.get('questions'))} questions "
        f"(`{fitted.get('data')}`), weighted to "
        f"{fitted.get('share_unanswerable', 0):.0%} unanswerable."
    )
    if fitted.get("fingerprint") == facts.report.data.get("fingerprint"):
        text += (
            " **These are the very questions it was evaluated on: all this looks better than it will be.**"
        )
    return text + "\n"


def _speed(facts: CardFacts) -> str:
    r = facts.report
    latency, peak = r.speed.get("latency_ms") or {}, r.speed.get("peak_memory_bytes")
    rows = [
        ["questions per second, many at once", number(r.speed.get("questions_per_second"), ".1f")],
        *(
            [f"one question alone, {p}", number(latency.get(p), ".0f", " ms")]
            for p in ("p50", "p95", "p99")
            if p in latency
        ),
        ["most memory, the whole process", number(peak / 1e6 if peak else None, ",.0f", " MB")],
        [
            "size on disk",
            number(r.model["size_bytes"] / 1e6 if r.model.get("size_bytes") else None, ",.1f", " MB"),
        ],
        ["parameters", count(r.model.get("parameters"))],
    ]
    m = r.machine
    cores = counted(m["cores"], "core") if m.get("cores") else "cores not stated"
    where = ", ".join(
        [m.get("processor") or "processor not stated", cores, *([m["platform"]] if m.get("platform") else [])]
    )
    window = (r.reader.get("settings") or {}).get("max_seq_len")
    how = f"engine {r.reader.get('engine')}, {r.reader.get('precision')}" + (
        f", windows of {window} tokens" if window else ""
    )
    return f"## Speed\n\nOn {where}; {how}.\n\n{table(['', 'measured'], rows)}"


def _limits(facts: CardFacts) -> str:
    r = facts.report
    lines = [
        "## Limits\n",
        "- Answers are pieces of the given text: what is not in it word for word cannot be said, and a wrong "
        "text gives wrong "
        "answers.",
        f"- It was measured on {facts.data.name} only. Other texts, other ways of asking and other languages "
        "may do worse.",
    ]
    weakest = list(_weakest(r.slices))
    if weakest:
        lines.append("- Where it scores least here: " + "; ".join(weakest) + ".")
    if "NoAns_exact" in r.scores:
        lines.append(
            f"- It answers {100 - r.scores['NoAns_exact']:.1f} % of the questions that have no answer."
        )
    return "\n".join(lines) + "\n"


def _weakest(slices: Mapping[str, Any], most: int = 3, least: int = 50) -> Iterator[str]:
    """Yield the slices of lowest F1, one of each dimension, of those with enough questions to tell."""
    lowest = []
    for dimension, rows in slices.items():
        usable = [row for row in rows if row.get("n", 0) >= least] if isinstance(rows, list) else []
        if len(usable) > 1:
            row = min(usable, key=lambda row: row["f1"])
            lowest.append(
                (row["f1"], f'{dimension} "{row["slice"]}" (F1 {row["f1"]:.1f}, {row["n"]:,} questions)')
            )
    for _, text in sorted(lowest)[:most]:
        yield text


def _language_model(facts: CardFacts) -> str:
    config, base = facts.config, facts.base_model or recipe_of(facts).get("student", {}).get("model")
    layers, width = (
        config.get("num_hidden_layers") or config.get("n_layers"),
        config.get("hidden_size") or config.get("dim"),
    )
    start = f", from `{base}`" if base else ""
    numbers = f"{layers} layers, {width} wide, {count(facts.report.model.get('parameters'))} parameters"
    return f"{config.get('model_type', 'encoder')}, {numbers}{start}"


def _with_interval(report: Any, key: str) -> str:
    return f"{report.scores[key]:.2f}{_interval(report.intervals.get(key))}"


def _interval(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]"
