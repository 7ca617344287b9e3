"""Which teacher layer each student layer goes with."""

from __future__ import annotations

from typing import Literal

from tinyreader.errors import SettingsError


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
