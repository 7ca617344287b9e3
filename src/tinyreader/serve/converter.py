"""Files that clients send become text, each in a child process with limits: a parser that loops, or takes all memory,
costs its sender a 422 and nobody else anything.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, Self

from tinyreader.documents import Document
from tinyreader.serve.problems import Problem
from tinyreader.serve.runtime import Abandoned, RequestContext, current_context
from tinyreader.serve.settings import ServeSettings

COMMAND = (sys.executable, "-m", "tinyreader.serve.convert")

_CHECK_S = 0.1  # how often it is checked whether the client has gone
_ENVIRONMENT = "PATH PYTHONPATH PYTHONHOME LD_LIBRARY_PATH LANG LC_ALL SYSTEMROOT".split()  # no secrets


class Converter:
    """Makes text of files' bytes, a limited number at a time. Threads share it, each in a request context of its own."""

    def __init__(self, settings: ServeSettings, command: Sequence[str] = COMMAND) -> None:
        self._settings, self._command = settings, command
        self._places = threading.BoundedSemaphore(settings.converters)

    def document(self, raw: bytes, name: str) -> Document:
        """The document in a file's bytes. Raises `Problem` for what cannot be read or is too much, or
        `Abandoned`.
        """
        context = current_context()
        while not self._places.acquire(timeout=_CHECK_S):
            context.check()
        try:
            context.check()  # the place may have come after the end
            answer = self._answer(raw, name, context)
        finally:
            self._places.release()
        if "kind" in answer:
            raise Problem(answer["kind"], answer["detail"], where="the body")
        return Document(name, answer["text"], tuple(answer["pages"]), tuple(answer.get("warnings", ())))

    def _answer(self, raw: bytes, name: str, context: RequestContext) -> dict[str, Any]:
        own = self._settings
        head = {
            "name": name,
            "max_pages": own.max_pages,
            "max_characters": own.max_document_characters,
            "seconds": math.ceil(own.convert_s),
        }
        environment = {key: os.environ[key] for key in _ENVIRONMENT if key in os.environ}
        command, pipe = self._command, subprocess.PIPE
        with (
            subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environment
            ) as process,
            _Watch(process, context, own.convert_s) as watch,
        ):
            output, _ = process.communicate(json.dumps(head).encode() + b"\n" + raw)
        context.check()
        if watch.was_late:
            detail = f"{name} takes longer than {own.convert_s:g} s to read. Send a part of it, or its text."
            raise Problem("limit", detail, where="the body", limit=own.convert_s)
        if process.returncode:
            raise Problem(
                "cannot-read", f"{name} cannot be read: the parser of such files crashed.", where="the body"
            )
        answer: dict[str, Any] = json.loads(output)
        return answer


class _Watch:
    """While the block runs, kills the process once its time is over or nobody waits for it any more."""

    def __init__(self, process: subprocess.Popen[bytes], context: RequestContext, seconds: float) -> None:
        self.was_late = False
        self._process, self._context, self._end = process, context, time.monotonic() + seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="converter", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(_CHECK_S):
            try:
                self._context.check()
            except Abandoned:
                self._process.kill()
                return
            if time.monotonic() > self._end:
                self.was_late = True
                self._process.kill()
                return
