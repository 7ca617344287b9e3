"""How a data set is rewritten."""

from __future__ import annotations

from dataclasses import dataclass, fields

from tinyreader.errors import SettingsError


@dataclass(frozen=True, slots=True)
class AugmentOptions:
    """Settings of the rewriting, named as in TinyBERT's algorithm 1 (arXiv 1909.10351) where it has them.

    `times` copies of each paragraph (N_a in the paper); each replaceable word goes with `probability` (p_t)
    and becomes one of its `candidates` best proposals (K), each as likely as the others. Raises
    `SettingsError` for values that make no sense.
    """

    times: int = 20
    probability: float = 0.4
    candidates: int = 15
    seed: int = 1
    keep_original: bool = False
    replace_answers: bool = False
    replace_question_words: bool = False
    replace_digits: bool = False
    keep_stop_words: bool = False

    def __post_init__(self) -> None:
        for name, least in (("times", 1), ("candidates", 1), ("seed", 0)):
            value = getattr(self, name)
            if value < least:
                raise SettingsError(f"{name} is {value}; it must be at least {least}")
        if not 0 < self.probability <= 1:
            raise SettingsError(f"probability is {self.probability}; it must be above 0 and at most 1")

    def as_dict(self) -> dict[str, object]:
        """The settings as plain data."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
