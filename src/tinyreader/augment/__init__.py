"""Rewritten copies of a training set, with its answers alive (TinyBERT's data augmentation, arXiv
1909.10351).
"""

from __future__ import annotations

from tinyreader.augment.options import AugmentOptions
from tinyreader.augment.paragraphs import augment
from tinyreader.augment.proposer import Passage, Proposer
from tinyreader.augment.report import AugmentReport

__all__ = ["AugmentOptions", "AugmentReport", "Passage", "Proposer", "augment"]
