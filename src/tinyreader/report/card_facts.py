"""What a model card states, gathered from the report and from what the run left: nothing is asked for that
these know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tinyreader.errors import DataError, MissingExtraError, ModelError, SettingsError
from tinyreader.model_files import HUB_ID, PACKED_FILE, has_weights, weight_files
from tinyreader.reader.settings import read_settings
from tinyreader.report.machine import parameters, weights_fingerprint
from tinyreader.report.markdown import NOT_STATED
from tinyreader.report.portable import without_places
from tinyreader.report.record import Report
from tinyreader.report.seen import read_run
from tinyreader.storage import read_object, read_object_if_any

KNOWN_DATA = {"rajpurkar/squad_v2": ("SQuAD 2.0", "squad_v2"), "rajpurkar/squad": ("SQuAD 1.1", "plain_text")}
"""Data sets of the Hub whose name and only configuration need not be asked for."""

KNOWN_SIZES = {
    ("rajpurkar/squad_v2", "validation"): 11_873,
    ("rajpurkar/squad_v2", "train"): 130_319,
    ("rajpurkar/squad", "validation"): 10_570,
    ("rajpurkar/squad", "train"): 87_599,
}
"""How many questions they have: a score on some of them is not one on the split."""

_DECIDING = (
    "no_answer_threshold",
    "score_threshold",
    "temperature",
    "score_offset",
    "no_answer_temperature",
    "no_answer_offset",
    "max_answer_tokens",
)
"""Settings of a reader that decide what it says, and how sure it is; its windows may have been fitted to the
model.
"""

TAGS = ("question-answering", "extractive-qa", "knowledge-distillation", "tinyreader", "exbert")


@dataclass(frozen=True, slots=True)
class CardOptions:
    """What neither report nor run knows. Whatever is None is "not stated", but for the data set's type and
    split.

    `repository` is the name the reader has, or will have, on the Hub; `dataset_*` say which public data set
    the report's data are; `base_model` and `train_datasets` are asked for only where the run used local
    files.
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
    """All that a card states. `run` is what the run left, without the places where its files lay; empty for
    other readers.

    `missing` names, in words with the option that gives it, what the card says is not stated. `is_packed`:
    the weights are in the form that Transformers does not know.
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
    def measured_on(self) -> str:
        """Data set and split, and how many of its questions where it is known that these were not all."""
        n, size = self.report.data.get("questions"), KNOWN_SIZES.get((self.data.type, self.data.split))
        part = "" if size is None or n is None or n == size else f", {n:,} of its {size:,} questions"
        return f"{self.data.name}, {self.data.split}{part}"

    @property
    def data_file(self) -> str:
        """The evaluation data's name as the report has it, without its place."""
        return str(without_places(str(self.report.data.get("name", NOT_STATED))))


def gather(model: Path, report: Report, options: CardOptions) -> CardFacts:
    """The facts of the reader in `model`, measured in `report`.

    Raises `SettingsError` where the data set's type or split must be given, `DataError` where the report is
    of another model.
    """
    if not (model / "config.json").is_file():
        raise ModelError(f"{model} has no config.json: it is no reader's directory")
    run = without_places(read_run(model) or {})
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


def metadata(facts: CardFacts) -> str:
    """The card's metadata as YAML, made by the Hub's own client and read back by it."""
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
    card = ModelCardData(
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
    return str(card.to_yaml())


def _tags(facts: CardFacts) -> Sequence[str]:
    distilled = any(stage.get("kind") != "labels" for stage in facts.run.get("recipe", {}).get("stages", ()))
    return [tag for tag in TAGS if distilled or tag != "knowledge-distillation"]


def _require_same_model(model: Path, run: Mapping[str, Any], report: Report) -> None:
    """A card with the numbers of another reader, or of this one with other settings, is easily made: it is an
    error.
    """
    again = f"Evaluate this one: tinyreader evaluate {model} DATA -o report/"
    measured = without_places(report.model.get("run") or {})
    # "scores" are written anew when a finished run is started again; the rest says which reader it is
    if any(measured.get(key) != run.get(key) for key in ("identity", "recipe", "finished")):
        raise DataError(f"the report is of another reader than {model}: their run.json differ. {again}")
    own, theirs = parameters(model), report.model.get("parameters")
    if not run and own != theirs:
        raise DataError(
            f"the report is of another reader than {model}: it has {theirs} parameters, this one {own}. "
            f"{again}"
        )
    fingerprint = report.model.get("weights")  # reports of before have none
    if not run and fingerprint is not None and fingerprint != weights_fingerprint(model):
        raise DataError(f"the report is of another reader than {model}: their weights differ. {again}")
    now, then = asdict(read_settings(model)), report.reader.get("settings") or {}
    for name in _DECIDING:
        if name in then and then[name] != now[name]:
            raise DataError(
                f"the report was made with {name} {then[name]}, but the reader's is {now[name]} by now: it "
                "says other things "
                f"than were measured. {again}"
            )


def _check_license(options: CardOptions) -> None:
    if options.license == "other" and not (options.license_name and options.license_link):
        raise SettingsError("--license other needs --license-name and --license-link: the Hub asks for both")
    if options.license is not None and not HUB_ID.fullmatch(options.license):
        raise SettingsError(
            f"--license {options.license!r} is no identifier of a licence, such as apache-2.0 or cc-by-sa-4.0"
        )
    for language in options.languages:
        if not (language.isalpha() and language.isascii() and language.islower() and len(language) in (2, 3)):
            if language == "multilingual":
                continue
            raise SettingsError(
                f"--language {language!r} is no ISO 639 code, such as en or de (or: multilingual)"
            )


def _eval_data(report: Report, recipe: Mapping[str, Any], options: CardOptions) -> EvalData:
    name = str(report.data.get("name", ""))
    found = options.dataset_type or (name if _is_hub_id(name) else None)
    split = options.dataset_split or report.data.get("split")
    lacking = [flag for flag, value in (("--dataset-type", found), ("--dataset-split", split)) if not value]
    if found is None or not split:
        raise SettingsError(
            f"model-index names the data set of a score, and the report's is {name or 'not named'}: say "
            "which public data set, "
            f"and which part of it, that is, with {' and '.join(lacking)} (such as rajpurkar/squad_v2 and "
            "validation)."
        )
    title, config = KNOWN_DATA.get(found, (found, None))
    return EvalData(found, options.dataset_name or title, options.dataset_config or config, str(split))


def _base_model(recipe: Mapping[str, Any]) -> str | None:
    """The Hub id that the student's first weights come from; None where there is none, or where they lay in a
    directory.
    """
    student, teacher = recipe.get("student") or {}, recipe.get("teacher") or {}
    chosen = {"checkpoint": student.get("model"), "teacher": teacher.get("model")}.get(
        str(student.get("init"))
    )
    return next(iter(_hub_ids([chosen])), None)


def _hub_ids(names: Sequence[Any]) -> tuple[str, ...]:
    return tuple(name for name in names if isinstance(name, str) and _is_hub_id(name))


def _is_hub_id(name: str) -> bool:
    """Whether it is owner/name and no file or directory here. Bare names are too likely to be files."""
    return "/" in name and HUB_ID.fullmatch(name) is not None and not Path(name).exists()


def _calibration(model: Path) -> Mapping[str, Any]:
    path = model / "reader.json"
    found = (read_object_if_any(path, ModelError) or {}).get("calibration")
    return found if isinstance(found, dict) else {}
