"""The command line as a whole: its version, and what its help says."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from rich.text import Text
from typer.testing import CliRunner

import tinyreader
from tinyreader.cli import app, main


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that call it."""
    yield words, command
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, (*words, name))


ALL = dict(commands(typer.main.get_command(app)))


def test_the_version_is_the_packages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`tinyreader --version` prints it alone."""
    monkeypatch.setattr(sys, "argv", ["tinyreader", "--version"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    assert capsys.readouterr().out == f"{tinyreader.__version__}\n"


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_is_shown_as_it_is_written(words: tuple[str, ...]) -> None:
    """No part of a help text is taken for markup and vanishes, and none ends in the blank that such a part
    leaves.
    """
    for text in (ALL[words].help, *(getattr(each, "help", None) for each in ALL[words].params)):
        assert Text.from_markup(text or "").plain == (text or "")
    shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "250", "TERM": "dumb"})
    assert shown.exit_code == 0
    assert not re.findall(r"\S* \.(?:\s|$)", shown.output)


@pytest.mark.parametrize(
    ("words", "default"),
    [
        (["quickstart"], "[default: (a temporary directory)]"),
        (["distil"], "[default: (runs/RECIPE)]"),
        (["predict"], "[default: (beside OUT, as NAME.null_odds.json)]"),
    ],
)
def test_defaults_that_are_worked_out_are_named(words: list[str], default: str) -> None:
    """The help says what happens where an option is left out."""
    assert (
        default in CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "250", "TERM": "dumb"}).output
    )
