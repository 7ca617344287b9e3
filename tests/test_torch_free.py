"""The base install answers questions: neither torch nor Transformers is there, and nothing asks for them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tiny_models import write_reader
from tinyreader.reader.settings import ReaderSettings, write_settings

ABSENT = (
    "torch",
    "transformers",
    "accelerate",
    "datasets",
    "huggingface_hub",
)  # what the [train] extra brings
AS_IN_A_BASE_INSTALL = f"""
import sys

class Without:
    asked_for = set()

    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT!r}:
            self.asked_for.add(name)
            return None
        return self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a reader that always answers, and a text."""
    folder = tmp_path_factory.mktemp("base-install")
    write_settings(
        ReaderSettings(no_answer_threshold=float("inf"), max_seq_len=40, doc_stride=8), write_reader(folder)
    )
    (folder / "text.txt").write_text("the bridge was built in it")
    return folder


def run_without(code: str, place: Path) -> subprocess.CompletedProcess[str]:
    """How a fresh interpreter fared that cannot import what is absent, and what it said."""
    command = [sys.executable, "-c", AS_IN_A_BASE_INSTALL + code]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("name", ABSENT)
def test_the_interpreter_really_lacks_them(place: Path, name: str) -> None:
    """The block works: an import that is made all the same fails as it would where the package is not
    installed.
    """
    result = run_without(f"import {name}", place)
    assert result.returncode == 1
    assert f"No module named '{name}'" in result.stderr


@pytest.mark.parametrize("engine", ["auto", "openvino"])
def test_a_reader_answers_without_torch(place: Path, engine: str) -> None:
    """`Reader` answers from a model directory without trying to import torch, Transformers or what comes with
    them.
    """
    code = (
        "from tinyreader import Reader\n"
        f"reader = Reader.from_pretrained('reader', engine={engine!r}, threads=1)\n"
        "one = reader.read('who ?', 'the bridge was built')\n"
        "many = list(reader.read_many([('who ?', 'the bridge was built'), ('in ?', ['it was built', 'in the "
        "bridge'])]))\n"
        "import json\n"
        "print(json.dumps([len(one.answers), len(many), sorted(Without.asked_for)]))"
    )
    result = run_without(code, place)
    assert result.returncode == 0, result.stderr
    n_answers, n_readings, asked_for = json.loads(result.stdout)
    assert n_answers >= 1
    assert n_readings == 2
    assert asked_for == []


def test_the_command_line_answers_without_torch(place: Path) -> None:
    """`tinyreader ask` prints the answer without trying to import torch, Transformers or what comes with
    them.
    """
    code = (
        "from tinyreader.cli import main\n"
        "sys.argv = ['tinyreader', 'ask', 'who ?', 'text.txt', '--model', 'reader', '--json']\n"
        "try:\n    main()\n"
        "finally:\n    sys.stderr.write(f'asked for: {sorted(Without.asked_for)}')"
    )
    result = run_without(code, place)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["answers"]
    assert result.stderr.endswith("asked for: []")


def test_predictions_are_made_without_torch(place: Path) -> None:
    """`tinyreader predict` writes its files without trying to import torch, Transformers or what comes with them."""
    code = (
        "from tinyreader.cli import main\n"
        'open(\'data.jsonl\', \'w\').write(\'{"id": "a", "question": "who ?", "context": "the bridge", "answers": []}\')\n'
        "sys.argv = 'tinyreader predict reader data.jsonl -o p.json --max-seq-len 40 --doc-stride 8 -q'.split()\n"
        "try:\n    main()\n"
        "finally:\n    sys.stderr.write(f'asked for: {sorted(Without.asked_for)}')"
    )
    result = run_without(code, place)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["questions"] == 1
    assert result.stderr.endswith("asked for: []")


def test_what_needs_torch_says_what_to_install(place: Path) -> None:
    """Asking for the torch engine in a base install is one line that names the extra, with exit code 2."""
    code = (
        "from tinyreader.cli import main\n"
        "sys.argv = ['tinyreader', 'ask', 'who ?', 'text.txt', '--model', 'reader', '--engine', 'torch']\n"
        "main()"
    )
    result = run_without(code, place)
    assert result.returncode == 2
    assert "tinyreader[train]" in result.stderr
    assert "Traceback" not in result.stderr


def test_openvino_reports_nothing() -> None:
    """Its telemetry, which is on where nobody opted out, is its own empty stub here."""
    code = (
        "import tinyreader.runtimes.openvino, openvino\n"
        "from openvino.tools.ovc import telemetry_utils\n"
        "print(telemetry_utils.tm.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["openvino.tools.ovc.telemetry_stub"]
