"""The command line as a whole: its version, and what its help says."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import Any, get_args

import pytest
import typer
from rich.text import Text
from typer.testing import CliRunner

import tinyreader
from tinyreader.cli import app, main, options
from tinyreader.runtimes import engines


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that call it."""
    yield words, command
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, (*words, name))


ALL = dict(commands(typer.main.get_command(app)))


def help_of(words: Sequence[str]) -> str:
    """What the help of a command looks like on a terminal of 80 columns."""
    return CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80", "TERM": "dumb"}).output


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
    assert default in " ".join(help_of(words).split())


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_no_option_is_cut_on_a_narrow_terminal(words: tuple[str, ...]) -> None:
    """At 80 columns, the help still shows the name of every option and the first sentence of every command."""
    shown = help_of(words)
    for parameter in ALL[words].params:
        assert all(name in shown for name in parameter.opts if name.startswith("-"))
    assert "..." not in re.sub(r"\[ARGS\]\.\.\.|\}\.\.\.", "", shown)


@pytest.mark.parametrize("words", [w for w in ALL if w not in ((), ("data",))], ids=" ".join)
def test_every_command_has_an_example_that_it_accepts(words: tuple[str, ...]) -> None:
    """The help ends with a call of the command, whose options and choices it knows."""
    *_, line = ALL[words].epilog.splitlines()
    call = shlex.split(line)
    assert call[: len(words) + 1] == ["tinyreader", *words]
    ALL[words].make_context(" ".join(words), call[len(words) + 1 :])


def test_an_option_means_the_same_everywhere() -> None:
    """Options that many commands have are worded alike, in all but four commands."""
    found: dict[str, set[tuple[str | None, str]]] = {}
    for words, command in ALL.items():
        for each in command.params:
            if words not in (("serve",), ("export",), ("augment",), ("finetune",)):
                found.setdefault(each.name, set()).add((getattr(each, "help", None), str(each.metavar)))
    for name in ("engine", "precision", "threads", "quiet", "split", "on_bad", "seed", "top_k", "rejects"):
        assert len(found[name]) == 1, found[name]


def test_engines_are_those_of_the_library() -> None:
    """The command line writes the names out, so that its help does not load an engine; they are the same."""
    assert set(get_args(options.Engine)) == set(get_args(engines.Engine))
