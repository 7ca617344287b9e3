"""Publishes a reader's directory on the Hub: which files go is decided here, `huggingface_hub` sends them.

Only files that belong to a reader go. Pickles, files of a training run and unknown files are refused: a public
repository is not the place to find out what else lay in a directory. The client looks up the token, which is
never shown.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from tinyreader.errors import MissingExtraError, ModelError, SettingsError
from tinyreader.model_files import SETTINGS_FILES, WEIGHT_FILES, weight_files
from tinyreader.reader.settings import NAME as READER
from tinyreader.report.training import RUN_RECORD
from tinyreader.storage import read_object, without_directories

CARD = "README.md"

ENGINE_FILES = (
    "*.onnx",
    "*.onnx_data",
    "*.onnx.data",
    "onnx/*.onnx",
    "onnx/*.onnx_data",
    "openvino_model*.xml",
    "openvino_model*.bin",
    "openvino/*.xml",
    "openvino/*.bin",
)
OTHER_FILES = (
    CARD,
    READER,
    RUN_RECORD,
    "export.json",
    "LICENSE",
    "LICENSE.txt",
    "LICENSE.md",
    "NOTICE",
    ".gitattributes",
)
BELONGING = (*SETTINGS_FILES, *WEIGHT_FILES, *ENGINE_FILES, *OTHER_FILES)
"""Names, or patterns of them, of what belongs to a reader and is published."""

_RECORDS = ("config.json", "tokenizer_config.json", READER, RUN_RECORD, "export.json")
"""Files that may hold absolute paths: those of other programs, and of earlier versions of this one."""

_PICKLES = (
    "*.bin",
    "*.pt",
    "*.pth",
    "*.pkl",
    "*.pickle",
    "*.ckpt",
    "*.joblib",
    "*.npy",
    "*.npz",
    "*.msgpack",
    "*.h5",
)
_TRAINING = (
    "checkpoint*",
    "stages/*",
    "labels/*",
    "features/*",
    "tracking/*",
    "augmented/*",
    "log.jsonl",
    "identity.json",
    "optimizer*",
    "scheduler*",
    "rng_state*",
    "trainer_state.json",
    ".lock",
    ".tmp-*",
    ".old-*",
)
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A file to send: its name in the repository, its content (a path, or changed bytes) and its size."""

    name: str
    content: Path | bytes
    size: int

    @property
    def is_changed(self) -> bool:
        """Whether absolute paths were cut out of it."""
        return isinstance(self.content, bytes)


@dataclass(frozen=True, slots=True)
class Plan:
    """The files that go to the Hub, and the names of those left out."""

    files: tuple[Outgoing, ...]
    left_out: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class Published:
    """The repository's address, the commit, and the repository's files that are not in the plan and stay there."""

    url: str
    commit: str
    others: tuple[str, ...]


def plan(directory: Path, *, leave_out_others: bool = False) -> Plan:
    """The files of a reader's directory that go to the Hub, the largest last.

    Raises `ModelError` for a directory that is not a complete reader or has no card and, unless
    `leave_out_others`, for files that do not belong to a reader.
    """
    if not (directory / "config.json").is_file():
        raise ModelError(f"{directory} has no config.json, so it is not the directory of a reader")
    names = sorted(
        path.relative_to(directory).as_posix() for path in directory.rglob("*") if not path.is_dir()
    )
    for path in _weights(directory, names):
        _require_safetensors(path)
    belonging = [name for name in names if _belongs(name)]
    others = [name for name in names if name not in belonging]
    if others and not leave_out_others:
        raise ModelError(
            f"{directory} holds files that do not belong to a reader: {_listed(others)}. Take them out of "
            "the directory, or publish without them: --leave-out-others."
        )
    for name in belonging:
        if (directory / name).is_symlink() and not (directory / name).resolve().is_file():
            raise ModelError(f"{directory / name} is a link to nothing")
    if CARD not in belonging:
        raise ModelError(
            f"{directory} has no model card. Make one from a report: tinyreader evaluate {directory} DATA -o "
            "report/, then "
            f"tinyreader card {directory} --report report/ -o {directory / CARD}"
        )
    check_card((directory / CARD).read_text(encoding="utf-8"), directory / CARD)
    files = sorted((_outgoing(directory, name) for name in belonging), key=lambda file: file.size)
    return Plan(tuple(files), tuple(others))


def check_card(text: str, path: Path) -> None:
    """Raises `ModelError` where the card's metadata is not what the client's own classes accept.

    This is the part of its check that needs no network; the Hub checks once more (`/api/validate-yaml`)
    before a commit.
    """
    try:
        from huggingface_hub import ModelCard
    except ImportError as error:
        raise MissingExtraError("checking and publishing a card", "report") from error
    try:
        data = ModelCard(text, ignore_metadata_errors=False).data.to_dict()
    except (
        Exception
    ) as error:  # YAML's own errors, and whatever the client raises for fields of the wrong kind
        raise ModelError(f"the metadata of {path} is not valid: {' '.join(str(error).split())}") from None
    if not data:
        raise ModelError(
            f"{path} has no metadata: a card starts with a block of YAML between two lines of ---"
        )


def publish(
    plan: Plan,
    repository: str,
    *,
    private: bool = False,
    revision: str | None = None,
    message: str = "Publish the reader",
) -> Published:
    """Sends the files as one commit to the Hub's model `repository` (owner/name), which is created if need be.

    The Hub is that of `HF_ENDPOINT`, the token that of `HF_TOKEN` or `hf auth login`. Raises `SettingsError`
    without a token or for an invalid name, and `ModelError` where the Hub refuses or cannot be reached.
    """
    try:
        from huggingface_hub import CommitOperationAdd, HfApi, get_token
        from huggingface_hub.utils import validate_repo_id
    except ImportError as error:
        raise MissingExtraError("publishing", "report") from error
    check_name(repository, validate_repo_id)
    token = get_token()
    if token is None:
        raise SettingsError(
            "publishing needs a token of the Hub: log in with `hf auth login`, or set HF_TOKEN."
        )
    operations = [CommitOperationAdd(file.name, file.content) for file in plan.files]
    try:
        api = HfApi(token=token)
        there = set(_files_there(api, repository, private=private))
        if revision is not None:
            api.create_branch(repository, branch=revision, exist_ok=True)
            there = set(api.list_repo_files(repository, revision=revision))
        commit = api.create_commit(repository, operations, commit_message=message, revision=revision)
    except (SettingsError, ModelError):
        raise
    except Exception as error:  # the client's own, its HTTP library's and the system's errors alike
        # from None: a trace of the original could show the request, and its header holds the token
        raise ModelError(f"{repository} could not be published: {redacted(error, token)}") from None
    others = there - {file.name for file in plan.files} - {".gitattributes"}
    return Published(str(commit.commit_url), str(commit.oid), tuple(sorted(others)))


def _files_there(api: Any, repository: str, *, private: bool) -> list[str]:
    """The files of the repository, which is created if it does not exist."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        info = api.model_info(repository)
    except RepositoryNotFoundError:
        api.create_repo(repository, private=private, exist_ok=True)
        return []
    if private and not info.private:
        raise SettingsError(
            f"{repository} exists and is public; --private only makes a new repository private. Make it private "
            "in its settings on the Hub first, or choose another name."
        )
    return [file.rfilename for file in info.siblings or ()]


def check_name(repository: str, validate: Any = None) -> None:
    """Raises `SettingsError` for a name that cannot be a repository's: it must be owner/name."""
    owner, slash, name = repository.partition("/")
    if not (owner and slash and name) or "/" in name:
        raise SettingsError(f"{repository!r} is not the name of a repository; it looks like owner/name")
    if validate is not None:
        try:
            validate(repository)
        except ValueError as error:
            raise SettingsError(f"{repository!r} is not the name of a repository: {error}") from None


def redacted(error: BaseException, token: str) -> str:
    """The error on one line, without the token."""
    text = " ".join([type(error).__name__ + ":", *str(error).split()])
    return text.replace(token, "<token>")


def _outgoing(directory: Path, name: str) -> Outgoing:
    path = directory / name
    if name in _RECORDS:
        record = read_object(path, ModelError)
        portable = without_directories(record)
        if portable != record:
            content = json.dumps(portable, indent=2, ensure_ascii=False).encode() + b"\n"
            return Outgoing(name, content, len(content))
    return Outgoing(name, path, path.stat().st_size)


def _belongs(name: str) -> bool:
    """Whether a file of that name, relative to the directory, belongs to a reader; hidden folders never do."""
    return any(_matches(name, pattern) for pattern in BELONGING)


def _matches(name: str, pattern: str) -> bool:
    """As in a shell: `*` does not match a slash."""
    parts, patterns = name.split("/"), pattern.split("/")
    return len(parts) == len(patterns) and all(map(fnmatch.fnmatchcase, parts, patterns))


def _with_reason(name: str) -> str:
    last = name.rsplit("/", 1)[-1]
    if any(fnmatch.fnmatchcase(name, p) or fnmatch.fnmatchcase(last, p) for p in _TRAINING):
        return f"{name} (of a training run)"
    if any(fnmatch.fnmatchcase(last, p) for p in _PICKLES):
        return f"{name} (may run code when it is loaded)"
    return name


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(_with_reason, names[:_SHOWN])) + more


def _weights(directory: Path, names: Sequence[str]) -> list[Path]:
    """The files of the weights; none in a directory that holds an engine's own files instead."""
    try:
        return weight_files(directory)
    except ModelError:
        if any(_matches(name, pattern) for name in names for pattern in ENGINE_FILES):
            return []
        raise


def _require_safetensors(path: Path) -> None:
    """Raises `ModelError` where the weights are not an undamaged safetensors file: pickles are not published."""
    if path.suffix != ".safetensors":
        raise ModelError(
            f"{path} is a pickle, which can run code when it is loaded, and is not published. Load "
            "the reader and save it again with tinyreader.models.load_reader and save_reader, which write "
            "model.safetensors, and publish that."
        )
    try:
        with safe_open(str(path), framework="numpy") as file:
            if not list(file.keys()):
                raise ModelError(f"{path} holds no weights")
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path} is damaged, or not a safetensors file: {error}") from None


def sizes(plan: Plan) -> Sequence[dict[str, Any]]:
    """The files as plain data, for a program."""
    return [{"name": f.name, "bytes": f.size, "paths_cut": f.is_changed} for f in plan.files]
