"""A folder of tens of thousands of passages: how long it takes to index, to open again, to follow a change,
and to search.

    python benchmarks/serve_folder.py --data squad2-train.json

The paragraphs of SQuAD-format data are laid out as a folder, an article a file, or with `--apart` a paragraph
a file. Each look through the folder is a process of its own, as the server's are. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tinyreader.collection import Collection

N_QUESTIONS = 400


def lay_out(data: list[dict[str, object]], folder: Path, *, apart: bool) -> list[tuple[str, str]]:
    """Writes the files; gives pairs of question and paragraph, those that have an answer."""
    pairs = []
    for number, article in enumerate(data):
        paragraphs: list[dict[str, object]] = article["paragraphs"]  # type: ignore[assignment]
        texts = [str(paragraph["context"]) for paragraph in paragraphs]
        home = folder / f"{number:03d}"
        if apart:
            home.mkdir()
        for place, text in enumerate(texts if apart else ["\n\n".join(texts)]):
            (home / f"{place:04d}.txt" if apart else home.with_suffix(".txt")).write_text(
                text, encoding="utf-8"
            )
        for paragraph, text in zip(paragraphs, texts, strict=True):
            questions: list[dict[str, object]] = paragraph["qas"]  # type: ignore[assignment]
            pairs += [(str(each["question"]), text) for each in questions if not each.get("is_impossible")]
    return pairs


def look(folder: Path, index: Path) -> tuple[float, dict[str, int]]:
    """Seconds that a look through the folder took, and what it found."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "tinyreader.collection", str(folder), str(index)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    found: dict[str, int] = json.loads(said)
    return round(time.perf_counter() - began, 2), found


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="Index, open, refresh and search a large folder.")
    parser.add_argument("--data", type=Path, required=True, help="SQuAD-format JSON")
    parser.add_argument(
        "--apart", action="store_true", help="a paragraph a file instead of an article a file"
    )
    args = parser.parse_args()
    data = json.loads(args.data.read_text(encoding="utf-8"))["data"]
    with tempfile.TemporaryDirectory() as home:
        folder, index = Path(home, "folder"), Path(home, "index")
        folder.mkdir()
        pairs = lay_out(data, folder, apart=args.apart)
        time.sleep(2.5)  # files as young as that are read again to be sure
        told: dict[str, object] = {}
        told["index_s"], found = look(folder, index)
        told |= {"files": found["documents"], "passages": found["passages"]}
        told["unchanged_s"], found = look(folder, index)
        assert not found["changed"]
        first = next(path for path in sorted(folder.rglob("*.txt")))
        first.write_text(f"{first.read_text(encoding='utf-8')} The end.", encoding="utf-8")
        told["one_changed_s"], found = look(folder, index)
        assert found["changed"] == 1
        told["on_disk_mb"] = sum(path.stat().st_size for path in index.rglob("*") if path.is_file()) >> 20
        began = time.perf_counter()
        collection = Collection(index)
        told["open_s"] = round(time.perf_counter() - began, 2)
        seconds, hits = [], 0
        asked = random.Random(0).sample(pairs, N_QUESTIONS)
        for question, paragraph in asked:
            began = time.perf_counter()
            passages = collection.search(question)
            seconds.append(time.perf_counter() - began)
            hits += any(
                passage.text[:100] in paragraph or paragraph[:100] in passage.text for passage in passages
            )
        told["search_ms_p50"], told["search_ms_p95"] = (
            round(1000 * s, 2) for s in np.percentile(seconds, [50, 95])
        )
        told["paragraph_among_20"] = round(hits / len(asked), 3)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
