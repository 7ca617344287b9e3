"""A small invented encyclopaedia to learn from, and a page to ask: everything for a first run without a
download.

Articles are generated from the hand-written sentences in `templates/`; every name in them is made up.
"""

from __future__ import annotations

from tinyreader.sample.book import MINUTES, SHOWCASE, Encyclopaedia, encyclopaedia, minutes

__all__ = ["MINUTES", "SHOWCASE", "Encyclopaedia", "encyclopaedia", "minutes"]
