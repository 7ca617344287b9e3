"""`serve.schema`: requests offer all that a reader does, and say what is wrong with them by its place."""

from __future__ import annotations

import dataclasses

import pytest

from tinyreader.documents import Document
from tinyreader.reader import ReaderSettings
from tinyreader.serve.problems import KINDS, Problem, of_status, place
from tinyreader.serve.schema import Options, ReadBody, parse, questions_of
from tinyreader.serve.settings import ServeSettings

SETTINGS = ServeSettings(model="m")


def test_every_setting_of_a_reader_is_an_option() -> None:
    """By the same name and with a default that leaves it alone, so what is new there is missed here."""
    names = {field.name for field in dataclasses.fields(ReaderSettings)}
    assert set(Options.model_fields) == names
    assert ReadBody(question="a", context="b").options == {}
    assert set(parse(ReadBody, b'{"top_k": 1, "passages": 0, "word_boundaries": false}').options) == {
        "top_k",
        "passages",
        "word_boundaries",
    }


def test_questions_come_with_their_documents() -> None:
    """Shared or own, by id or number, or none for the served folder."""
    several = b'["a", {"question": "b", "context": "x", "id": 3}]'
    body = parse(ReadBody, b'{"questions": ' + several + b', "documents": ["s", {"id": "t", "text": "u"}]}')
    asked, is_one = questions_of(body, SETTINGS)
    assert not is_one
    assert asked[0].documents == (Document("0", "s"), Document("t", "u"))
    assert (asked[1].documents, asked[1].id) == ((Document("0", "x"),), 3)
    asked, is_one = questions_of(parse(ReadBody, b'{"question": "a", "id": "q"}'), SETTINGS)
    assert (is_one, asked[0].documents, asked[0].id) == (True, None, "q")


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b'{"question": 1}', "question"),
        (b'{"questions": [{"question": "a", "documents": [{"text": 3}]}]}', "questions[0].documents[0].text"),
        (b'{"question": "a", "documents": ["b", {"id": "c"}]}', "documents[1].text"),
        (b'{"top_k": 0}', "top_k"),
        (b'{"timeout_s": 0.5}', "timeout_s"),
        (b"3", "the body"),
    ],
)
def test_places_are_those_of_the_request(body: bytes, where: str) -> None:
    """As people write them, without the names of our models."""
    with pytest.raises(Problem) as caught:
        parse(ReadBody, body)
    problem = caught.value
    assert (problem.status, problem.where) == (422, where)
    assert problem.detail.startswith(where)


def test_problems_tell_no_more_than_they_should() -> None:
    """Their text as exceptions is their kind alone; statuses of the framework have kinds as well."""
    assert str(Problem("limit", "the question was: pelican")) == "limit"
    assert {status for status, _ in KINDS.values()} >= {
        400,
        401,
        403,
        404,
        405,
        408,
        413,
        415,
        421,
        422,
        500,
        503,
        504,
    }
    assert of_status(404, {}).kind == "not-found"
    assert of_status(405, {"allow": "GET"}).detail == "Allowed: GET."
    assert (of_status(418, {}).kind, of_status(500, {}).kind) == ("wrong-request", "failed")
    assert place(["documents", 3, "text"]) == "documents[3].text"
    assert len(place(["x" * 1000])) == 200


def test_of_countless_flaws_the_number_is_told() -> None:
    """They are not listed one by one, which would take longer than reading them."""
    with pytest.raises(Problem) as caught:
        parse(ReadBody, b'{"question": "a", "documents": [' + b"1," * 2000 + b"1]}")
    assert caught.value.kind == "wrong-value"
    assert caught.value.detail.startswith("4,002 values are invalid")
    assert caught.value.errors is None
