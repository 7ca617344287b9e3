"""`tinyreader distil` and `finetune`: what the command line makes of its arguments."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tinyreader.cli import distil as commands
from tinyreader.cli import main


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command would have run: the recipe and the directory."""
    seen: dict[str, Any] = {}

    def note(recipe: Any, out: Path, *, quiet: bool) -> None:
        seen.update(recipe=recipe, out=out, quiet=quiet)

    monkeypatch.setattr(commands, "_run", note)
    return seen


@pytest.mark.parametrize(
    "name", ["plain.json", "with blank.json", "数.json", "tr😀.json", 'a"b\\c.json', "5", "1e3"]
)
def test_finetune_takes_any_file_name(
    monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], name: str
) -> None:
    """Names reach the recipe as they were typed, signs beyond U+FFFF, quotes and numbers included."""
    monkeypatch.setattr(sys, "argv", ["tinyreader", "finetune", name, name, "-o", "out", "--epochs", "0.5"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    recipe = asked["recipe"]
    assert (recipe.student.model, recipe.data.train, recipe.stages[0].epochs) == (name, name, 0.5)
