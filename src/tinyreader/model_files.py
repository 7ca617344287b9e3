"""A model's files: from its name to a directory on this machine, and which files there hold its weights."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tinyreader.errors import ModelError
from tinyreader.storage import file_hash, read_object, read_object_if_any, write_json

READER_FILE = "reader.json"
SECTIONS = ("settings", "calibration", "int8", "export")
"""What stands in `reader.json`: how the reader reads, how that was learned, ranges of int8, and what an
export is.
"""

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
SETTINGS_FILES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    READER_FILE,
)
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*-of-*.safetensors",
    "packed.safetensors",
)
PICKLE_FILE = "pytorch_model.bin"
PACKED_FILE = "packed.safetensors"
"""Matrices as int8, NAME [rows, columns], with the scale of each row, NAME.scale fp32 [rows]; the rest as it
is.
"""

ENGINE_FILES = (
    "openvino_model.xml",
    "openvino_model.bin",
    "model.onnx",
    "model.onnx.data",
    "model.onnx_data",
)
"""What engines read of an export, which holds no weights beside it."""

STARTER = "starter"
"""The name of the reader that comes with the package, and of nothing else: a directory of that name is
`./starter`.
"""

STARTER_DIRECTORY = Path(__file__).parent / "starter"

OTHER_FORMATS = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt", "*.h5", "*.msgpack", "*.bin.index.json")


def model_directory(name_or_dir: str | Path, revision: str | None = None, token: str | None = None) -> Path:
    """The directory of that path, of the reader in the package, or the one that the Hub's model of that id
    was downloaded to.

    `token` opens models that are private; without one, the Hub's client looks for its own.
    """
    if not isinstance(name_or_dir, str | Path) or not str(name_or_dir).strip():
        raise ModelError(f"the model is {name_or_dir!r}; give a directory or a Hub id")
    if name_or_dir == STARTER:
        if revision is not None:
            raise ModelError(
                f"{STARTER} comes with the package; a revision ({revision!r}) can only be chosen for a Hub id"
            )
        return STARTER_DIRECTORY
    path = Path(name_or_dir)
    try:
        path = path.expanduser()
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError, RuntimeError) as error:  # closed to us, no name at all, or ~ of nobody
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"the model {str(name_or_dir)[:100]!r} cannot be opened: {reason}") from None
    if path.is_dir():
        if revision is not None:
            raise ModelError(
                f"{name_or_dir} is a directory; a revision ({revision!r}) can only be chosen for a Hub id"
            )
        return path
    name = str(name_or_dir)
    if path.exists():
        raise ModelError(f"{name} is a file; give the directory that holds config.json and the weights")
    if not HUB_ID.fullmatch(name):
        raise ModelError(f"there is no directory {name}, and it is not a Hub id (such as owner/name)")
    return _download(name, revision, token)


def own_directory(name: str) -> Path | None:
    """The user's own directory that the name of a model is the path of; None for a Hub id and the reader in
    the package.
    """
    path = Path(name).expanduser()
    return path if name != STARTER and path.is_dir() else None


def _download(name: str, revision: str | None, token: str | None) -> Path:
    """The Hub's snapshot: its weights, a pickle where it has no others, an export's files where it has none
    at all.
    """
    wanted = {"revision": revision} if token is None else {"revision": revision, "token": token}
    from huggingface_hub import snapshot_download  # here: it takes longer to import than a model to read

    try:
        for patterns in (WEIGHT_FILES, (PICKLE_FILE,), ENGINE_FILES):
            path = Path(snapshot_download(name, **wanted, allow_patterns=[*SETTINGS_FILES, *patterns]))
            if any(any(path.glob(pattern)) for pattern in patterns):
                break
    except Exception as error:  # the client's own, its HTTP library's and the system's errors alike
        reason = " ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])
        raise ModelError(
            f"there is no directory {name}, and the Hub's model of that name could not be downloaded: "
            f"{reason}"
        ) from error
    return path


def weight_files(directory: Path) -> list[Path]:
    """The files that hold a directory's weights: safetensors, whole, in parts or packed, else the pickle."""
    whole, index = directory / "model.safetensors", directory / "model.safetensors.index.json"
    if whole.is_file():
        return [whole]
    if index.is_file():
        return [directory / name for name in _parts(index)]
    for name in (PACKED_FILE, PICKLE_FILE):
        if (directory / name).is_file():
            return [directory / name]
    if exported := engine_files(directory):
        names = ", ".join(path.name for path in exported)
        raise ModelError(
            f"{directory} holds no weights but an engine's files ({names}): take the model that they were "
            "made of"
        )
    others = sorted({path.name for pattern in OTHER_FORMATS for path in directory.glob(pattern)})
    found = f" ({', '.join(others)} cannot be used)" if others else ""
    raise ModelError(f"{directory} has neither model.safetensors nor {PICKLE_FILE}{found}")


def open_safetensors(path: Path) -> Any:
    """The safetensors file, opened for numpy by `safe_open`; `ModelError` where it cannot be."""
    from safetensors import SafetensorError, safe_open

    try:
        path.open("rb").close()  # safe_open reports whatever it cannot open as missing
        return safe_open(path, framework="np")
    except FileNotFoundError:
        raise ModelError(f"{path} is missing: fetch the model again") from None
    except PermissionError:
        raise ModelError(
            f"{path} may not be read by this user; allow it, as with: chmod a+r {path}"
        ) from None
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path} is damaged or not a safetensors file: {error}. Fetch the model again"
        ) from error


def current_name(name: str) -> str:
    """The name of a checkpoint's tensor as Transformers gives it today.

    Old checkpoints call the parts of a LayerNorm gamma and beta; those saved from several GPUs start with
    `module.`.
    """
    name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name.removeprefix("module."))
    return re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)


def check_shapes(
    found: Mapping[str, tuple[int, ...]],
    expected: Mapping[str, tuple[int, ...]],
    n_layers: int,
    directory: Path,
) -> None:
    """Raise `ModelError` unless the shapes `found` are those of the model that config.json describes."""
    if missing := sorted(expected.keys() - found.keys()):
        raise ModelError(
            f"{directory}: the weights lack {some_of(missing)}: they are not those of this config.json"
        )
    for name, shape in expected.items():
        if found[name] != shape:
            raise ModelError(
                f"{directory}: {name} has shape {found[name]}, but config.json asks for {shape}: they do not "
                "belong together"
            )
    numbers = {name: re.search(r"\.layers?\.(\d+)\.", f".{name}") for name in found.keys() - expected.keys()}
    if extra := sorted(name for name, match in numbers.items() if match and int(match[1]) >= n_layers):
        raise ModelError(
            f"{directory}: the weights have {some_of(extra)}, but config.json only {n_layers} layers"
        )


def some_of(names: list[str]) -> str:
    """The first three names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def has_weights(directory: Path) -> bool:
    """Whether the directory holds weights that can be read."""
    files = ("model.safetensors", "model.safetensors.index.json", PACKED_FILE, PICKLE_FILE)
    return any((directory / name).is_file() for name in files)


def engine_files(directory: Path) -> list[Path]:
    """The files of finished networks in the directory."""
    return [directory / name for name in ENGINE_FILES if (directory / name).is_file()]


def _parts(index: Path) -> list[str]:
    """The names of the files an index refers to, each once and all beside it."""
    entries = read_object(index, ModelError).get("weight_map")
    if not isinstance(entries, dict) or not entries:
        raise ModelError(f"{index} has no weight_map")
    names = sorted({str(name) for name in entries.values()})
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise ModelError(f"{index} refers to {name!r}, which is not a safetensors file beside it")
    return names


def hash_of(paths: Iterable[Path]) -> str:
    """Hash (BLAKE2b, 128 bits) of the files' contents, in order."""
    try:
        return file_hash(*paths)
    except FileNotFoundError as error:
        raise ModelError(f"{error.filename} is missing: fetch the model again") from None


def model_fingerprint(directory: str | Path) -> str:
    """Hash of a model directory's configuration and weights, or of the finished networks where it holds
    nothing else.
    """
    directory = Path(directory)
    networks = [] if has_weights(directory) else engine_files(directory)
    return hash_of([directory / "config.json", *(networks or weight_files(directory))])


def read_sections(directory: Path) -> dict[str, Any]:
    """The sections of the model's `reader.json`; empty where there is no such file.

    Raises `ModelError` for a section that is not known: it was misspelt, or a later version wrote it.
    """
    path = directory / READER_FILE
    content = read_object_if_any(path, ModelError) or {}
    for name in content:
        if name not in SECTIONS:
            raise ModelError(
                f"{path}: {name!r} is not a known section; there are: {', '.join(SECTIONS)}. Correct it or take it "
                "out, or, where a "
                "newer Tinyreader wrote it, update this one"
            )
    return content


def read_section(directory: Path, section: str) -> dict[str, Any] | None:
    """A section of the model's `reader.json`, or None where there is no such file or section."""
    content = read_sections(directory).get(section)
    if content is not None and not isinstance(content, dict):
        raise ModelError(
            f"{directory / READER_FILE}: {section} should be a JSON object, not {type(content).__name__}"
        )
    return content


def write_section(directory: Path, section: str, content: Mapping[str, Any]) -> None:
    """Put a section into the model's `reader.json`, keeping what else stands there."""
    path = directory / READER_FILE
    whole = read_sections(directory)
    whole[section] = dict(content)
    write_json(path, whole)
