"""The sections of a recipe as typed, frozen settings; `Recipe` in `recipe.py` puts them together.

Unknown keys are refused, numbers written as text are refused, and a key that would change nothing is refused:
users find a setting that is silently ignored last. What a stage may set depends on its `kind`, and what a student
may set on its `init`. `"none"` clears an optional value, as TOML has no null.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tinyreader.augment.proposer import AugmentOptions
from tinyreader.augment.proposers import ProposerNames
from tinyreader.errors import SettingsError
from tinyreader.windows import LEAST_ROOM

Tracker = Literal[
    "tensorboard", "wandb", "mlflow", "trackio", "comet_ml", "aim", "clearml", "dvclive", "swanlab"
]

SHAPE = re.compile(
    r"(?P<layers>[1-9]\d*)l-(?P<width>[1-9]\d*)d(?:-(?P<heads>[1-9]\d*)h)?(?:-(?P<ff>[1-9]\d*)f)?"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """A student's size; heads and feed-forward width are None where the teacher's proportions decide."""

    layers: int
    width: int
    heads: int | None = None
    intermediate: int | None = None


def parse_shape(text: str) -> Shape:
    """The `Shape` that a text such as `6l-768d` or `4l-312d-12h-1200f` stands for."""
    found = SHAPE.fullmatch(text)
    if found is None:
        raise SettingsError(
            f"shape {text!r} is not understood: write layers and width as in '6l-768d', "
            "with heads and feed-forward width if wanted, as in '4l-312d-12h-1200f'"
        )
    shape = Shape(
        layers=int(found["layers"]),
        width=int(found["width"]),
        heads=int(found["heads"]) if found["heads"] else None,
        intermediate=int(found["ff"]) if found["ff"] else None,
    )
    if shape.heads is not None and shape.width % shape.heads:
        raise SettingsError(
            f"shape {text!r}: {shape.heads} heads cannot share a width of {shape.width} evenly"
        )
    return shape


def as_tuple(value: Any) -> Any:
    """The value, a list turned into a tuple (TOML and JSON know only lists)."""
    return tuple(value) if isinstance(value, list) else value


def _layer_map(value: Any) -> Any:
    """The value if it can be a layer map; one message for both of its forms."""
    value = as_tuple(value)
    if value != "uniform" and not (
        isinstance(value, tuple) and value and all(type(n) is int and n > 0 for n in value)
    ):
        raise ValueError("should be 'uniform' or a list of teacher layers counted from 1, such as [2, 4, 6]")
    return value


def _shape(value: Any) -> Any:
    """The value if it is a shape or no text at all."""
    if isinstance(value, str):
        try:
            parse_shape(value)
        except SettingsError as error:
            raise ValueError(str(error)) from error
    return value


Layers = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]
Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Weight = Annotated[float, Field(ge=0)]


class Settings(BaseModel):
    """Base of every section: frozen, strict about types, closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _none_clears(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        optional = {
            name for name, field in cls.model_fields.items() if type(None) in get_args(field.annotation)
        }
        return {key: None if key in optional and value == "none" else value for key, value in data.items()}

    def idle_fields(self) -> dict[str, str]:
        """Fields that have no effect beside the others, each with the reason; without a reason they may be set."""
        return {}

    @model_validator(mode="after")
    def _nothing_idle(self) -> Settings:
        idle = [
            f"{field} = {getattr(self, field)!r} would have no effect {reason}"
            for field, reason in self.idle_fields().items()
            if reason and field in self.model_fields_set and getattr(self, field) is not None
        ]
        if idle:
            raise ValueError(f"{'; '.join(idle)}: take it out ('--set KEY=' does)")
        return self


class TeacherSettings(Settings):
    """Section `[teacher]`: the reader to learn from."""

    model: str = Field(min_length=1, description="directory or Hub id of a trained question-answering model")
    revision: str | None = None
    weight: float = Field(
        default=1.0, gt=0, description="how much it counts in the mean, beside [[more_teachers]]"
    )


class MoreTeacherSettings(TeacherSettings):
    """Section `[[more_teachers]]`: a reader that teaches beside `[teacher]` in prediction stages."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", description="its place in --set, and in messages")


ShapeText = Annotated[str, BeforeValidator(_shape), Field(description="size, as in '6l-768d'")]
ModelName = Annotated[str, Field(min_length=1, description="checkpoint to start from: directory or Hub id")]


class StudentFromTeacher(Settings):
    """Section `[student]` with init = "teacher": some of the teacher's layers, narrowed where it is narrower."""

    init: Literal["teacher"]
    shape: ShapeText
    layers: Annotated[Layers | None, BeforeValidator(as_tuple)] = Field(
        default=None, description="teacher layers, from 1, that the student's start from; none: evenly spaced"
    )

    @model_validator(mode="after")
    def _layers_fit(self) -> StudentFromTeacher:
        if self.layers and len(self.layers) != parse_shape(self.shape).layers:
            raise ValueError(
                f"layers names {len(self.layers)} teacher layers, but the shape is {self.shape!r}"
            )
        return self


class StudentFromCheckpoint(Settings):
    """Section `[student]` with init = "checkpoint": a pretrained encoder, of the size that it has."""

    init: Literal["checkpoint"]
    model: ModelName
    revision: str | None = None


class RandomStudent(Settings):
    """Section `[student]` with init = "random": the configuration of `model`, else of the teacher."""

    init: Literal["random"]
    shape: ShapeText | None = None
    model: ModelName | None = None
    revision: str | None = None

    def idle_fields(self) -> dict[str, str]:
        return {"revision": "without student.model"} if self.model is None else {}

    @model_validator(mode="after")
    def _has_a_size(self) -> RandomStudent:
        if self.shape is None and self.model is None:
            raise ValueError(
                "init = 'random' needs shape, or model (a checkpoint whose configuration is used)"
            )
        return self


StudentSettings = Annotated[
    StudentFromTeacher | StudentFromCheckpoint | RandomStudent, Field(discriminator="init")
]
"""Section `[student]`: where the student's first weights come from."""


class DataSettings(Settings):
    """Section `[data]`: what to learn from and to evaluate on, and how it becomes windows."""

    train: str = Field(min_length=1, description="SQuAD JSON or JSONL file, or a Hub id")
    train_split: str | None = None
    dev: str | None = Field(default=None, min_length=1)
    dev_split: str | None = None
    max_seq_len: int = Field(default=384, ge=8)
    doc_stride: int = Field(default=128, ge=0, description="tokens that neighbouring windows share")
    on_bad: Literal["error", "repair", "skip"] = "error"
    on_long_question: Literal["error", "truncate"] = "error"
    max_question_tokens: Positive | None = None
    max_windows: Positive | None = Field(
        default=None, description="train on n windows, a seeded choice; none: all"
    )

    def idle_fields(self) -> dict[str, str]:
        return {"dev_split": "without data.dev"} if self.dev is None else {}

    @model_validator(mode="after")
    def _stride_fits(self) -> DataSettings:
        if self.max_seq_len < self.doc_stride + LEAST_ROOM:
            raise ValueError(
                f"doc_stride ({self.doc_stride}) must be smaller than max_seq_len ({self.max_seq_len}) by at "
                "least "
                f"{LEAST_ROOM} tokens, for a question and some new context in each window"
            )
        return self


_USUAL = AugmentOptions()


class AugmentSettings(Settings):
    """Section `[stages.augment]`: rewritten copies of the stage's data (TinyBERT, arXiv 1909.10351, algorithm
    1).
    """

    times: Positive = Field(default=_USUAL.times, description="copies of each paragraph")
    probability: float = Field(
        default=_USUAL.probability, gt=0, le=1, description="chance that a word is replaced"
    )
    candidates: Positive = Field(
        default=_USUAL.candidates, description="proposals to choose each replacement from"
    )
    masked_lm: str | None = Field(
        default=None, min_length=1, description="model that proposes words of one piece"
    )
    vectors: str | None = Field(
        default=None, min_length=1, description="word vectors, for words of several pieces"
    )
    synonyms: str | None = Field(
        default=None, min_length=1, description="file of synonyms, asked before the others"
    )
    exact: bool = Field(default=False, description="mask one word at a time: slower")
    keep_original: bool = Field(default=False, description="the original beside its copies")
    replace_answers: bool = Field(default=False, description="also words of answers, which move with them")
    replace_question_words: bool = Field(
        default=False, description="also words that the paragraph's questions share"
    )
    replace_digits: bool = Field(default=False, description="also words with digits in them")
    keep_stop_words: bool = Field(default=False, description="leave the words of grammar as they are")

    @model_validator(mode="after")
    def _has_a_proposer(self) -> AugmentSettings:
        if not (self.masked_lm or self.vectors or self.synonyms):
            raise ValueError("there are no proposers: set masked_lm, vectors or synonyms")
        return self

    def options(self, seed: int) -> AugmentOptions:
        """How the stage's data is rewritten."""
        shared = {field.name for field in fields(AugmentOptions)} & self.model_dump().keys()
        return AugmentOptions(seed=seed, **self.model_dump(include=shared))

    def proposers(self, precision: str) -> ProposerNames:
        """Who proposes words, by name."""
        return ProposerNames(self.synonyms, self.masked_lm, self.vectors, self.exact, precision)


class EvaluationSettings(Settings):
    """Section `[evaluation]`: when the student is measured on `data.dev`."""

    every_steps: Positive | None = None
    at_end: bool = True
    max_answer_tokens: Positive = 30
    max_questions: Positive | None = Field(
        default=None, description="on n questions, a seeded choice; none: all"
    )
    choose_best: Literal["none", "f1", "exact"] = Field(
        default="none",
        description="keep the best weights measured, the last ones included; not in intermediate stages",
    )


class TrainingSettings(Settings):
    """Section `[training]`: how the run is carried out."""

    seed: int = Field(default=42, ge=0, lt=2**32)
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    checkpoint_every_steps: Positive | None = None
    checkpoint_every_minutes: float = Field(default=10.0, gt=0)
    keep_checkpoints: int = Field(default=2, ge=2, description="at least 2: the newest one may be damaged")
    log_every_steps: Positive = 10
    trackers: Annotated[tuple[Tracker, ...], BeforeValidator(as_tuple)] = ("tensorboard",)
    max_bad_steps: Positive = Field(default=5, description="non-finite losses in a row before the run stops")
    threads: Positive | None = None
    teacher_engine: Literal["torch", "openvino"] = Field(
        default="torch", description="what computes a teacher's predictions; openvino is faster on a CPU"
    )
    teacher_outputs: str = Field(
        default="run",
        min_length=1,
        description="where they are kept: 'run' (its directory), 'cache' (the user's), or a directory for many runs to share",
    )


class StageSettings(Settings):
    """What all kinds of stages have: length, batches, optimiser, data."""

    name: str = Field(
        pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", description="names the stage's files and its place in --set"
    )
    kind: Literal["intermediate", "prediction", "labels"]
    epochs: float = Field(default=1.0, gt=0)
    max_steps: Positive | None = Field(
        default=None, description="length in optimiser steps, in place of epochs"
    )
    batch_size: Positive
    micro_batch_size: Positive | None = Field(
        default=None, description="windows a pass; passes add up to batch_size"
    )
    learning_rate: float = Field(gt=0, lt=1)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup_share: Share = 0.1
    weight_decay: Weight = 0.01
    adam_beta1: Share = 0.9
    adam_beta2: Share = 0.999
    adam_epsilon: float = Field(default=1e-8, gt=0)
    max_grad_norm: Annotated[float, Field(gt=0)] | None = 1.0
    dropout: Share | None = Field(
        default=None, description="hidden and attention; none: as in the model's config"
    )
    data: str | None = Field(default=None, min_length=1, description="the stage's own data; none: data.train")
    data_split: str | None = None
    augment: AugmentSettings | None = None
    max_windows: Positive | None = Field(default=None, description="as data.max_windows, for this stage")

    def idle_fields(self) -> dict[str, str]:
        idle = {} if self.data is not None else {"data_split": "without the stage's own data"}
        if self.max_steps is not None:
            idle["epochs"] = ""  # max_steps is set on top of recipes that have epochs
        return idle

    @model_validator(mode="after")
    def _batches_divide(self) -> StageSettings:
        if self.micro_batch_size is not None and self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"batch_size ({self.batch_size}) must be a multiple of micro_batch_size "
                f"({self.micro_batch_size})"
            )
        return self


class IntermediateStage(StageSettings):
    """A stage that learns the teacher's embeddings, hidden states and attention; the answer head is not trained."""

    kind: Literal["intermediate"]
    layer_map: Annotated[Literal["uniform"] | Layers, BeforeValidator(_layer_map)] = "uniform"
    attention: Literal["scores", "probabilities", "none"] = "scores"
    embedding_weight: Weight = 1.0
    hidden_weight: Weight = 1.0
    attention_weight: Weight = 1.0
    relation_weight: Weight = Field(
        default=0.0, description="of each of the relations of queries, keys and values"
    )
    relation_heads: Positive | None = Field(
        default=None, description="none: as the teacher's attention; memory grows with them"
    )
    relation_layer: Positive | None = Field(
        default=None, description="teacher layer, from 1, that has them; none: the last"
    )

    def idle_fields(self) -> dict[str, str]:
        idle = super().idle_fields()
        if self.attention == "none":
            idle["attention_weight"] = "with attention = 'none'"
        if not self.relation_weight:
            idle["relation_weight"] = ""
            idle |= dict.fromkeys(("relation_heads", "relation_layer"), "with relation_weight = 0")
        elif not (self.hidden_weight or self.compares_attention()):
            idle["layer_map"] = "without hidden states and attention"  # relations and embeddings need none
        return idle

    def compares_attention(self) -> bool:
        """Whether the stage learns from the teacher's attention."""
        return self.attention != "none" and self.attention_weight > 0

    @model_validator(mode="after")
    def _learns_something(self) -> IntermediateStage:
        terms = (self.embedding_weight, self.hidden_weight, self.compares_attention(), self.relation_weight)
        if not any(terms):
            raise ValueError(
                "embedding_weight, hidden_weight, attention_weight and relation_weight are all 0: nothing "
                "would be learned"
            )
        return self


class PredictionStage(StageSettings):
    """A stage that learns the teachers' start and end distributions."""

    kind: Literal["prediction"]
    embeds_dropout: Share = Field(
        default=0.0, description="dropout on the encoder's output, before the answer head"
    )
    temperature: float = Field(default=1.0, gt=0)
    distillation_weight: float = Field(
        default=1.0, ge=0, le=1, description="w in w·distillation + (1-w)·labels"
    )


class LabelsStage(StageSettings):
    """A stage that learns the gold answers alone."""

    kind: Literal["labels"]
    embeds_dropout: Share = Field(
        default=0.0, description="dropout on the encoder's output, before the answer head"
    )


Stage = Annotated[IntermediateStage | PredictionStage | LabelsStage, Field(discriminator="kind")]
"""Section `[[stages]]`: one stage of training, run in the order written."""
