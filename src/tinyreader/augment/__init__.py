"""Rewritten copies of a training set that keep its answers (TinyBERT's augmentation, arXiv 1909.10351)."""

from __future__ import annotations

from tinyreader.augment.paragraphs import AugmentReport, augment
from tinyreader.augment.proposer import AugmentOptions, Passage, Proposer

__all__ = ["AugmentOptions", "AugmentReport", "Passage", "Proposer", "augment"]
