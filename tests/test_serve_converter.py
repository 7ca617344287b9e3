"""`serve.converter`: children that make text of files, few at a time, none for long."""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from document_samples import pdf_of
from serving import until
from tinyreader.documents import Document
from tinyreader.serve.converter import Converter
from tinyreader.serve.problems import Problem
from tinyreader.serve.runtime import Abandoned, RequestContext, working_for
from tinyreader.serve.settings import ServeSettings

LOOPS = (sys.executable, "-c", "import sys; sys.stdin.buffer.read()\nwhile True: pass")


def converter(command: tuple[str, ...] | None = None, **settings: float) -> Converter:
    """One with these settings."""
    own = ServeSettings(model="m", **settings)  # type: ignore[arg-type]
    return Converter(own) if command is None else Converter(own, command)


def test_a_file_becomes_a_document() -> None:
    """Its text and pages under the name that was given."""
    with working_for(RequestContext(60)):
        assert converter().document(pdf_of(["The mill", "b"]), "é.pdf") == Document(
            "é.pdf", "The mill\nb\n", (0, 9)
        )
        with pytest.raises(Problem) as caught:
            converter().document(b"%PDF-", "a.pdf")
    assert (caught.value.kind, caught.value.where) == ("cannot-read", "the body")


def test_a_child_that_is_slow_to_begin_gets_the_whole_file() -> None:
    """Megabytes that wait in the pipe for longer than a look are all written."""
    code = (
        "import json, sys, time; time.sleep(0.5); n = len(sys.stdin.buffer.read())\n"
        "print(json.dumps({'text': str(n), 'pages': []}))"
    )
    with working_for(RequestContext(60)):
        text = converter((sys.executable, "-c", code)).document(b"x" * 5_000_000, "a").text
    assert 5_000_000 < int(text) < 5_001_000


def test_what_loops_is_ended() -> None:
    """A parser that does not come back is killed after its time, and the limit named."""
    began = time.monotonic()
    with working_for(RequestContext(60)), pytest.raises(Problem) as caught:
        converter(LOOPS, convert_s=1.0).document(b"x" * 1_000_000, "a.pdf")
    assert (caught.value.kind, caught.value.limit) == ("limit", 1.0)
    assert time.monotonic() - began < 30


def test_what_crashes_is_a_problem() -> None:
    """A child that dies, even of a signal, is the file's fault, in words that quote nothing of it."""
    for code in ("raise SystemExit(3)", "import os; os.kill(os.getpid(), 11)"):
        with working_for(RequestContext(60)), pytest.raises(Problem) as caught:
            converter((sys.executable, "-c", code)).document(b"x" * 1_000_000, "a.pdf")
        assert caught.value.kind == "cannot-read"


def test_a_client_that_goes_ends_the_child(tmp_path: Path) -> None:
    """With the context the work ends, also that which waits for a place."""
    code = "import os, sys, pathlib\npathlib.Path(sys.argv[1], str(os.getpid())).touch()\nwhile True: pass"
    one = converter((sys.executable, "-c", code, str(tmp_path)), converters=1)
    contexts = [RequestContext(60), RequestContext(60)]

    def work(context: RequestContext) -> None:
        with working_for(context), pytest.raises(Abandoned):
            one.document(b"x", "a")

    with ThreadPoolExecutor(2) as threads:
        futures = [threads.submit(work, contexts[0])]
        until(lambda: list(tmp_path.iterdir()), "a child")
        futures.append(threads.submit(work, contexts[1]))
        for context in reversed(contexts):  # else the one that waits has the place for a moment
            context.cancel()
        for future in futures:
            future.result(30)
    assert len(list(tmp_path.iterdir())) == 1  # the other waited for its place
    assert not Path("/proc", next(tmp_path.iterdir()).name).exists()


def test_keys_are_not_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What parses strangers' files is not told the server's secrets."""
    monkeypatch.setenv("TINYREADER_API_KEY", "0123456789abcdef")
    code = "import json, os, sys; json.dump({'text': ' '.join(os.environ), 'pages': []}, sys.stdout)"
    with working_for(RequestContext(60)):
        assert "TINYREADER" not in converter((sys.executable, "-c", code)).document(b"", "a").text


def test_places_are_given_back() -> None:
    """After failures there is room as before."""
    one = converter((sys.executable, "-c", "raise SystemExit(1)"), converters=1)
    barrier = threading.Barrier(4)

    def work() -> str:
        barrier.wait()
        with working_for(RequestContext(60)), pytest.raises(Problem) as caught:
            one.document(b"", "a")
        return caught.value.kind

    with ThreadPoolExecutor(4) as threads:
        assert [future.result(60) for future in [threads.submit(work) for _ in range(4)]] == [
            "cannot-read"
        ] * 4
