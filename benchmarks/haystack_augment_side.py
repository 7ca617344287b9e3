"""Haystack 1's side of augment_throughput.py: runs inside its own environment and prints what augmenting
took, as JSON.

The library is not changed: its public `augment_squad` is called, with the functions it calls for each
paragraph wrapped in a clock. The first paragraph of the data is warm-up: what it took is given apart, as is
everything until models and vectors are loaded.
"""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def watch(module: Any, name: str, note: Callable[[float, float, Any], None]) -> None:
    """From now on, `note` is told (start, end, result) of each call of the module's function."""
    original = getattr(module, name)

    def watched(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        result = original(*args, **kwargs)
        note(started, time.perf_counter(), result)
        return result

    setattr(module, name, watched)


def main() -> None:
    """Print the seconds of loading, of each paragraph and of the rest, and each paragraph's size, as the last
    line.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--data", "--masked-lm", "--vectors"):
        parser.add_argument(name, type=Path, required=True)
    for name in ("--times", "--candidates"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--probability", type=float, required=True)
    args = parser.parse_args()

    module = importlib.import_module("haystack.utils.augment_squad")
    paragraphs: list[float] = []
    sizes: list[tuple[int, int]] = []
    loaded: list[float] = []
    watch(module, "load_glove", lambda start, end, result: loaded.append(end))
    watch(module, "augment", lambda start, end, result: paragraphs.append(end - start))
    watch(
        module,
        "tokenize_and_extract_words",
        lambda start, end, result: sizes.append((len(result[0]), len(result[2]))),
    )
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        module.augment_squad(
            squad_path=args.data,
            output_path=Path(scratch) / "augmented.json",
            glove_path=args.vectors,
            model=str(args.masked_lm),
            tokenizer=str(args.masked_lm),
            multiplication_factor=args.times,
            word_possibilities=args.candidates,
            replace_probability=args.probability,
            device="cpu:0",
        )
        ended = time.perf_counter()
    report = {
        "threads": torch.get_num_threads(),
        "loading": loaded[0] - started,
        "warm_up": paragraphs[0],
        "paragraphs": [
            {"seconds": seconds, "tokens": n_tokens, "sequences": n_sequences}
            for seconds, (n_tokens, n_sequences) in list(zip(paragraphs, sizes, strict=True))[1:]
        ],
        "copying_and_writing": ended - loaded[0] - sum(paragraphs),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
