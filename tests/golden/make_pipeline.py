"""Writes `pipeline_answers.json`: what the question-answering pipeline of Transformers 4.57.6 answers on
pairs of our own.

    python tests/golden/make_pipeline.py PYTHON

PYTHON is that of an environment with `benchmarks/peers/transformers4.txt` (`benchmarks/pipeline_parity.py`
builds one). The file holds the texts too. Pairs whose answers change when every weight moves by a
hundred-thousandth are left out and counted: with them, the order of ties would be compared.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from pipeline_cases import write_model  # noqa: E402 - found by the line above
from tinyreader.sample import encyclopaedia  # noqa: E402

TARGET = HERE / "pipeline_answers.json"
SIDE = HERE.parents[1] / "benchmarks" / "pipeline_side.py"
N_ARTICLES, N_JOINED, NOISE = 50, 24, 1e-5

# Signs of several bytes, joined signs, words that come twice in other cases, blanks, a text of one word.
ODD = [
    "Zoë Ångström’s café 😀 opened in 1911; 👩‍🚀 Zoë Ångström’s café closed in 1912. Naïve? No…",
    "The mill. The mill burned. THE MILL stands again; the Mill-keeper, a Mr. O'Harl-Venn, keeps the mill.",
    "東京の橋は1890年に架けられた。 The bridge in 東京 was built in 1890.",
    "word",
    "  Leading blanks, a tab\tand\n\nlines;  two  spaces.   ",
]
ODD_QUESTIONS = ["When did the café open?", "Who keeps the mill?", "What was built in 1890?"]
SETTINGS: list[dict[str, Any]] = [
    {},
    {"top_k": 3},
    {"handle_impossible_answer": True},
    {"top_k": 5, "handle_impossible_answer": True, "max_answer_len": 4},
    {"top_k": 3, "align_to_words": False},
    {"max_seq_len": 96, "doc_stride": 32, "top_k": 3, "handle_impossible_answer": True},
    {"max_seq_len": 72, "doc_stride": 8},
]


def cases() -> tuple[list[str], list[list[Any]]]:
    """Texts, and pairs of a question with the numbers of the texts whose union, with blanks between, is its
    context.
    """
    held_out = encyclopaedia(n_articles=20, n_held_out=N_ARTICLES, seed=5).held_out
    texts = list(dict.fromkeys(example.context for example in held_out))
    numbers = {text: number for number, text in enumerate(texts)}
    pairs: list[list[Any]] = [[example.question, [numbers[example.context]]] for example in held_out]
    rng = random.Random(1)
    for _ in range(N_JOINED):
        chosen = rng.sample(range(len(texts)), rng.randint(3, 8))
        asked = rng.choice([question for question, (number,) in pairs[: len(held_out)] if number in chosen])
        pairs.append([asked, chosen])
    for odd in ODD:
        texts.append(odd)
        pairs += [[question, [len(texts) - 1]] for question in ODD_QUESTIONS]
    return texts, pairs


def answers(python: str, model: Path, pairs: list[list[str]]) -> list[list[list[list[Any]]]]:
    """The pipeline's answers by setting and pair."""
    work = {"model": str(model), "jobs": [{"pairs": pairs, "options": options} for options in SETTINGS]}
    done = subprocess.run(
        [python, str(SIDE)], input=json.dumps(work), stdout=subprocess.PIPE, text=True, check=True
    )
    results: list[list[list[list[Any]]]] = json.loads(done.stdout.splitlines()[-1])["results"]
    return results


def recorded(python: str, family: str, texts: list[str], pairs: list[list[Any]]) -> tuple[list[Any], int]:
    """The answers [score, start, end] by setting and pair, None where a tie decides, and how many of these
    there are.
    """
    given = [[question, " ".join(texts[number] for number in numbers)] for question, numbers in pairs]
    with tempfile.TemporaryDirectory() as scratch:
        models = [
            write_model(Path(scratch) / str(n), family, texts, noise=noise)
            for n, noise in enumerate((0.0, NOISE))
        ]
        first, *others = [answers(python, model, given) for model in models]
    kept, ties = [], 0
    for setting, rows in enumerate(first):
        own: list[Any] = []
        for row, found in enumerate(rows):
            for _, start, end, text in found:
                assert given[row][1][start:end] == text
            same = all([a[1:] for a in found] == [a[1:] for a in other[setting][row]] for other in others)
            own.append(
                [[float(f"{score:.6g}"), start, end] for score, start, end, _ in found] if same else None
            )
            ties += not same
        kept.append(own)
    return kept, ties


def main() -> None:
    """Write the file."""
    texts, pairs = cases()
    families = {}
    for family in ("bert", "roberta"):
        own = pairs
        if family == "roberta":  # a token a letter: longer questions leave its small windows no room
            own = [
                pair
                for pair in pairs[::3] + pairs[-len(ODD) * len(ODD_QUESTIONS) :]
                if len(pair[0].encode()) <= 48
            ]
        results, ties = recorded(sys.argv[1], family, texts, own)
        families[family] = {"pairs": own, "results": results}
        sys.stdout.write(
            f"{family}: {len(own)} pairs, {sum(map(len, results))} results, {ties} left out as ties\n"
        )
    content = {"from": "transformers 4.57.6", "texts": texts, "settings": SETTINGS, "families": families}
    TARGET.write_text(json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
