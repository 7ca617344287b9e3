"""Scores question by question, for tables: at the best threshold, with no-answer off, and one reader's less
another's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinyreader.data import Example
from tinyreader.metrics import paired_bootstrap, question_scores


@dataclass(frozen=True)
class Scored:
    """Exact match and F1 (0 to 1) of each question's best answer, its null odds, and whether it has no
    answer; each [n].
    """

    exact: np.ndarray
    f1: np.ndarray
    odds: np.ndarray
    impossible: np.ndarray

    def at_best(self, values: np.ndarray) -> np.ndarray:
        """The values at the threshold that is best for their mean: the questions of the lowest odds keep
        theirs.

        Those of the others are 1 where there is no answer, else 0.
        """
        order = np.argsort(self.odds, kind="stable")
        answered = np.concatenate([[0.0], np.cumsum(values[order])])
        left_out = np.concatenate([np.cumsum(self.impossible[order][::-1])[::-1], [0]])
        kept = np.array(self.impossible, dtype=float)
        chosen = order[: int(np.argmax(answered + left_out))]
        kept[chosen] = values[chosen]
        return kept

    def answerable(self, values: np.ndarray) -> np.ndarray:
        """The values of answerable questions, with no-answer off."""
        return np.asarray(values[~self.impossible])

    def two_ways(self) -> dict[str, np.ndarray]:
        """F1 at the best threshold, and of answerable questions with no-answer off."""
        return {"F1": self.at_best(self.f1), "answerable F1": self.answerable(self.f1)}


def scored(examples: Sequence[Example], answers: Mapping[str, str], odds: Mapping[str, float]) -> Scored:
    """The scores of best answers, given or not, and their null odds, by question id.

    As in the official script, any answer is wrong where there is none, also one that normalises to nothing.
    """
    both = np.array(
        [question_scores(example, answers[example.id]) for example in examples], dtype=float
    ).reshape(-1, 2)
    impossible = np.array([example.is_impossible for example in examples], dtype=bool)
    both[impossible & np.array([answers[example.id] != "" for example in examples], dtype=bool)] = 0.0
    return Scored(both[:, 0], both[:, 1], np.array([odds[example.id] for example in examples]), impossible)


def read_json(*paths: Path) -> list[dict[str, Any]]:
    """The objects in those files."""
    return [dict(json.loads(path.read_text("utf-8"))) for path in paths]


def minutes(record: Mapping[str, Any]) -> tuple[float, float]:
    """What a run took to train, and its teachers for their passes over its data, whoever asked for them."""
    teachers = record["teacher_pass_seconds"] + record.get("teacher_pass_seconds_of_others", 0.0)
    return sum(stage["seconds"] for stage in record["stages"]) / 60, teachers / 60


def differences(kept: Mapping[str, Scored], base: str) -> Iterator[str]:
    """A line for each other reader and each of the two ways: how much more it scores than the base, with its
    interval.
    """
    theirs = kept[base].two_ways()
    for name, mine in kept.items():
        if name != base:
            for what, values in mine.two_ways().items():
                gain = paired_bootstrap(values, theirs[what])
                yield f"{name} - {base}, {what}: {100 * gain.mean:+.2f} [{100 * gain.low:+.2f}, {100 * gain.high:+.2f}]"
