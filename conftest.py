"""Shared by all tests: no network, one thread, and the path of the development data."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Set before torch or tokenizers are imported; processes that the tests start inherit them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests' tensors are too small to be worth a second thread

REPOSITORY = Path(__file__).parent


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The development data beside the repository; tests that need it are skipped where it is not there."""
    path = REPOSITORY.parent / "shared"
    if not path.is_dir():
        pytest.skip("needs the development data in ../shared, which this machine does not have")
    return path


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """A session in which a connection to another machine fails at once, with its address."""
    with pytest.MonkeyPatch.context() as patch:
        connect = socket.socket.connect

        def connect_locally(self: socket.socket, address: Any) -> None:
            host = address[0] if isinstance(address, tuple) else "localhost"
            if host not in ("localhost", "127.0.0.1", "::1"):
                raise AssertionError(f"a test tried to reach {address!r}; tests use no network")
            connect(self, address)

        patch.setattr(socket.socket, "connect", connect_locally)
        yield
