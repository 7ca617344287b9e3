"""Keeps a served folder's index up to date: a child process scans the folder at intervals.

A child, because making the index takes seconds of pure Python, in which the event loop would answer nobody.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from pathlib import Path

from tinyreader.collection import Collection, index_directory
from tinyreader.errors import TinyreaderError
from tinyreader.serve.logs import FIELDS

log = logging.getLogger(__name__)


class Indexer:
    """Scans a folder every `every_s` seconds; `collection` is None until it was indexed for the first time."""

    def __init__(self, folder: Path, index: Path | None, every_s: float, file_s: float) -> None:
        self.folder, self.index = folder, index or index_directory(folder)
        self.every_s, self.file_s = every_s, file_s
        self.collection: Collection | None = None
        self._stop = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="indexer", daemon=True)
        self._lock = threading.Lock()

    def start(self) -> None:
        """Opens the index that an earlier run left, if any, and begins to scan the folder."""
        try:
            self.collection = Collection(self.index)
        except TinyreaderError:
            log.info("the folder has no index yet; making it")
        self._thread.start()

    def close(self) -> None:
        """Stops; a scan under way is given up, which leaves the index as it was."""
        self._stop.set()
        with self._lock:
            if self._child is not None and self._child.poll() is None:
                self._child.kill()
        if self._thread.is_alive():
            self._thread.join(10.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._scan()
            except (TinyreaderError, OSError, ValueError) as error:
                log.error("the folder could not be scanned (%s)", type(error).__name__)
            self._stop.wait(self.every_s)

    def _scan(self) -> None:
        command = [sys.executable, "-m", "tinyreader.collection", str(self.folder), str(self.index)]
        command += ["--file-seconds", str(self.file_s)]
        with self._lock:
            if self._stop.is_set():
                return
            self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        output, errors = self._child.communicate()
        if self._stop.is_set():
            return
        if self._child.returncode:
            lines = errors.decode("utf-8", "replace").strip().splitlines()[-1:] or [
                f"exit code {self._child.returncode}"
            ]
            log.error("the folder could not be indexed: %s", lines[0])
            return
        if self.collection is None:
            self.collection = Collection(self.index)
        elif not self.collection.reload():
            return
        log.info("the folder was indexed", extra={FIELDS: json.loads(output)})
