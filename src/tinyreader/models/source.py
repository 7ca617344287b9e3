"""From the name of a model to a directory on this machine."""

from __future__ import annotations

import re
from pathlib import Path

from tinyreader.errors import MissingExtraError, ModelError

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
)
WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors")
PICKLE_FILE = "pytorch_model.bin"


def model_directory(name_or_dir: str | Path, revision: str | None = None) -> Path:
    """The directory of that path, or the one that the Hub's model of that id was downloaded to."""
    path = Path(name_or_dir).expanduser()
    if path.is_dir():
        if revision is not None:
            raise ModelError(f"{name_or_dir} is a directory; a revision ({revision!r}) can only be chosen for a Hub id")
        return path
    name = str(name_or_dir)
    if path.exists():
        raise ModelError(f"{name} is a file; give the directory that holds config.json and the weights")
    if not HUB_ID.fullmatch(name):
        raise ModelError(f"there is no directory {name}, and it is no Hub id (which look like owner/name)")
    return _download(name, revision)


def _download(name: str, revision: str | None) -> Path:
    """The Hub's snapshot, pickled weights only where the model has no others."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtraError(f"downloading {name} from the Hub", "train") from error
    try:
        path = Path(snapshot_download(name, revision=revision, allow_patterns=[*SETTINGS_FILES, *WEIGHT_FILES]))
        if not any(path.glob("model*.safetensors")):
            path = Path(snapshot_download(name, revision=revision, allow_patterns=[*SETTINGS_FILES, PICKLE_FILE]))
    except Exception as error:  # the client's own, its HTTP library's and the system's errors alike
        reason = " ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])
        raise ModelError(
            f"there is no directory {name}, and the Hub's model of that name could not be downloaded: {reason}"
        ) from error
    return path
