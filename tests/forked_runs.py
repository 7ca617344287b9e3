"""A process that has everything loaded, and runs the command line in forked children which it signals when
told to.

Starting Python with torch takes seconds; a fork takes milliseconds. `Runs` is the test's end, `main` the
process's own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Blow:
    """A signal, sent `delay` seconds after a file that matches the pattern `file` in the run's directory
    holds `text`.
    """

    delay: float
    number: int = signal.SIGKILL
    file: str | None = None
    text: str = ""


@dataclass(frozen=True)
class Ended:
    """How a child ended: its exit code (minus the signal's number if one killed it), what it wrote, its
    seconds.
    """

    code: int
    seconds: float
    stdout: str
    stderr: str


class Runs:
    """Runs of `tinyreader` commands, one after the other, in children of one loaded process with that
    environment.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder, self.environment = folder, {**os.environ, **environment}

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self.environment,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.kill()  # leaving in good order costs torch seconds
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def __call__(self, *arguments: str, out: Path, blow: Blow | None = None) -> Ended:
        """Runs `tinyreader ARGUMENTS --out OUT` to its end, or to the blow's."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        order = {"arguments": [*arguments, "--out", str(out)], "out": str(out), "blow": blow and asdict(blow)}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the process that runs the commands is gone"
        return Ended(**json.loads(answer))


def main() -> None:
    """Carries out orders from stdin until it ends."""
    import tinyreader.distil.run
    from tinyreader import cli

    assert tinyreader.distil.run.run_recipe is not None
    files = [Path(f"{stream}-{os.getpid()}.txt") for stream in ("stdout", "stderr")]
    for line in sys.stdin:
        order = json.loads(line)
        began = time.monotonic()
        child = os.fork()
        if not child:
            _work(cli.main, order["arguments"], *files)
        if order["blow"] is not None:
            _strike(child, Blow(**order["blow"]), Path(order["out"]))
        _, status = os.waitpid(child, 0)
        ended = Ended(
            os.waitstatus_to_exitcode(status),
            time.monotonic() - began,
            *(file.read_text("utf-8") for file in files),
        )
        sys.stdout.write(json.dumps(asdict(ended)) + "\n")
        sys.stdout.flush()


def _work(command: Any, arguments: list[str], *streams: Path) -> None:
    """What a child does; it does not return."""
    sys.argv = ["tinyreader", *arguments]
    for number, path in enumerate(streams, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    code = 0
    try:
        command()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 70
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _strike(child: int, blow: Blow, out: Path) -> None:
    """Waits for the blow's moment and strikes, unless the child is gone by then."""
    while blow.file is not None and not _is_there(out, blow):
        if _is_gone(child):
            return
        time.sleep(0.0005)
    time.sleep(blow.delay)
    if not _is_gone(child):
        os.kill(child, blow.number)


def _is_gone(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _is_there(out: Path, blow: Blow) -> bool:
    assert blow.file is not None
    for path in out.glob(blow.file):
        try:
            if not blow.text or blow.text in path.read_text("utf-8"):
                return True
        except (OSError, UnicodeDecodeError):
            continue
    return False


if __name__ == "__main__":
    main()
