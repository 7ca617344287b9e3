"""Students before training: layers taken from the teacher, a checkpoint, or random weights.

Where a student is narrower than its teacher, tensors are cut out of the teacher's. Of the hidden dimensions those
stay in which the word embeddings vary most, the same ones throughout, so that every norm keeps its meaning; heads,
the dimensions within a head and feed-forward units stay evenly spaced. This is a start, not a compression: training
has to repair what was cut. On a 6-layer MiniLM cut to half its width and depth, a linear map of such a student's
last hidden states came nearer to the teacher's, before and after a few steps of training, than with evenly spaced
hidden dimensions, and far nearer than with random weights. A projection on the principal directions of the word
embeddings was hardly better (and norms then hold only roughly); scaling the cut matrices up made it worse.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from tinyreader.distil.settings import (
    RandomStudent,
    Shape,
    StudentFromCheckpoint,
    StudentFromTeacher,
    StudentSettings,
    parse_shape,
)
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

# Projections to the heads: the rows of their matrices belong to heads. They go by these names in the known
# families.
TO_HEADS = {"query", "key", "value", "q", "k", "v"}
FUSED = {"Wqkv": 3, "Wi": 2}  # ModernBERT keeps several projections in one matrix, one below the other


def build_student(settings: StudentSettings, teacher: LoadedReader | None, seed: int) -> LoadedReader:
    """The student that the settings describe, before training; the seed decides what is random in it.

    `SettingsError` when the shape does not fit the teacher. The student's tokenizer may be another than the
    teacher's.
    """
    if isinstance(settings, StudentFromCheckpoint):
        return load_encoder_as_reader(settings.model, revision=settings.revision, seed=seed)
    if isinstance(settings, RandomStudent) and settings.model is not None:
        source = model_directory(settings.model, settings.revision)
        return _random(load_configuration(source), load_tokenizer(source), Path(source), settings.shape, seed)
    if teacher is None:
        raise SettingsError(f"student.init = {settings.init!r} needs a teacher: set teacher.model")
    if isinstance(settings, RandomStudent):
        return _random(teacher.config, teacher.tokenizer, teacher.source, settings.shape, seed)
    return _from_teacher(settings, teacher, seed)


def _random(
    config: PretrainedConfig, tokenizer: Tokenizer, source: Path, shape: str | None, seed: int
) -> LoadedReader:
    if shape is not None:
        config = shaped_configuration(config, parse_shape(shape))
    return LoadedReader(new_model(config, seed), tokenizer, source, head_is_new=True)


def _from_teacher(settings: StudentFromTeacher, teacher: LoadedReader, seed: int) -> LoadedReader:
    """The teacher's embeddings, some of its layers and its head, narrowed where the student is narrower."""
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


class Narrowing:
    """Cuts tensors of a teacher down to the shapes of a student that is made after its pattern."""

    def __init__(self, teacher: PreTrainedModel, student: PreTrainedModel) -> None:
        self.width = int(teacher.config.hidden_size), int(student.config.hidden_size)
        self.heads = int(teacher.config.num_attention_heads), int(student.config.num_attention_heads)
        self.hidden = hidden_places(teacher, self.width[1])

    def __call__(self, name: str, tensor: Tensor, shape: torch.Size) -> Tensor:
        """The part of `tensor` that stays in the student's parameter `name` of that shape."""
        for axis, (old, new) in enumerate(zip(tensor.shape, shape, strict=True)):
            if old != new:
                copies = FUSED.get(name.split(".")[-2], 1) if axis == 0 else 1
                one = self._places(old // copies, new // copies, _is_of_heads(name, axis))
                places = torch.cat([one + copy * (old // copies) for copy in range(copies)])
                tensor = tensor.index_select(axis, places)
        return tensor

    def _places(self, old: int, new: int, of_heads: bool) -> Tensor:
        """The places that stay on an axis."""
        if (old, new) != self.width:
            return evenly(old, new)
        return head_places(self.width, self.heads) if of_heads else self.hidden


def _is_of_heads(name: str, axis: int) -> bool:
    """Whether an axis as long as the model is wide counts dimensions of heads: what goes to them, or comes
    from them.
    """
    *path, role, _ = name.split(".")
    if "norm" in role.lower() or not any("att" in part for part in path):
        return False
    to_heads = (
        role in FUSED or role.removesuffix("_lin").removesuffix("_proj").removeprefix("pos_") in TO_HEADS
    )
    return to_heads == (axis == 0)


def evenly(old: int, new: int) -> Tensor:
    """`new` of the places 0 to old - 1, evenly spaced, ascending."""
    return (torch.arange(new) * 2 + 1) * old // (2 * new)


def head_places(width: tuple[int, int], heads: tuple[int, int]) -> Tensor:
    """Places that stay on the axis of all heads together: evenly spaced heads, and evenly spaced places
    within each.

    Where the student's heads are larger than the teacher's, evenly spaced places of the whole axis.
    """
    sizes = width[0] // heads[0], width[1] // heads[1]
    if sizes[1] > sizes[0]:
        return evenly(*width)
    return (evenly(*heads)[:, None] * sizes[0] + evenly(*sizes)).flatten()


def hidden_places(teacher: PreTrainedModel, n: int) -> Tensor:
    """The n hidden dimensions with the highest variance of the word embeddings, ascending.

    Where words are embedded in fewer dimensions (ELECTRA) and then projected, it is the projected ones that
    count.
    """
    words = teacher.get_input_embeddings().weight.detach().float()
    projection = getattr(teacher.base_model, "embeddings_project", None)
    if projection is not None:
        words = words @ projection.weight.detach().float().T
    places: Tensor = words.var(dim=0).topk(n).indices.sort().values
    return places


def shaped_configuration(
    pattern: PretrainedConfig, shape: Shape, layers: tuple[int, ...] | None = None
) -> PretrainedConfig:
    """The pattern's configuration with the layers, width, heads and feed-forward width of the shape.

    Heads that the shape leaves open are as many as the pattern has, so that attention can be compared head by
    head, or else of the same size; the feed-forward width keeps its proportion. `layers` are the pattern's
    layers, counted from 1, that the student's are made after, where layers differ in kind (ModernBERT's
    global and local attention).
    """
    width, size = int(pattern.hidden_size), pattern.hidden_size // pattern.num_attention_heads
    forward = feed_forward_key(pattern)
    content: dict[str, Any] = pattern.to_dict()
    names = getattr(pattern, "attribute_map", {})
    content |= {
        names.get("num_hidden_layers", "num_hidden_layers"): shape.layers,
        names.get("hidden_size", "hidden_size"): shape.width,
        names.get("num_attention_heads", "num_attention_heads"): shape.heads
        or _heads(pattern, shape.width, size),
        forward: shape.intermediate or round(getattr(pattern, forward) * shape.width / width),
    }
    for key in (
        "embedding_size",
        "pooler_hidden_size",
    ):  # ELECTRA's may differ from the width, and then stays
        if content.get(key) == width:
            content[key] = shape.width
    kinds = content.get("layer_types")
    if kinds is not None:
        places = layers or tuple(1 + m % len(kinds) for m in range(shape.layers))
        content["layer_types"] = [kinds[place - 1] for place in places]
    return type(pattern).from_dict(content)


def feed_forward_key(config: PretrainedConfig) -> str:
    """What this kind of configuration calls the feed-forward width."""
    return "hidden_dim" if hasattr(config, "hidden_dim") else "intermediate_size"


def _heads(pattern: PretrainedConfig, width: int, size: int) -> int:
    """The pattern's number of heads if it divides the width, else as many as its head size gives."""
    heads = int(pattern.num_attention_heads)
    if width % heads == 0:
        return heads
    if width % size == 0:
        return width // size
    raise SettingsError(
        f"a width of {width} can be divided neither into {heads} heads nor into heads of {size}, as the "
        "teacher has: "
        f"add the number of heads to the shape, as in '{width}d-4h'"
    )


def uniform_layers(n_student: int, n_teacher: int) -> tuple[int, ...]:
    """Teacher layers, counted from 1, evenly spaced and ending with the last: g(m) = m·N_T/N_S (arXiv
    1909.10351).

    Where N_S does not divide N_T the nearest layer is taken, of two equally near ones the upper.
    """
    if not 1 <= n_student <= n_teacher:
        raise SettingsError(
            f"a student of {n_student} layers cannot be spread evenly over a teacher of {n_teacher}: "
            "give a list of teacher layers, one for each student layer"
        )
    return tuple((2 * m * n_teacher + n_student) // (2 * n_student) for m in range(1, n_student + 1))


def resolve_layer_map(
    layer_map: Literal["uniform"] | tuple[int, ...], n_student: int, n_teacher: int
) -> tuple[int, ...]:
    """Teacher layers, counted from 1, one for each of the student's; `SettingsError` where that cannot be."""
    if layer_map == "uniform":
        return uniform_layers(n_student, n_teacher)
    if len(layer_map) != n_student:
        raise SettingsError(
            f"layer map {list(layer_map)} has {len(layer_map)} entries for {n_student} student layers"
        )
    if wrong := [n for n in layer_map if not 1 <= n <= n_teacher]:
        raise SettingsError(
            f"layer map {list(layer_map)} names layer {wrong[0]}, but the teacher has 1 to {n_teacher}"
        )
    return layer_map
