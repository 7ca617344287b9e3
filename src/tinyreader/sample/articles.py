"""One article: a paragraph from a kind's templates, and questions that it answers or leaves open."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from tinyreader.data.example import Answer
from tinyreader.sample.kinds import Fact, Kind
from tinyreader.sample.names import Names
from tinyreader.sample.values import ascending_years, drawn

_FIELD = re.compile(r"\{(\w+)\}")
_N_DATED, _N_OTHERS = (1, 2), (1, 2)  # facts told after the lead: with a year, so that "when" needs reading, and without
_FILLER_SHARE = 0.3
_N_ANSWERED, _N_OPEN = 4, 2
_OTHER_SUBJECT_SHARE = 0.15  # of the open questions: a stated relation, asked of another subject
_NAME_IN_QUESTION_SHARE = 0.7


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
        fields = {"S": opener, "s": rng.choice((she, self.short)), "o": rng.choice((her, self.short)), "p": hers}
        fields["P"] = hers if opener == she else f"{self.short}'s"
        return fields


def written(kind: Kind, names: Names, rng: Random, taken: set[str]) -> Article:
    """A new article whose subject is not in `taken`, which then holds it too."""
    while True:
        subject = _drawn_subject(kind, names, rng)
        if subject.name in taken:
            continue
        told = _told(kind, rng)
        values = _drawn_values(kind, told, names, rng)
        text, places = _paragraph(kind, subject, told, values, rng)
        answers = {slot: Answer(text[start:end], start) for slot, (start, end) in places.items()}
        if all(_stands_once(answer.text, text) for answer in answers.values()):
            break
    taken.add(subject.name)
    return Article(_capitalised(subject.name), text, tuple(_questions(kind, subject, told, answers, names, rng)))


def _drawn_subject(kind: Kind, names: Names, rng: Random) -> _Subject:
    if kind.noun == "person":
        given_names, pronouns = rng.choice(((names.women, ("she", "her", "her")), (names.men, ("he", "him", "his"))))
        surname = rng.choice(names.surnames)
        return _Subject(f"{rng.choice(given_names)} {surname}", surname, pronouns)
    name = _FIELD.sub(lambda field: drawn(field[1], rng, names), rng.choice(kind.subjects))
    return _Subject(name, f"the {kind.noun}", kind.pronouns)


def _told(kind: Kind, rng: Random) -> list[Fact]:
    """The lead and some other facts, in the order in which the text will tell them."""
    dated = [fact for fact in kind.facts if fact.is_dated]
    others = [fact for fact in kind.facts if not (fact.is_dated or fact.lead)]
    chosen = rng.sample(dated, rng.randint(*_N_DATED)) + rng.sample(others, rng.randint(*_N_OTHERS))
    rng.shuffle(chosen)
    return [kind.lead, *chosen]


def _drawn_values(kind: Kind, told: list[Fact], names: Names, rng: Random) -> dict[str, str]:
    """A value for each slot of the told facts; years ascend in the kind's order, those of untold facts counted too."""
    sorts = {slot: sort for fact in kind.facts for slot, sort in fact.slots.items()}
    dated = [slot for slot, sort in sorts.items() if sort == "year"]
    years = dict(zip(dated, ascending_years(len(dated), kind.first_year, kind.year_gap, rng), strict=True))
    values = {}
    for slot in (slot for fact in told for slot in fact.slots):
        sort = sorts[slot]
        values[slot] = years.get(slot) or (drawn(sort, rng, names) if isinstance(sort, str) else rng.choice(sort))
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
    kind: Kind, subject: _Subject, told: list[Fact], answers: Mapping[str, Answer], names: Names, rng: Random
) -> list[tuple[str, Answer | None]]:
    asks = [ask for fact in kind.facts for ask in fact.ask.items()]
    stated = [(slot, templates) for slot, templates in asks if slot in answers]
    untold = [templates for slot, templates in asks if slot not in answers]
    questions: list[tuple[str, Answer | None]] = []
    for slot, templates in rng.sample(stated, min(_N_ANSWERED, len(stated))):
        questions.append((_asked(kind, rng.choice(templates), subject, rng), answers[slot]))
    for _ in range(_N_OPEN):
        if rng.random() < _OTHER_SUBJECT_SHARE:
            other = _drawn_subject(kind, names, rng)
            questions.append((_asked(kind, rng.choice(rng.choice(stated)[1]), other, rng, named=True), None))
        else:
            templates = untold.pop(rng.randrange(len(untold)))
            questions.append((_asked(kind, rng.choice(templates), subject, rng), None))
    return questions


def _asked(kind: Kind, template: str, subject: _Subject, rng: Random, *, named: bool = False) -> str:
    named = named or kind.noun == "person" or rng.random() < _NAME_IN_QUESTION_SHARE
    fields = {"q": subject.name if named else subject.short, "p": subject.pronouns[2], "noun": kind.noun}
    return _capitalised(_filled(template, fields)[0])


def _stands_once(value: str, text: str) -> bool:
    """Whether the value stands in the text once as whole words: "ten" may also be part of "often"."""
    return text.count(value) == 1 or len(re.findall(rf"\b{re.escape(value)}\b", text)) == 1


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
