"""Students before training: layers taken from the teacher, a checkpoint, or random weights."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel

from tinyreader.distil.layer_maps import resolve_layer_map
from tinyreader.distil.narrow import Narrowing
from tinyreader.distil.settings import StudentSettings, parse_shape
from tinyreader.distil.shapes import feed_forward_key, shaped_configuration
from tinyreader.errors import ModelError, SettingsError
from tinyreader.models import (
    LoadedReader,
    encoder_layers,
    load_configuration,
    load_encoder_as_reader,
    model_directory,
)
from tinyreader.models.reader import new_model
from tinyreader.tokenizer import load_tokenizer

log = logging.getLogger(__name__)


def build_student(settings: StudentSettings, teacher: LoadedReader | None, seed: int) -> LoadedReader:
    """The student that the settings describe, before training; the seed decides what is random in it.

    `SettingsError` when the shape does not fit the teacher. The student's tokenizer may be another than the
    teacher's.
    """
    if settings.init == "checkpoint":
        return load_encoder_as_reader(_model(settings), revision=settings.revision, seed=seed)
    if settings.init == "random":
        return _random(settings, teacher, seed)
    return _from_teacher(settings, _needed(teacher, settings), seed)


def _model(settings: StudentSettings) -> str:
    if settings.model is None:
        raise SettingsError(f"student.init = {settings.init!r} needs student.model")
    return settings.model


def _needed(teacher: LoadedReader | None, settings: StudentSettings) -> LoadedReader:
    if teacher is None:
        raise SettingsError(f"student.init = {settings.init!r} needs a teacher: set teacher.model")
    return teacher


def _random(settings: StudentSettings, teacher: LoadedReader | None, seed: int) -> LoadedReader:
    """A student with random weights, after the configuration of `settings.model` or else of the teacher."""
    if settings.model is not None:
        source = model_directory(settings.model, settings.revision)
        config, tokenizer = load_configuration(source), load_tokenizer(source)
    else:
        origin = _needed(teacher, settings)
        source, config, tokenizer = origin.source, origin.config, origin.tokenizer
    if settings.shape is not None:
        config = shaped_configuration(config, parse_shape(settings.shape))
    return LoadedReader(new_model(config, seed), tokenizer, Path(source), head_is_new=True)


def _from_teacher(settings: StudentSettings, teacher: LoadedReader, seed: int) -> LoadedReader:
    """A student made of the teacher's embeddings, some of its layers and its head, narrowed where it is
    narrower.
    """
    if settings.shape is None:
        raise SettingsError("student.init = 'teacher' needs student.shape, such as '6l-768d'")
    shape = parse_shape(settings.shape)
    layers = resolve_layer_map(
        settings.layers or "uniform", shape.layers, int(teacher.config.num_hidden_layers)
    )
    config = shaped_configuration(teacher.config, shape, layers)
    forward = feed_forward_key(config)
    sizes = {"width": "hidden_size", "feed-forward width": forward, "number of heads": "num_attention_heads"}
    for name, key in sizes.items():
        if getattr(config, key) > getattr(teacher.config, key):
            raise SettingsError(
                f"student.shape = {settings.shape!r}: its {name}, {getattr(config, key)}, is more than its "
                "teacher's "
                f"{getattr(teacher.config, key)}, from which it should be taken; use student.init = 'random'"
            )
    model = new_model(config, seed)
    take_layers(model, teacher.model, layers)
    return LoadedReader(model, teacher.tokenizer, teacher.source)


def take_layers(student: PreTrainedModel, teacher: PreTrainedModel, layers: tuple[int, ...]) -> None:
    """Give the student the teacher's embeddings, head and `layers` (counted from 1), narrowed where it is
    narrower.

    A tensor that the teacher has no counterpart for keeps its first value: ModernBERT's first layer has no
    norm before its attention, so a student layer made from it starts with a norm that changes nothing but the
    scale.
    """
    names = source_names(student, teacher, layers)
    given = dict(teacher.named_parameters())
    narrowing = Narrowing(teacher, student)
    with torch.no_grad():
        for name, parameter in student.named_parameters():
            source = names[name]
            if source not in given:
                log.info("%s has no counterpart in the teacher and keeps its first value", name)
                continue
            parameter.copy_(narrowing(name, given[source], parameter.shape))


def source_names(
    student: PreTrainedModel, teacher: PreTrainedModel, layers: tuple[int, ...]
) -> dict[str, str]:
    """For each parameter of the student the teacher's name of the one it starts from."""
    place = path_of(student, encoder_layers(student))
    if place != path_of(teacher, encoder_layers(teacher)):
        raise ModelError(
            f"a {student.config.model_type} student cannot be made from a {teacher.config.model_type}"
        )
    names = {}
    for name, _ in student.named_parameters():
        number, _, rest = name.removeprefix(f"{place}.").partition(".")
        inside = name.startswith(f"{place}.")
        names[name] = f"{place}.{layers[int(number)] - 1}.{rest}" if inside else name
    return names


def path_of(model: nn.Module, part: nn.Module) -> str:
    """The dotted name under which a model has one of its parts."""
    return next(str(name) for name, module in model.named_modules() if module is part)
