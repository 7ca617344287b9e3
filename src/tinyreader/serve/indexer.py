"""Keeps a served folder's collection up to date: a child process looks through the folder now and then."""

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
    """`collection` is None until the folder was indexed for the first time."""

    def __init__(self, folder: Path, index: Path | None, every_s: float, file_s: float) -> None:
        self.folder, self.index, self.every_s, self.file_s = (
            folder,
            index or index_directory(folder),
            every_s,
            file_s,
        )
        self.collection: Collection | None = None
        self._stop = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="indexer", daemon=True)
        self._lock = threading.Lock()

    def start(self) -> None:
        """Opens what an earlier run left, if anything, and begins to look through the folder."""
        try:
            self.collection = Collection(self.index)
        except TinyreaderError:
            log.info("there is no index of the folder yet; it is made now")
        self._thread.start()

    def close(self) -> None:
        """Ends it; a refresh under way is given up, which leaves what was there."""
        self._stop.set()
        with self._lock:
            if self._child is not None and self._child.poll() is None:
                self._child.kill()
        if self._thread.is_alive():
            self._thread.join(10.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._look()
            except (TinyreaderError, OSError, ValueError) as error:
                log.error("the folder could not be looked through (%s)", type(error).__name__)
            self._stop.wait(self.every_s)

    def _look(self) -> None:
        command = [sys.executable, "-m", "tinyreader.collection", str(self.folder), str(self.index)]
        command += ["--file-seconds", str(self.file_s)]
        with self._lock:
            if self._stop.is_set():
                return
            self._child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        said, complaint = self._child.communicate()
        if self._stop.is_set():
            return
        if self._child.returncode:
            lines = complaint.decode("utf-8", "replace").strip().splitlines()[-1:] or [
                f"exit code {self._child.returncode}"
            ]
            log.error("the folder could not be indexed: %s", lines[0])
            return
        if self.collection is None:
            self.collection = Collection(self.index)
        elif not self.collection.reload():
            return
        log.info("the folder was indexed", extra={FIELDS: json.loads(said)})
