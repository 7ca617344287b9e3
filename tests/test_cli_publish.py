"""`tinyreader publish`: what it sends to a stand-in for the Hub, what it refuses, and that the token stays
unseen.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fake_hub import FakeHub, Repository
from tiny_models import write_reader

Run = Callable[..., tuple[int, str, str]]

TOKEN = "hf_" + "TheTokenThatNobodyMaySee"
CARD = "---\nlicense: mit\n---\n# A reader\n"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """A stand-in for the Hub that knows the token."""
    with FakeHub(token=TOKEN).running() as running:
        yield running


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A reader's directory with a card, and a run.json that says where things lay."""
    directory = write_reader(tmp_path)
    (directory / "README.md").write_text(CARD)
    record = {"recipe": {"name": "x", "data": {"train": "/home/ada/secret project/train.json"}}}
    (directory / "run.json").write_text(json.dumps(record))
    return directory


@pytest.fixture
def run(hub: FakeHub, tmp_path: Path) -> Run:
    """Runs `tinyreader publish` in a process of its own, as a user would: exit code, stdout, stderr."""

    def publish(*arguments: object, **environment: str) -> tuple[int, str, str]:
        # HF_DEBUG makes the client log every request: that is where a token would slip out
        own = {
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": TOKEN,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_DEBUG": "1",
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": os.pathsep.join(sys.path),  # the package under test, wherever another is installed
        }
        done = subprocess.run(
            [sys.executable, "-m", "tinyreader", "publish", *map(str, arguments)],
            env={**own, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    return publish


def test_a_reader_is_published_with_its_card(run: Run, hub: FakeHub, model: Path) -> None:
    """Every file arrives as it is, weights by LFS, in one commit; this machine's paths stay here, and so does
    the token.
    """
    code, out, err = run(model, "ada/bridges", "--private", "--message", "First")
    assert code == 0, err
    repository = hub.repositories["ada/bridges"]
    files = repository.branches["main"]
    assert repository.private
    assert repository.messages == ["First"]
    assert set(files) == {path.name for path in model.iterdir()}
    for name in ("model.safetensors", "config.json", "README.md", "tokenizer.json"):
        assert files[name] == (model / name).read_bytes(), name
    assert json.loads(files["run.json"])["recipe"]["data"] == {"train": "train.json"}
    result = json.loads(out.splitlines()[-1])
    assert (result["published"], result["commit"]) == (True, "c" * 40)
    assert TOKEN in {token for _, _, token in hub.requests}
    assert TOKEN not in out + err
    assert any(path.startswith("/upload/") for _, path, _ in hub.requests)


def test_a_dry_run_asks_nobody(run: Run, hub: FakeHub, model: Path) -> None:
    """It lists files and sizes, without a token and without a request."""
    code, out, err = run(model, "ada/bridges", "--dry-run", HF_TOKEN="")
    assert code == 0, err
    result = json.loads(out)
    sizes = {file["name"]: file["bytes"] for file in result["files"]}
    assert sizes.keys() == {path.name for path in model.iterdir()}
    assert sizes["model.safetensors"] == (model / "model.safetensors").stat().st_size
    assert [file["name"] for file in result["files"] if file["paths_cut"]] == ["run.json"]
    assert result["bytes"] == sum(sizes.values())
    assert not result["published"]
    assert hub.requests == []
    assert "model.safetensors" in err


def test_a_branch_is_made_and_what_was_there_stays(run: Run, hub: FakeHub, model: Path) -> None:
    """--revision commits to a branch; files that were in the repository before are named."""
    hub.repositories["ada/bridges"] = Repository(
        branches={"main": {"old.txt": b"old", ".gitattributes": b""}}
    )
    code, out, err = run(model, "ada/bridges", "--revision", "v2", "--quiet")
    assert code == 0, err
    branches = hub.repositories["ada/bridges"].branches
    assert "model.safetensors" in branches["v2"]
    assert set(branches["main"]) == {"old.txt", ".gitattributes"}
    assert "were in ada/bridges before and stay there: old.txt\n" in err
    assert TOKEN not in out + err


@pytest.mark.parametrize("place", ["/api/models/", "lfs/objects/batch", "/commit/"])
def test_an_error_of_the_hub_does_not_show_the_token(run: Run, hub: FakeHub, model: Path, place: str) -> None:
    """Wherever the Hub refuses, even if it echoes the token, the message says what happened without it."""
    hub.fail = {place: 403}
    code, out, err = run(model, "ada/bridges")
    assert code == 2
    assert err.splitlines()[-1].startswith("tinyreader: ada/bridges could not be published: ")
    assert TOKEN not in out + err


def test_a_wrong_token_is_refused_and_not_shown(run: Run, hub: FakeHub, model: Path) -> None:
    """The Hub's refusal of a token is an error that does not repeat it."""
    wrong = "hf_" + "WrongButStillSecret"
    code, out, err = run(model, "ada/bridges", HF_TOKEN=wrong)
    assert code == 2
    assert "could not be published" in err
    assert wrong not in out + err
    assert hub.repositories == {}


def test_no_token_and_no_hub_are_said(run: Run, model: Path) -> None:
    """Without a token it says how to get one; a Hub that cannot be reached is an error of one line."""
    code, _, err = run(model, "ada/bridges", HF_TOKEN="")
    assert code == 2
    assert "publishing needs a token of the Hub: log in with `hf auth login`, or set HF_TOKEN." in err
    code, out, err = run(model, "ada/bridges", HF_ENDPOINT="http://127.0.0.1:9")
    assert code == 2
    assert "could not be published" in err
    assert TOKEN not in out + err


def test_a_public_repository_is_not_taken_for_a_private_one(run: Run, hub: FakeHub, model: Path) -> None:
    """--private does not send anything to a repository that is public already."""
    hub.repositories["ada/bridges"] = Repository(private=False)
    code, _, err = run(model, "ada/bridges", "--private")
    assert code == 2
    assert "ada/bridges exists and is public" in err
    assert hub.repositories["ada/bridges"].branches["main"] == {}
