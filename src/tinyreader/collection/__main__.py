"""Brings a folder's index up to date, in a process of its own: python -m tinyreader.collection FOLDER INDEX.

Documents come from anywhere, and what parses them may fail in ways that raise no exception; the server keeps
running. Prints what changed as a line of JSON; exit code 2, and the reason on stderr, where it could not
be done.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from tinyreader.collection.refresh import refresh
from tinyreader.errors import TinyreaderError
from tinyreader.progress import Progress


def main() -> int:
    """The exit code: 0, or 2 where the index could not be brought up to date."""
    parser = argparse.ArgumentParser(description="Bring a folder's index up to date.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("index", type=Path)
    parser.add_argument("--file-seconds", type=float, help="how long a file may take to be read, up to 3,600")
    args = parser.parse_args()
    if args.file_seconds is not None and not 0 < args.file_seconds <= 3600:
        parser.error(f"--file-seconds is {args.file_seconds:g}; give a number above 0, up to 3600")
    try:
        found = refresh(args.folder, args.index, Progress(), file_s=args.file_seconds)
    except (TinyreaderError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(json.dumps(asdict(found)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
