"""The reader in the package: it is found without a name, answers offline at once, and is small and
labelled.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tinyreader import Reader
from tinyreader.errors import ModelError
from tinyreader.model_files import PACKED_FILE, STARTER, STARTER_DIRECTORY, model_directory, own_directory
from tinyreader.reader.settings import read_settings
from tinyreader.sample import minutes

OFFLINE = """
import socket

def refuse(*arguments, **options):
    raise AssertionError("the network was asked")

socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from tinyreader import Reader
import sys
reading = Reader.from_pretrained().read("Who designed the bridge?", "It opened in 1911. The bridge was designed by Ada Rost.")
assert "torch" not in sys.modules and "transformers" not in sys.modules
print(reading.answer.text)
"""


def test_it_is_meant_where_no_name_is_given() -> None:
    """`Reader.from_pretrained()`, the name, and the directory are one reader."""
    assert model_directory(STARTER) == STARTER_DIRECTORY
    assert (
        Reader.from_pretrained().settings
        == Reader.from_pretrained(STARTER).settings
        == read_settings(STARTER_DIRECTORY)
    )


def test_a_directory_of_that_name_does_not_come_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stands in the working directory, nobody who names no model reads with it; as a path it can be
    had.
    """
    (tmp_path / STARTER).mkdir()
    monkeypatch.chdir(tmp_path)
    assert model_directory(STARTER) == STARTER_DIRECTORY
    assert model_directory(f"./{STARTER}") == model_directory(Path(STARTER)) == Path(STARTER)


def test_it_has_no_revisions() -> None:
    """It is that of the installed version."""
    with pytest.raises(ModelError, match=r"a revision .* can only be chosen for a Hub id"):
        model_directory(STARTER, "main")


def test_it_answers_without_network_and_torch() -> None:
    """In a fresh interpreter in which no connection can be made."""
    done = subprocess.run([sys.executable, "-c", OFFLINE], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "Ada Rost", done.stderr


@pytest.mark.parametrize("precision", ["auto", "fp32"])
def test_it_reads_a_page(precision: str) -> None:
    """At least five of six questions on the sample page are answered rightly, with a place and a score that
    says so.
    """
    from tinyreader.quickstart import MIN_RIGHT, Asked

    reader = Reader.from_pretrained(precision=precision)  # type: ignore[arg-type]
    asked = Asked(minutes(), tuple(reader.read(example.question, example.context) for example in minutes()))
    assert asked.n_right >= MIN_RIGHT
    for reading in asked.readings:
        for answer in reading.answers:
            assert answer.document.text[answer.start : answer.end] == answer.text
            assert 0 < answer.score < 1


def test_it_is_small_calibrated_and_says_where_it_comes_from() -> None:
    """Less than 30 MB with all that belongs to it; a threshold of its own; card, terms, and how it was made,
    without paths.
    """
    files = {path.name: path for path in STARTER_DIRECTORY.iterdir()}
    assert sum(path.stat().st_size for path in files.values()) < 30e6
    assert {
        PACKED_FILE,
        "config.json",
        "tokenizer.json",
        "reader.json",
        "run.json",
        "README.md",
        "LICENSE",
    } <= files.keys()
    settings = read_settings(STARTER_DIRECTORY)
    assert settings.no_answer_threshold != 0.0
    assert settings.temperature != 1.0
    card = files["README.md"].read_text("utf-8")
    for words in ("Apache-2.0", "CC BY-SA 4.0", "all-MiniLM-L6-v2", "SQuAD 2.0", "all-mpnet-base-v2"):
        assert words in card
    run = json.loads(files["run.json"].read_text("utf-8"))
    assert run["scores"]["best_f1"] > 0
    assert '"/' not in files["run.json"].read_text("utf-8"), "a path of the machine that made it"


def test_it_is_nobodys_own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be written beside a model is not written into a folder that happens to bear its name."""
    (tmp_path / STARTER).mkdir()
    monkeypatch.chdir(tmp_path)
    assert own_directory(STARTER) is None
    assert own_directory("owner/name") is None
    assert own_directory(f"./{STARTER}") == Path(STARTER)
