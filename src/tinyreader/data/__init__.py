"""Question-answering data: examples in, with reasons for what is wrong; splits, fingerprints, and out
again.
"""

from __future__ import annotations

from tinyreader.data.describe import DataStats, Quantiles, stats
from tinyreader.data.example import Answer, Example, Fingerprint, fingerprint
from tinyreader.data.findings import KINDS, CheckReport, Finding, OnBad, ReadReport
from tinyreader.data.read import Source, check, iter_examples, load_examples, require_rereadable
from tinyreader.data.sample import sample
from tinyreader.data.split import split_by_article
from tinyreader.data.unanswerable import Unanswerable, ask_elsewhere, remove_answers
from tinyreader.data.write import write_jsonl, write_squad, writer_for

__all__ = [
    "KINDS",
    "Answer",
    "CheckReport",
    "DataStats",
    "Example",
    "Finding",
    "Fingerprint",
    "OnBad",
    "Quantiles",
    "ReadReport",
    "Source",
    "Unanswerable",
    "ask_elsewhere",
    "check",
    "fingerprint",
    "iter_examples",
    "load_examples",
    "remove_answers",
    "require_rereadable",
    "sample",
    "split_by_article",
    "stats",
    "write_jsonl",
    "write_squad",
    "writer_for",
]
