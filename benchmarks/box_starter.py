"""Puts a student into the package as the reader in the box: calibrated, packed, measured, with its card and
terms.

    python benchmarks/box_starter.py runs/starter/long/student --held-out runs/starter/split/held-out.json \\
        --dev squad2-dev-a.json --work runs/box

Threshold and calibration are learned on the articles kept aside, by the weights as they were trained. Then
the weights are packed and the packed reader is measured on the development data, at bf16 where the processor
has it; int8 arithmetic is calibrated as well, for those who ask for it. Nothing of the package is replaced
before all of it is made.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from pathlib import Path

from command import require_files, tinyreader
from tinyreader.model_files import STARTER_DIRECTORY
from tinyreader.storage import without_directories

TERMS = Path(__file__).parent / "recipes" / "starter-terms.md"
ORIGINS = (
    "--license",
    "apache-2.0",
    "--language",
    "en",
    "--base-model",
    "sentence-transformers/all-MiniLM-L6-v2",
    "--train-dataset",
    "rajpurkar/squad_v2",
    "--dataset-type",
    "rajpurkar/squad_v2",
    "--dataset-name",
    "SQuAD 2.0",
    "--dataset-split",
    "18 of the 35 articles of validation",
)
MEASURED = re.compile(r"- It was measured on .* only\. .*")
BESIDES = "- It was trained and calibrated on SQuAD 2.0 only. What it does on other texts is below."
LEFT_OUT = ("vocab.txt", "special_tokens_map.json")  # tokenizer.json says it all


def main() -> None:
    options = arguments()
    work = options.work
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(options.student, work / "trained")
    tinyreader("calibrate", work / "trained", options.held_out)
    tinyreader(
        "export", work / "trained", "--engine", "packed", "-o", work / "starter", "--data", options.held_out
    )
    tinyreader(
        "export",
        work / "starter",
        "--precision",
        "int8",
        "--calibrate",
        options.held_out,
        "-o",
        work / "int8",
        may_fail=True,
    )
    finish(options)


def finish(options: argparse.Namespace) -> None:
    """Measures the packed reader, writes its card, and puts it in place."""
    made, work = options.work / "starter", options.work
    record = without_directories(json.loads((options.student / "run.json").read_text("utf-8")))
    (made / "run.json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    tinyreader("evaluate", made, options.dev, "-o", work / "report")
    tinyreader("evaluate", made, options.everyday, "-o", work / "everyday")
    tinyreader("card", made, "--report", work / "report", "-o", work / "card.md", *ORIGINS)
    card = MEASURED.sub(BESIDES, (work / "card.md").read_text("utf-8"))
    (made / "README.md").write_text(card + TERMS.read_text("utf-8"), "utf-8")
    for path in sorted(made.iterdir()):
        if path.name not in LEFT_OUT:
            shutil.copyfile(path, STARTER_DIRECTORY / path.name)
            print(STARTER_DIRECTORY / path.name, path.stat().st_size)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("student", type=Path)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("--everyday", type=Path, default=Path(__file__).parent / "everyday" / "everyday.json")
    parser.add_argument("--work", type=Path, default=Path("runs/box"))
    options = parser.parse_args()
    require_files(parser, options.student / "run.json", options.held_out, options.dev, options.everyday)
    return options


if __name__ == "__main__":
    main()
