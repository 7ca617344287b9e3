"""Everything that touches the disk with care: files and directories that appear whole or not at all, locks,
resumable parts, hashes of content, and files that may be gzip-compressed.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import logging
import os
import re
import secrets
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path, PureWindowsPath
from threading import Lock
from typing import IO, Any, BinaryIO, Generic, TypeVar, cast

from tinyreader.errors import RunError, SettingsError, TinyreaderError

log = logging.getLogger(__name__)

GZIP_MAGIC = b"\x1f\x8b"
_TEMPORARY = ".tmp-" + "[0-9a-f]" * 8 + "-"
_REPLACED = re.compile(r"\.old-[0-9a-f]{8}-(.+)")
_TAIL = 60  # characters of a file's name that its temporary name ends with
_WAIT_SECONDS = 0.5
_SIZES = "sizes.json"

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


# Files and directories that appear whole or not at all


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; the file made there replaces `path` when the block ends well.

    A reader sees the old file or the whole new one, also after a crash or a power cut (the file is synced
    before it is renamed, its directory after). When the block raises, the temporary file is removed and the
    old one stays. Missing parent directories are created. A symbolic link is followed; a device or a pipe
    cannot be replaced and is written directly.

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
    temporary = _beside(target, "tmp")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(target.parent)


@contextmanager
def atomic_text(path: str | os.PathLike[str]) -> Iterator[IO[str]]:
    """Yield a UTF-8 text file that appears as `path` when the block ends well; gzip-compressed where the name
    ends in .gz.

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


@contextmanager
def atomic_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield an empty directory beside `path` that replaces it when the block ends well; `atomic_path` for
    directories.

    What was at `path` is replaced whatever it holds: callers check first. A directory cannot be replaced in
    one step, so a kill between the two renames leaves the old one beside the place of the new one, under a
    name that starts with `.old-`.
    """
    target = Path(path).resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary, old = _beside(target, "tmp"), _beside(target, "old")
    temporary.mkdir()
    try:
        yield temporary
        sync(*temporary.rglob("*"), temporary)
        if target.exists():
            target.rename(old)
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        if old.exists() and not target.exists():
            old.rename(target)
        raise
    sync(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def write_json(path: Path, content: Mapping[str, Any], *, indent: int | None = 2) -> None:
    """Writes a JSON object that appears whole."""
    with atomic_path(path) as temporary:
        temporary.write_text(json_text(content, indent=indent), encoding="utf-8", newline="\n")


def json_text(content: Mapping[str, Any], *, indent: int | None = 2) -> str:
    """The text that `write_json` writes."""
    return json.dumps(content, indent=indent, ensure_ascii=False) + "\n"


def sync(*paths: Path) -> None:
    """Make what the paths hold survive a power cut; directories only where the system can sync them."""
    for path in paths:
        is_directory = path.is_dir()
        if is_directory and os.name == "nt":
            continue
        descriptor = os.open(path, os.O_RDONLY if is_directory else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_leftovers(path: Path) -> None:
    """Removes the temporary files that killed writers of `path` left; safe only while nobody else writes it."""
    target = path.resolve()
    for leftover in target.parent.glob(_TEMPORARY + escape(target.name[-_TAIL:])):
        _remove(leftover)


def match_parent_mode(path: Path) -> None:
    """Gives a file the read and write permissions of its directory; safetensors makes files private to their
    owner.
    """
    path.chmod(path.parent.stat().st_mode & 0o666)


def _beside(target: Path, kind: str) -> Path:
    return target.with_name(f".{kind}-{secrets.token_hex(4)}-{target.name[-_TAIL:]}")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


# What can be written, asked before work is spent


def require_output(path: Path, option: str, inputs: Mapping[str, str | os.PathLike[str] | None]) -> None:
    """Raises `SettingsError` where a file cannot be written to `path` or would replace an input.

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
    require_writable(path.absolute().parent, f"{option} {path}")


def require_writable(directory: Path, what: str) -> None:
    """Raises `SettingsError` where no file can be created in `directory`, or it cannot be created itself.

    `what` is what the message calls it. A file is really created, and leaves no trace: permissions alone say
    too much for root and on read-only file systems, and too little elsewhere.
    """
    there = directory.absolute()
    try:
        there = next(place for place in (there, *there.parents) if place.exists())
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise SettingsError(
            f"{what} cannot be written: no file can be created in {there} ({reason})"
        ) from None


def make_directory(out: Path) -> None:
    """Makes the directory of a run; `RunError` where it cannot be made."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{out} cannot be used as a directory for the run: {error.strerror}.") from None


def cache_directory() -> Path:
    """This user's directory for converted files."""
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
    return Path(base) / "tinyreader"


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.resolve() == other.resolve() or (
            path.exists() and other.exists() and path.samefile(other)
        )
    except (OSError, ValueError):  # a name that no file can have
        return False


# Reading


def read_object(path: Path, error: type[TinyreaderError] = RunError) -> dict[str, Any]:
    """The JSON object in a file. Raises `error` where the file is missing, damaged or holds another value."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise error(f"{path} cannot be read: {problem}") from problem
    if not isinstance(content, dict):
        raise error(f"{path} should hold a JSON object, not {type(content).__name__}")
    return content


def read_object_if_any(path: Path, error: type[TinyreaderError] = RunError) -> dict[str, Any] | None:
    """The JSON object in a file, or None where there is no such file; damage raises as in `read_object`."""
    return read_object(path, error) if path.is_file() else None


def without_directories(value: Any) -> Any:
    """Plain data with every absolute path, also among keys, cut to its last part: for records that may leave
    this machine. Of keys that become equal, the later ones get a number.
    """
    if isinstance(value, str):
        path = PureWindowsPath(value)  # which splits at both kinds of slash
        is_posix = value.startswith("/") and len(path.parts) > 2  # "/think" may be a token of a vocabulary
        return path.name if path.is_absolute() or is_posix else value
    if isinstance(value, Mapping):
        found: dict[str, Any] = {}
        for key, item in value.items():
            name, number = without_directories(key), 1
            while name in found:
                number += 1
                name = f"{without_directories(key)} ({number})"
            found[name] = without_directories(item)
        return found
    return [without_directories(item) for item in value] if isinstance(value, list | tuple) else value


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


def file_hash(*paths: Path) -> str:
    """The BLAKE2b hash, 128 bits as 32 hexadecimal digits, of the files' contents in order."""
    running = hashlib.blake2b(digest_size=16)
    for path in paths:
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: running)
    return running.hexdigest()


def text_hash(text: str | bytes) -> str:
    """The BLAKE2b hash, 128 bits as 32 hexadecimal digits, of a text's UTF-8 or of bytes."""
    return hashlib.blake2b(text.encode() if isinstance(text, str) else text, digest_size=16).hexdigest()


# Locks, which the system frees when their process dies


@contextmanager
def file_lock(lock: Path, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Holds the lock file during the block, waiting while another process does.

    `on_wait` is called twice a second while it waits; it may raise to end the waiting.
    """
    from filelock import FileLock, Timeout  # here: importing it takes longer than most uses of this module

    held, seconds = FileLock(lock), 0.0 if on_wait is not None else -1.0
    while not held.is_locked:
        try:
            held.acquire(timeout=seconds)
        except Timeout:
            assert on_wait is not None
            on_wait()
            seconds = _WAIT_SECONDS
    try:
        yield
    finally:
        held.release()


@contextmanager
def directory_lock(out: Path) -> Iterator[None]:
    """Makes the directory and keeps other processes out of it during the block; removes what killed ones left
    half written.

    Raises `RunError` where another process holds it.
    """
    make_directory(out)
    if os.environ.get("RANK", "0") != "0":
        yield  # all processes of a distributed run share one lock: the first one's
        return

    def give_up() -> None:
        raise RunError(f"another process is at work in {out}. Wait for it, or give another --out.")

    with file_lock(out / ".lock", give_up):
        for leftover in list(out.rglob(_TEMPORARY + "*")):  # names of ours alone: `out` may hold other things
            _remove(leftover)
        for old in list(out.rglob(".old-*")):
            match = _REPLACED.fullmatch(old.name)
            if match and old.with_name(match[1]).exists():
                _remove(old)
        yield


# What was built once and is kept


def cached_build(target: Path, build: Callable[[Path], None]) -> Path:
    """The directory `target`, filled by `build(directory)` where it is missing or damaged.

    A second process that asks for the same waits for the first one. A directory is damaged when its files do
    not have the sizes that they were written with; it is then built again. What killed builds left is removed.
    Raises `SettingsError` where the cache directory cannot be made.
    """
    if _is_whole(target):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"{target.parent}, where converted files are kept, cannot be made ({error.strerror}). "
            "Set XDG_CACHE_HOME to a directory that can be written to"
        ) from None
    with file_lock(target.with_name(f".{target.name}.lock")):
        if not _is_whole(target):
            if target.exists():
                log.warning("%s is damaged, and is built again", target)
                shutil.rmtree(target, ignore_errors=True)
            remove_leftovers(target)
            with atomic_directory(target) as partial:
                build(partial)
                sizes = {path.name: path.stat().st_size for path in sorted(partial.iterdir())}
                (partial / _SIZES).write_text(json.dumps(sizes), encoding="utf-8")
    return target


def _is_whole(directory: Path) -> bool:
    try:
        sizes = read_object(directory / _SIZES)
        return all((directory / name).stat().st_size == size for name, size in sizes.items())
    except (RunError, OSError):
        return False


# Work that is stopped and resumed


class Parts:
    """The numbered parts of a file under way, in the directory `NAME.parts` beside it: a kill costs one part.

    A note beside them, `identity.json`, says what they are made from, so that parts of other work are never
    joined with them.
    """

    def __init__(self, out: Path) -> None:
        self.folder = out.with_name(f"{out.name}.parts")
        self._note = self.folder / "identity.json"

    @property
    def are_claimed(self) -> bool:
        """Whether there are parts of work that is not finished."""
        return self._note.exists()

    def path(self, number: int, suffix: str) -> Path:
        """Where a part is, or will be."""
        return self.folder / f"part-{number:06d}{suffix}"

    @contextmanager
    def claim(self, identity: Mapping[str, Any]) -> Iterator[None]:
        """Keeps other processes out during the block, and keeps the parts that work of this identity has made.

        `identity` holds values that JSON can. Raises `RunError` where the parts belong to other work.
        """
        with directory_lock(self.folder):
            if self._note.exists():
                self._require_same(json.loads(json.dumps(identity)))
            else:
                for ownerless in self.folder.glob("part-*"):  # left by a kill while they were discarded
                    ownerless.unlink()
                sync(self.folder)
                write_json(self._note, identity)
            yield

    def _require_same(self, identity: Mapping[str, Any]) -> None:
        try:
            theirs = read_object(self._note)
        except RunError:
            raise RunError(f"{self._note} is damaged. Delete {self.folder} to start over.") from None
        unlike = [name for name in identity if identity[name] != theirs.get(name)]
        if unlike:
            raise RunError(
                f"{self.folder} was begun with other {' and '.join(unlike)}. Give another -o, or delete that "
                "folder to start over."
            )

    def discard(self) -> None:
        """Removes all parts: their note first, so that what a kill leaves of them belongs to nobody."""
        with suppress(FileNotFoundError):
            self._note.unlink(missing_ok=True)
            sync(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)


# In memory


class LRUCache(Generic[K, V]):
    """The values used last, up to a total size; threads may share it.

    The newest value stays, even where it alone is larger than `max_size`.
    """

    def __init__(self, max_size: int) -> None:
        self.max_size = max_size
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._size = 0
        self._lock = Lock()

    def get(self, key: K) -> V | None:
        """The value, or None where it is not kept."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def put(self, key: K, value: V, size: int) -> None:
        """Keeps the value, and drops those that were used longest ago where there is no room for all."""
        with self._lock:
            self._forget(key)
            self._kept[key] = (value, size)
            self._size += size
            while self._size > self.max_size and len(self._kept) > 1:
                self._forget(next(iter(self._kept)))

    def forget(self, *keys: K) -> None:
        """Drops these where they are kept."""
        with self._lock:
            for key in keys:
                self._forget(key)

    def _forget(self, key: K) -> None:
        if (kept := self._kept.pop(key, None)) is not None:
            self._size -= kept[1]
