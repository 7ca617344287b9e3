"""`serve.settings`: where settings come from, and that unknown or wrong ones are refused with their place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tinyreader.errors import SettingsError
from tinyreader.model_files import STARTER
from tinyreader.serve.settings import ServeSettings, parsed, resolve


def test_flags_go_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    """Each source where the later ones say nothing."""
    file = tmp_path / "serve.toml"
    file.write_text(
        'model = "a"\nport = 1\nworkers = 3\nthreads = 5\nallow_origins = ["https://a.example"]\n'
    )
    hosts = {"TINYREADER_ALLOW_HOSTS": "a.example, b.example"}
    environment = {"TINYREADER_PORT": "2", "TINYREADER_WORKERS": "4", "HOME": "/", **hosts}
    found = resolve({"port": 7, "workers": None}, environment, file)
    assert (found.model, found.port, found.workers, found.threads, found.timeout_s) == ("a", 7, 4, 5, 120.0)
    assert (found.allow_origins, found.allow_hosts) == (("https://a.example",), ("a.example", "b.example"))


@pytest.mark.parametrize(
    ("flags", "environment", "file", "words"),
    [
        ({"colour": 1}, {}, "", "--colour: there is no setting 'colour'"),
        ({}, {"TINYREADER_COLOUR": "1"}, "", "TINYREADER_COLOUR: there is no setting 'colour'"),
        ({}, {}, "colour = 1", r"serve.toml: there is no setting 'colour'"),
        ({"port": 70_000}, {}, "", "--port: port is 70000"),
        ({}, {"TINYREADER_PORT": "many"}, "", "TINYREADER_PORT: port is 'many'"),
        ({}, {}, "workers = 0", "serve.toml: workers is 0"),
        (
            {"documents": Path("/no/such/folder")},
            {},
            "",
            "--documents: documents is /no/such/folder: there is no folder",
        ),
        ({"max_held_bytes": 2000}, {}, "", "max_held_bytes must be at least max_body_bytes"),
        ({"timeout_s": float("nan")}, {}, "", "timeout_s is nan"),
        ({}, {}, "workers", "cannot be read as TOML"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(
    tmp_path: Path, flags: dict[str, Any], environment: dict[str, str], file: str, words: str
) -> None:
    """The message names flag, variable or file."""
    path = tmp_path / "serve.toml"
    path.write_text(file)
    with pytest.raises(SettingsError, match=words):
        resolve({"model": "m", **flags}, environment, path)


def test_the_reader_in_the_package_is_served_where_none_is_named() -> None:
    """By its name, which `model_directory` knows; an empty name is an error."""
    assert resolve({}, {}).model == STARTER
    with pytest.raises(SettingsError, match="TINYREADER_MODEL: model is ''"):
        resolve({}, {"TINYREADER_MODEL": ""})


def test_secrets_are_never_shown() -> None:
    """Neither a key that is too short, nor one that is set."""
    with pytest.raises(SettingsError, match="16 ASCII characters") as caught:
        resolve({"model": "m", "api_key": "sesame"}, {})
    assert "sesame" not in str(caught.value)
    found = resolve({"model": "m"}, {"TINYREADER_API_KEY": "open sesame, please"})
    assert "sesame" not in found.model_dump_json() + repr(found)


def test_a_settings_name_and_value() -> None:
    """A value is JSON where it can be, else text."""
    assert parsed("busy_tokens=2048") == ("busy_tokens", 2048)
    assert parsed("model=a=b") == ("model", "a=b")
    with pytest.raises(SettingsError, match="name=value"):
        parsed("port")


@pytest.mark.parametrize(
    ("host", "is_local"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("reader.example", False)],
)
def test_local_addresses_are_known(host: str, is_local: bool) -> None:
    """Whether others can reach it decides by which names it may be called."""
    assert ServeSettings(model="m", host=host).is_local is is_local
