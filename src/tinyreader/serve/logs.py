"""Logs as JSON, one object a line: time, level, message, and for a request its id, status and duration. Never texts or
questions.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from typing import Any

FIELDS = "fields"
"""The attribute of a log record that holds its structured part."""


class JsonFormatter(logging.Formatter):
    """A record as a line of JSON. Of an exception, its type and traceback, as its message might quote a text."""

    def format(self, record: logging.LogRecord) -> str:
        now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{now}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
            line["stack"] = [
                f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(record.exc_info[2])
            ]
        return json.dumps(line, ensure_ascii=False, default=str)


def set_up(level: str) -> None:
    """Sends the process's logs of that level and above to stderr, as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in ("bm25s", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.ERROR)
