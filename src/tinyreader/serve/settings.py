"""A server's settings: defaults, a TOML file, `TINYREADER_*` variables, flags, the later over the earlier.

Unknown names are refused wherever they stand, and errors name the file, variable or flag. pydantic-settings was tried: it
ignores unknown variables, so that TINYREADER_PROT=8081 does nothing, and its errors do not say where a value came from.
"""

from __future__ import annotations

import ipaddress
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from tinyreader.errors import SettingsError
from tinyreader.model_files import STARTER

PREFIX = "TINYREADER_"
MEGABYTE = 1 << 20


class ServeSettings(BaseModel):
    """A server's settings. Sizes are bytes or characters (code points) as their names say, times are
    seconds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: str = Field(STARTER, min_length=1, description="Reader: a directory or a Hub id.")
    revision: str | None = Field(None, description="Revision of a Hub id.")
    host: str = Field("127.0.0.1", description="Address to bind; 0.0.0.0 is every network of this machine.")
    port: int = Field(8080, ge=0, le=65535, description="Port to bind; 0 picks a free one.")
    engine: Literal["auto", "openvino", "onnx", "torch"] = Field("auto", description="Inference engine.")
    precision: Literal["auto", "fp32", "bf16", "int8"] = Field(
        "auto", description="Number format of the arithmetic."
    )
    workers: int = Field(1, ge=1, le=256, description="Engine processes.")
    threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Threads of each engine process; by default the cores are shared among them.",
    )
    api_key: SecretStr | None = Field(None, description="Required as bearer token; at least 16 characters.")
    allow_origins: tuple[str, ...] = Field((), description="Origins whose web pages may ask; * is any.")
    allow_hosts: tuple[str, ...] = Field(
        (), description="Host names it answers to; at a loopback address, local ones by default."
    )
    documents: Path | None = Field(None, description="Folder of documents to serve.")
    index: Path | None = Field(
        None, description="Directory of the folder's index; by default in the user's cache directory."
    )
    refresh_s: float = Field(30.0, ge=1.0, le=86400.0, description="Seconds between scans of the folder.")
    passages: int = Field(20, ge=1, le=1000, description="Passages of the folder to read for a question.")
    busy_tokens: int = Field(
        1024, ge=16, le=1 << 20, description="Tokens of an engine call when many requests wait."
    )
    calm_tokens: int = Field(512, ge=16, le=1 << 20, description="Tokens of an engine call when few do.")
    max_requests: int = Field(
        128, ge=1, le=4096, description="Maximum number of requests at a time; more get a 503."
    )
    max_body_bytes: int = Field(16 * MEGABYTE, ge=1024, description="Maximum size of a request.")
    max_held_bytes: int = Field(
        256 * MEGABYTE, ge=1024, description="Maximum size of all accepted requests together."
    )
    max_question_characters: int = Field(2000, ge=1, description="Maximum length of a question.")
    max_questions: int = Field(1000, ge=1, description="Maximum number of questions in a request.")
    max_documents: int = Field(2000, ge=1, description="Maximum number of documents in a request.")
    max_document_characters: int = Field(10_000_000, ge=1, description="Maximum length of a document.")
    max_read_tokens: int = Field(
        5_000_000,
        ge=1,
        description="Maximum tokens to read for a request, at four characters a token: each text once for each question.",
    )
    max_pages: int = Field(5000, ge=1, description="Maximum number of pages of a document.")
    convert_s: float = Field(30.0, ge=1.0, le=3600.0, description="Maximum time to convert a file to text.")
    converters: int = Field(2, ge=1, le=64, description="Files converted at a time; others wait.")
    timeout_s: float = Field(120.0, ge=1.0, le=86400.0, description="Maximum time of a request.")
    receive_s: float = Field(30.0, ge=0.1, le=3600.0, description="Maximum time for a request to arrive.")
    drain_s: float = Field(
        60.0, ge=0.0, le=3600.0, description="Maximum time for accepted requests after SIGTERM."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level that is logged."
    )

    @field_validator("allow_origins", "allow_hosts", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """Lists may be given as text, separated by commas."""
        return (
            tuple(part.strip() for part in value.split(",") if part.strip())
            if isinstance(value, str)
            else value
        )

    @field_validator("api_key")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and (
            len(value.get_secret_value()) < 16 or not value.get_secret_value().isascii()
        ):
            raise ValueError("it must have at least 16 ASCII characters, or it could be guessed")
        return value

    @field_validator("documents")
    @classmethod
    def _folder(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_dir():
            raise ValueError(f"there is no folder {value}")
        return value

    @model_validator(mode="after")
    def _fitting(self) -> ServeSettings:
        if self.max_held_bytes < self.max_body_bytes:
            raise ValueError(
                "max_held_bytes must be at least max_body_bytes, or the largest request would never be accepted"
            )
        return self

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def resolve(
    flags: Mapping[str, Any], environment: Mapping[str, str], file: Path | None = None
) -> ServeSettings:
    """The settings of a TOML file, overridden by the environment and then by the flags that are not None.

    Raises `SettingsError`, naming the place a value came from, for unknown names and values that do not fit.
    """
    known = ServeSettings.model_fields
    sources: dict[str, str] = {}
    values: dict[str, Any] = {}

    def take(name: str, value: Any, source: str) -> None:
        if name not in known:
            raise SettingsError(
                f"{source}: there is no setting {name!r}; the settings are {', '.join(sorted(known))}."
            )
        values[name], sources[name] = value, source

    for name, value in _of_file(file).items():
        take(name, value, str(file))
    for variable, value in environment.items():
        if variable.startswith(PREFIX):
            take(variable.removeprefix(PREFIX).lower(), value, variable)
    for name, value in flags.items():
        if value is not None:
            take(name, value, f"--{name.replace('_', '-')}")
    try:
        return ServeSettings(**values)
    except ValidationError as error:
        raise SettingsError("\n  ".join(_lines_of(error, sources))) from None


def _lines_of(error: ValidationError, sources: Mapping[str, str]) -> list[str]:
    """A line for each wrong value; what was given is shown, unless it is a secret."""
    lines = []
    for each in error.errors(include_url=False):
        name = str(each["loc"][0]) if each["loc"] else ""
        message = each["msg"].removeprefix("Value error, ")
        if name in ("", "api_key"):
            lines.append(f"{sources.get(name, 'settings')}: {message}.")
        else:
            given = each["input"]
            shown = str(given) if isinstance(given, Path) else repr(given)
            lines.append(f"{sources.get(name, name)}: {name} is {shown}: {message}.")
    return lines


def _of_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{file} cannot be read as TOML: {error}") from None


def parsed(text: str) -> tuple[str, Any]:
    """Name and value of `name=value`; the value as JSON where it is such, else the text itself."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise SettingsError(f"--set {text!r}: write it as name=value")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
