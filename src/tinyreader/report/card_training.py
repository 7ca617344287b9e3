"""The parts of a model card that say how a reader was made: hyper-parameters, distillation, provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinyreader.report.card_facts import CardFacts
from tinyreader.report.markdown import NOT_STATED, WRITTEN_BY, code_or, count, counted, table, versions

_STAGE_ROWS = {
    "kind": "what is learned from",
    "epochs": "epochs",
    "max_steps": "steps (in place of epochs)",
    "batch_size": "batch size",
    "learning_rate": "learning rate",
    "schedule": "learning rate schedule",
    "warmup_share": "share of warm-up",
    "weight_decay": "weight decay",
    "max_grad_norm": "largest gradient norm",
    "dropout": "dropout",
    "embeds_dropout": "embeds dropout",
    "temperature": "temperature",
    "distillation_weight": "weight of distillation",
    "layer_map": "layer map",
    "attention": "attention compared as",
    "embedding_weight": "weight of the embedding term",
    "hidden_weight": "weight of the hidden-state term",
    "attention_weight": "weight of the attention term",
    "relation_weight": "weight of each relation term",
    "relation_heads": "relation heads",
    "relation_layer": "teacher layer with the relations",
    "max_windows": "windows trained on",
}
_KINDS = {
    "intermediate": "what the teacher computes inside",
    "prediction": "the teacher's answers",
    "labels": "labels alone",
}
_DECIDED_BY_TEACHER = ("relation_heads", "relation_layer")
"""What a run notes of its stages, for settings that may leave it to the teacher."""

_PROPOSERS = {
    "masked_lm": "the masked language model",
    "vectors": "the word vectors",
    "synonyms": "the synonyms in",
}


def training(facts: CardFacts) -> str:
    """Hyper-parameters of all stages side by side, and what was distilled from what."""
    recipe = recipe_of(facts)
    stages: Sequence[Mapping[str, Any]] = recipe.get("stages") or ()
    if not stages:
        return "## Training\n\nNot made by a run of Tinyreader (there is no run.json): how is not stated.\n"
    data = recipe.get("data") or {}
    rows = [
        ["largest window, tokens", *[code_or(data.get("max_seq_len"))] * len(stages)],
        ["overlap of windows, tokens", *[code_or(data.get("doc_stride"))] * len(stages)],
    ]
    done = {outcome.get("name"): outcome for outcome in facts.run.get("stages") or ()}
    for key, label in _STAGE_ROWS.items():
        of = [done.get(stage.get("name"), {}) if key in _DECIDED_BY_TEACHER else stage for stage in stages]
        if any(each.get(key) is not None for each in of):
            rows.append([label, *[_setting(key, each.get(key)) for each in of]])
    rows.append(["steps done", *[count(done.get(stage.get("name"), {}).get("steps")) for stage in stages]])
    heads = ["", *[f"stage {n}: {stage.get('name')}" for n, stage in enumerate(stages, 1)]]
    return f"## Hyper-parameters\n\n{table(heads, rows)}\n{_distillation(recipe, stages)}"


def _distillation(recipe: Mapping[str, Any], stages: Sequence[Mapping[str, Any]]) -> str:
    teacher, student = recipe.get("teacher"), recipe.get("student") or {}
    lines = ["## Distillation\n"]
    if teacher is None:
        lines.append("None: trained on labels alone.")
    else:
        revision = f", revision `{teacher['revision']}`" if teacher.get("revision") else ""
        lines.append(f"- teacher: `{teacher.get('model')}`{revision}")
        lines += [
            f"- beside it, where its answers are learned, with weight {more.get('weight')} (the first has "
            f"{teacher.get('weight')}): `{more.get('model')}`"
            for more in recipe.get("more_teachers") or ()
        ]
    start = {
        "checkpoint": f"`{student.get('model')}`",
        "teacher": "layers of the teacher",
        "random": "random weights",
    }
    lines.append(f"- student's first weights: {start.get(str(student.get('init')), NOT_STATED)}")
    for stage in stages:
        augment = stage.get("augment")
        if augment:
            who = [f"{what} `{augment[key]}`" for key, what in _PROPOSERS.items() if augment.get(key)]
            lines.append(
                f"- stage `{stage.get('name')}` saw its data rewritten {augment.get('times')} times: words "
                "replaced with "
                f"chance {augment.get('probability')} by one of {augment.get('candidates')} candidates of "
                f"{', '.join(who)}"
            )
        if stage.get("data"):
            lines.append(f"- stage `{stage.get('name')}` has its own data: `{stage['data']}`")
    return "\n".join(lines) + "\n"


def _pass_seconds(run: Mapping[str, Any]) -> float:
    """Seconds that the teachers took, also where another run had them computed before."""
    return float(run.get("teacher_pass_seconds", 0) + run.get("teacher_pass_seconds_of_others", 0))


def provenance(facts: CardFacts) -> str:
    """Fingerprints, versions, dates, hours and devices of training and evaluation."""
    run, report = facts.run, facts.report
    identity, environment = run.get("identity") or {}, run.get("environment") or {}
    seconds = sum(stage.get("seconds", 0) for stage in run.get("stages") or ()) + _pass_seconds(run)
    rows: list[list[str]] = []
    if run:
        rows += [
            ["recipe", f"`{recipe_of(facts).get('name')}`, fingerprint `{identity.get('recipe')}`"],
            *(
                ["training data", f"`{name}`, fingerprint `{value}`"]
                for name, value in (identity.get("data") or {}).items()
            ),
            *(
                [["teacher's weights", f"fingerprint `{identity['teacher']}`"]]
                if identity.get("teacher")
                else []
            ),
            ["finished", str(run.get("finished") or NOT_STATED)],
            ["hours of training, teacher's pass included", f"{seconds / 3600:.2f}"],
            ["device", infrastructure(environment, identity)],
            ["trained with", versions(environment.get("versions") or {})],
        ]
    rows += [
        ["evaluation data", f"`{facts.data_file}`, fingerprint `{report.data.get('fingerprint')}`"],
        ["evaluated", report.date],
        ["evaluated with", versions(report.versions)],
    ]
    beside = " `run.json` beside it holds the resolved recipe, seeds, versions and timings." if run else ""
    return f"## Provenance\n\n{WRITTEN_BY}{beside}\n\n{table(['', ''], rows)}"


def infrastructure(environment: Mapping[str, Any], identity: Mapping[str, Any]) -> str:
    """What a run ran on, on one line."""
    if not environment:
        return NOT_STATED
    threads = (environment.get("cpu") or {}).get("threads")
    parts = [str(environment.get("device"))]
    if environment.get("device") == "cpu" and threads:
        parts.append(counted(threads, "thread"))
    if (identity.get("processes") or 1) > 1:
        parts.append(f"{identity['processes']} processes")
    return ", ".join(
        [*parts, str(identity.get("precision") or "precision not stated"), str(environment.get("platform"))]
    )


def _setting(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key == "kind":
        return _KINDS.get(value, str(value))
    if key == "layer_map" and not isinstance(value, str):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def recipe_of(facts: CardFacts) -> Mapping[str, Any]:
    """The run's resolved recipe; empty where no run of ours made the reader."""
    recipe: Mapping[str, Any] = facts.run.get("recipe") or {}
    return recipe
