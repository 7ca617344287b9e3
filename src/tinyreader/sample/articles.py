"""One article: a paragraph from a kind's templates, and questions that it answers or leaves open."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from tinyreader.data.example import Answer
from tinyreader.errors import SettingsError
from tinyreader.sample.kinds import Fact, Kind
from tinyreader.sample.names import Names, ascending_years, drawn

_FIELD = re.compile(r"\{(\w+)\}")
_N_TOLD = ((0, 2), (1, 1), (1, 2), (2, 1))  # facts told after the lead: with a year, and without
_TOLD_SHARES = (0.3, 0.35, 0.15, 0.2)
_FILLER_SHARE = 0.2
_N_ANSWERED, _N_OPEN = 4, 2
_TEMPTING_SHARE = (
    0.1  # of the open questions: another year, person or place of the text looks like the answer
)
_NAME_IN_QUESTION_SHARE = 0.7
_MAX_TRIES = 500


@dataclass(frozen=True, slots=True)
class Article:
    """A paragraph on one subject with its questions; a question without an answer has None."""

    title: str
    text: str
    questions: tuple[tuple[str, Answer | None], ...]


@dataclass(frozen=True, slots=True)
class _Subject:
    """How to speak of an article's subject."""

    name: str
    short: str
    pronouns: tuple[str, str, str]

    def mention(self, rng: Random, *, first: bool) -> dict[str, str]:
        """Fields for one sentence: the full name at first, then pronouns and the short form by turns."""
        she, her, hers = self.pronouns
        opener = self.name if first else rng.choice((she, self.short))
        fields = {
            "S": opener,
            "s": rng.choice((she, self.short)),
            "o": rng.choice((her, self.short)),
            "p": hers,
        }
        fields["P"] = hers if opener == she else f"{self.short}'s"
        return fields


def written(kind: Kind, names: Names, rng: Random, taken: set[str]) -> Article:
    """A new article whose subject is not in `taken`, which then holds it too.

    Raises:
        SettingsError: when hardly any name for a subject is left.
    """
    for _ in range(_MAX_TRIES):
        subject = _drawn_subject(kind, names, rng)
        if subject.name in taken:
            continue
        told = _told(kind, rng)
        values = _drawn_values(kind, told, names, rng)
        text, places = _paragraph(kind, subject, told, values, rng)
        answers = {slot: Answer(text[start:end], start) for slot, (start, end) in places.items()}
        if all(_stands_once(answer.text, text) for answer in answers.values()):
            taken.add(subject.name)
            return Article(_capitalised(subject.name), text, tuple(_questions(kind, subject, answers, rng)))
    raise SettingsError(f"no name for another article about a {kind.noun} is left: ask for fewer articles")


def _drawn_subject(kind: Kind, names: Names, rng: Random) -> _Subject:
    if kind.noun == "person":
        given_names, pronouns = rng.choice(
            ((names.women, ("she", "her", "her")), (names.men, ("he", "him", "his")))
        )
        surname = rng.choice(names.surnames)
        return _Subject(f"{rng.choice(given_names)} {surname}", surname, pronouns)
    name = _FIELD.sub(lambda field: drawn(field[1], rng, names), rng.choice(kind.subjects))
    return _Subject(name, f"the {kind.noun}", kind.pronouns)


def _told(kind: Kind, rng: Random) -> list[Fact]:
    """The lead and some other facts, in the order in which the text will tell them."""
    dated = [fact for fact in kind.facts if fact.is_dated]
    others = [fact for fact in kind.facts if not (fact.is_dated or fact.lead)]
    ((n_dated, n_others),) = rng.choices(_N_TOLD, _TOLD_SHARES)
    chosen = rng.sample(dated, n_dated) + rng.sample(others, n_others)
    rng.shuffle(chosen)
    return [kind.lead, *chosen]


def _drawn_values(kind: Kind, told: list[Fact], names: Names, rng: Random) -> dict[str, str]:
    """A value for each slot of the told facts; years ascend in the kind's order, those of untold facts
    counted too.
    """
    sorts = {slot: sort for fact in kind.facts for slot, sort in fact.slots.items()}
    dated = [slot for slot, sort in sorts.items() if sort == "year"]
    years = dict(zip(dated, ascending_years(len(dated), kind.first_year, kind.year_gap, rng), strict=True))
    values = {}
    for slot in (slot for fact in told for slot in fact.slots):
        sort = sorts[slot]
        values[slot] = years.get(slot) or (
            drawn(sort, rng, names) if isinstance(sort, str) else rng.choice(sort)
        )
    return values


def _paragraph(
    kind: Kind, subject: _Subject, told: list[Fact], values: Mapping[str, str], rng: Random
) -> tuple[str, dict[str, tuple[int, int]]]:
    """The text, and where in it the value of each slot stands."""
    templates = [rng.choice(fact.say) for fact in told]
    if rng.random() < _FILLER_SHARE:
        templates.insert(rng.randint(1, len(templates)), rng.choice(kind.fillers))
    text = ""
    places: dict[str, tuple[int, int]] = {}
    for index, template in enumerate(templates):
        sentence, spans = _filled(template, {**values, **subject.mention(rng, first=index == 0)})
        start = len(text) + bool(text)
        text += " " * bool(text) + _capitalised(sentence)
        places |= {slot: (start + a, start + b) for slot, (a, b) in spans.items() if slot in values}
    return text, places


def _filled(template: str, fields: Mapping[str, str]) -> tuple[str, dict[str, tuple[int, int]]]:
    """The template with its fields put in, and the span of each."""
    text, spans, done = "", {}, 0
    for field in _FIELD.finditer(template):
        text += template[done : field.start()]
        spans[field[1]] = (len(text), len(text) + len(fields[field[1]]))
        text += fields[field[1]]
        done = field.end()
    return text + template[done:], spans


def _questions(
    kind: Kind, subject: _Subject, answers: Mapping[str, Answer], rng: Random
) -> list[tuple[str, Answer | None]]:
    """Questions on slots that the text states, then on some that it does not."""
    asks = [ask for fact in kind.facts for ask in fact.ask.items()]
    stated = [(slot, templates) for slot, templates in asks if slot in answers]
    sorts = {slot: sort for fact in kind.facts for slot, sort in fact.slots.items()}
    told_sorts = {sorts[slot] for slot in answers}
    untold = [(sorts[slot] in told_sorts, templates) for slot, templates in asks if slot not in answers]
    rng.shuffle(untold)
    questions: list[tuple[str, Answer | None]] = []
    for slot, templates in rng.sample(stated, min(_N_ANSWERED, len(stated))):
        questions.append((_asked(kind, rng.choice(templates), subject, rng), answers[slot]))
    for _ in range(_N_OPEN):
        tempting = rng.random() < _TEMPTING_SHARE
        _, templates = untold.pop(next((i for i, (is_so, _) in enumerate(untold) if is_so == tempting), 0))
        questions.append((_asked(kind, rng.choice(templates), subject, rng), None))
    return questions


def _asked(kind: Kind, template: str, subject: _Subject, rng: Random) -> str:
    named = kind.noun == "person" or rng.random() < _NAME_IN_QUESTION_SHARE
    return _capitalised(template.replace("{q}", subject.name if named else subject.short))


def _stands_once(value: str, text: str) -> bool:
    """Whether the value stands in the text once as whole words: "ten" may also be part of "often"."""
    return text.count(value) == 1 or len(re.findall(rf"\b{re.escape(value)}\b", text)) == 1


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
