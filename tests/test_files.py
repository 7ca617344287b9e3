"""Atomic writing and transparent gzip."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from tinyreader.errors import RunError, SettingsError
from tinyreader.files import (
    atomic_path,
    atomic_text,
    digest,
    exclusive,
    make_directory,
    open_binary,
    open_text,
    require_output,
    share,
    sweep,
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
    with exclusive(tmp_path):
        assert (tmp_path / ".tmp-mine").exists()
        assert not (tmp_path / "sub" / ".tmp-0a1b2c3d-model").exists()


def test_what_kills_left_of_a_file_is_swept_away(tmp_path: Path) -> None:
    """A temporary file of that very name goes, also where a link leads to it; those of other files stay."""
    (tmp_path / "far").mkdir()
    (tmp_path / "a.txt").symlink_to(tmp_path / "far" / "a*.txt")
    (tmp_path / "far" / ".tmp-0a1b2c3d-a*.txt").write_text("half")
    (tmp_path / "far" / ".tmp-0a1b2c3d-ab.txt").write_text("of others")
    (tmp_path / ".tmp-0a1b2c3d-a.txt").write_text("of others")
    sweep(tmp_path / "a.txt")
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
    with pytest.raises(SettingsError, match=r"cannot be written: .*data\.json is not a directory"):
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
    found = [digest(tmp_path / name) for name in "abc"]
    assert found[0] == found[1] != found[2]
    assert len(found[0]) == 32


def test_a_file_is_shared_as_its_folder_is(tmp_path: Path) -> None:
    """Whoever may read the folder may read the file, and nobody else."""
    for mode, expected in ((0o755, 0o644), (0o700, 0o600), (0o775, 0o664)):
        folder = tmp_path / f"{mode:o}"
        folder.mkdir()
        folder.chmod(mode)
        (folder / "weights").touch(mode=0o600)
        share(folder / "weights")
        assert (folder / "weights").stat().st_mode & 0o777 == expected
