"""A fresh base install: its size by package, that neither torch nor Transformers came along, and the time to
a first answer.

    python benchmarks/fresh_install.py                     # the reader in the package is asked
    python benchmarks/fresh_install.py --model DIR         # another one is

Builds the wheel of this checkout, makes an empty environment in a temporary folder, and installs the wheel
there as a user would; pip's cache is used unless --no-cache says otherwise. The time counts from the start of
the install. The last line is the result as JSON. Exit code 1: more than 350 MB beside the 30 that the reader
in the package may take, a package that should not be there, or more than three minutes to the first answer.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[1]
MOST_MB, MOST_SECONDS = 350.0 + 30.0, 180.0
UNWANTED = ("torch", "transformers")
QUESTION = "Who drew up the bridge?"
TEXT = "The bridge, drawn up by Ada Rost, opened in 1911. It crosses the river at Ornamere."
SIZES = """
import json
from importlib.metadata import distributions
from pathlib import Path
sizes = {}
for found in distributions():
    paths = {Path(found.locate_file(file)).resolve() for file in found.files or ()}
    sizes[found.name] = sum(path.stat().st_size for path in paths if path.is_file())
print(json.dumps(sizes))
"""


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", type=Path, help="a reader's directory, to ask in place of the one in the package"
    )
    parser.add_argument("--no-cache", action="store_true", help="download every package anew")
    return parser.parse_args()


def run(*command: str | Path, folder: Path, may_fail_with: int = 0) -> str:
    """What the command printed; ends the program where it fails."""
    result = subprocess.run([str(word) for word in command], cwd=folder, capture_output=True, text=True)
    if result.returncode not in (0, may_fail_with):
        raise SystemExit(
            f"{' '.join(map(str, command))}\nended with {result.returncode}:\n{result.stderr[-3000:]}"
        )
    return result.stdout


def install(folder: Path, *, no_cache: bool) -> tuple[Path, float]:
    """The Python of a new environment with the wheel installed, and the seconds that making and filling it
    took.
    """
    pip = ("-m", "pip", "--disable-pip-version-check")
    anew = ["--no-cache-dir"] if no_cache else []
    run(sys.executable, *pip, "wheel", "--quiet", "--no-deps", "-w", folder / "dist", CHECKOUT, folder=folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    started = time.perf_counter()
    run(sys.executable, "-m", "venv", folder / "fresh", folder=folder)
    python = folder / "fresh" / "bin" / "python"
    run(python, *pip, "install", "--quiet", *anew, wheel, folder=folder)
    return python, time.perf_counter() - started


def ask(python: Path, model: Path | None, folder: Path) -> tuple[dict[str, Any], float]:
    """The reading of a question, by the command line in the environment, and the seconds from its start to
    its end.
    """
    (folder / "text.txt").write_text(TEXT, "utf-8")
    started = time.perf_counter()
    tinyreader = python.with_name("tinyreader")
    command: list[str | Path] = [tinyreader, "ask", QUESTION, "text.txt", "--json"]
    command += [] if model is None else ["--model", model.resolve()]
    printed = run(
        *command, folder=folder, may_fail_with=1
    )  # 1: it says that the text does not answer, which is an answer
    reading: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return reading, time.perf_counter() - started


def main() -> int:
    """Install, weigh, ask, judge."""
    args = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="fresh-install-") as scratch:
        folder = Path(scratch)
        python, seconds = install(folder, no_cache=args.no_cache)
        installer = ("pip", "setuptools", "wheel")  # an empty environment's own
        sizes = {
            name: size / 1e6 for name, size in json.loads(run(python, "-c", SIZES, folder=folder)).items()
        }
        sizes = {name: size for name, size in sizes.items() if name not in installer}
        unwanted = [name for name in UNWANTED if name in sizes]
        total = sum(sizes.values())
        for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
            print(f"{size:8.1f} MB  {name}")
        print(f"{total:8.1f} MB  in all (at most {MOST_MB:.0f}), installed in {seconds:.0f} s")
        print(f"unwanted packages: {', '.join(unwanted) or 'none'}")
        result: dict[str, Any] = {
            "installed_mb": round(total, 1),
            "packages_mb": {name: round(size, 2) for name, size in sizes.items()},
            "unwanted": unwanted,
            "install_seconds": round(seconds, 1),
        }
        reached = total <= MOST_MB and not unwanted
        reading, of_asking = ask(python, args.model, folder)
        answers = reading["answers"]
        whole = seconds + of_asking
        print(
            f"first answer {of_asking:.1f} s after the command, {whole:.0f} s after the start of the install"
        )
        print(f"it was {answers[0]['text'] if answers else 'that there is none'!r}")
        result |= {"first_answer_seconds": round(of_asking, 2), "install_to_answer_seconds": round(whole, 1)}
        reached = reached and whole <= MOST_SECONDS
    print(json.dumps(result))
    return int(not reached)


if __name__ == "__main__":
    sys.exit(main())
