"""Atomic writing and transparent gzip."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from tinyreader.files import atomic_path, atomic_text, exclusive, open_binary, open_text


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
