"""Training a small student to read as its teacher does: recipes, students, losses, the training loop.

The names below load on first use, as they need torch.
"""

from __future__ import annotations

from importlib import import_module

from tinyreader.errors import MissingExtraError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tinyreader.distil.recipe import Recipe, load_recipe
    from tinyreader.distil.run import Distilled, distil, run_recipe
    from tinyreader.distil.settings import (
        EvaluationSettings,
        IntermediateStage,
        LabelsStage,
        PredictionStage,
        RandomStudent,
        StudentFromCheckpoint,
        StudentFromTeacher,
        TrainingSettings,
    )

_HOMES = {
    "recipe": ("Recipe", "load_recipe"),
    "run": ("Distilled", "distil", "run_recipe"),
    "settings": (
        "EvaluationSettings",
        "IntermediateStage",
        "LabelsStage",
        "PredictionStage",
        "RandomStudent",
        "StudentFromCheckpoint",
        "StudentFromTeacher",
        "TrainingSettings",
    ),
}

__all__ = [
    "Distilled",
    "EvaluationSettings",
    "IntermediateStage",
    "LabelsStage",
    "PredictionStage",
    "RandomStudent",
    "Recipe",
    "StudentFromCheckpoint",
    "StudentFromTeacher",
    "TrainingSettings",
    "distil",
    "load_recipe",
    "run_recipe",
]


def __getattr__(name: str) -> object:
    """The public name, from its module."""
    for module, names in _HOMES.items():
        if name in names:
            try:
                return getattr(import_module(f"tinyreader.distil.{module}"), name)
            except ModuleNotFoundError as error:
                raise MissingExtraError("training", "train") from error
    raise AttributeError(f"module 'tinyreader.distil' has no attribute {name!r}")
