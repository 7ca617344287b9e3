"""`serve.app`: what the routes take and give, over real sockets and worker processes; only the engine is a
fake one.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import InferenceClient

from document_samples import pdf_of
from serving import QUESTION, TEXT, Running, running, text, until
from tinyreader.reader import Question
from tinyreader.serve import app as app_module
from tinyreader.serve.schema import MAX_SIGNS

READ = {"question": QUESTION, "documents": [TEXT]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server."""
    with running(tmp_path_factory.mktemp("server"), receive_s=1.0, max_body_bytes=100_000) as found:
        yield found


@pytest.fixture(autouse=True)
def free(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test the engine goes on, and the server is empty."""
    yield
    if "server" in request.fixturenames:
        found: Running = request.getfixturevalue("server")
        for name in ("hold", "die", "fail"):
            found.unset(name)
        until(lambda: found.counted("requests_inside") == 0, "an empty server")


def test_a_question_gets_the_reading_that_the_reader_gives(server: Running) -> None:
    """Answers over HTTP are those of the same reader in this process, to the last digit."""
    documents = [text(150, 1), TEXT, text(30, 2)]
    answer = server.read({"question": QUESTION, "id": "q7", "documents": documents, "top_k": 5})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    (expected,) = server.local().read_many([Question(QUESTION, documents, "q7")], top_k=5)
    assert answer.json == json.loads(json.dumps(expected.as_dict()))
    assert len(answer.json["answers"]) == 5


def test_several_questions_share_documents_or_have_their_own(server: Running) -> None:
    """Readings come in the order of the questions, with their ids."""
    own = {"id": 5, "question": "in it ?", "documents": [{"id": "mine", "text": text(60)}]}
    found = server.read(
        {"questions": [QUESTION, own, {"question": "x ?", "context": "a b"}], "context": TEXT}
    ).json["readings"]
    assert [reading["id"] for reading in found] == [None, 5, None]
    assert [reading["answers"][0]["document"] for reading in found] == ["0", "mine", "0"]
    local = server.local()
    for reading, (question, context) in zip(
        found, [(QUESTION, TEXT), ("in it ?", text(60)), ("x ?", "a b")], strict=True
    ):
        assert reading["answers"][0]["text"] == local.read(question, context).answers[0].text


def test_options_reach_the_reader(server: Running) -> None:
    """What a request sets changes its reading as it changes the reader's own."""
    options: dict[str, Any] = {
        "top_k": 2,
        "max_answer_tokens": 1,
        "max_seq_len": 30,
        "doc_stride": 3,
        "word_boundaries": True,
        "score_threshold": 0.2,
        "temperature": 2.0,
        "no_answer_threshold": -100.0,
    }
    found = server.read({**READ, **options}).json
    assert found == json.loads(json.dumps(server.local().read(QUESTION, [TEXT], **options).as_dict()))
    assert not found["has_answer"]


def test_blank_and_no_documents_have_no_answer(server: Running) -> None:
    """A text of white space is read as one without words; none at all as well."""
    for documents in ([" \n"], []):
        found = server.read({"question": QUESTION, "documents": documents})
        assert found.status == 200
        assert (found.json["has_answer"], found.json["answers"]) == (False, [])


def test_the_hosted_services_own_client_works_unchanged(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`InferenceClient.question_answering` gets an answer that stands in the context, or a list of them."""
    monkeypatch.setattr(
        "huggingface_hub.constants.HF_HUB_OFFLINE", False
    )  # it would not speak to this machine either
    client = InferenceClient(server.url)
    one: Any = client.question_answering(question=QUESTION, context=TEXT)
    assert TEXT[one.start : one.end] == one.answer != ""
    several: Any = client.question_answering(
        question=QUESTION,
        context=text(200),
        top_k=3,
        max_answer_len=4,
        doc_stride=6,
        max_seq_len=40,
        handle_impossible_answer=True,
        align_to_words=False,
    )
    assert len(several) == 3
    assert all(text(200)[each.start : each.end] == each.answer for each in several)


def test_the_hosted_schema_takes_lists(server: Running) -> None:
    """A list of inputs gives a list of answers; one input alone in a list as well; top_k gives lists of
    answers in it.
    """
    pair = {"question": QUESTION, "context": TEXT}
    assert set(server.ask("POST", "/", {"inputs": pair}).json) == {"answer", "score", "start", "end"}
    assert (
        len(server.ask("POST", "/", {"inputs": [pair, pair], "options": {"wait_for_model": True}}).json) == 2
    )
    (found,) = server.ask("POST", "/", {"inputs": [pair], "parameters": {"top_k": 2}}).json
    assert len(found) == 2
    assert server.ask("POST", "/", {"inputs": []}).json == []


def test_readings_stream_line_by_line(server: Running) -> None:
    """The first line comes while the engine holds the rest back."""
    questions = [{"id": n, "question": QUESTION, "context": text(20, n)} for n in range(8)]
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", "/read", json.dumps({"questions": questions, "stream": True}))
    answer = connection.getresponse()
    assert answer.getheader("content-type") == "application/x-ndjson"
    lines = [json.loads(answer.readline()) for _ in questions]
    assert [line["id"] for line in lines] == list(range(8))
    assert answer.readline() == b""
    connection.close()


def test_a_stream_that_fails_says_so_in_its_last_line(server: Running) -> None:
    """A problem after the first lines is a line as well."""
    questions = [QUESTION, "the " * 400, QUESTION]
    lines = server.read(
        {"questions": questions, "context": TEXT}, accept="application/x-ndjson"
    ).body.splitlines()
    first, last = json.loads(lines[0]), json.loads(lines[-1])
    assert first["question"] == QUESTION
    assert (last["error"]["status"], last["error"]["type"]) == (422, "/docs#cannot-read")


NESTED = b'{"question": ' + b"[" * 40_000
WRONG: dict[str, tuple[bytes, int, str]] = {
    "no JSON": (b"hello", 400, "wrong-json"),
    "nothing": (b"", 400, "wrong-json"),
    "half": (b'{"question": "a', 400, "wrong-json"),
    "more behind": (b'{"question": "a", "context": "b"} {}', 400, "wrong-json"),
    "nested": (NESTED, 400, "wrong-json"),
    "other encoding": ('{"question": "a", "context": "é"}'.encode("latin-1"), 400, "wrong-json"),
    "UTF-16": ('{"question": "a", "context": "b"}'.encode("utf-16"), 400, "wrong-json"),
    "half a surrogate pair": (b'{"question": "\\ud800", "context": "b"}', 400, "wrong-json"),
    "a huge integer": (
        b'{"question": "a", "context": "b", "top_k": ' + b"9" * 5000 + b"}",
        400,
        "wrong-json",
    ),
    "a large integer": (
        b'{"question": "a", "context": "b", "top_k": 99999999999999999999}',
        422,
        "wrong-value",
    ),
    "infinity": (b'{"question": "a", "context": "b", "no_answer_threshold": 1e999}', 422, "wrong-value"),
    "NaN": (b'{"question": "a", "context": "b", "score_threshold": NaN}', 422, "wrong-value"),
    "a list": (b"[]", 422, "wrong-value"),
    "null": (b"null", 422, "wrong-value"),
    "an empty question": (b'{"question": "", "context": "b"}', 422, "wrong-value"),
    "a blank question": (b'{"question": " \\n", "context": "b"}', 422, "cannot-read"),
    "an empty text": (b'{"question": "a", "documents": [""]}', 422, "wrong-value"),
    "no question": (b'{"context": "b"}', 422, "wrong-value"),
    "two kinds of questions": (b'{"question": "a", "questions": ["b"], "context": "b"}', 422, "wrong-value"),
    "two kinds of documents": (b'{"question": "a", "documents": ["b"], "context": "b"}', 422, "wrong-value"),
    "no documents": (b'{"question": "a"}', 422, "not-served"),
    "an unknown name": (b'{"question": "a", "context": "b", "topk": 3}', 422, "wrong-value"),
    "a path": (b'{"question": "a", "documents": [{"path": "/etc/passwd"}]}', 422, "wrong-value"),
    "a truth for a number": (b'{"question": "a", "context": "b", "top_k": true}', 422, "wrong-value"),
    "a text for a number": (b'{"question": "a", "context": "b", "top_k": "3"}', 422, "wrong-value"),
    "the same id twice": (
        b'{"question": "a", "documents": ["b", {"id": "0", "text": "c"}]}',
        422,
        "wrong-value",
    ),
    "windows longer than the model's": (
        b'{"question": "a", "context": "b", "max_seq_len": 4000}',
        422,
        "wrong-value",
    ),
    "windows without room": (b'{"question": "a", "context": "b", "max_seq_len": 5}', 422, "wrong-value"),
    "a question too long": (b'{"question": "' + b"the " * 400 + b'", "context": "b"}', 422, "cannot-read"),
    "more than is taken": (b" " * 100_001, 413, "too-large"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused_as_a_problem(server: Running, name: str) -> None:
    """Each flaw gets its status and kind, in the standard's form, with the id that the log has too."""
    body, status, kind = WRONG[name]
    answer = server.read(body)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json
    assert problem["type"] == f"/docs#{kind}"
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["detail"]


def test_the_hosted_schema_refuses_in_the_same_way(server: Running) -> None:
    """Wrong values, blank texts and unknown parameters are client errors there as well."""
    pair = {"question": QUESTION, "context": TEXT}
    wrong: list[Any] = [
        {},
        {"inputs": {"question": "a"}},
        {"inputs": {**pair, "context": ""}},
        {"inputs": {**pair, "context": "  "}},
        {"inputs": pair, "parameters": {"top_p": 1}},
        {"inputs": pair, "parameters": {"max_seq_len": 1}},
        {"inputs": pair, "parameters": {"doc_stride": 60, "max_seq_len": 50}},
        {"inputs": [pair, 3]},
    ]
    for body in wrong:
        answer = server.ask("POST", "/", body)
        assert answer.status == 422, body
        assert answer.json["error"] == answer.json["detail"]


def test_places_are_named_and_values_are_not(server: Running) -> None:
    """A refusal says where, and does not send back what was there."""
    answer = server.read(
        {"question": QUESTION, "documents": ["a", {"id": "x", "text": 17}, {"txt": "secret words"}]}
    )
    assert {error["where"] for error in answer.json["errors"]} >= {"documents[1].text", "documents[2].text"}
    assert b"secret" not in answer.body


def test_limits_are_named(tmp_path: Path) -> None:
    """Too many or too long: 422 with place and limit."""
    with running(
        tmp_path, max_questions=2, max_documents=2, max_document_characters=10, max_question_characters=10
    ) as server:
        for body, where, limit in (
            ({"question": "a" * 11, "context": "b"}, "question", 10),
            ({"question": "a", "context": "b" * 11}, "context", 10),
            ({"question": "a", "documents": ["b", "b" * 11]}, "documents[1]", 10),
            ({"question": "a", "documents": ["b"] * 3}, "documents", 2),
            ({"questions": ["a"] * 3, "context": "b"}, "questions", 2),
            ({"questions": ["a", {"question": "a", "context": "b" * 11}]}, "questions[1].context", 10),
        ):
            answer = server.read(body)
            assert (answer.status, answer.json["type"]) == (422, "/docs#limit")
            assert (answer.json["where"], answer.json["limit"]) == (where, limit)


def test_a_body_is_cut_off_where_it_becomes_too_large(server: Running) -> None:
    """Without a length in its head, a body is refused once it has grown past the limit, not when it has all
    come.
    """
    with server.raw() as connection:
        connection.sendall(b"POST /read HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(11):
            connection.sendall(b"2710\r\n" + b" " * 10_000 + b"\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_does_not_come_is_given_up(server: Running) -> None:
    """A client that sends the head and then nothing is told so."""
    with server.raw() as connection:
        connection.sendall(b"POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{")
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")


CRUMBS = {
    "numbers": b'{"question": "a", "documents": [' + b"1," * 60_000 + b"1]}",
    "texts": b'{"question": "a", "documents": [' + b'"a",' * 30_000 + b'"a"]}',
    "names": b'{"question": "a"' + b"".join(b', "k%d": 1' % n for n in range(30_000)) + b"}",
    "objects": b'{"question": "a", "documents": [' + b"{}," * 30_000 + b"{}]}",
}


@pytest.mark.parametrize("name", CRUMBS)
def test_bodies_of_countless_pieces_are_refused_before_they_are_taken_apart(
    tmp_path: Path, name: str
) -> None:
    """Each piece of a wrong body would be a complaint of its own: a few megabytes held the server for a
    minute.
    """
    with running(tmp_path) as server:
        answer = server.read(CRUMBS[name])
        assert (answer.status, answer.json["type"], answer.json["limit"]) == (422, "/docs#limit", MAX_SIGNS)
        prose = {"question": QUESTION, "documents": ['a, "b", [c], \\ ' * 20_000]}
        assert server.read({**prose, "max_seq_len": 64, "passages": 1}).status == 200


def test_more_than_a_deadline_could_see_is_refused(tmp_path: Path) -> None:
    """Many questions of a long text, or windows that hardly move on, are limits and not timeouts."""
    with running(tmp_path, max_read_tokens=5000) as server:
        for body in (
            {"questions": [QUESTION] * 100, "context": text(100)},
            {"question": QUESTION, "context": text(6000)},
            {"question": QUESTION, "context": text(1500), "max_seq_len": 64, "doc_stride": 40},
        ):
            answer = server.read(body)
            assert (answer.status, answer.json["limit"]) == (422, 5000)
        assert server.read({"question": QUESTION, "context": text(300)}).status == 200
        pairs = [{"question": QUESTION, "context": text(100)}] * 100
        assert server.ask("POST", "/", {"inputs": pairs}).json["limit"] == 5000
        assert (
            server.ask(
                "POST", "/", {"inputs": pairs[:3], "parameters": {"max_seq_len": 40, "doc_stride": 8}}
            ).status
            == 200
        )


def test_a_file_becomes_text_that_can_be_asked(server: Running) -> None:
    """What the route gives goes into `documents` as it is, and answers then have pages."""
    answer = server.ask("POST", "/documents/text?name=%C3%A9.pdf", pdf_of(["a b c", TEXT]))
    assert answer.status == 200
    assert answer.json == {"id": "é.pdf", "text": f"a b c\n{TEXT}\n", "pages": [0, 6]}
    found = server.read({"question": QUESTION, "documents": [answer.json], "top_k": 20}).json["answers"]
    assert {each["page"] for each in found} == {1, 2}
    assert all(each["page"] == (1 if each["start"] < 6 else 2) for each in found)


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "kind"),
    [
        ("?name=a.pdf", b"%PDF-1.7", {}, 422, "cannot-read"),
        ("", b"\x00\xff", {}, 422, "cannot-read"),
        ("", b"", {}, 422, "cannot-read"),
        (f"?name={'a' * 1001}", b"a", {}, 422, "limit"),
        ("", b"a" * 100_001, {}, 413, "too-large"),
        ("", b"--x", {"content-type": "multipart/form-data; boundary=x"}, 415, "wrong-media-type"),
        ("", b"a", {"content-encoding": "gzip"}, 415, "wrong-media-type"),
    ],
)
def test_files_are_refused_as_problems(
    server: Running, path: str, body: bytes, headers: dict[str, str], status: int, kind: str
) -> None:
    """With what is wrong, by the file's name."""
    answer = server.ask("POST", f"/documents/text{path}", body, headers)
    assert (answer.status, answer.json["type"]) == (status, f"/docs#{kind}")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("pages", [[5, 3], [0, 1000], [-1], ["a"], [0.5]])
def test_pages_must_be_places_of_the_text(server: Running, pages: list[Any]) -> None:
    """Ascending, and inside of it."""
    answer = server.read({"question": QUESTION, "documents": [{"text": TEXT, "pages": pages}]})
    assert (answer.status, answer.json["type"]) == (422, "/docs#wrong-value")
    assert "pages" in answer.json["where"]


def test_a_client_that_goes_costs_nothing_more(server: Running) -> None:
    """Its windows leave the queue, others are answered, and it is counted."""
    server.set("hold")
    before = server.counted("abandoned_total")
    with server.raw() as connection:
        body = json.dumps({"question": QUESTION, "documents": [text(2000)]}).encode()
        head = f"POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        connection.sendall(head + body)
        until(lambda: server.service.pool.waiting > 20, "windows that wait")
    until(lambda: server.service.pool.waiting == 0, "an empty queue")
    until(lambda: server.counted("abandoned_total") == before + 1, "the count")
    server.unset("hold")
    assert server.read(READ).status == 200


def test_a_client_that_leaves_a_stream_is_counted(server: Running) -> None:
    """What it has not taken is not read any more."""
    before = server.counted("abandoned_total")
    body = json.dumps({"questions": [QUESTION] * 500, "context": text(60), "stream": True}).encode()
    with server.raw() as connection:
        connection.sendall(
            b"POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        server.set("hold")
    until(lambda: server.counted("abandoned_total") == before + 1, "the loss of the client")
    until(lambda: server.counted("requests_inside") == 0, "an empty server")
    server.unset("hold")


def test_a_deadline_ends_a_request(server: Running) -> None:
    """What takes longer than it may is answered with 504, and leaves the queue."""
    server.set("hold")
    answer = server.read({**READ, "documents": [text(2000)], "timeout_s": 1.0})
    assert (answer.status, answer.json["type"]) == (504, "/docs#too-late")
    assert server.service.pool.waiting == 0


def test_a_full_server_refuses_at_once(tmp_path: Path) -> None:
    """Beyond the limit it is 503 with Retry-After, without the body being read; health still answers; then it
    goes on.
    """
    with running(tmp_path, max_requests=3) as server, ThreadPoolExecutor(3) as threads:
        server.set("hold")
        held = [threads.submit(server.read, READ) for _ in range(3)]
        until(lambda: server.counted("requests_inside") == 3, "a full server")
        with server.raw() as connection:
            connection.sendall(b"POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n")
            head = connection.recv(2000)
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in head
        assert server.ask("GET", "/health").status == 200
        server.unset("hold")
        assert [each.result().status for each in held] == [200] * 3
        assert server.read(READ).status == 200


def test_size_together_is_bounded(tmp_path: Path) -> None:
    """Requests that would be too large together are refused with 503, and their size is given back."""
    with (
        running(tmp_path, max_body_bytes=2000, max_held_bytes=2000) as server,
        ThreadPoolExecutor(1) as threads,
    ):
        server.set("hold")
        body = {"question": QUESTION, "documents": [text(300)]}
        held = threads.submit(server.read, body)
        until(lambda: server.service.pool.waiting, "a request at work")
        answer = server.read(body)
        assert (answer.status, answer.json["limit"]) == (503, 2000)
        server.unset("hold")
        assert held.result().status == 200
        assert server.read(body).status == 200


def test_windows_of_many_requests_share_a_call(server: Running) -> None:
    """While the engine is at work, questions gather, and then go together; each gets its own answer."""
    (server.folder / "calls").write_text("")
    pool = server.service.pool
    server.set("hold")
    texts = [text(12, n) for n in range(12)]
    with ThreadPoolExecutor(12) as threads:
        answers = [threads.submit(server.read, {"question": QUESTION, "documents": [each]}) for each in texts]
        until(lambda: pool.in_flight + pool.waiting == 12, "all windows")
        server.unset("hold")
        found = [each.result().json["answers"][0]["text"] for each in answers]
    local = server.local()
    assert found == [local.read(QUESTION, each).answers[0].text for each in texts]
    assert max(len(line.split()) for line in (server.folder / "calls").read_text().splitlines()) >= 4


def test_a_short_question_passes_a_long_document(server: Running) -> None:
    """A question that comes while a document of hundreds of windows is read is answered long before that
    is.
    """
    server.set("hold")
    with ThreadPoolExecutor(1) as threads:
        long = threads.submit(server.read, {"question": QUESTION, "documents": [text(12_000)]})
        until(lambda: server.service.pool.waiting > 300, "a long document at work")
        with server.raw() as connection:
            body = json.dumps(READ).encode()
            waiting = server.service.pool.waiting
            connection.sendall(
                f"POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            until(lambda: server.service.pool.waiting > waiting, "the question in the queue")
            server.unset("hold")
            assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
            left = server.service.pool.waiting
        assert long.result().status == 200
    assert left > 0


def test_a_worker_that_dies_is_replaced_and_nobody_notices(server: Running) -> None:
    """Killed with calls in flight, its windows are computed by the next one."""
    before = server.counted("worker_restarts_total")
    server.set("hold")
    with ThreadPoolExecutor(6) as threads:
        answers = [threads.submit(server.read, READ) for _ in range(6)]
        until(lambda: server.counted("requests_inside") == 6, "requests at work")
        server.set("die")
        server.unset("hold")
        assert [each.result().status for each in answers] == [200] * 6
    assert server.counted("worker_restarts_total") == before + 1
    until(lambda: server.ask("GET", "/ready").status == 200, "a ready server")


def test_an_engine_that_fails_is_a_500_without_its_words(server: Running) -> None:
    """The client is told that the engine failed; the next request may do better."""
    server.set("fail")
    answer = server.read(READ)
    assert (answer.status, answer.json["type"]) == (500, "/docs#engine-failed")
    assert b"memory" not in answer.body
    server.unset("fail")
    assert server.read(READ).status == 200


def test_state_is_told(server: Running) -> None:
    """Health, readiness, model and limits, numbers for Prometheus."""
    assert server.ask("GET", "/health").json == {"status": "ok"}
    assert server.ask("GET", "/ready").json == {"status": "ready"}
    info = server.ask("GET", "/info").json
    assert (info["engine"], info["settings"]["max_seq_len"], info["limits"]["max_requests"]) == (
        "fake",
        40,
        128,
    )
    assert info["collection"] is None
    server.read(READ)
    for name in (
        "requests_total",
        "request_seconds_count",
        "engine_call_fill_count",
        "windows_total",
        "questions_total",
    ):
        assert server.counted(name) > 0


def test_the_description_covers_the_routes(server: Running) -> None:
    """OpenAPI names every route with its bodies and answers; all that its page loads is the server's own."""
    content = server.ask("GET", "/openapi.json").json
    assert set(content["paths"]) == {
        "/read",
        "/",
        "/health",
        "/ready",
        "/info",
        "/metrics",
        "/documents",
        "/documents/text",
    }
    names = set(content["components"]["schemas"])
    text_ = json.dumps(content)
    for reference in {part.split('"')[0] for part in text_.split("#/components/schemas/")[1:]}:
        assert reference in names
    assert "max_answer_tokens" in content["components"]["schemas"]["ReadBody"]["properties"]
    body = content["paths"]["/read"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"]["$ref"] == "#/components/schemas/ReadBody"
    page = server.ask("GET", "/docs")
    assert page.headers["content-type"].startswith("text/html")
    for path in re.findall(rb'(?:href|src)="([^"]+)"', page.body):
        assert server.ask("GET", f"/{path.decode()}").status == 200


def test_the_page_and_its_files(server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At / stands the page; nothing outside its folder is served."""
    monkeypatch.setattr(app_module, "STATIC", tmp_path)
    (tmp_path / "index.html").write_text("<!doctype html><title>page</title>")
    answer = server.ask("GET", "/")
    assert b"page" in answer.body
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for path in (
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static//etc/passwd",
        "/static/",
    ):
        assert server.ask("GET", path).status == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/read", 405),
        ("PUT", "/read", 405),
        ("DELETE", "/", 405),
        ("GET", "/nothing", 404),
        ("POST", "/read/", 404),
        ("GET", "/documents", 422),
        ("OPTIONS", "/read", 204),
        ("HEAD", "/health", 200),
        ("HEAD", "/ready", 200),
    ],
)
def test_other_addresses_and_methods(server: Running, method: str, path: str, status: int) -> None:
    """What is not there is refused in the same form."""
    answer = server.ask(method, path)
    assert answer.status == status
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
    if status == 405:
        assert "POST" in answer.headers["allow"]


def test_connections_are_kept_and_pipelined_requests_answered(server: Running) -> None:
    """Two requests sent together on one connection are answered in order."""
    body = json.dumps(READ).encode()
    one = f"POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    last = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with server.raw() as connection:
        connection.sendall(one + last)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.count(b"HTTP/1.1 200 OK") == 2
    assert received.endswith(b'{"status":"ok"}')


def test_half_closed_and_senseless_connections_hang_nothing(server: Running) -> None:
    """Bytes that are no HTTP, connections closed half-way, and heads that never end leave the server as it
    was.
    """
    head = b"POST /read HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
    for sent in (b"\x00\xff" * 100, b"GET / HTTP/9.9\r\n\r\n", head + b"-5\r\n\r\n", head + b"50\r\n\r\n{"):
        with server.raw() as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            assert b" 5" not in b"".join(iter(lambda c=connection: c.recv(65536), b""))[:12]  # type: ignore[misc]
    assert server.read(READ).status == 200


def test_requests_at_once_from_many_threads_get_their_own_answers(server: Running) -> None:
    """Forty at a time: nobody gets another's answer."""
    barrier = threading.Barrier(40)

    def ask(n: int) -> tuple[Any, Any]:
        barrier.wait()
        answer = server.read({"question": QUESTION, "id": n, "documents": [text(10 + n, n)]}).json
        return answer["id"], answer["answers"][0]["text"]

    local = server.local()
    with ThreadPoolExecutor(40) as threads:
        found = list(threads.map(ask, range(40)))
    assert found == [(n, local.read(QUESTION, text(10 + n, n)).answers[0].text) for n in range(40)]
