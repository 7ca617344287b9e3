"""Opens proposers by name: a masked language model, a file of word vectors, a file of synonyms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tinyreader.augment.neighbours import Neighbours
from tinyreader.augment.proposer import Proposer
from tinyreader.augment.synonyms import read_synonyms
from tinyreader.augment.vectors import load_vectors
from tinyreader.errors import MissingExtraError, SettingsError

EXTRA_PROPOSALS = 15
"""How many proposals are requested beyond the candidates, because some are unusable (`words.clean`)."""


@dataclass(frozen=True, slots=True)
class ProposerNames:
    """The proposers by name, asked in this order: a file of synonyms, a masked language model, word vectors.

    `exact` masks one word at a time, which is slower; see `MaskedLM`.
    """

    synonyms: str | None = None
    masked_lm: str | None = None
    vectors: str | None = None
    exact: bool = False
    precision: str = "auto"

    def open(self, n_candidates: int, say: Callable[[str], None]) -> list[Proposer]:
        """The proposers, loaded and checked; `SettingsError` when there is none. `say` gets a line about the
        vectors that were left out.
        """
        if not (self.synonyms or self.masked_lm or self.vectors):
            raise SettingsError(
                "there are no proposers. Name at least one of: a masked language model (masked_lm, "
                "--masked-lm), word vectors (vectors, --vectors), a file of synonyms (synonyms, --synonyms)"
            )
        n_proposals = n_candidates + EXTRA_PROPOSALS
        opened: list[Proposer] = []
        if self.synonyms is not None:
            opened.append(read_synonyms(self.synonyms))
        if self.masked_lm is not None:
            opened.append(self._open_masked_lm(self.masked_lm, n_proposals))
        if self.vectors is not None:
            vectors = load_vectors(self.vectors)
            if vectors.notes.left_out:
                say(f"{self.vectors}: {vectors.notes}")
            opened.append(Neighbours(vectors, n_proposals))
        return opened

    def _open_masked_lm(self, name: str, n_proposals: int) -> Proposer:
        try:
            from tinyreader.augment.masked_lm import MaskedLM
        except ModuleNotFoundError as error:
            raise MissingExtraError("proposing words with a masked language model", "train") from error
        return MaskedLM.from_pretrained(
            name, n_proposals=n_proposals, exact=self.exact, precision=self.precision
        )


def fingerprint_of(proposer: Proposer) -> str:
    """Identifies a proposer: its `fingerprint`, or the qualified name of the function."""
    own = getattr(proposer, "fingerprint", None)
    if own is not None:
        return str(own)
    return f"{getattr(proposer, '__module__', '')}.{getattr(proposer, '__qualname__', type(proposer).__qualname__)}"


def fingerprints(proposers: Sequence[Proposer]) -> list[str]:
    """Identifies these proposers in this order."""
    return [fingerprint_of(proposer) for proposer in proposers]
