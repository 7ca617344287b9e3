"""A small invented encyclopaedia to learn from, and a tokenizer for it: everything for a first run without a download.

Articles are generated from the hand-written sentences in `templates/`; every name in them is made up.
"""

from __future__ import annotations

from tinyreader.sample.book import SHOWCASE, Encyclopaedia, encyclopaedia
from tinyreader.sample.vocabulary import tokenizer

__all__ = ["SHOWCASE", "Encyclopaedia", "encyclopaedia", "tokenizer"]
