"""The whole job on the embedded sample: a teacher, a student distilled from it, one trained on labels, side by side.

It runs the code of a real run, on a small invented encyclopaedia, from random weights: nothing is downloaded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig, BertForQuestionAnswering

from tinyreader.data import Example, write_squad
from tinyreader.distil.evaluate import open_runtime
from tinyreader.distil.recipe import Recipe, load_recipe
from tinyreader.distil.run import RunResult, run_recipe
from tinyreader.files import make_directory
from tinyreader.models import save_reader
from tinyreader.predict import Prediction, predict
from tinyreader.progress import Progress
from tinyreader.sample import SHOWCASE, encyclopaedia, tokenizer
from tinyreader.windows import Windower, WindowSettings

MIN_TEACHER_F1 = 85.0
MIN_SHARE_KEPT = 0.90

_VOCABULARY = 1500
_LAYERS, _WIDTH, _HEADS = 4, 128, 4
_MAX_TOKENS = 192
_DEVIATION = 0.08


@dataclass(frozen=True, slots=True)
class Row:
    """One reader of the table: its name, size, scores on the held-out articles and seconds of training."""

    name: str
    layers: int
    parameters: int
    scores: dict[str, float]
    seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """The three readers, what the distilled one says to the showcase questions, and the file that holds their text."""

    teacher: Row
    labels: Row
    distilled: Row
    student: Path
    asked: tuple[tuple[Example, Prediction], ...]
    shown: Path

    @property
    def share_kept(self) -> float:
        """The part of the teacher's F1 that the distilled student keeps."""
        return self.distilled.scores["f1"] / max(self.teacher.scores["f1"], 1e-9)

    @property
    def failures(self) -> tuple[str, ...]:
        """What the run did not reach, in sentences; empty when all is well."""
        found = []
        if self.teacher.scores["f1"] < MIN_TEACHER_F1:
            found.append(f"the teacher's F1 is {self.teacher.scores['f1']:.1f}; at least {MIN_TEACHER_F1:.0f} was expected")
        if self.share_kept < MIN_SHARE_KEPT:
            found.append(f"the student keeps {self.share_kept:.1%} of it; at least {MIN_SHARE_KEPT:.0%} was expected")
        return tuple(found)


def quickstart(out: Path, progress: Progress) -> Outcome:
    """Trains and distils under `out`; goes on where an earlier call on the same directory stopped."""
    make_directory(out)
    book = encyclopaedia()
    train, dev = out / "sample" / "train.json", out / "sample" / "held-out.json"
    write_squad(book.train, train)
    write_squad(book.held_out, dev)
    shown = out / "sample" / "showcase.txt"
    shown.write_text(SHOWCASE[0].context + "\n", encoding="utf-8")
    shell = _untrained_model(book.train, out / "sample" / "untrained")
    data = [_set("data.train", train), _set("data.dev", dev)]

    progress.say("1/3  the teacher, from random weights")
    recipe = load_recipe("quickstart-teacher", [*data, _set("student.model", shell)])
    teacher = run_recipe(recipe, out / "teacher", progress)
    taught = [*data, _set("teacher.model", teacher.student)]

    progress.say("2/3  the student, distilled in two stages")
    distilled = run_recipe(load_recipe("quickstart", taught), out / "distilled", progress)

    progress.say("3/3  the same student on labels alone, as many steps")
    steps = sum(stage["steps"] for stage in distilled.record["stages"])
    labels = run_recipe(
        load_recipe("quickstart-labels", [*taught, f"stages.labels.max_steps={steps}"]), out / "labels", progress
    )
    return Outcome(
        _row("teacher", teacher), _row("labels alone", labels), _row("distilled", distilled),
        distilled.student, _ask(distilled.student, recipe), shown,
    )  # fmt: skip


def _set(key: str, path: Path) -> str:
    """The override that sets `key` to a path; TOML does not know JSON's escapes of signs beyond U+FFFF."""
    return f"{key}={json.dumps(str(path), ensure_ascii=False)}"


def _untrained_model(examples: tuple[Example, ...], folder: Path) -> Path:
    """A directory with a tokenizer learned from the texts and a small BERT with random weights.

    Two things let it learn in minutes what takes BERT's usual random weights several times as long: weights that are
    larger, as befits the small width, and position embeddings that start as waves, so that near tokens look alike.
    """
    built = tokenizer(examples, _VOCABULARY)
    config = BertConfig(
        vocab_size=built.get_vocab_size(), hidden_size=_WIDTH, num_hidden_layers=_LAYERS, num_attention_heads=_HEADS,
        intermediate_size=2 * _WIDTH, max_position_embeddings=_MAX_TOKENS, initializer_range=_DEVIATION,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        model = BertForQuestionAnswering(config)
        model.bert.embeddings.position_embeddings.weight.copy_(_waves(_MAX_TOKENS, _WIDTH) * (_DEVIATION * 2**0.5))
    return save_reader(model, built, folder)


def _waves(n_positions: int, width: int) -> torch.Tensor:
    """[positions, width]: sines and cosines with wavelengths from 6 to 6,000 tokens (arXiv 1706.03762, section 3.5)."""
    frequencies = 1000.0 ** -(torch.arange(0, width, 2) / width)
    angles = torch.arange(n_positions)[:, None] * frequencies
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)


def _row(name: str, result: RunResult) -> Row:
    stages: list[dict[str, Any]] = result.record["stages"]
    seconds = sum(s["seconds"] for s in stages) + result.record["teacher_pass_seconds"]
    config = json.loads((result.student / "config.json").read_text())
    return Row(name, config["num_hidden_layers"], result.record["student"]["parameters"], result.scores, seconds)


def _ask(student: Path, recipe: Recipe) -> tuple[tuple[Example, Prediction], ...]:
    built, runtime = open_runtime(str(student), "auto", recipe.data.max_seq_len)
    windower = Windower(built, WindowSettings(recipe.data.max_seq_len, recipe.data.doc_stride))
    return tuple(zip(SHOWCASE, predict(SHOWCASE, windower, runtime), strict=True))
