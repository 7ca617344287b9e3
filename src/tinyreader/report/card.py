"""A model card for the Hub: metadata and text, from what the report measured and what the run left.

The text is in `assets/card.md.j2`; here are the facts it states. Nothing is asked for that report or run know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tinyreader.errors import DataError, MissingExtraError, ModelError, SettingsError
from tinyreader.model_files import HUB_ID, PACKED_FILE, has_weights, weight_files
from tinyreader.reader.settings import read_settings
from tinyreader.report.machine import counted, parameters, weights_fingerprint
from tinyreader.report.record import Report
from tinyreader.report.templates import NOT_STATED, count, render
from tinyreader.report.training import run_record
from tinyreader.storage import read_object, read_object_if_any, without_directories

WRITTEN_BY = "This card was written by `tinyreader card`."
"""Every card says so; a file that does may be overwritten."""

REFERENCE = "deepset/tinybert-6l-768d-squad2"
PUBLISHED = (("as its authors give it", 71.88, 76.36), ("verified by the Hub", 73.82, 77.17))
"""Exact match and F1 of the reader whose recipe this follows, on the SQuAD 2.0 dev set, by its own card."""

KNOWN_DATA = {"rajpurkar/squad_v2": ("SQuAD 2.0", "squad_v2"), "rajpurkar/squad": ("SQuAD 1.1", "plain_text")}
"""Data sets of the Hub with a known name and only one configuration."""

KNOWN_SIZES = {
    ("rajpurkar/squad_v2", "validation"): 11_873,
    ("rajpurkar/squad_v2", "train"): 130_319,
    ("rajpurkar/squad", "validation"): 10_570,
    ("rajpurkar/squad", "train"): 87_599,
}
"""Their numbers of questions: a score on some of them is not a score on the split."""

_DECIDING = (
    "no_answer_threshold",
    "score_threshold",
    "temperature",
    "score_offset",
    "no_answer_temperature",
    "no_answer_offset",
    "max_answer_tokens",
)
"""Settings that decide what a reader answers and how confident it is. Windows are not among them: they may
have been fitted to the model.
"""

_STAGE_ROWS = {
    "kind": "learned from",
    "epochs": "epochs",
    "max_steps": "steps (in place of epochs)",
    "batch_size": "batch size",
    "learning_rate": "learning rate",
    "schedule": "learning rate schedule",
    "warmup_share": "warm-up share",
    "weight_decay": "weight decay",
    "max_grad_norm": "maximum gradient norm",
    "dropout": "dropout",
    "embeds_dropout": "embedding dropout",
    "temperature": "temperature",
    "distillation_weight": "distillation weight",
    "layer_map": "layer map",
    "attention": "attention compared as",
    "embedding_weight": "weight of the embedding term",
    "hidden_weight": "weight of the hidden-state term",
    "attention_weight": "weight of the attention term",
    "relation_weight": "weight of each relation term",
    "relation_heads": "relation heads",
    "relation_layer": "teacher layer with the relations",
    "max_windows": "maximum number of windows",
}
_KINDS = {
    "intermediate": "the teacher's hidden states and attention",
    "prediction": "the teacher's answers",
    "labels": "labels alone",
}
_DECIDED_BY_TEACHER = ("relation_heads", "relation_layer")
"""Settings that a stage may leave to the teacher; the run records what they became."""

_PROPOSERS = {
    "masked_lm": "the masked language model",
    "vectors": "the word vectors",
    "synonyms": "the synonyms in",
}

TAGS = ("question-answering", "extractive-qa", "knowledge-distillation", "tinyreader", "exbert")


@dataclass(frozen=True, slots=True)
class CardOptions:
    """What neither report nor run knows. What is None is "not stated" in the card; only the data set's type
    and split are required.

    `repository` is the reader's name on the Hub; `dataset_*` say which public data set the report's data are;
    `base_model` and `train_datasets` are needed only where the run used local files.
    """

    repository: str | None = None
    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    languages: tuple[str, ...] = ()
    base_model: str | None = None
    train_datasets: tuple[str, ...] = ()
    dataset_type: str | None = None
    dataset_name: str | None = None
    dataset_config: str | None = None
    dataset_split: str | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class EvalData:
    """Which data set the report is of, as `model-index` has it."""

    type: str
    name: str
    config: str | None
    split: str


@dataclass(frozen=True, slots=True)
class CardFacts:
    """All that a card states.

    `run` is the run's record without absolute paths, empty for other readers. `missing` says what the card
    does not state, each with the option that gives it. `is_packed`: the weights are in a form that
    Transformers does not know.
    """

    name: str
    repository: str
    report: Report
    run: Mapping[str, Any]
    config: Mapping[str, Any]
    calibration: Mapping[str, Any]
    data: EvalData
    languages: tuple[str, ...]
    license: str | None
    base_model: str | None
    train_datasets: tuple[str, ...]
    options: CardOptions
    missing: tuple[str, ...] = ()
    is_packed: bool = False

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The run's resolved recipe; empty where no run of ours made the reader."""
        recipe: Mapping[str, Any] = self.run.get("recipe") or {}
        return recipe

    @property
    def measured_on(self) -> str:
        """Data set and split, and how many of its questions where it is known that these were not all."""
        n, size = self.report.data.get("questions"), KNOWN_SIZES.get((self.data.type, self.data.split))
        part = "" if size is None or n is None or n == size else f", {n:,} of its {size:,} questions"
        return f"{self.data.name}, {self.data.split}{part}"

    @property
    def data_file(self) -> str:
        """The evaluation data's name as the report has it, without its directory."""
        return str(without_directories(str(self.report.data.get("name", NOT_STATED))))


def gather(model: Path, report: Report, options: CardOptions) -> CardFacts:
    """The facts about the reader in `model`, measured in `report`.

    Raises `SettingsError` where the data set's type or split must be given, `DataError` where the report is
    of another model.
    """
    if not (model / "config.json").is_file():
        raise ModelError(f"{model} has no config.json, so it is not the directory of a reader")
    run = without_directories(run_record(model) or {})
    _require_same_model(model, run, report)
    _check_license(options)
    recipe = run.get("recipe") or {}
    data = _eval_data(report, recipe, options)
    repository = options.repository or str(recipe.get("name") or model.resolve().name)
    base = options.base_model or _base_model(recipe)
    trained = options.train_datasets or _hub_ids([recipe.get("data", {}).get("train")])
    missing = [
        f"{what} ({option})"
        for what, option, value in (
            ("its name on the Hub", "--repository", options.repository),
            ("the licence", "--license", options.license),
            ("the language", "--language", options.languages),
            ("the base model", "--base-model", base),
            ("the training data's name on the Hub", "--train-dataset", trained),
            ("where the code is", "--code", options.code),
        )
        if not value
    ]
    return CardFacts(
        name=repository.rsplit("/", 1)[-1],
        repository=repository,
        report=report,
        run=run,
        config=read_object(model / "config.json", ModelError),
        calibration=_calibration(model),
        data=data,
        languages=options.languages,
        license=options.license,
        base_model=base,
        train_datasets=tuple(trained),
        options=options,
        missing=tuple(missing),
        is_packed=has_weights(model) and weight_files(model)[0].name == PACKED_FILE,
    )


def card(facts: CardFacts) -> str:
    """The card: YAML metadata between lines of ---, then Markdown."""
    report, recipe = facts.report, facts.recipe
    stages: Sequence[Mapping[str, Any]] = recipe.get("stages") or ()
    return render(
        "card.md.j2",
        facts=facts,
        report=report,
        recipe=recipe,
        metadata=_metadata(facts),
        overview=_overview(facts),
        readers=list(_readers(facts)),
        kinds=list(_kinds(report)),
        machine=_where(report.machine),
        window=(report.reader.get("settings") or {}).get("max_seq_len"),
        speed=_speed(report),
        stages=stages,
        stage_heads=["", *(f"stage {n}: {stage.get('name')}" for n, stage in enumerate(stages, 1))],
        stage_rows=list(_stage_rows(facts, stages)),
        initial_weights=_initial_weights(recipe.get("student") or {}),
        proposers=lambda augment: ", ".join(
            f"{what} `{augment[key]}`" for key, what in _PROPOSERS.items() if augment.get(key)
        ),
        weakest=list(_weakest(report.slices)),
        written_by=WRITTEN_BY,
        provenance=list(_provenance(facts)),
    )


def _metadata(facts: CardFacts) -> str:
    """The card's metadata as YAML, by the Hub's own client."""
    try:
        from huggingface_hub import EvalResult, ModelCardData
    except ImportError as error:
        raise MissingExtraError("writing a card", "report") from error
    scores, data = facts.report.scores, facts.data
    results = [
        EvalResult(
            task_type="question-answering",
            task_name="Question Answering",
            dataset_type=data.type,
            dataset_name=data.name,
            dataset_config=data.config,
            dataset_split=data.split,
            metric_type=kind,
            metric_name=name,
            metric_value=round(scores[key], 4),
            verified=False,
        )
        for kind, name, key in (("exact_match", "Exact Match", "exact"), ("f1", "F1", "f1"))
    ]
    languages: Any = facts.languages[0] if len(facts.languages) == 1 else list(facts.languages) or None
    card_data = ModelCardData(
        language=languages,
        license=facts.license,
        license_name=facts.options.license_name,
        license_link=facts.options.license_link,
        library_name="tinyreader" if facts.is_packed else "transformers",
        pipeline_tag="question-answering",
        tags=list(_tags(facts)),
        metrics=["exact_match", "f1"],
        datasets=list(facts.train_datasets) or None,
        base_model=facts.base_model,
        model_name=facts.name,
        eval_results=results,
    )
    return str(card_data.to_yaml()).rstrip() + "\n"


def _tags(facts: CardFacts) -> Sequence[str]:
    distilled = any(stage.get("kind") != "labels" for stage in facts.recipe.get("stages", ()))
    return [tag for tag in TAGS if distilled or tag != "knowledge-distillation"]


def _require_same_model(model: Path, run: Mapping[str, Any], report: Report) -> None:
    """Raises `DataError` where the report measured another reader, or this one with other settings."""
    again = f"Evaluate this one: tinyreader evaluate {model} DATA -o report/"
    measured = without_directories(report.model.get("run") or {})
    # a finished run that is started again rewrites "scores"; these three identify the reader
    if any(measured.get(key) != run.get(key) for key in ("identity", "recipe", "finished")):
        raise DataError(f"the report is not of {model}: their run.json differ. {again}")
    own, theirs = parameters(model), report.model.get("parameters")
    if not run and own != theirs:
        raise DataError(f"the report is not of {model}: it has {theirs} parameters, this one {own}. {again}")
    fingerprint = report.model.get("weights")  # older reports have none
    if not run and fingerprint is not None and fingerprint != weights_fingerprint(model):
        raise DataError(f"the report is not of {model}: their weights differ. {again}")
    now, then = asdict(read_settings(model)), report.reader.get("settings") or {}
    for name in _DECIDING:
        if name in then and then[name] != now[name]:
            raise DataError(
                f"the report was made with {name} {then[name]}, but the reader's is now {now[name]}, so its "
                f"answers are not those that were measured. {again}"
            )


def _check_license(options: CardOptions) -> None:
    if options.license == "other" and not (options.license_name and options.license_link):
        raise SettingsError("--license other needs --license-name and --license-link: the Hub asks for both")
    if options.license is not None and not HUB_ID.fullmatch(options.license):
        raise SettingsError(
            f"--license {options.license!r} is not the identifier of a licence, such as apache-2.0 or cc-by-sa-4.0"
        )
    for language in options.languages:
        if not (language.isalpha() and language.isascii() and language.islower() and len(language) in (2, 3)):
            if language == "multilingual":
                continue
            raise SettingsError(
                f"--language {language!r} is not an ISO 639 code, such as en or de (or: multilingual)"
            )


def _eval_data(report: Report, recipe: Mapping[str, Any], options: CardOptions) -> EvalData:
    name = str(report.data.get("name", ""))
    found = options.dataset_type or (name if _is_hub_id(name) else None)
    split = options.dataset_split or report.data.get("split")
    lacking = [flag for flag, value in (("--dataset-type", found), ("--dataset-split", split)) if not value]
    if found is None or not split:
        raise SettingsError(
            f"a card names the public data set of each score, and the report's data is {name or 'not named'}. "
            f"Give {' and '.join(lacking)}, such as rajpurkar/squad_v2 and validation."
        )
    title, config = KNOWN_DATA.get(found, (found, None))
    return EvalData(found, options.dataset_name or title, options.dataset_config or config, str(split))


def _base_model(recipe: Mapping[str, Any]) -> str | None:
    """The Hub id that the student's initial weights come from; None where they come from elsewhere."""
    student, teacher = recipe.get("student") or {}, recipe.get("teacher") or {}
    chosen = {"checkpoint": student.get("model"), "teacher": teacher.get("model")}.get(
        str(student.get("init"))
    )
    return next(iter(_hub_ids([chosen])), None)


def _hub_ids(names: Sequence[Any]) -> tuple[str, ...]:
    return tuple(name for name in names if isinstance(name, str) and _is_hub_id(name))


def _is_hub_id(name: str) -> bool:
    """Whether it is owner/name, and not a file or directory here. Bare names are too likely to be files."""
    return "/" in name and HUB_ID.fullmatch(name) is not None and not Path(name).exists()


def _calibration(model: Path) -> Mapping[str, Any]:
    found = (read_object_if_any(model / "reader.json", ModelError) or {}).get("calibration")
    return found if isinstance(found, dict) else {}


def _overview(facts: CardFacts) -> dict[str, str]:
    recipe, data = facts.recipe, facts.report.data
    code = facts.options.code
    links = ", ".join(f"[{name}](https://huggingface.co/datasets/{name})" for name in facts.train_datasets)
    return {
        "Language model": _language_model(facts),
        "Language": ", ".join(facts.languages) or NOT_STATED,
        "Downstream task": "extractive question answering",
        "Training data": links or _code((recipe.get("data") or {}).get("train")),
        "Eval data": f"{facts.data.name}, {facts.data.split}: {count(data.get('questions'))} questions, "
        f"{count(data.get('answerable'))} of them answerable",
        "Infrastructure": _infrastructure(facts.run),
        "Code": f"[{code}]({code})" if code else "Tinyreader",
        "Licence": facts.license or NOT_STATED,
    }


def _readers(facts: CardFacts) -> Iterator[list[str]]:
    """Yield the rows of readers with exact match and F1: this one, its teacher, the reference."""
    report = facts.report
    yield [f"**{facts.name}**", _with_interval(report, "exact"), _with_interval(report, "f1")]
    if report.teacher and "exact" in (teacher := report.teacher.get("scores", report.teacher)):
        yield ["its teacher, same questions", f"{teacher['exact']:.2f}", f"{teacher['f1']:.2f}"]
    if facts.data.type == "rajpurkar/squad_v2":
        yield from ([f"`{REFERENCE}`, {who}", f"{em:.2f}", f"{f1:.2f}"] for who, em, f1 in PUBLISHED)


def _kinds(report: Report) -> Iterator[list[str]]:
    """Yield the rows of kinds of questions: answerable, unanswerable, and answerable without "no answer"."""
    for label, key in (("answerable", "HasAns"), ("without an answer", "NoAns")):
        if f"{key}_f1" in report.scores:
            n = count(report.scores.get(f"{key}_total"))
            yield [label, n, _with_interval(report, f"{key}_exact"), _with_interval(report, f"{key}_f1")]
    if report.answered:
        f1 = f"{report.answered['f1']:.2f}{_interval(report.intervals.get('answered_f1'))}"
        n = count(report.data.get("answerable"))
        yield ["answerable, no-answer switched off", n, f"{report.answered['exact']:.2f}", f1]


def _where(machine: Mapping[str, Any]) -> str:
    cores = counted(machine["cores"], "core") if machine.get("cores") else "cores not stated"
    platform = [machine["platform"]] if machine.get("platform") else []
    return ", ".join([machine.get("processor") or "processor not stated", cores, *platform])


def _speed(report: Report) -> list[list[str]]:
    speed, model = report.speed, report.model
    latency = speed.get("latency_ms") or {}
    return [
        ["questions per second, many at once", _number(speed.get("questions_per_second"), ".1f")],
        *(
            [f"one question alone, {p}", f"{latency[p]:.0f} ms"]
            for p in ("p50", "p95", "p99")
            if p in latency
        ),
        ["peak memory, the whole process", _megabytes(speed.get("peak_memory_bytes"), ",.0f")],
        ["size on disk", _megabytes(model.get("size_bytes"), ",.1f")],
        ["parameters", count(model.get("parameters"))],
    ]


def _stage_rows(facts: CardFacts, stages: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    """Yield the rows of hyper-parameters, all stages side by side."""
    data = facts.recipe.get("data") or {}
    yield ["window length, tokens", *[_code(data.get("max_seq_len"))] * len(stages)]
    yield ["overlap of windows, tokens", *[_code(data.get("doc_stride"))] * len(stages)]
    outcomes = {outcome.get("name"): outcome for outcome in facts.run.get("stages") or ()}
    done = [outcomes.get(stage.get("name"), {}) for stage in stages]
    for key, label in _STAGE_ROWS.items():
        values = [each.get(key) for each in (done if key in _DECIDED_BY_TEACHER else stages)]
        if any(value is not None for value in values):
            yield [label, *(_setting(key, value) for value in values)]
    yield ["steps done", *(count(each.get("steps")) for each in done)]


def _setting(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key == "kind":
        return _KINDS.get(value, str(value))
    if key == "layer_map" and not isinstance(value, str):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _initial_weights(student: Mapping[str, Any]) -> str:
    sources = {
        "checkpoint": f"`{student.get('model')}`",
        "teacher": "layers of the teacher",
        "random": "random weights",
    }
    return sources.get(str(student.get("init")), NOT_STATED)


def _provenance(facts: CardFacts) -> Iterator[list[str]]:
    """Yield fingerprints, versions, dates, hours and devices of training and evaluation."""
    run, report = facts.run, facts.report
    if run:
        identity, environment = run.get("identity") or {}, run.get("environment") or {}
        yield ["recipe", f"`{facts.recipe.get('name')}`, fingerprint `{identity.get('recipe')}`"]
        for name, value in (identity.get("data") or {}).items():
            yield ["training data", f"`{name}`, fingerprint `{value}`"]
        if identity.get("teacher"):
            yield ["teacher's weights", f"fingerprint `{identity['teacher']}`"]
        # the teachers' time counts also where another run computed their outputs
        keys = ("teacher_pass_seconds", "teacher_pass_seconds_of_others")
        seconds = sum(run.get(key, 0) for key in keys)
        seconds += sum(stage.get("seconds", 0) for stage in run.get("stages") or ())
        yield ["finished", str(run.get("finished") or NOT_STATED)]
        yield ["hours of training, teacher's pass included", f"{seconds / 3600:.2f}"]
        yield ["device", _infrastructure(run)]
        yield ["trained with", _versions(environment.get("versions") or {})]
    yield ["evaluation data", f"`{facts.data_file}`, fingerprint `{report.data.get('fingerprint')}`"]
    yield ["evaluated", report.date]
    yield ["evaluated with", _versions(report.versions)]


def _infrastructure(run: Mapping[str, Any]) -> str:
    """What a run ran on, on one line."""
    environment, identity = run.get("environment") or {}, run.get("identity") or {}
    if not environment:
        return NOT_STATED
    threads = (environment.get("cpu") or {}).get("threads")
    parts = [str(environment.get("device"))]
    if environment.get("device") == "cpu" and threads:
        parts.append(counted(threads, "thread"))
    if (identity.get("processes") or 1) > 1:
        parts.append(f"{identity['processes']} processes")
    precision = str(identity.get("precision") or "precision not stated")
    return ", ".join([*parts, precision, str(environment.get("platform"))])


def _weakest(slices: Mapping[str, Any], n: int = 3, min_questions: int = 50) -> Iterator[str]:
    """Yield the slices of lowest F1, at most one per dimension, among those with enough questions."""
    lowest = []
    for dimension, rows in slices.items():
        usable = [row for row in rows if row.get("n", 0) >= min_questions] if isinstance(rows, list) else []
        if len(usable) > 1:
            row = min(usable, key=lambda row: row["f1"])
            lowest.append(
                (row["f1"], f'{dimension} "{row["slice"]}" (F1 {row["f1"]:.1f}, {row["n"]:,} questions)')
            )
    for _, text in sorted(lowest)[:n]:
        yield text


def _language_model(facts: CardFacts) -> str:
    config, base = facts.config, facts.base_model or facts.recipe.get("student", {}).get("model")
    layers, width = (
        config.get("num_hidden_layers") or config.get("n_layers"),
        config.get("hidden_size") or config.get("dim"),
    )
    start = f", from `{base}`" if base else ""
    numbers = f"{layers} layers, {width} wide, {count(facts.report.model.get('parameters'))} parameters"
    return f"{config.get('model_type', 'encoder')}, {numbers}{start}"


def _with_interval(report: Report, key: str) -> str:
    return f"{report.scores[key]:.2f}{_interval(report.intervals.get(key))}"


def _interval(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]"


def _versions(of: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in of.items()) or NOT_STATED


def _code(value: Any) -> str:
    return NOT_STATED if value is None else f"`{value}`" if isinstance(value, str) else str(value)


def _number(value: float | None, form: str) -> str:
    return NOT_STATED if value is None else f"{value:{form}}"


def _megabytes(n: int | None, form: str) -> str:
    return f"{n / 1e6:{form}} MB" if n else NOT_STATED
