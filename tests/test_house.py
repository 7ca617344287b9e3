"""Contract tests: what must stay true of the whole package, whatever its modules do."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

import tinyreader
from tinyreader.cli import app
from tinyreader.model_files import STARTER_DIRECTORY

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "src" / "tinyreader"
MODULES = sorted(PACKAGE.rglob("*.py"))
README = (REPOSITORY / "README.md").read_text("utf-8")
ARCHITECTURE = (REPOSITORY / "docs" / "architecture.md").read_text("utf-8")

# The flow of data, in one direction: a room imports only rooms above it. This is the only place where it is
# written.
ORDER = (
    "errors",
    "arrays",
    "storage",
    "progress",
    "malloc",
    "data",
    "documents",
    "own_questions",
    "passages",
    "tokenizer",
    "model_files",
    "windows",
    "spans",
    "metrics",
    "models",
    "runtimes",
    "reader",
    "collection",
    "augment",
    "distil",
    "recipes",
    "sample",
    "export",
    "report",
    "adapt",
    "quickstart",
    "integrations",
    "serve",
    "client",
    "cli",
    "__main__",
)
TORCH_FREE = (
    "errors",
    "arrays",
    "storage",
    "progress",
    "malloc",
    "data",
    "documents",
    "passages",
    "tokenizer",
    "model_files",
    "windows",
    "spans",
    "metrics",
    "runtimes",
    "reader",
    "export",
    "report",
    "cli",
)
OF_TORCH = {  # the modules of a light room that are loaded when torch is asked for
    PACKAGE / "runtimes" / name
    for name in ("torch_runtime.py", "tracing.py", "openvino/convert.py", "onnx/convert.py")
}
HEAVY = ("torch", "transformers", "accelerate", "datasets", "huggingface_hub")


def room_of(path: Path) -> str:
    """The room a module belongs to: the first name below the package, `` for the package's own `__init__`."""
    first = path.relative_to(PACKAGE).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def imports(tree: ast.AST, *, of_module_level: bool = False) -> Iterator[tuple[int, str]]:
    """The line and dotted name of each import; of_module_level leaves out functions and type-checking
    blocks.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif not (of_module_level and is_left_for_later(node)):
            yield from imports(node, of_module_level=of_module_level)


def is_left_for_later(node: ast.AST) -> bool:
    """Whether importing the module does not run this node."""
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.unparse(node.test)
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def parse(path: Path) -> ast.Module:
    """The module's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def place(path: Path, line: int) -> str:
    """The place as an editor takes it."""
    return f"{path.relative_to(REPOSITORY)}:{line}"


def run_python(code: str) -> str:
    """What a fresh interpreter prints for the code."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_public_names_resolve() -> None:
    """Every name in `__all__` is there, `dir` shows it, and nothing else pretends to be public."""
    assert sorted(tinyreader.__all__) == tinyreader.__all__
    for name in tinyreader.__all__:
        assert getattr(tinyreader, name) is not None
    assert set(tinyreader.__all__) <= set(dir(tinyreader))
    with pytest.raises(AttributeError, match="no_such_name"):
        getattr(tinyreader, "no_such_name")  # noqa: B009 - the type checker would refuse the plain form


def test_version_is_that_of_the_project_file() -> None:
    """`__version__` is what pyproject.toml says, and the changelog has an entry for it."""
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert tinyreader.__version__ == version
    assert re.search(
        rf"^## {re.escape(version)}\b", (REPOSITORY / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE
    )


def test_import_is_light_and_without_effects() -> None:
    """`import tinyreader` loads a handful of small modules and leaves environment and logging as they
    were.
    """
    loaded, unchanged = json.loads(
        run_python(
            "import json, logging, os, sys\n"
            "state = lambda: (dict(os.environ), list(logging.root.handlers), logging.root.level)\n"
            "modules, before = set(sys.modules), state()\n"
            "import tinyreader\n"
            "print(json.dumps([sorted(set(sys.modules) - modules), before == state()]))\n"
        )
    )
    assert unchanged
    assert "tinyreader" in loaded
    assert len(loaded) < 10, f"too much for an import that should cost milliseconds: {loaded}"


def test_light_rooms_import_without_the_train_extra() -> None:
    """Importing every module of the torch-free rooms, the command line included, loads no package of the
    extra.
    """
    names = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in MODULES
        if room_of(path) in TORCH_FREE and path not in OF_TORCH
    ]
    names = [name.removesuffix(".__init__") for name in names]
    loaded = json.loads(
        run_python(
            "import importlib, json, sys\n"
            f"for name in {names!r}: importlib.import_module(name)\n"
            f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))\n"
        )
    )
    assert loaded == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_keeps_the_house_rules(path: Path) -> None:
    """A module stands in the order, imports only rooms before its own, and a light one defers what is
    heavy.
    """
    room, tree = room_of(path), parse(path)
    if room == "":
        return
    assert room in ORDER, f"{path.name}: add the room {room!r} to ORDER, at its place in the flow"
    earlier = ORDER[: ORDER.index(room) + 1]
    for line, name in imports(tree):
        assert not name.startswith("."), f"{place(path, line)}: write the import in full, from tinyreader"
        parts = name.split(".")
        if parts[0] == "tinyreader":
            target = parts[1] if len(parts) > 1 else ""
            assert target in earlier, (
                f"{place(path, line)}: {room} must not import {name}; it may use {earlier}"
            )
    if room in TORCH_FREE and path not in OF_TORCH:
        for line, name in imports(tree, of_module_level=True):
            assert name.split(".")[0] not in HEAVY, (
                f"{place(path, line)}: import {name} in the function that uses it"
            )
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", f"{place(path, node.lineno)}: a library does not print"


def test_readme_targets_and_tree_are_there() -> None:
    """The README's make targets exist, and its file tree shows every room of the package and nothing else."""
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE))
    assert named, "the README should show how to start"
    assert named <= targets
    tree = README.split("src/tinyreader/\n")[1].split("\n```")[0]
    shown = set(re.findall(r"^  ([a-z_]+)(?:\.py|/)", tree, re.MULTILINE))
    rooms = {*map(room_of, MODULES), STARTER_DIRECTORY.name}
    assert shown == {room for room in rooms if room and not room.startswith("_")}


def test_architecture_names_every_room_in_order_and_files_that_exist() -> None:
    """docs/architecture.md has a row for each room, in the order of imports, and the files it names exist."""
    rooms = {*map(room_of, MODULES), STARTER_DIRECTORY.name}
    shown = re.findall(r"^\| `([a-z_]+)` \|", ARCHITECTURE, re.MULTILINE)
    assert set(shown) == {room for room in rooms if room and not room.startswith("_")}
    in_order = [room for room in shown if room in ORDER]
    assert in_order == [room for room in ORDER if room in shown]
    for name in re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.py)`", ARCHITECTURE):
        assert (PACKAGE / name).is_file() or (REPOSITORY / name).is_file(), (
            f"docs/architecture.md names {name}, which does not exist: give its new place"
        )


def test_readme_commands_are_those_of_the_command_line() -> None:
    """Each `tinyreader ...` in the README names a command and its options, and no command is missing
    there.
    """
    commands = registered(typer.main.get_command(app))
    shown = [line.split() for line in re.findall(r"(?:^|`)tinyreader ([^`#\n]+)", README, re.MULTILINE)]
    seen = set()
    for words in shown:
        name = " ".join(words[:2]) if " ".join(words[:2]) in commands else words[0]
        assert name in commands, (
            f"the README shows `tinyreader {' '.join(words)}`; there are {sorted(commands)}"
        )
        unknown = {word for word in words if word.startswith("-")} - commands[name]
        assert not unknown, f"`tinyreader {name}` has no {unknown}"
        seen.add(name)
    missing = {name.split()[0] for name in commands} - {name.split()[0] for name in seen}
    assert not missing, f"the README does not mention {missing}"


def registered(command: Any, prefix: str = "") -> dict[str, set[str]]:
    """The options of each command, by its full name: {"data check": {"--on-bad", ...}}."""
    if not hasattr(command, "commands"):
        return {prefix: {option for parameter in command.params for option in parameter.opts}}
    found: dict[str, set[str]] = {}
    for name, below in command.commands.items():
        found |= registered(below, f"{prefix} {name}".strip())
    return found
