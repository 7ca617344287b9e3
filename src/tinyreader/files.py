"""Files that are whole or absent, files that may be gzip-compressed, and where converted files are kept."""

from __future__ import annotations

import gzip
import io
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

from tinyreader.errors import RunError

GZIP_MAGIC = b"\x1f\x8b"


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place when the block ends well.

    A reader sees the old file or the whole new one, also after a crash or a power cut (the file is synced before it is
    renamed, its directory after). When the block raises, the temporary file goes and the old one stays. Directories
    above `path` are made. A symbolic link is followed; a device or a pipe cannot be replaced and is written directly.

    The temporary name starts with `.tmp-` and ends like `path`, so that writers which look at suffixes behave.
    """
    target = Path(path).resolve()
    if target.is_dir():
        raise IsADirectoryError(f"{path} is a directory; give the name of a file")
    if target.exists() and not target.is_file():
        yield target
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".tmp-{secrets.token_hex(4)}-{target.name[-60:]}")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(target.parent)


def sync(*paths: Path) -> None:
    """Make what the paths hold survive a power cut; directories cannot be synced on every system and are then left."""
    for path in paths:
        is_directory = path.is_dir()
        if is_directory and os.name == "nt":
            continue
        descriptor = os.open(path, os.O_RDONLY if is_directory else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def atomic_text(path: str | os.PathLike[str]) -> Iterator[IO[str]]:
    """Yield a UTF-8 text file that appears as `path` when the block ends well; gzip-compressed where the name says .gz.

    The compressed bytes depend on the text alone (no time, no name in the header). Line ends are written as given.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as raw:
        binary: BinaryIO = raw
        if Path(path).suffix == ".gz":
            binary = cast(BinaryIO, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6))
        with io.TextIOWrapper(binary, encoding="utf-8", newline="") as text:
            yield text


def cache_directory() -> Path:
    """Where this user's converted files are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
    return Path(base) / "tinyreader"


def open_binary(path: str | os.PathLike[str]) -> BinaryIO:
    """Return the bytes of `path` for reading, decompressed when the file starts as gzip does, whatever its name."""
    raw = Path(path).open("rb")  # noqa: SIM115 - the caller closes what is returned
    try:
        is_gzip = raw.peek(2)[:2] == GZIP_MAGIC
    except BaseException:
        raw.close()
        raise
    return cast(BinaryIO, _OwningGzip(raw)) if is_gzip else raw


def open_text(path: str | os.PathLike[str]) -> IO[str]:
    """Return the text of `path` for reading: UTF-8 with or without a byte order mark, gzip-compressed or not."""
    return io.TextIOWrapper(open_binary(path), encoding="utf-8-sig", newline="")


@contextmanager
def exclusive(out: Path) -> Iterator[None]:
    """Keeps a second process out of the run's directory while the block runs; what a kill left half written goes."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{out} cannot be used as a directory for the run: {error.strerror}.") from None
    if sys.platform == "win32" or os.environ.get("RANK", "0") != "0":
        yield  # one lock for all processes of a distributed run: the first one's
        return
    import fcntl

    with (out / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunError(f"another process is at work in {out}. Wait for it, or give another --out.") from None
        for leftover in list(out.rglob(".tmp-" + "[0-9a-f]" * 8 + "-*")):  # names of ours alone: `out` may hold other things
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)
        yield


class _OwningGzip(gzip.GzipFile):
    """A gzip reader that closes the file it reads from."""

    def __init__(self, raw: BinaryIO) -> None:
        super().__init__(fileobj=raw, mode="rb")
        self._raw_file = raw

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._raw_file.close()
