"""Files and directories that appear whole, locks, resumable parts, and transparent gzip."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tinyreader.errors import ModelError, RunError, SettingsError
from tinyreader.storage import (
    LRUCache,
    Parts,
    atomic_directory,
    atomic_path,
    atomic_text,
    cache_directory,
    cached_build,
    directory_lock,
    file_hash,
    file_lock,
    make_directory,
    match_parent_mode,
    open_binary,
    open_text,
    read_object,
    read_object_if_any,
    remove_leftovers,
    require_output,
    require_writable,
    text_hash,
    without_directories,
    write_json,
)


def names(directory: Path) -> list[str]:
    """Return what is in a directory."""
    return sorted(path.name for path in directory.iterdir())


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    """Until the block ends only the temporary file is there; then only the real one."""
    target = tmp_path / "made" / "a.json"
    with atomic_path(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
        assert temporary.parent == target.parent
        assert temporary.name.startswith(".tmp-")
        assert temporary.suffix == ".json"
    assert names(target.parent) == ["a.json"]
    assert target.read_text() == "whole"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    """When the block raises, whatever it raises, the old file stays as it was and the temporary one goes."""
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == ["a.txt"]
    assert target.read_text() == "old"


def test_a_directory_is_refused(tmp_path: Path) -> None:
    """A directory cannot be replaced by a file, and this is said before anything is written."""
    with pytest.raises(IsADirectoryError, match="give the name of a file"), atomic_path(tmp_path):
        pytest.fail("the block must not run")


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    """Writing to a link changes the file it points to; the link stays a link."""
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("old")
    link.symlink_to(real)
    with atomic_path(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert real.read_text() == "new"


def test_a_device_is_written_and_not_replaced() -> None:
    """A device such as /dev/null is written to directly and stays a device."""
    with atomic_text(os.devnull) as file:
        file.write("gone")
    assert not Path(os.devnull).is_file()


def test_gzip_by_name_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    """A name ending in .gz is compressed, and equal text gives equal bytes under any name."""
    for name in ("a.txt.gz", "b.txt.gz"):
        with atomic_text(tmp_path / name) as file:
            file.write("héllo\n")
    assert (tmp_path / "a.txt.gz").read_bytes() == (tmp_path / "b.txt.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.txt.gz").read_bytes()) == "héllo\n".encode()


def test_reading_looks_at_the_bytes_not_at_the_name(tmp_path: Path) -> None:
    """Compressed content is decompressed without a .gz name, and plain content is read under one."""
    compressed, plain = tmp_path / "a.txt", tmp_path / "b.gz"
    compressed.write_bytes(gzip.compress(b"inside"))
    plain.write_bytes(b"plain")
    with open_binary(compressed) as file:
        assert file.read() == b"inside"
    with open_binary(plain) as file:
        assert file.read() == b"plain"


def test_text_is_read_without_its_byte_order_mark(tmp_path: Path) -> None:
    """A byte order mark is no part of the text."""
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfab\r\n")
    with open_text(path) as file:
        assert file.read() == "ab\r\n"


def test_only_our_own_leftovers_go(tmp_path: Path) -> None:
    """Taking a directory removes what a kill left half written there, and nothing that only looks like it."""
    (tmp_path / ".tmp-mine").write_text("kept")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".tmp-0a1b2c3d-model").write_text("half")
    with directory_lock(tmp_path):
        assert (tmp_path / ".tmp-mine").exists()
        assert not (tmp_path / "sub" / ".tmp-0a1b2c3d-model").exists()


def test_what_kills_left_of_a_file_is_swept_away(tmp_path: Path) -> None:
    """A temporary file of that very name goes, also where a link leads to it; those of other files stay."""
    (tmp_path / "far").mkdir()
    (tmp_path / "a.txt").symlink_to(tmp_path / "far" / "a*.txt")
    (tmp_path / "far" / ".tmp-0a1b2c3d-a*.txt").write_text("half")
    (tmp_path / "far" / ".tmp-0a1b2c3d-ab.txt").write_text("of others")
    (tmp_path / ".tmp-0a1b2c3d-a.txt").write_text("of others")
    remove_leftovers(tmp_path / "a.txt")
    assert names(tmp_path / "far") == [".tmp-0a1b2c3d-ab.txt"]
    assert names(tmp_path) == [".tmp-0a1b2c3d-a.txt", "a.txt", "far"]


def test_an_output_replaces_no_input(tmp_path: Path) -> None:
    """By its own name, through a link or as a second name of it, an input is refused as output; what is not
    there is not.
    """
    data = tmp_path / "data.json"
    data.write_text("{}")
    (tmp_path / "link").symlink_to(data)
    (tmp_path / "second").hardlink_to(data)
    for path in (data, tmp_path / "x" / ".." / "data.json", tmp_path / "link", tmp_path / "second"):
        with pytest.raises(
            SettingsError, match=r"--out .* is the data, and would replace it; give another name"
        ):
            require_output(path, "--out", {"none": None, "the data": data})
    with pytest.raises(SettingsError, match="is a directory"):
        require_output(tmp_path, "--out", {})
    with pytest.raises(SettingsError, match=r"--out .*new cannot be written: .*data\.json"):
        require_output(data / "new", "--out", {})
    require_output(
        tmp_path / "new" / "deep.json", "--out", {"the data": data, "a Hub id": "org/name", "nonsense": "\0"}
    )
    require_output(Path(os.devnull), "--out", {"the data": os.devnull})


def test_a_file_is_no_directory_for_a_run(tmp_path: Path) -> None:
    """What stands in the way is said in one sentence; a directory that is there is taken."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="file cannot be used as a directory for the run"):
        make_directory(tmp_path / "file")
    make_directory(tmp_path / "a" / "b")
    make_directory(tmp_path / "a" / "b")


def test_a_digest_is_that_of_the_content(tmp_path: Path) -> None:
    """Equal content has equal digests, one changed byte another."""
    for name, content in (("a", b"12"), ("b", b"12"), ("c", b"13")):
        (tmp_path / name).write_bytes(content)
    found = [file_hash(tmp_path / name) for name in "abc"]
    assert found[0] == found[1] == text_hash("12") != found[2]
    assert file_hash(tmp_path / "a", tmp_path / "c") == text_hash(b"1213")
    assert len(found[0]) == 32


def test_a_file_is_shared_as_its_folder_is(tmp_path: Path) -> None:
    """Whoever may read the folder may read the file, and nobody else."""
    for mode, expected in ((0o755, 0o644), (0o700, 0o600), (0o775, 0o664)):
        folder = tmp_path / f"{mode:o}"
        folder.mkdir()
        folder.chmod(mode)
        (folder / "weights").touch(mode=0o600)
        match_parent_mode(folder / "weights")
        assert (folder / "weights").stat().st_mode & 0o777 == expected


def test_a_directory_appears_whole_and_replaces_the_old_one(tmp_path: Path) -> None:
    """Until the block ends the old directory stays; afterwards nothing but the new one is there."""
    target = tmp_path / "made" / "model"
    for name in ("old", "new"):
        with atomic_directory(target) as temporary:
            (temporary / "below").mkdir()
            (temporary / "below" / name).write_text("whole")
            assert not (target / "below" / name).exists()
        assert names(target.parent) == ["model"]
        assert names(target / "below") == [name]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_directory(tmp_path: Path, error: type[BaseException]) -> None:
    """When the block raises, whatever it raises, the old directory stays and the temporary one goes."""
    target = tmp_path / "model"
    target.mkdir()
    (target / "old").touch()

    def fail() -> None:
        with atomic_directory(target) as temporary:
            (temporary / "half").touch()
            raise error

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == ["model"]
    assert names(target) == ["old"]


def test_a_directory_that_cannot_take_its_place_gives_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the second of the two renames fails, the old directory is put back."""
    target, rename = tmp_path / "model", Path.rename
    target.mkdir()
    (target / "old").touch()

    def failing(self: Path, to: Path) -> Path:
        if self.name.startswith(".tmp-"):
            raise OSError("no")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="no"), atomic_directory(target):
        pass
    assert names(tmp_path) == ["model"]
    assert names(target) == ["old"]


@pytest.mark.parametrize(
    "moment",
    ["sync(temporary)", "temporary.replace(target)", "sync(*temporary.rglob", "temporary.rename(target)"],
)
def test_a_kill_leaves_old_or_new(tmp_path: Path, moment: str) -> None:
    """A process killed at any step of writing leaves nothing half written under the real names."""
    code = f"""
import inspect, os, sys
from pathlib import Path
import tinyreader.storage as storage
code = inspect.getsource(storage).replace({moment!r}, "os._exit(9); " + {moment!r}, 1)
exec(compile(code, "storage", "exec"), storage.__dict__)
home = Path(sys.argv[1])
with storage.atomic_path(home / "file") as path:
    path.write_text("new")
with storage.atomic_directory(home / "directory") as path:
    (path / "a").write_text("new")
    (path / "b").write_text("new")
"""
    (tmp_path / "file").write_text("old")
    (tmp_path / "directory").mkdir()
    for name in ("a", "b"):
        (tmp_path / "directory" / name).write_text("old")
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert killed.returncode == 9
    assert (tmp_path / "file").read_text() in ("old", "new")
    directories = [path for path in tmp_path.iterdir() if path.is_dir() and not path.name.startswith(".tmp-")]
    assert len(directories) == 1
    assert directories[0].name == "directory" or directories[0].name.startswith(".old-")
    assert {(directories[0] / name).read_text() for name in ("a", "b")} == {"old"}


def test_a_replaced_directory_goes_once_the_new_one_is_there(tmp_path: Path) -> None:
    """What a kill between the two renames left is kept while it is the only one, and removed after that."""
    (tmp_path / ".old-0a1b2c3d-model").mkdir()
    with directory_lock(tmp_path):
        assert (tmp_path / ".old-0a1b2c3d-model").exists()
    with atomic_directory(tmp_path / "model"):
        pass
    with directory_lock(tmp_path):
        assert names(tmp_path) == [".lock", "model"]


def test_json_is_written_whole_and_damage_is_reported(tmp_path: Path) -> None:
    """Objects come back; a missing file is None where that is allowed; damage raises the error asked for."""
    path = tmp_path / "a.json"
    assert read_object_if_any(path) is None
    with pytest.raises(ModelError, match=r"a\.json cannot be read"):
        read_object(path, ModelError)
    write_json(path, {"é": [1, 2]})
    assert read_object(path) == read_object_if_any(path) == {"é": [1, 2]}
    for damage, match in (("{", r"a\.json cannot be read"), ("[]", "a JSON object, not list")):
        path.write_text(damage)
        with pytest.raises(RunError, match=match):
            read_object_if_any(path)


def test_a_directory_that_takes_no_files_is_refused(tmp_path: Path) -> None:
    """Where nothing can be created the message names what and where; where it can, nothing is left."""
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"^--out x cannot be written: .*file"):
        require_writable(tmp_path / "file" / "new", "--out x")
    require_writable(tmp_path / "new" / "deep", "--out x")
    assert names(tmp_path) == ["file"]


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """A second one is refused where it would work in the same directory, and waits for a lock; the lock of a
    process that is killed is free.
    """
    hold = (
        "import sys; from pathlib import Path; from tinyreader.storage import directory_lock\n"
        "with directory_lock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", hold, str(tmp_path)]
    waits: list[int] = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RunError, match="another process is at work in"), directory_lock(tmp_path):
            pytest.fail("the block must not run")

        def wait() -> None:
            waits.append(1)
            other.kill()
            other.wait()

        with file_lock(tmp_path / ".lock", wait):
            assert waits == [1]
    with directory_lock(tmp_path):
        pass


def test_other_processes_of_a_distributed_run_need_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first process holds the lock for all of them."""
    with directory_lock(tmp_path):
        monkeypatch.setenv("RANK", "1")
        with directory_lock(tmp_path):
            pass


def test_parts_are_kept_for_the_same_work(tmp_path: Path) -> None:
    """The same identity finds its parts again; another is refused, and told what differs and what to do."""
    parts = Parts(tmp_path / "out.jsonl")
    with parts.claim({"format": 1, "sizes": (1, 2)}):
        parts.path(0, ".jsonl").write_text("done")
    assert parts.are_claimed
    with parts.claim({"format": 1, "sizes": (1, 2)}):
        assert parts.path(0, ".jsonl").read_text() == "done"
    with pytest.raises(RunError, match=r"out\.jsonl\.parts .* sizes\. .*delete"), parts.claim({"sizes": [3]}):
        pytest.fail("the block must not run")
    (parts.folder / "identity.json").write_text("{")
    with pytest.raises(RunError, match=r"identity\.json is damaged. Delete"), parts.claim({"sizes": [3]}):
        pytest.fail("the block must not run")
    parts.discard()
    assert names(tmp_path) == []
    parts.discard()


def test_parts_that_belong_to_nobody_go(tmp_path: Path) -> None:
    """A kill while parts are discarded removes their note first: what is left is not joined with other
    work.
    """
    parts = Parts(tmp_path / "out")
    parts.folder.mkdir()
    parts.path(7, ".jsonl").touch()
    with parts.claim({"format": 1}):
        assert not parts.path(7, ".jsonl").exists()


def test_the_cache_keeps_what_was_used_last() -> None:
    """Up to the size in all; using and replacing count; the newest stays, however large."""
    cache: LRUCache[str, int] = LRUCache(10)
    for key in "abc":
        cache.put(key, ord(key), 4)
    assert [cache.get(key) for key in "abc"] == [None, ord("b"), ord("c")]
    assert cache.get("b") == ord("b")
    cache.put("d", 1, 4)
    assert [cache.get(key) for key in "bcd"] == [ord("b"), None, 1]
    cache.put("d", 2, 6)
    assert (cache.get("b"), cache.get("d")) == (ord("b"), 2)
    cache.forget("b", "x")
    cache.put("e", 3, 4)
    assert (cache.get("b"), cache.get("d"), cache.get("e")) == (None, 2, 3)
    cache.put("f", 4, 99)
    assert [cache.get(key) for key in "def"] == [None, None, 4]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tinyreader" / "kind"


class Builder:
    """Builds two files and counts how often."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self, directory: Path) -> None:
        self.n += 1
        (directory / "a").write_text("first")
        (directory / "b").write_text("second")


def test_what_was_built_is_kept(home: Path) -> None:
    """The second time nothing is built; nothing but the entry and its lock is there."""
    build = Builder()
    assert cached_build(home / "name", build) == cached_build(home / "name", build) == home / "name"
    assert build.n == 1
    assert {path.name for path in home.iterdir()} == {"name", ".name.lock"}


def test_a_failed_build_leaves_nothing(home: Path) -> None:
    """An error goes to the caller, and the next call starts afresh."""

    def fail(directory: Path) -> None:
        (directory / "a").write_text("half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cached_build(home / "name", fail)
    assert {path.name for path in home.iterdir()} == {".name.lock"}
    assert (cached_build(home / "name", Builder()) / "b").read_text() == "second"


@pytest.mark.parametrize("damage", ["cut", "missing", "unsealed"])
def test_what_is_not_whole_is_made_again(home: Path, damage: str) -> None:
    """A file that is cut or gone, or an entry without its list, is not taken for whole."""
    build = Builder()
    entry = cached_build(home / "name", build)
    if damage == "cut":
        (entry / "a").write_text("f")
    else:
        (entry / ("a" if damage == "missing" else "sizes.json")).unlink()
    assert (cached_build(home / "name", build) / "a").read_text() == "first"
    assert build.n == 2


RACER = """
import sys, time
from pathlib import Path
from tinyreader.storage import cached_build, cache_directory
def build(directory):
    with open(sys.argv[1], "a") as log: log.write("built\\n")
    (directory / "a").write_text("x" * 1000)
    time.sleep(float(sys.argv[2]))
    (directory / "b").write_text("y" * 1000)
entry = cached_build(cache_directory() / "kind" / "name", build)
assert (entry / "a").stat().st_size == (entry / "b").stat().st_size == 1000
"""


def start(log: Path, seconds: float) -> subprocess.Popen[bytes]:
    """A process that asks for the entry, and takes so long to build it."""
    return subprocess.Popen([sys.executable, "-c", RACER, str(log), str(seconds)])


def test_processes_at_the_same_time_build_once(tmp_path: Path, home: Path) -> None:
    """Of four processes that ask for the same one builds, the others wait and find it whole."""
    log = tmp_path / "log"
    racers = [start(log, 0.3) for _ in range(4)]
    assert [racer.wait() for racer in racers] == [0, 0, 0, 0]
    assert log.read_text() == "built\n"


def test_a_killed_build_does_no_harm(tmp_path: Path, home: Path) -> None:
    """After a kill in the middle the next process builds, without waiting, and clears away what was left."""
    log = tmp_path / "log"
    victim = start(log, 60)
    while not (log.exists() and any((path / "a").exists() for path in home.glob(".tmp-*"))):
        assert victim.poll() is None
        time.sleep(0.01)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    assert not (home / "name").exists()
    assert (cached_build(home / "name", Builder()) / "a").read_text() == "first"
    assert not list(home.glob(".tmp-*"))


def test_a_cache_that_cannot_be_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the user's cache directory cannot be made, one error says so, and how to have another."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(SettingsError, match=r"cannot be made \(Not a directory\)\. Set XDG_CACHE_HOME"):
        cached_build(cache_directory() / "onnx" / "a", lambda _: None)


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("/home/ada/data/train.json", "train.json"),
        ("/home/ada/my data/train.json", "train.json"),
        ("/home/ada/runs/teacher/", "teacher"),
        (r"C:\Users\Ada\data.json", "data.json"),
        (r"\\server\share\data.json", "data.json"),
        ("data/train.json", "data/train.json"),
        ("rajpurkar/squad_v2", "rajpurkar/squad_v2"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("and/or 1/2 km/h", "and/or 1/2 km/h"),
        ("</s>", "</s>"),
        ("/think", "/think"),
        ("Linux-5.10-x86_64", "Linux-5.10-x86_64"),
    ],
)
def test_absolute_paths_are_cut_to_names(text: str, cut: str) -> None:
    """Directories of this machine go, names stay; ids, addresses and relative paths are left alone."""
    assert without_directories(text) == cut


def test_keys_are_cut_and_stay_apart() -> None:
    """Paths that are keys are cut too; two files of one name do not become one."""
    content = {
        "data": {"/a/train.json": "1", "/b/train.json": "2", "/a/train.json train": [3, {"x": "/c/d"}]}
    }
    assert without_directories(content) == {
        "data": {"train.json": "1", "train.json (2)": "2", "train.json train": [3, {"x": "d"}]}
    }
