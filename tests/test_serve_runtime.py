"""`serve.runtime`: a reader over the pool reads as it does alone, for as long as somebody wants it to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_engine import Scattered, command
from serving import QUESTION, SETTINGS, text, until
from tiny_models import write_vocabulary
from tinyreader.errors import RunError
from tinyreader.reader import Reader
from tinyreader.serve.pool import Pool, PoolSettings
from tinyreader.serve.runtime import Abandoned, PooledRuntime, RequestContext, working_for


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What controls the engine."""
    return tmp_path_factory.mktemp("engine")


@pytest.fixture(scope="module")
def pool(folder: Path) -> Iterator[Pool]:
    """Two fake engines."""
    found = Pool(PoolSettings(command(folder), workers=2))
    found.start()
    yield found
    (folder / "hold").unlink(missing_ok=True)
    found.close()


@pytest.fixture
def reader(pool: Pool, folder: Path) -> Iterator[Reader]:
    """A reader over them."""
    yield Reader(write_vocabulary(folder / "vocabulary"), PooledRuntime(pool), SETTINGS)
    (folder / "hold").unlink(missing_ok=True)
    (folder / "fail").unlink(missing_ok=True)


def test_readings_are_those_of_a_reader_alone(reader: Reader, folder: Path) -> None:
    """Texts of many windows, many texts, several questions: equal to the last digit."""
    asked = [(f"{QUESTION} {'x ' * n}", [text(5 * n + 1, n), text(200, n)]) for n in range(8)]
    with working_for(context := RequestContext(60)):
        found = list(reader.read_many(asked, top_k=4))
    alone = Reader(reader.tokenizer, Scattered(), SETTINGS)
    assert found == list(alone.read_many(asked, top_k=4))
    assert context.n_windows > 50


def abandoned(reader: Reader, context: RequestContext, words: int) -> tuple[threading.Thread, list[Any]]:
    """A thread that reads so many words in the context, and what it ended with."""
    ends: list[Any] = []

    def read() -> None:
        try:
            with working_for(context):
                ends.append(reader.read(QUESTION, text(words)))
        except Exception as error:
            ends.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    return thread, ends


def test_a_cancelled_request_ends_at_once_and_leaves_the_queue(
    reader: Reader, pool: Pool, folder: Path
) -> None:
    """Who waits is told, what waited is gone, and nothing more can be asked in that context."""
    (folder / "hold").touch()
    context = RequestContext(600)
    thread, ends = abandoned(reader, context, 1000)
    until(lambda: pool.waiting, "windows that wait")
    context.cancel()
    thread.join(60)
    assert isinstance(ends[0], Abandoned)
    assert not ends[0].late
    assert pool.waiting == 0
    with pytest.raises(Abandoned, match="its client has gone"), working_for(context):
        reader.read(QUESTION, text(5))


def test_a_deadline_ends_a_request(reader: Reader, pool: Pool, folder: Path) -> None:
    """When it passes, the request is over, whatever the engine does."""
    (folder / "hold").touch()
    thread, ends = abandoned(reader, RequestContext(0.5), 1000)
    thread.join(60)
    assert isinstance(ends[0], Abandoned)
    assert ends[0].late
    assert pool.waiting == 0


def test_an_engines_failure_reaches_the_request(reader: Reader, pool: Pool, folder: Path) -> None:
    """It is raised where the request reads, and the rest of its windows is forgotten."""
    (folder / "fail").touch()
    thread, ends = abandoned(reader, RequestContext(60), 1000)
    thread.join(60)
    assert isinstance(ends[0], RunError)
    assert pool.waiting == 0
