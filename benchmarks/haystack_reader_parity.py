"""Our Haystack reader beside the one that it stands in for: the same model, questions and documents, answer
by answer.

    python benchmarks/haystack_reader_parity.py --model DIR --data squad.json --pairs 300

builds the environment of transformers-haystack on first use, asks both sides in fp32 with their default
settings, and prints how many answers are the same and how far scores differ. Three kinds of call: a question
on its paragraph, a question on ten paragraphs, a question on ten paragraphs joined into one text of several
windows. The predecessor never gives segment ids to its model; here it is given them by a small wrapper,
unless `--without-segments` asks for it as it is.
"""

from __future__ import annotations

import argparse
import inspect
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PINS = Path(__file__).parent / "peers" / "haystack.txt"
PEER = "transformers-haystack 2.0.0"
DOCUMENTS = 10
TOLERANCE = 1e-4

Call = tuple[str, list[str]]
Row = tuple[int, int, int, float]
"""Number of the document and place of an answer, -1 for the one that there is none, and its score."""


def calls(data: Path, n_pairs: int) -> dict[str, list[Call]]:
    """The calls of each kind: question and texts, from the first questions of as many paragraphs."""
    pairs = []
    for article in json.loads(data.read_text("utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            if paragraph["qas"]:
                pairs.append((paragraph["qas"][0]["question"], paragraph["context"]))
    step = max(1, len(pairs) // n_pairs)
    pairs = pairs[::step][:n_pairs]
    groups = [pairs[begin : begin + DOCUMENTS] for begin in range(0, len(pairs), DOCUMENTS)]
    return {
        "one paragraph": [(question, [text]) for question, text in pairs],
        "ten paragraphs": [(group[0][0], [text for _, text in group]) for group in groups],
        "one long text": [(group[-1][0], ["\n\n".join(text for _, text in group)]) for group in groups],
    }


def asked(reader: Any, document: Any, kinds: dict[str, list[Call]]) -> dict[str, list[list[Row]]]:
    """What a reader says to each call, and on stderr how long it took."""
    said: dict[str, list[list[Row]]] = {}
    for kind, given in kinds.items():
        started = time.perf_counter()
        said[kind] = []
        for question, texts in given:
            documents = [document(content=text, meta={"number": number}) for number, text in enumerate(texts)]
            said[kind].append(
                [row(answer) for answer in reader.run(query=question, documents=documents)["answers"]]
            )
        sys.stderr.write(f"{kind}: {len(given)} calls in {time.perf_counter() - started:.1f} s\n")
    return said


def row(answer: Any) -> Row:
    """An answer as numbers."""
    if answer.data is None:
        return (-1, -1, -1, answer.score)
    place = answer.document_offset
    assert answer.data == answer.document.content[place.start : place.end]
    return (answer.document.meta["number"], place.start, place.end, answer.score)


class Segmenting:
    """The predecessor's tokenizer and model with segment ids passed from the one to the other."""

    def __init__(self, reader: Any) -> None:
        self.tokenizer, self.at = reader.tokenizer, 0
        self.segments: Any = None
        reader.tokenizer = self
        reader.model.register_forward_pre_hook(self.give, with_kwargs=True)

    def __call__(self, *texts: Any, **settings: Any) -> Any:
        """What the tokenizer gives; its segment ids are remembered."""
        encoded = self.tokenizer(*texts, return_token_type_ids=True, **settings)
        self.segments, self.at = encoded["token_type_ids"], 0
        return encoded

    def give(self, module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The model's inputs with the segment ids of the batch, which follows the one before."""
        begin, self.at = self.at, self.at + len(kwargs["input_ids"])
        return args, kwargs | {
            "token_type_ids": self.segments[begin : self.at].to(kwargs["input_ids"].device)
        }


def takes_segments(model: Any) -> bool:
    """Whether a Transformers model distinguishes question and context by segment ids."""
    has_input = "token_type_ids" in inspect.signature(model.forward).parameters
    return has_input and getattr(model.config, "type_vocab_size", 0) > 1


def peer_side(job: dict[str, Any]) -> dict[str, Any]:
    """What the predecessor says; runs in its own environment."""
    import torch
    from haystack import Document
    from haystack.utils import ComponentDevice
    from haystack_integrations.components.readers.transformers import TransformersExtractiveReader

    torch.set_num_threads(job["threads"])
    reader = TransformersExtractiveReader(job["model"], token=None, device=ComponentDevice.from_str("cpu"))
    reader.warm_up()
    given = takes_segments(reader.model) and not job["without_segments"]
    if given:
        Segmenting(reader)
    return {"said": asked(reader, Document, job["calls"]), "segments": given}


def our_side(job: dict[str, Any]) -> dict[str, Any]:
    """What our component says."""
    from haystack import Document

    from tinyreader.integrations.haystack import ExtractiveReader

    reader = ExtractiveReader(job["model"], token=None, threads=job["threads"])
    return {"said": asked(reader, Document, job["calls"])}


@dataclass(frozen=True, slots=True)
class Agreement:
    """How like two sides' answers to as many calls are.

    `same_best` and `same_all` count calls whose best answer, and whose answers altogether, in this order, are
    the same places; `score` and `no_answer` are the largest differences of the scores of places that both
    gave; `missing` counts places that only one gave, `missing_above` the largest score such a place has above
    the least that the other side kept.
    """

    calls: int
    answers: int
    same_best: int
    same_all: int
    score: float
    no_answer: float
    missing: int
    missing_above: float


def agreement(ours: Sequence[Sequence[Row]], theirs: Sequence[Sequence[Row]]) -> Agreement:
    """How like the answers are, call by call."""
    same_best = same_all = answers = missing = 0
    score = no_answer = above = 0.0
    for one, other in zip(ours, theirs, strict=True):
        a, b = by_place(one), by_place(other)
        nothing = (-1, -1, -1)
        no_answer = max(no_answer, abs(a.pop(nothing) - b.pop(nothing)))
        answers += len(b)
        same_best += next(iter(a)) == next(iter(b))
        same_all += list(a) == list(b)
        score = max([score, *(abs(a[place] - b[place]) for place in a.keys() & b.keys())])
        for found, rest in ((a, b), (b, a)):
            only = [found[place] for place in found.keys() - rest.keys()]
            missing += len(only)
            above = max([above, *(value - min(rest.values()) for value in only)])
    return Agreement(len(ours), answers, same_best, same_all, score, no_answer, missing, above)


def by_place(rows: Iterable[Row]) -> dict[tuple[int, int, int], float]:
    """Scores by place, in the order given; a place that came twice with its best score."""
    found: dict[tuple[int, int, int], float] = {}
    for document, start, end, value in rows:
        found[document, start, end] = max(value, found.get((document, start, end), -math.inf))
    return found


def run_peer(python: Path, job: dict[str, Any]) -> dict[str, Any]:
    """What the predecessor says, in a process of its own environment."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "job.json"
        path.write_text(json.dumps(job), "utf-8")
        fixed = {
            "HF_HUB_OFFLINE": "1",
            "HAYSTACK_TELEMETRY_ENABLED": "False",
            "OMP_NUM_THREADS": str(job["threads"]),
        }
        result = subprocess.run(
            [str(python), __file__, "--peer-job", str(path)],
            env={**os.environ, **fixed},
            stdout=subprocess.PIPE,
            check=True,
        )
    answer: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return answer


def main() -> int:
    """Prints the agreement per kind of call and, as the last line, all of it as JSON; 1 where scores differ
    too much.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="a directory with a question-answering model")
    parser.add_argument("--data", type=Path, help="a SQuAD file")
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--without-segments", action="store_true", help="the predecessor as it is")
    parser.add_argument("--env-dir", type=Path, default=Path("~/.cache/tinyreader-bench").expanduser())
    parser.add_argument("--peer-job", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer_job:
        print(json.dumps(peer_side(json.loads(args.peer_job.read_text("utf-8")))))
        return 0
    if args.model is None or args.data is None:
        parser.error("--model and --data are needed")

    from sides import build_environment

    python = build_environment(args.env_dir, "haystack", PINS, PEER)
    kinds = calls(args.data, args.pairs)
    job = {
        "model": str(args.model.resolve()),
        "threads": args.threads,
        "calls": kinds,
        "without_segments": args.without_segments,
    }
    ours, theirs = our_side(job)["said"], run_peer(python, job)
    found = {kind: agreement(ours[kind], theirs["said"][kind]) for kind in kinds}
    print(
        f"{PEER} {'with' if theirs['segments'] else 'without'} segment ids, {args.model.name}, fp32 on both "
        "sides\n"
    )
    print(
        "| | calls | answers | same best place | same places, same order | scores differ by | no-answer by | "
        "in one only |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for kind, a in found.items():
        print(
            f"| {kind} | {a.calls} | {a.answers} | {a.same_best} | {a.same_all} | {a.score:.1e} | "
            f"{a.no_answer:.1e} | "
            f"{a.missing}, at most {a.missing_above:.1e} above the last kept |"
        )
    largest = max(max(a.score, a.no_answer, a.missing_above) for a in found.values())
    plain = {kind: {name: getattr(a, name) for name in Agreement.__slots__} for kind, a in found.items()}
    print(
        json.dumps(
            {"peer": PEER, "segments": theirs["segments"], "largest_difference": largest, "kinds": plain}
        )
    )
    return int(largest > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
