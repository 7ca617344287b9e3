"""`distil.checkpoint`: what is saved is whole or absent, what is damaged is noticed, and nothing is a
pickle.
"""

from __future__ import annotations

import errno
import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from small_disk import small_disk
from tinyreader import storage
from tinyreader.distil import checkpoint as module
from tinyreader.distil.checkpoint import Checkpoint, CheckpointFolder, file_hash
from tinyreader.errors import CheckpointError

STATE: dict[str, Any] = {"seconds": 0.1, "best_score": None, "nested": {"list": [1, 2.5e-300], "text": "é"}}
FULL = OSError(errno.ENOSPC, "No space left on device")


def point(step: int, n: int = 8) -> Checkpoint:
    """A checkpoint whose tensor and state say which step it is."""
    return Checkpoint(step, {"weights": torch.full((n,), float(step))}, {**STATE, "step_again": step})


def newest(folder: Path) -> tuple[int | None, list[str]]:
    """The step of the newest whole checkpoint, checked against its content, and what was said about damaged
    ones.
    """
    said: list[str] = []
    found = CheckpointFolder(folder).newest(said.append)
    if found is None:
        return None, said
    assert found.state == {**STATE, "step_again": found.step}
    assert found.tensors["weights"].tolist() == [float(found.step)] * len(found.tensors["weights"])
    return found.step, said


def saved(folder: Path, *steps: int, keep: int = 2) -> Path:
    """The folder after saving those steps."""
    for step in steps:
        CheckpointFolder(folder, keep).save(point(step))
    return folder


def steps_in(folder: Path) -> list[str]:
    """What lies in the folder."""
    return sorted(path.name for path in folder.iterdir())


def flip(path: Path, place: int, bit: int = 0) -> None:
    """Turns one bit of a file round."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


def test_everything_comes_back_bit_for_bit(tmp_path: Path) -> None:
    """Tensors of any type and shape, and a state of JSON values, floats exactly."""
    tensors = {
        "fp32": torch.randn(3, 5),
        "bf16": torch.randn(4).bfloat16(),
        "int64": torch.tensor([2**62, -1]),
        "bool": torch.tensor([True, False]),
        "number": torch.tensor(1 / 3, dtype=torch.float64),
        "empty": torch.zeros(0, 4),
        "turned": torch.arange(6.0).reshape(2, 3).T,
    }
    state = {
        "x": 1 / 3,
        "tiny": 5e-324,
        "big": 2**60,
        "none": None,
        "list": [1, [True, "ü"]],
        "not": float("nan"),
    }
    CheckpointFolder(tmp_path).save(Checkpoint(17, tensors, state))
    found = CheckpointFolder(tmp_path).newest(pytest.fail)
    assert found is not None
    assert found.step == 17
    assert found.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)
    assert repr(found.state) == repr(state)


def test_without_a_checkpoint_there_is_none(tmp_path: Path) -> None:
    """A stage that has not begun has no folder, or an empty one."""
    assert newest(tmp_path / "missing") == (None, [])
    assert newest(tmp_path) == (None, [])


def test_the_newest_is_used_and_the_oldest_go(tmp_path: Path) -> None:
    """Steps count as numbers, and `keep` of them stay."""
    saved(tmp_path, 5, 90, 100, 1000, keep=3)
    assert steps_in(tmp_path) == ["step-00000090", "step-00000100", "step-00001000"]
    assert newest(tmp_path) == (1000, [])
    saved(tmp_path, 2000, keep=1)
    assert steps_in(tmp_path) == ["step-00002000"]


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    """The later content counts."""
    folder = CheckpointFolder(tmp_path)
    folder.save(Checkpoint(5, {"weights": torch.zeros(3)}, {}))
    folder.save(point(5))
    assert newest(tmp_path) == (5, [])


def cut(path: Path) -> None:
    """Leaves the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def in_state(**changes: Any) -> Callable[[Path], None]:
    """A change of values in the JSON file that leaves it well-formed."""

    def change(folder: Path) -> None:
        path = folder / "state.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


DAMAGES: dict[str, Callable[[Path], None]] = {
    "bit-in-weights": lambda f: flip(f / "state.safetensors", -3),
    "bit-in-header": lambda f: flip(f / "state.safetensors", 20),
    "weights-cut": lambda f: cut(f / "state.safetensors"),
    "weights-empty": lambda f: (f / "state.safetensors").write_bytes(b""),
    "weights-missing": lambda f: (f / "state.safetensors").unlink(),
    "state-cut": lambda f: cut(f / "state.json"),
    "state-empty": lambda f: (f / "state.json").write_bytes(b""),
    "state-zeros": lambda f: (f / "state.json").write_bytes(b"\0" * 100),
    "state-not-utf8": lambda f: (f / "state.json").write_bytes(b"\xff\xfe{}"),
    "state-missing": lambda f: (f / "state.json").unlink(),
    "state-a-number": lambda f: (f / "state.json").write_text("7"),
    "state-a-list": lambda f: (f / "state.json").write_text("[]"),
    "state-without-keys": lambda f: (f / "state.json").write_text("{}"),
    "another-step": in_state(step=21),
    "another-position": in_state(state={"step_again": 12}),
    "another-digest": in_state(digest="0" * 32),
    "empty-folder": lambda f: (shutil.rmtree(f), f.mkdir())[1],
    "a-file-instead": lambda f: (shutil.rmtree(f), f.write_text("no folder"))[0],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_one_is_named_and_the_one_before_it_used(tmp_path: Path, damage: str) -> None:
    """Whatever happened to it, it is noticed, said once, and never loaded."""
    saved(tmp_path, 10, 20)
    DAMAGES[damage](tmp_path / "step-00000020")
    step, said = newest(tmp_path)
    assert step == 10
    assert len(said) == 1
    assert str(tmp_path / "step-00000020") in said[0]
    assert "damaged" in said[0]


def test_any_flipped_bit_is_noticed(tmp_path: Path) -> None:
    """There is no byte in either file whose damage goes unseen, in the state no more than in the weights."""
    saved(tmp_path, 10, 20)
    for name in ("state.json", "state.safetensors"):
        path = tmp_path / "step-00000020" / name
        content = path.read_bytes()
        for place in range(len(content)):
            flip(path, place, bit=place % 7)
            assert newest(tmp_path)[0] == 10, f"byte {place} of {name}"
            (tmp_path / "damaged-step-00000020").rename(tmp_path / "step-00000020")
            path.write_bytes(content)
    assert newest(tmp_path) == (20, [])


def test_where_all_are_damaged_there_is_none(tmp_path: Path) -> None:
    """Each is named, newest first."""
    saved(tmp_path, 10, 20)
    for name in steps_in(tmp_path):
        cut(tmp_path / name / "state.safetensors")
    step, said = newest(tmp_path)
    assert step is None
    assert ["step-00000020" in said[0], "step-00000010" in said[1], len(said)] == [True, True, 2]


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_a_damaged_one_is_set_aside_and_not_counted(tmp_path: Path, keep: int) -> None:
    """After going back, the next save keeps itself and the one it came from; the damaged one stays to be
    looked at.
    """
    saved(tmp_path, 10, 20, keep=2)
    cut(tmp_path / "step-00000020" / "state.json")
    assert newest(tmp_path)[0] == 10
    saved(tmp_path, 15, keep=keep)
    assert newest(tmp_path) == (15, [])
    kept = ["step-00000010", "step-00000015"] if keep > 1 else ["step-00000015"]
    assert steps_in(tmp_path) == ["damaged-step-00000020", *kept]


@pytest.mark.parametrize("error", [FULL, SafetensorError("I/O error: No space left on device (os error 28)")])
def test_a_full_disk_leaves_the_one_before_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The error names the step and the folder and says what to do; nothing half-written stays."""
    saved(tmp_path, 10)

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(module, "save_file", fail)
    with pytest.raises(CheckpointError, match=r"step 20 could not .*No space left.*make room"):
        saved(tmp_path, 20)
    assert steps_in(tmp_path) == ["step-00000010"]
    assert newest(tmp_path) == (10, [])


def test_a_really_full_disk_leaves_the_one_before_whole(tmp_path: Path) -> None:
    """On a disk with room for one and a half checkpoints; when there is room again, saving goes on."""
    with small_disk(tmp_path / "disk", "600k") as disk:
        folder, other = CheckpointFolder(disk / "checkpoints"), disk / "other"
        other.write_bytes(b"." * 150_000)
        folder.save(point(10, n=75_000))
        with pytest.raises(CheckpointError, match="No space left on device"):
            folder.save(point(20, n=75_000))
        assert newest(disk / "checkpoints") == (10, [])
        other.unlink()
        CheckpointFolder(disk / "checkpoints", keep=1).save(point(20, n=70_000))
        assert steps_in(disk / "checkpoints") == ["step-00000020"]
        assert newest(disk / "checkpoints") == (20, [])


def test_a_disk_too_full_for_a_folder_is_said_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The very first write may be the one that fails."""

    def fail(*_: Any, **__: Any) -> None:
        raise FULL

    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(CheckpointError, match="No space left"):
        saved(tmp_path / "checkpoints", 10)


MOMENTS: tuple[tuple[Any, str], ...] = (
    (module, "save_file"),
    (module, "file_hash"),
    (Path, "write_text"),
    (storage, "sync"),
    (Path, "rename"),
)


@pytest.mark.parametrize(("owner", "name"), MOMENTS, ids=[name for _, name in MOMENTS])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, after: bool
) -> None:
    """Stopped before or after each thing that a save does, the next start finds 10 or 20 whole, and can save
    again.
    """
    saved(tmp_path, 10)
    original = getattr(owner, name)

    def kill(*values: Any) -> None:
        if after:
            original(*values)
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, kill)
        with pytest.raises(SystemExit):
            saved(tmp_path, 20)
    step, said = newest(tmp_path)
    assert step == (20 if (name, after) == ("rename", True) else 10)
    assert not said
    saved(tmp_path, 30)
    assert newest(tmp_path) == (30, [])
    assert not list(tmp_path.glob(".tmp-*"))


def test_what_a_kill_left_half_done_is_never_loaded(tmp_path: Path) -> None:
    """A temporary folder counts for nothing, even if all is in it, and goes when the next run begins."""
    folder = tmp_path / "checkpoints"
    saved(folder, 10, 20)
    (folder / "step-00000020").rename(folder / ".tmp-0a1b2c3d-step-00000020")
    (folder / ".tmp-0a1b2c3d-step-00000030").mkdir()
    assert newest(folder) == (10, [])
    with storage.directory_lock(tmp_path):
        saved(folder, 20)
    assert steps_in(folder) == ["step-00000010", "step-00000020"]


def test_nothing_is_a_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint is safetensors and JSON, and loads with every way to unpickle barred."""
    saved(tmp_path, 10)
    assert sorted(p.name for p in (tmp_path / "step-00000010").iterdir()) == [
        "state.json",
        "state.safetensors",
    ]

    def bar(*_: Any, **__: Any) -> None:
        raise AssertionError("something was unpickled")

    for owner, name in (
        (pickle, "load"),
        (pickle, "loads"),
        (pickle, "Unpickler"),
        (torch, "load"),
        (torch, "save"),
    ):
        monkeypatch.setattr(owner, name, bar)
    assert newest(tmp_path) == (10, [])
    saved(tmp_path, 20)


def test_loaded_tensors_outlive_their_files(tmp_path: Path) -> None:
    """The checkpoint that a run went on from may be removed while the run uses its tensors."""
    saved(tmp_path, 10)
    found = CheckpointFolder(tmp_path).newest(pytest.fail)
    shutil.rmtree(tmp_path / "step-00000010")
    assert found is not None
    found.tensors["weights"] += 1
    assert found.tensors["weights"].tolist() == [11.0] * 8


def test_the_digest_is_blake2b_of_the_whole_file(tmp_path: Path) -> None:
    """Anyone can check it: b2sum -l 128."""
    path = tmp_path / "file"
    path.write_bytes(b"tiny" * 100_000)
    assert file_hash(path) == hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
