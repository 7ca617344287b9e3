"""Layer maps: even spacing, and the refusal of maps that cannot be."""

from __future__ import annotations

import pytest

from tinyreader.distil.layer_maps import resolve_layer_map, uniform_layers
from tinyreader.errors import SettingsError


@pytest.mark.parametrize(
    ("n_student", "n_teacher", "layers"),
    [
        (6, 12, (2, 4, 6, 8, 10, 12)),
        (4, 12, (3, 6, 9, 12)),
        (3, 3, (1, 2, 3)),
        (1, 12, (12,)),
        (5, 12, (2, 5, 7, 10, 12)),
        (4, 6, (2, 3, 5, 6)),
    ],
)
def test_uniform_layers_are_evenly_spaced(n_student: int, n_teacher: int, layers: tuple[int, ...]) -> None:
    """Multiples of the ratio; the nearest layer where it is no whole number, of two the upper."""
    assert uniform_layers(n_student, n_teacher) == layers


def test_uniform_layers_never_repeat_and_end_with_the_last() -> None:
    """For every pair of depths the layers ascend strictly and the last one is the teacher's last."""
    for n_teacher in range(1, 30):
        for n_student in range(1, n_teacher + 1):
            layers = uniform_layers(n_student, n_teacher)
            assert len(set(layers)) == n_student
            assert list(layers) == sorted(layers)
            assert (layers[0] >= 1, layers[-1]) == (True, n_teacher)


def test_a_deeper_student_needs_a_list() -> None:
    """A student deeper than its teacher is no case for even spacing, but a list may repeat layers."""
    with pytest.raises(
        SettingsError, match="4 layers cannot be spread evenly over a teacher of 2: give a list"
    ):
        resolve_layer_map("uniform", 4, 2)
    assert resolve_layer_map((1, 1, 2, 2), 4, 2) == (1, 1, 2, 2)


@pytest.mark.parametrize(
    ("layers", "said"),
    [((1, 2), "2 entries for 3"), ((1, 2, 7), "names layer 7"), ((0, 1, 2), "names layer 0")],
)
def test_lists_are_checked_against_the_models(layers: tuple[int, ...], said: str) -> None:
    """A list has one entry for each student layer, each of them a layer of the teacher."""
    with pytest.raises(SettingsError, match=said):
        resolve_layer_map(layers, 3, 6)
