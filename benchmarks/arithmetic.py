"""How much arithmetic distillation needs: floating-point operations in matrix products, real tokens only.

A product of [m, k] by [k, n] counts 2mkn. Left out, being small beside: embeddings, norms, softmax, losses,
the answer head.
"""

from __future__ import annotations

from collections.abc import Iterable

from workload import Shape


def forward(shape: Shape, lengths: Iterable[int]) -> float:
    """Operations of one pass of the encoder over windows of these lengths.

    Per layer and token: four [width, width] products (query, key, value, output) and two [width,
    intermediate] ones; per layer and window of n tokens: scores and weighted values, 2 · n² · width each.
    """
    per_token = 2 * (4 * shape.width**2 + 2 * shape.width * shape.intermediate)
    return float(shape.layers * sum(n * per_token + 4 * n**2 * shape.width for n in lengths))


def training(shape: Shape, lengths: Iterable[int]) -> float:
    """Operations of a training pass: forward, and backward with two products for each one of forward."""
    return 3 * forward(shape, lengths)


def projections(student: Shape, teacher: Shape, lengths: Iterable[int]) -> float:
    """Operations of training the learned projections: one per student layer and one for the embeddings."""
    if student.width == teacher.width:
        return 0.0
    return float(3 * 2 * student.width * teacher.width * (student.layers + 1) * sum(lengths))


def by_phase(student: Shape, teacher: Shape, lengths: tuple[int, ...]) -> dict[str, float]:
    """Operations per feature of each phase: `intermediate` runs both models, `teacher` and `prediction` one
    each.
    """
    return {
        "intermediate": (
            forward(teacher, lengths) + training(student, lengths) + projections(student, teacher, lengths)
        )
        / len(lengths),
        "teacher": forward(teacher, lengths) / len(lengths),
        "prediction": training(student, lengths) / len(lengths),
    }
