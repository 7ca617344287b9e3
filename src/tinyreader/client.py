"""`Client`: a reader that is somewhere else, with `Reader`'s own interface.

It speaks HTTP by the standard library alone. httpx would save some 30 lines, but the base install brings it only with
newer versions of huggingface-hub, and retries with Retry-After would be ours all the same.
"""

from __future__ import annotations

import http.client
import json
import random
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from queue import Empty, LifoQueue
from typing import Any, Self
from urllib.parse import quote, urlsplit

from tinyreader.documents import Document
from tinyreader.errors import DataError, ServiceError, SettingsError
from tinyreader.reader import Question, Reading
from tinyreader.reader.reading import Documents, documents_of, require_text
from tinyreader.storage import LRUCache

PART_QUESTIONS = 32
"""Maximum number of questions in a request; fewer where their documents are long."""

PART_CHARACTERS = 200_000

_KEPT_CHARACTERS = 20_000_000  # of the server's own documents that answers came from
_DATA_KINDS = ("cannot-read", "limit", "too-large", "wrong-json")
_MAX_PAUSE_S = 10.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Maximum number of tries while the server is full, restarting or away, and the maximum first pause (seconds).

    Pauses are random, up to a maximum that doubles each time, so that clients do not come back all at once; the server's
    Retry-After is added.
    """

    tries: int = 8
    pause_s: float = 0.1


class Client:
    """A `Reader` over HTTP. Threads may share it; close it, or use it as a context manager."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 120.0,
        parallel: int = 4,
        retry: RetryPolicy | None = None,
        **settings: Any,
    ) -> None:
        """`settings` are the reader's, for all calls; `parallel` is how many requests `read_many` has under
        way.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError(
                f"{url!r} is not the address of a server; give one such as http://127.0.0.1:8080."
            )
        if parallel < 1:
            raise SettingsError(f"parallel is {parallel}; it must be at least 1.")
        self.url = url.rstrip("/")
        self.timeout_s, self.parallel, self.retry, self.settings = (
            timeout_s,
            parallel,
            retry or RetryPolicy(),
            settings,
        )
        self._parts, self._path = parts, parts.path.rstrip("/")
        self._headers = {"accept": "application/json"}
        if api_key is not None:
            self._headers["authorization"] = f"Bearer {api_key}"
        self._idle: LifoQueue[http.client.HTTPConnection] = LifoQueue()
        self._texts: LRUCache[str, Document] = LRUCache(_KEPT_CHARACTERS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections that are open and idle."""
        while True:
            try:
                self._idle.get_nowait().close()
            except Empty:
                return

    def info(self) -> dict[str, Any]:
        """Model, engine, settings and limits of the server."""
        found: dict[str, Any] = self._ask("GET", "/info")
        return found

    def document(self, file: Path, name: str | None = None) -> Document:
        """The document in a file, made text by the server: for machines without the `documents` extra.

        Raises `DataError` for what cannot be read, and else as `read`.
        """
        name = file.name if name is None else name
        try:
            raw = file.read_bytes()
        except OSError as error:
            raise DataError(f"{file} cannot be read: {error.strerror}") from None
        found = self._ask("POST", f"/documents/text?name={quote(name, safe='')}", raw)
        return Document(name, found["text"], tuple(found["pages"]), tuple(found.get("warnings", ())))

    def read(self, question: str, documents: Documents | None = None, **changes: Any) -> Reading:
        """What the documents answer, as `Reader.read` says it; without documents, what the server's own
        folder answers.

        Files are read here and sent as text. Raises `DataError` and `SettingsError` as a reader does, and
        `ServiceError` where the server cannot be reached, is full for long, or fails.
        """
        (reading,) = self.read_many([(question, documents)], **changes)
        return reading

    def read_many(
        self, questions: Iterable[Question | tuple[str, Documents | None]], **changes: Any
    ) -> Iterator[Reading]:
        """A reading for each question, in order; a stream in, a stream out, as `Reader.read_many`."""
        settings = {**self.settings, **{name: value for name, value in changes.items() if value is not None}}
        parts = _parts(questions)
        with ThreadPoolExecutor(self.parallel, thread_name_prefix="client") as threads:
            under_way: deque[Future[list[Reading]]] = deque()
            try:
                while True:
                    for part in islice(parts, self.parallel - len(under_way)):
                        under_way.append(threads.submit(self._read, part, settings))
                    if not under_way:
                        return
                    yield from under_way.popleft().result()
            finally:
                for future in under_way:
                    future.cancel()

    def _read(self, part: list[_Asked], settings: Mapping[str, Any]) -> list[Reading]:
        body = {**settings, "questions": [asked.as_json() for asked in part]}
        found = self._ask("POST", "/read", body)
        if (
            not isinstance(found, dict)
            or not isinstance(rows := found.get("readings"), list)
            or len(rows) != len(part)
        ):
            raise ServiceError(f"{self.url} did not give {len(part)} readings; is it a server of Tinyreader?")
        return [self._reading(asked, row) for asked, row in zip(part, rows, strict=True)]

    def _reading(self, asked: _Asked, row: dict[str, Any]) -> Reading:
        if asked.documents is not None:
            numbered = [
                Document(str(n), document.text, document.pages) for n, document in enumerate(asked.documents)
            ]
            reading = Reading.from_dict(row, numbered)
            own = tuple(
                replace(answer, document=asked.documents[int(answer.document.id)])
                for answer in reading.answers
            )
            return replace(reading, answers=own)
        for is_last in (False, True):
            names = dict.fromkeys(answer["document"] for answer in row["answers"])
            try:
                return Reading.from_dict(row, [self._document(name) for name in names])
            except DataError:
                if is_last:
                    raise
                self._texts.forget(*names)  # the folder has changed since they were fetched
        raise AssertionError("not reached")

    def _document(self, name: str) -> Document:
        document = self._texts.get(name)
        if document is None:
            found = self._ask("GET", f"/documents?id={quote(name, safe='')}")
            document = Document(name, found["text"], tuple(found["pages"]))
            self._texts.put(name, document, len(document.text))
        return document

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | bytes | None = None) -> Any:
        """What the server answers; tried again, with pauses, while it is full or away. A file's body is
        bytes.
        """
        content = body if body is None or isinstance(body, bytes) else _encoded(body)
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        pause = self.retry.pause_s
        for n in range(1, self.retry.tries + 1):
            wait = 0.0
            try:
                status, headers, answer = self._exchange(method, path, content, kind)
            except (OSError, http.client.HTTPException) as error:
                reason = f"{type(error).__name__} {error}".strip()
                if isinstance(error, TimeoutError):
                    raise ServiceError(f"{self.url} did not answer within {self.timeout_s:g} s.") from None
            else:
                if status == 200:
                    return _decoded(answer, self.url)
                error_ = _problem(status, answer, self.url)
                if status != 503:
                    raise error_
                reason, wait = str(error_), _seconds(headers.get("retry-after"))
            if n < self.retry.tries:
                time.sleep(wait + random.uniform(0.0, pause))
                pause = min(2 * pause, _MAX_PAUSE_S)
        raise ServiceError(f"{self.url} failed {self.retry.tries} times: {reason}")

    def _exchange(
        self, method: str, path: str, content: bytes | None, kind: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of one answer. A connection that the server closed while it was idle is
        made anew.
        """
        try:
            connection, is_old = self._idle.get_nowait(), True
        except Empty:
            connection, is_old = self._connection(), False
        headers = self._headers if content is None else {**self._headers, "content-type": kind}
        try:
            try:
                connection.request(method, self._path + path, content, headers)
                answer = connection.getresponse()
            except (ConnectionError, http.client.BadStatusLine):
                if not is_old:
                    raise
                connection.close()
                connection.request(method, self._path + path, content, headers)
                answer = connection.getresponse()
            found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        except BaseException:
            connection.close()
            raise
        if answer.will_close:
            connection.close()
        else:
            self._idle.put(connection)
        return found

    def _connection(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        return kind(str(self._parts.hostname), self._parts.port, timeout=self.timeout_s)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question with its documents at hand; None asks the server's folder."""

    question: Question
    documents: tuple[Document, ...] | None

    def as_json(self) -> dict[str, Any]:
        """It as the server takes it: documents by their number, blank ones left out, as a reader leaves them
        out.
        """
        content: dict[str, Any] = {"question": self.question.text}
        if self.question.id is not None:
            content["id"] = self.question.id
        if self.documents is not None:
            texts = [
                {"id": str(n), "text": d.text}
                for n, d in enumerate(self.documents)
                if d.text and not d.text.isspace()
            ]
            content["documents"] = texts
        return content


def _parts(questions: Iterable[Question | tuple[str, Documents | None]]) -> Iterator[list[_Asked]]:
    """Yield the questions in parts that are sent together; files are read here."""
    part: list[_Asked] = []
    size = 0
    for number, item in enumerate(questions):
        question = Question(*item) if isinstance(item, tuple) and len(item) == 2 else item  # type: ignore[arg-type]
        if not isinstance(question, Question):
            raise DataError(
                f"question {number} is of type {type(item).__name__}; give a Question or a pair (question, "
                "documents)"
            )
        label = number if question.id is None else question.id
        require_text(question.text, f"question {label}")
        if not question.text.strip():
            raise DataError(f"question {label} is empty; ask something")
        given: Any = question.documents
        documents = None if given is None else tuple(documents_of(given))
        cost = len(question.text) + sum(len(document.text) for document in documents or ())
        if part and (len(part) == PART_QUESTIONS or size + cost > PART_CHARACTERS):
            yield part
            part, size = [], 0
        part.append(_Asked(question, documents))
        size += cost
    if part:
        yield part


def _encoded(body: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (TypeError, ValueError) as error:
        raise SettingsError(f"a setting cannot be sent as JSON: {error}") from None


def _decoded(content: bytes, url: str) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        raise ServiceError(
            f"{url} answered something that is not JSON; is it a server of Tinyreader?"
        ) from None


def _problem(status: int, content: bytes, url: str) -> DataError | SettingsError | ServiceError:
    """The error that a refusal stands for."""
    try:
        told = json.loads(content)
        kind, detail = str(told["type"]).rpartition("#")[2], str(told["detail"])
    except (ValueError, KeyError, TypeError):
        return ServiceError(f"{url} answered with status {status}")
    if kind in _DATA_KINDS:
        return DataError(detail)
    if kind == "wrong-value":
        return SettingsError(detail)
    request = f" (request {told['request_id']})" if "request_id" in told else ""
    return ServiceError(f"{url} answered with status {status}: {told.get('title', '')}. {detail}{request}")


def _seconds(value: str | None) -> float:
    """The seconds that `Retry-After` names; 0 where it names none."""
    return (
        min(float(value), _MAX_PAUSE_S) if value is not None and value.isascii() and value.isdigit() else 0.0
    )
