"""Recipes: read from TOML by name or path, changed by `key=value` overrides, checked, written out as
resolved.

Paths inside a recipe are relative to the working directory, as on the command line.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from tinyreader.distil.settings import (
    DataSettings,
    EvaluationSettings,
    IntermediateStage,
    MoreTeacherSettings,
    Settings,
    Stage,
    StageSettings,
    StudentFromCheckpoint,
    StudentSettings,
    TeacherSettings,
    TrainingSettings,
    as_tuple,
    parse_shape,
)
from tinyreader.errors import SettingsError
from tinyreader.storage import text_hash

# What a run may change between two starts without its weights becoming others.
BOOKKEEPING = {
    "log_every_steps",
    "trackers",
    "checkpoint_every_steps",
    "checkpoint_every_minutes",
    "keep_checkpoints",
    "max_bad_steps",
    "teacher_outputs",
}


class Recipe(Settings):
    """Everything that determines a student: teacher, first weights, data and the stages of training."""

    name: str = Field(
        pattern=r"^[^/\\]*[^./\\][^/\\]*$", description="names the run's directory, so it holds no / or \\"
    )
    description: str = ""
    teacher: TeacherSettings | None = None
    more_teachers: Annotated[tuple[MoreTeacherSettings, ...], BeforeValidator(as_tuple)] = ()
    student: StudentSettings
    data: DataSettings
    evaluation: EvaluationSettings = EvaluationSettings()
    training: TrainingSettings = TrainingSettings()
    stages: Annotated[tuple[Stage, ...], BeforeValidator(as_tuple), Field(min_length=1)]

    @model_validator(mode="after")
    def _teacher_is_there(self) -> Recipe:
        if self.teacher is not None:
            return self
        for stage in self.stages:
            if stage.kind != "labels":
                raise ValueError(
                    f"stages.{stage.name}.kind = {stage.kind!r} needs a teacher: set teacher.model"
                )
        if self.student.init == "teacher":
            raise ValueError("student.init = 'teacher' needs a teacher: set teacher.model")
        if self.student.init == "random" and self.student.model is None:
            raise ValueError(
                "student.init = 'random' needs a configuration: set teacher.model or student.model"
            )
        return self

    @model_validator(mode="after")
    def _more_teachers_teach(self) -> Recipe:
        if not self.more_teachers:
            if self.teacher is not None and "weight" in self.teacher.model_fields_set:
                raise ValueError(
                    f"teacher.weight = {self.teacher.weight} would have no effect without [[more_teachers]]"
                )
            return self
        _require_distinct(["teacher", *(teacher.name for teacher in self.more_teachers)], "teacher")
        if self.teacher is None:
            raise ValueError(
                "[[more_teachers]] teach beside [teacher], from which intermediate stages learn and students "
                "are made: set "
                "teacher.model"
            )
        if all(stage.kind != "prediction" for stage in self.stages):
            raise ValueError("[[more_teachers]] would have no effect without a stage of kind 'prediction'")
        return self

    @model_validator(mode="after")
    def _stages_fit(self) -> Recipe:
        _require_distinct([stage.name for stage in self.stages], "stage")
        shape = None if isinstance(self.student, StudentFromCheckpoint) else self.student.shape
        for stage in self.stages:
            if shape is None or not isinstance(stage, IntermediateStage) or stage.layer_map == "uniform":
                continue
            if len(stage.layer_map) != (n_layers := parse_shape(shape).layers):
                raise ValueError(
                    f"stages.{stage.name}.layer_map has {len(stage.layer_map)} entries, "
                    f"but student.shape = {shape!r} has {n_layers} layers"
                )
        return self

    @model_validator(mode="after")
    def _evaluation_is_possible(self) -> Recipe:
        if self.evaluation.every_steps is not None and self.data.dev is None:
            raise ValueError("evaluation.every_steps needs data to measure on: set data.dev")
        if self.evaluation.choose_best != "none" and self.evaluation.every_steps is None:
            raise ValueError(
                "evaluation.choose_best needs evaluation.every_steps: one measurement leaves no choice"
            )
        return self

    def resolved(self) -> dict[str, Any]:
        """All settings that have an effect, defaults included, as plain JSON data that `make_recipe` takes
        back.
        """
        content = self.model_dump(mode="json", exclude={"stages", "student", "data"})
        if not self.more_teachers:
            del content["more_teachers"]
            if self.teacher is not None:
                del content["teacher"]["weight"]
        for section in ("student", "data"):
            content[section] = _effective(getattr(self, section))
        content["stages"] = [_effective(stage) for stage in self.stages]
        return content

    def determining(self) -> dict[str, Any]:
        """The settings that determine the weights: not names, logging, checkpointing, nor an evaluation that
        only looks.
        """
        content = self.resolved()
        for key in ("name", "description"):
            del content[key]
        content["training"] = {k: v for k, v in content["training"].items() if k not in BOOKKEEPING}
        if self.training.teacher_engine == "torch":  # so runs of earlier versions are still the same runs
            del content["training"]["teacher_engine"]
        if self.evaluation.choose_best == "none":
            del content["evaluation"]
            content["data"] = {k: v for k, v in content["data"].items() if not k.startswith("dev")}
        return content

    def fingerprint(self) -> str:
        """Hash of the settings that determine the weights."""
        text = json.dumps(self.determining(), sort_keys=True, ensure_ascii=False)
        return text_hash(text)

    def stage(self, name: str) -> StageSettings:
        """The stage of that name."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise SettingsError(
            f"no stage is called {name!r}; there are: {', '.join(s.name for s in self.stages)}"
        )


def _require_distinct(names: Sequence[str], what: str) -> None:
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{what} names must differ; more than one {what} is called {repeated[0]!r}")


def _effective(section: Settings) -> dict[str, Any]:
    """A section's settings without those that have no effect beside the others."""
    return section.model_dump(mode="json", exclude=set(section.idle_fields()))


def make_recipe(content: dict[str, Any], *, source: str = "recipe", overrides: Sequence[str] = ()) -> Recipe:
    """The `Recipe` that plain data stands for, after the overrides; `source` names it in errors.

    An override is `dotted.key=value`, where a stage goes by its number or name: `stages.0.epochs=2`,
    `stages.prediction.learning_rate=1e-5`. `key=` takes the key out, `stages.prediction=` the whole stage.
    """
    content = deepcopy(content)
    for override in overrides:
        _apply(content, override)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise SettingsError(f"{source}: {explain(error, Recipe, content)}") from None


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of that name in the package, or in that file, after the overrides; `./NAME` is always a
    file.
    """
    source, text = _read(str(name_or_path))
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{source} is not valid TOML: {error}") from error
    content.setdefault("name", Path(source).stem)
    return make_recipe(content, source=source, overrides=overrides)


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes in the package, sorted."""
    entries = files("tinyreader.recipes").iterdir()
    return tuple(
        sorted(entry.name.removesuffix(".toml") for entry in entries if entry.name.endswith(".toml"))
    )


def recipe_schema() -> dict[str, Any]:
    """JSON schema of a recipe file."""
    return Recipe.model_json_schema()


def _read(name_or_path: str) -> tuple[str, str]:
    """What to call the recipe in messages, and its text."""
    path = Path(name_or_path)
    is_name = path.name == name_or_path and path.suffix != ".toml"
    if is_name and (
        name_or_path in recipe_names() or not path.is_file()
    ):  # a stray file does not hide a recipe of the package
        return name_or_path, _packaged(name_or_path)
    try:
        return str(path), path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read the recipe {name_or_path}: {error}") from error


def _packaged(name: str) -> str:
    names = recipe_names()
    if name not in names:
        near = get_close_matches(name, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise SettingsError(
            f"no recipe is called {name!r}.{hint} There are: {', '.join(names)}; or give the path of a .toml "
            "file"
        )
    return files("tinyreader.recipes").joinpath(f"{name}.toml").read_text(encoding="utf-8")


def _apply(content: dict[str, Any], override: str) -> None:
    """Change `content` as `dotted.key=value` says; without a value the key goes."""
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise SettingsError(f"override {override!r} is not of the form key=value, such as data.train=my.json")
    place: Any = content
    for depth, part in enumerate(parts[:-1]):
        place = _enter(place, part, ".".join(parts[: depth + 1]), override)
    if isinstance(place, list) and not text.strip():
        place.remove(_enter(place, parts[-1], key, override))
        return
    if not isinstance(place, dict):
        raise SettingsError(f"override {override!r}: {'.'.join(parts[:-1])} has no keys of its own")
    if text.strip():
        place[parts[-1]] = _value(text.strip())
    else:
        place.pop(parts[-1], None)


def _enter(place: Any, part: str, so_far: str, override: str) -> Any:
    """What stands under `part`; a missing table is made, a stage is found by its place or its name."""
    if isinstance(place, dict):
        return place.setdefault(part, {})
    if isinstance(place, list):
        names = [entry.get("name") for entry in place if isinstance(entry, dict)]
        if part in names:
            return place[names.index(part)]
        if part.isdecimal() and int(part) < len(place):
            return place[int(part)]
        known = ", ".join(f"{n} ({name})" for n, name in enumerate(names))
        raise SettingsError(f"override {override!r}: there is no {so_far}; there are: {known}")
    raise SettingsError(f"override {override!r}: {so_far.rpartition('.')[0]} has no keys of its own")


def _value(text: str) -> Any:
    """The TOML value a text stands for, or the text itself where it is none: `my.json` needs no quotes."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    plain = set(parsed) == {"value"} and isinstance(parsed["value"], str | int | float | bool | list | dict)
    return parsed["value"] if plain else text


def explain(error: ValidationError, model: type[BaseModel], content: Any) -> str:
    """What is wrong in `content`, which did not become a `model`: one line each with place, value and what is allowed."""
    return "\n  ".join(_explain_one(detail, model, content) for detail in error.errors(include_url=False))


def _explain_one(detail: ErrorDetails, model: type[BaseModel], content: Any) -> str:
    section = _Section.at(model, detail["loc"])
    place, kind = _dotted(section.loc, content), detail["type"]
    if kind == "extra_forbidden":
        return section.refuse(place, detail["input"], model)
    if kind == "missing":
        return f"{place} is missing" + (f", which {section.chosen} needs" if section.chosen else "")
    if kind.startswith("union_tag"):
        key, tags = section.discriminator, section.tags
        given = (
            f"{place}.{key} = {detail['input'][key]!r}:"
            if key in detail["input"]
            else f"{place}.{key} is missing:"
        )
        return f"{given} should be {', '.join(map(repr, tags[:-1]))} or {tags[-1]!r}"
    message = detail["msg"].removeprefix("Value error, ")
    message = re.sub(r"^(Input|String|Value|Tuple) (?=should)", "", message)
    message = message.replace("a valid tuple", "a list")
    if kind in ("model_type", "model_attributes_type"):
        message = "should be a table of keys"
    if isinstance(detail["input"], dict):  # a check across keys: the message itself names keys and values
        return f"{place}: {message}" if place else message
    return f"{place} = {detail['input']!r}: {message}"


@dataclass(frozen=True, slots=True)
class _Section:
    """The section of settings that an error is about; `chosen` is the key and value that chose it among others."""

    loc: tuple[int | str, ...]
    classes: tuple[type[BaseModel], ...]
    alternatives: tuple[type[BaseModel], ...] = ()
    chosen: str = ""

    @classmethod
    def at(cls, model: type[BaseModel], loc: tuple[int | str, ...]) -> _Section:
        """The section at pydantic's place, which names the choice of a discriminated union as if it were a key."""
        found = cls((), (model,))
        for part in loc:
            if len(found.classes) > 1 and part in found.tags:
                one, chosen = found.classes[found.tags.index(str(part))], f"{found.discriminator} = {part!r}"
                found = cls(found.loc, (one,), found.classes, chosen)
                continue
            found = replace(found, loc=(*found.loc, part))
            fields = found.classes[0].model_fields
            if part in fields and (inner := _settings_in(fields[str(part)].annotation)):
                found = cls(found.loc, inner)
        return found

    @property
    def discriminator(self) -> str:
        return next(key for key, field in self.classes[0].model_fields.items() if _is_tag(field.annotation))

    @property
    def tags(self) -> list[str]:
        return [get_args(each.model_fields[self.discriminator].annotation)[0] for each in self.classes]

    def refuse(self, place: str, value: Any, model: type[BaseModel]) -> str:
        """Why this section does not have such a key, and what was probably meant."""
        key, own = str(self.loc[-1]), self.classes[0].model_fields
        sections = self.alternatives or self.classes
        known = list(dict.fromkeys(name for each in sections for name in each.model_fields))
        if key in known:
            special = [name for name in own if any(name not in each.model_fields for each in sections)]
            return (
                f"{place} = {value!r} would have no effect with {self.chosen}, whose own keys are "
                f"{', '.join(special)}: take it out ('--set {place}=' does)"
            )
        if near := get_close_matches(key, known, n=1):
            return f"unknown key {place}: did you mean '{place.removesuffix(key)}{near[0]}'?"
        if homes := [name for name, keys in _keys_by_section(model).items() if key in keys]:
            return f"unknown key {place}: it belongs to {' or '.join(homes)}"
        return f"unknown key {place}: known are {', '.join(own)}"


def _is_tag(annotation: Any) -> bool:
    return get_origin(annotation) is Literal and len(get_args(annotation)) == 1


def _settings_in(annotation: Any) -> tuple[type[BaseModel], ...]:
    """The settings classes inside an annotation such as `tuple[Stage, ...]` or `TeacherSettings | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return (annotation,)
    return tuple(inner for part in get_args(annotation) for inner in _settings_in(part))


def _keys_by_section(model: type[BaseModel], prefix: str = "") -> dict[str, set[str]]:
    """The keys of every section below `model`, by its dotted name."""
    found: dict[str, set[str]] = {}
    for name, field in model.model_fields.items():
        for inner in _settings_in(field.annotation):
            found.setdefault(prefix + name, set()).update(inner.model_fields)
            found |= _keys_by_section(inner, f"{prefix}{name}.")
    return found


def _dotted(loc: tuple[int | str, ...], content: Any) -> str:
    """The dotted place, stages by their names: the same words that an override takes."""
    parts = []
    for part in loc:
        inside = None
        if isinstance(content, dict):
            inside = content.get(str(part))
        elif isinstance(content, list) and isinstance(part, int) and part < len(content):
            inside = content[part]
        name = inside.get("name") if isinstance(part, int) and isinstance(inside, dict) else None
        parts.append(name if isinstance(name, str) else str(part))
        content = inside
    return ".".join(parts)
