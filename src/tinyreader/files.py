"""Files that are whole or absent, files that may be gzip-compressed, and where converted files are kept."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from tinyreader.errors import RunError, SettingsError

GZIP_MAGIC = b"\x1f\x8b"
_TEMPORARY = ".tmp-" + "[0-9a-f]" * 8 + "-"
_TAIL = 60  # characters of a file's name that its temporary name ends with


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its place when the block ends well.

    A reader sees the old file or the whole new one, also after a crash or a power cut (the file is synced
    before it is renamed, its directory after). When the block raises, the temporary file goes and the old one
    stays. Directories above `path` are made. A symbolic link is followed; a device or a pipe cannot be
    replaced and is written directly.

    The temporary name starts with `.tmp-` and ends like `path`, so that writers which look at suffixes
    behave.
    """
    target = Path(path).resolve()
    if target.is_dir():
        raise IsADirectoryError(f"{path} is a directory; give the name of a file")
    if target.exists() and not target.is_file():
        yield target
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".tmp-{secrets.token_hex(4)}-{target.name[-_TAIL:]}")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(target.parent)


def share(path: Path) -> None:
    """Let those read (and write) a file who may do so with its folder; safetensors writes files for their
    owner alone.
    """
    path.chmod(path.parent.stat().st_mode & 0o666)


def sweep(path: Path) -> None:
    """Removes what kills left of `path` half written beside it; only for one who alone writes that file."""
    target = path.resolve()
    for leftover in target.parent.glob(_TEMPORARY + escape(target.name[-_TAIL:])):
        leftover.unlink(missing_ok=True)


def require_output(path: Path, option: str, inputs: Mapping[str, str | os.PathLike[str] | None]) -> None:
    """Raises `SettingsError`, before work is spent, where a file cannot be written to `path` or would replace
    an input.

    `inputs` are the files (or Hub ids; None is no file) that `path` must not be, by what the message calls
    them.
    """
    if path.is_dir():
        raise SettingsError(f"{option} {path} is a directory; give the name of a file")
    if path.exists() and not path.is_file():  # a device or a pipe: written to, never replaced
        return
    for what, name in inputs.items():
        if name is not None and _is_same(path, Path(name)):
            raise SettingsError(f"{option} {path} is {what}, and would replace it; give another name")
    there = next(directory for directory in path.absolute().parents if directory.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise SettingsError(
            f"{option} {path} cannot be written: {there} is not a directory that can be written to"
        )


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.resolve() == other.resolve() or (
            path.exists() and other.exists() and path.samefile(other)
        )
    except (OSError, ValueError):  # a name that no file can have
        return False


def make_directory(out: Path) -> None:
    """Makes the directory of a run; `RunError` where there cannot be one."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{out} cannot be used as a directory for the run: {error.strerror}.") from None


def digest(path: Path) -> str:
    """The blake2b digest, 32 hexadecimal digits, of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def sync(*paths: Path) -> None:
    """Make what the paths hold survive a power cut; directories cannot be synced on every system and are then
    left.
    """
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
    """Yield a UTF-8 text file that appears as `path` when the block ends well; gzip-compressed where the name
    says .gz.

    The compressed bytes depend on the text alone (no time, no name in the header). Line ends are written as
    given.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as raw:
        binary: BinaryIO = raw
        if Path(path).suffix == ".gz":
            binary = cast(
                BinaryIO, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6)
            )
        with io.TextIOWrapper(binary, encoding="utf-8", newline="") as text:
            yield text


def cache_directory() -> Path:
    """Where this user's converted files are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
    return Path(base) / "tinyreader"


def open_binary(path: str | os.PathLike[str]) -> BinaryIO:
    """Return the bytes of `path` for reading, decompressed when the file starts as gzip does, whatever its
    name.
    """
    raw = Path(path).open("rb")  # noqa: SIM115 - the caller closes what is returned
    try:
        is_gzip = raw.peek(2)[:2] == GZIP_MAGIC
    except BaseException:
        raw.close()
        raise
    return cast(BinaryIO, _OwningGzip(raw)) if is_gzip else raw


def open_text(path: str | os.PathLike[str]) -> IO[str]:
    """Return the text of `path` for reading: UTF-8 with or without a byte order mark, gzip-compressed or
    not.
    """
    return io.TextIOWrapper(open_binary(path), encoding="utf-8-sig", newline="")


@contextmanager
def exclusive(out: Path) -> Iterator[None]:
    """Keeps a second process out of the run's directory while the block runs; what a kill left half written
    goes.
    """
    make_directory(out)
    if sys.platform == "win32" or os.environ.get("RANK", "0") != "0":
        yield  # one lock for all processes of a distributed run: the first one's
        return
    import fcntl

    with (out / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunError(
                f"another process is at work in {out}. Wait for it, or give another --out."
            ) from None
        for leftover in list(out.rglob(_TEMPORARY + "*")):  # names of ours alone: `out` may hold other things
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)
        yield


@contextmanager
def alone(lock: Path, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Waits until no other process holds the lock; the system frees that of a process which dies. Windows has
    none here.

    While it waits, `on_wait` is called twice a second; it may raise to end the waiting.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with lock.open("w") as file:
        while on_wait is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                on_wait()
                time.sleep(0.5)
        else:
            fcntl.flock(file, fcntl.LOCK_EX)
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
