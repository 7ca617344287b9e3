"""Writes `squad_scores.json`: prediction files meant to trip a scorer, with what the official scripts print
for them.

    python tests/golden/make.py OFFICIAL PYTHON_3_11 PYTHON_3_12_OR_LATER

OFFICIAL is a folder with the official `evaluate-v1.1.py` and `evaluate-v2.0.py`, which are not part of this
project. Two interpreters (the 2.0 script needs numpy there), because `sum` rounds floats better from Python
3.12 on, and with it the last digit of the 2.0 script.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

Case = dict[str, Any]

TARGET = Path(__file__).with_name("squad_scores.json")
N_RANDOM = 30

# What normalisation may stumble over: articles, punctuation of many scripts, marks, letters whose case
# changes length.
PIECES = [
    *(
        "the",
        "a",
        "an",
        "The",
        "AN",
        "A",
        "theatre",
        "an.",
        "a-n",
        "the,",
        "ath",
        "x'the",
        "'the'",
        "_",
        "under_score",
    ),
    *(
        ".",
        ",",
        "--",
        "...",
        "!?",
        "$5.00",
        "5.00",
        "$",
        "%",
        "u.s.",
        "US",
        "U.S.",
        "don't",
        "dont",
        "1,000",
        "1000",
    ),
    *(
        "“quoted”",
        "«guillemets»",
        "—",
        "–",
        "…",
        "¿qué?",
        "。",
        "、",
        "東京",
        "東京都",
        "1°",
        "½",
        "a_b",
        "àn",
    ),
    *(
        "the\u0301",
        "Ünï",
        "ünï",
        "cafe\u0301",
        "café",
        "İstanbul",
        "i̇stanbul",
        "straße",
        "STRASSE",
        "ſ",
        "ﬁn",
    ),
    *("\u0930\u093e", "😀", "👩\u200d🚀", "مرحبا", "שלום", "a\u200bn", ""),
]
SPACES = [" ", " ", " ", "  ", "\t", "\n", "\u00a0", "\u3000", "\u2009", "\x1f", "\u200b", ""]
INFINITY = float("inf")
ODDS = [0, 1, 0.0, 1.0, 0.5, 0.5, 0.25, 1e-9, -3.5, 12.25, True, False, INFINITY, -INFINITY, 0.1, 0.1 + 0.2]
THRESHOLDS = [None, None, 1.0, 0.0, 0.5, 0.25, -1.0, -1e9, 1e9, 0.1 + 0.2]


def phrase(rng: random.Random, most: int = 5) -> str:
    """Up to `most` pieces with odd spaces between them; may be empty."""
    return "".join(rng.choice(PIECES) + rng.choice(SPACES) for _ in range(rng.randint(0, most)))


def altered(rng: random.Random, text: str) -> str:
    """The text as it is, or with a word lost, doubled, added, moved, or another case or punctuation."""
    words = text.split(" ")
    changes = (
        lambda: text,
        lambda: text.upper(),
        lambda: text + rng.choice((".", "!", " the", "’s", "\u0301")),
        lambda: "the " + text,
        lambda: " ".join(words[:-1]),
        lambda: " ".join([*words, rng.choice(words)]),
        lambda: " ".join([*words, phrase(rng, 2)]),
        lambda: " ".join(reversed(words)),
    )
    return rng.choice(changes)()


def random_case(rng: random.Random, n_questions: int, version: str) -> Case:
    """One data file with predictions: doubled ids, several answers, extra and missing predictions, tied
    odds.
    """
    questions, predictions = [], {}
    for number in range(n_questions):
        qid = f"q{rng.randrange(number + 1)}" if rng.random() < 0.03 else f"q{number}"
        n_answers = rng.choice((1, 1, 2, 3, 4) if version == "1.1" else (0, 0, 1, 1, 2, 4))
        answers = [phrase(rng) for _ in range(n_answers)]
        answers += [altered(rng, answer) for answer in answers if rng.random() < 0.2]
        questions.append({"id": qid, "answers": [{"text": text, "answer_start": 0} for text in answers]})
        choices = [*answers, *(altered(rng, a) for a in answers), "", phrase(rng)]
        predictions[qid] = rng.choice(choices)
    for qid in [
        qid for qid in predictions if rng.random() < (0.1 if version == "1.1" else 0.01 / n_questions)
    ]:
        del predictions[qid]
    predictions |= {f"extra{n}": phrase(rng) for n in range(rng.choice((0, 0, 1, 3)))}
    predictions = dict(rng.sample(sorted(predictions.items()), len(predictions)))
    return {
        "version": version,
        "data": {"version": version if version == "1.1" else "v2.0", "data": in_articles(rng, questions)},
        "predictions": predictions,
        **(random_odds(rng, predictions) if version == "2.0" else {}),
    }


def random_odds(rng: random.Random, predictions: dict[str, str]) -> Case:
    """No-answer odds for the predictions, or none, and a threshold, or none."""
    thresh = rng.choice(THRESHOLDS)
    if rng.random() < 0.3:
        return {"na_probs": None, "na_prob_thresh": thresh}
    draw = rng.choice((lambda: rng.choice(ODDS), rng.random, lambda: rng.gauss(0, 5)))
    odds = {qid: draw() for qid in predictions}
    if rng.random() < 0.1:
        odds |= {"unknown": draw(), "unheard": float("nan")}
    return {"na_probs": dict(rng.sample(sorted(odds.items()), len(odds))), "na_prob_thresh": thresh}


def in_articles(rng: random.Random, questions: list[Case]) -> list[Case]:
    """The questions spread over articles and paragraphs, in order."""
    articles: list[Case] = [{"title": "t", "paragraphs": [{"context": "c", "qas": []}]}]
    for question in questions:
        if rng.random() < 0.1:
            articles.append({"title": "t", "paragraphs": []})
        if rng.random() < 0.2 or not articles[-1]["paragraphs"]:
            articles[-1]["paragraphs"].append({"context": "c", "qas": []})
        articles[-1]["paragraphs"][-1]["qas"].append(question)
    return articles


def document(version: str, *questions: tuple[str, list[str]]) -> Case:
    """A data file of one paragraph from ids and answer texts."""
    qas = [{"id": qid, "answers": [{"text": text} for text in texts]} for qid, texts in questions]
    return {"version": version, "data": [{"paragraphs": [{"qas": qas}]}]}


def chosen_cases() -> list[Case]:
    """The cases where the scripts are known to be peculiar."""
    one, two = ("q1", ["the cat"]), ("q2", [])
    both = document("v2.0", one, two)

    def v2(
        name: str, data: Case, predictions: Case, odds: Case | None = None, thresh: float | None = None
    ) -> Case:
        case = {"name": name, "version": "2.0", "data": data, "predictions": predictions}
        return case | {"na_probs": odds, "na_prob_thresh": thresh}

    def v1(name: str, data: Case, predictions: Case) -> Case:
        return {"name": name, "version": "1.1", "data": data, "predictions": predictions}

    right = {"q1": "Cat!", "q2": ""}
    # F1 of 2/3 four times, 1 twice, 0.4 four times: sums that Python 3.12 rounds in another way, ints in yet
    # another.
    golds = [["oak ash"]] * 4 + [[]] * 2 + [["oak ash elm fir"]] * 4
    last_digit = document("v2.0", *((f"q{n}", texts) for n, texts in enumerate(golds)))
    oaks = {f"q{n}": "oak" if texts else "" for n, texts in enumerate(golds)}
    return [
        v2("all right", both, right),
        v2(
            "articles only are no answer",
            document("v2.0", ("q1", ["The"]), ("q2", ["..."])),
            {"q1": "", "q2": "an"},
        ),
        v2("an empty gold answer beside a full one", document("v2.0", ("q1", ["!", "fox"])), {"q1": ""}),
        v2(
            "punctuation predicted where nothing is right",
            both,
            {"q1": "cat", "q2": " . "},
            {"q1": 0.2, "q2": 0.1},
        ),
        v2("only questions with answers", document("v2.0", one), {"q1": "a cat sat"}),
        v2("only questions without answers", document("v2.0", two), {"q2": "cat"}, {"q2": 0.0}, 0.0),
        v2("a doubled id: the last counts", document("v2.0", one, ("q1", ["dog"]), two), right),
        v2(
            "a doubled id that loses its answers",
            document("v2.0", one, ("q1", [])),
            {"q1": ""},
            {"q1": 0.5},
            0.5,
        ),
        v2("extra predictions and odds", both, right | {"q9": None}, {"q9": 7, "q1": 1, "q2": 2}, 1.5),
        v2("odds equal to the threshold answer", both, right, {"q1": 1.0, "q2": 1}),
        v2("a threshold below zero without odds", both, right, None, -0.5),
        v2("ties keep the order of the odds file", both, {"q1": "cat", "q2": "cat"}, {"q2": 0.5, "q1": 0.5}),
        v2("odds that are not numbers yet are", both, right, {"q1": float("nan"), "q2": float("inf")}, 0.5),
        v2("a sum whose last digit depends on the Python", last_digit, oaks),
        v2(
            "the same with two answers withdrawn",
            last_digit,
            oaks,
            dict.fromkeys(oaks, 0.5) | {"q4": 2, "q5": 2},
        ),
        v2("a missing prediction", both, {"q1": "cat"}),
        v2("all predictions missing", both, {}),
        v2("a missing probability", both, right, {"q1": 0.5}),
        v2("a probability that is text", both, right, {"q1": "0.5", "q2": 0.5}),
        v2("a prediction of null", both, {"q1": None, "q2": ""}),
        v2("a prediction that is a list", both, {"q1": ["cat"], "q2": ""}),
        v2("no questions", {"version": "v2.0", "data": []}, {"q1": "cat"}),
        v2("no data", {"version": "v2.0"}, {"q1": "cat"}),
        v1("both empty after normalisation: exact, but F1 0", document("1.1", ("q1", ["The"])), {"q1": "a"}),
        v1("a missing prediction counts 0", document("1.1", one, ("q2", ["dog"])), {"q2": "dog"}),
        v1("all predictions missing", document("1.1", one), {}),
        v1("a doubled id counts twice", document("1.1", one, ("q1", ["dog"])), {"q1": "cat"}),
        v1("no gold answer, not predicted", document("1.1", one, two), {"q1": "cat"}),
        v1("no gold answer, predicted", document("1.1", one, two), {"q1": "cat", "q2": ""}),
        v1("a prediction of null", document("1.1", one), {"q1": None}),
        v1("no questions", {"version": "1.1", "data": []}, {}),
    ]


def official(script: Path, python: str, case: Case) -> str | None:
    """What the official script prints for the case, or None where it stops with an error."""
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder, name) for name in ("data", "predictions", "na_probs")}
        for name, path in files.items():
            path.write_text(json.dumps(case.get(name)), encoding="utf-8")
        command = [python, str(script), str(files["data"]), str(files["predictions"])]
        if case.get("na_probs") is not None:
            command += ["--na-prob-file", str(files["na_probs"])]
        if case.get("na_prob_thresh") is not None:
            command += [f"--na-prob-thresh={case['na_prob_thresh']!r}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


def main(folder: str, *pythons: str) -> None:
    """Run the official scripts on all cases and write the fixture."""
    rng = random.Random(20240611)
    cases = chosen_cases()
    for number in range(N_RANDOM):
        version = "1.1" if number % 3 == 0 else "2.0"
        cases.append({"name": f"random {number}"} | random_case(rng, rng.choice((3, 8, 20, 40)), version))
    for case in cases:
        script = Path(folder, f"evaluate-v{case['version']}.py")
        case["stdout"], newer = (official(script, python, case) for python in pythons)
        if newer != case["stdout"]:
            case["stdout_from_3_12"] = newer
    TARGET.write_text("[\n" + ",\n".join(map(json.dumps, cases)) + "\n]\n", encoding="utf-8")
    stopped = sum(case["stdout"] is None for case in cases)
    differ = sum("stdout_from_3_12" in case for case in cases)
    sys.stderr.write(
        f"{len(cases)} cases; the official script stops on {stopped}; {differ} differ between Pythons\n"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
