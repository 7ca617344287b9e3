"""Requests become readings: each in a thread of its own, in a context that its client and its deadline can cancel."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from tinyreader.documents import Document
from tinyreader.errors import DataError, MissingExtraError, ModelError, RunError, SettingsError
from tinyreader.integrations.transformers.pipeline import QuestionAnsweringPipeline, Result
from tinyreader.reader import Question, Reader, Reading
from tinyreader.serve.converter import Converter
from tinyreader.serve.indexer import Indexer
from tinyreader.serve.limits import Entry, check_cost, read_tokens
from tinyreader.serve.metrics import Metrics
from tinyreader.serve.pool import Pool
from tinyreader.serve.problems import Problem
from tinyreader.serve.runtime import Abandoned, RequestContext, working_for
from tinyreader.serve.settings import ServeSettings

log = logging.getLogger(__name__)

T = TypeVar("T")
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

PART_QUESTIONS = 32
"""Maximum number of questions of a stream that are read together: batches fill, and the first answers come soon."""

_HOSTED_SEQ_LEN, _HOSTED_STRIDE = 384, 128  # as the hosted service has them

_MAX_AHEAD = 64  # readings that may wait for a slow client


class ClientGone(Exception):  # noqa: N818 - nothing failed here
    """The client has gone; there is nobody to answer."""


class Service:
    """A reader over a pool of workers, the hosted service's pipeline over the same pool, and a served folder if any."""

    def __init__(
        self,
        settings: ServeSettings,
        pool: Pool,
        reader: Reader,
        pipeline: QuestionAnsweringPipeline,
        metrics: Metrics,
        indexer: Indexer | None = None,
    ) -> None:
        self.settings, self.pool, self.reader, self.pipeline = settings, pool, reader, pipeline
        self.metrics, self.indexer = metrics, indexer
        self.converter = Converter(settings)
        self._threads = ThreadPoolExecutor(settings.max_requests, thread_name_prefix="request")
        metrics.gauge("windows_waiting", "Windows that wait for an engine.", lambda: pool.waiting)
        metrics.gauge("windows_in_flight", "Windows that engines have.", lambda: pool.in_flight)
        metrics.gauge("workers_ready", "Engine workers that are ready.", lambda: pool.alive)
        if indexer is not None:
            metrics.gauge("passages", "Passages of the served folder.", lambda: len(indexer.collection or ()))

    def close(self) -> None:
        """Ends the workers and the indexer; requests should be over."""
        if self.indexer is not None:
            self.indexer.close()
        self.pool.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def lacks(self) -> str | None:
        """What is not ready yet, or None."""
        if not self.pool.alive:
            return "no engine worker is ready"
        if self.indexer is not None and self.indexer.collection is None:
            return "the folder is being indexed"
        return None

    def readings(self, questions: Sequence[Question], options: dict[str, Any]) -> list[Reading]:
        """A reading for each question, in order; a question whose documents are None is asked of the
        folder.
        """
        asked = [question for question in questions if question.documents is None]
        inline = self.reader.read_many((q for q in questions if q.documents is not None), **options)
        of_folder: Iterator[Reading] = iter(())
        if asked:
            n = options.get("passages") or self.settings.passages
            of_folder = self.collection().read_many(self.reader, asked, n, **options)
        readings = [next(of_folder if question.documents is None else inline) for question in questions]
        self.metrics.questions.inc(len(readings))
        return readings

    def parts(self, questions: Sequence[Question], options: dict[str, Any]) -> Iterator[Reading]:
        """Yield the readings one after the other, computed in growing parts: the first comes soon."""
        begin, size = 0, 1
        while begin < len(questions):
            yield from self.readings(questions[begin : begin + size], options)
            begin, size = begin + size, min(2 * size, PART_QUESTIONS)

    def hosted(self, inputs: list[dict[str, str]], parameters: dict[str, Any]) -> list[Result]:
        """What the hosted service's pipeline answers each of these."""
        found: Any = self.pipeline(inputs, **parameters)
        self.metrics.questions.inc(len(inputs))
        return [found] if len(inputs) == 1 else list(found)

    def collection(self) -> Any:
        """The folder's collection. Raises `Problem` where no folder is served, or it is not indexed yet."""
        if self.indexer is None:
            raise Problem(
                "not-served", "This server has no folder of documents; send documents.", where="documents"
            )
        if self.indexer.collection is None:
            raise Problem("not-ready", "The folder is being indexed for the first time.", retry_after_s=5)
        return self.indexer.collection

    def check(self, questions: Sequence[Question], options: dict[str, Any]) -> None:
        """Raises `Problem` where a question is asked of a folder that is not there, or there is too much to read."""
        n = options.get("passages") or 0
        if any(question.documents is None for question in questions):
            self.collection()
            n = n or self.settings.passages
        try:
            own = self.reader.settings.changed(options)
        except SettingsError as error:
            raise self._problem_of(error) from error
        asked = [question for question in questions if question.documents is None]
        inline = [question for question in questions if question.documents is not None]
        cost = read_tokens(asked, own.max_seq_len, own.doc_stride, n)
        cost += read_tokens(inline, own.max_seq_len, own.doc_stride, own.passages)
        check_cost(cost, self.settings.max_read_tokens)

    def check_hosted(self, inputs: Sequence[dict[str, str]], parameters: dict[str, Any]) -> None:
        """The same for the hosted service's pipeline."""
        questions = [Question(one["question"], (Document("", one["context"]),)) for one in inputs]
        max_seq_len = parameters.get("max_seq_len") or _HOSTED_SEQ_LEN
        doc_stride = parameters.get("doc_stride", _HOSTED_STRIDE)
        check_cost(read_tokens(questions, max_seq_len, doc_stride, 0), self.settings.max_read_tokens)

    async def run(
        self, work: Callable[[], T], receive: Receive, entry: Entry, timeout_s: float | None = None
    ) -> T:
        """The result of the work, done in a thread. Raises `Problem`, or `ClientGone` as soon as the client has gone."""
        context = RequestContext(min(timeout_s or self.settings.timeout_s, self.settings.timeout_s))
        job: asyncio.Future[Any] = self._begin(work, context, entry)
        gone: asyncio.Future[Any] = asyncio.ensure_future(_gone(receive))
        try:
            left = context.deadline - time.monotonic()
            await asyncio.wait([job, gone], timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not job.done():
                context.cancel(late=not gone.done())
                raise self._abandoned(late=not gone.done())
            result: T = job.result()
            return result
        except Exception as error:
            raise self._problem_of(error) from error
        finally:
            if not job.done():
                context.cancel()
                job.add_done_callback(_retrieve)
            gone.cancel()

    async def stream(
        self, work: Callable[[], Iterator[T]], entry: Entry, timeout_s: float | None = None
    ) -> AsyncIterator[T | Problem]:
        """Yield what the work yields, made in a thread; if it fails, the problem comes last."""
        context = RequestContext(min(timeout_s or self.settings.timeout_s, self.settings.timeout_s))
        loop = asyncio.get_running_loop()
        made: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        room = threading.Semaphore(_MAX_AHEAD)

        def produce() -> None:
            for item in work():
                while not room.acquire(timeout=0.2):
                    context.check()
                context.check()
                loop.call_soon_threadsafe(made.put_nowait, ("item", item))

        job = self._begin(produce, context, entry)
        job.add_done_callback(
            lambda done: made.put_nowait(("end", None if done.cancelled() else done.exception()))
        )
        is_over = False
        try:
            while True:
                kind, item = await made.get()
                if kind == "item":
                    yield item
                    room.release()
                    continue
                is_over = True
                if item is not None:
                    error = self._problem_of(item)
                    if isinstance(error, Problem):
                        yield error
                return
        finally:
            context.cancel()
            if not is_over:
                self._abandoned(late=False)

    def _begin(self, work: Callable[[], T], context: RequestContext, entry: Entry) -> asyncio.Future[T]:
        """The work in a thread. The entry holds its place until that has ended, even if nobody waits for it."""

        def job() -> T:
            with working_for(context):
                context.check()
                return work()

        future = asyncio.get_running_loop().run_in_executor(self._threads, job)
        entry.hold()
        future.add_done_callback(lambda _: entry.leave())
        return future

    def _abandoned(self, *, late: bool) -> Exception:
        self.metrics.abandoned.labels("deadline" if late else "client").inc()
        return Problem("too-late", "It was not answered before its deadline.") if late else ClientGone()

    def _problem_of(self, error: BaseException) -> Exception:
        """The error as the client should see it."""
        if isinstance(error, Problem | ClientGone):
            return error
        if isinstance(error, Abandoned):
            return self._abandoned(late=error.late)
        if isinstance(error, SettingsError):
            return Problem("wrong-value", str(error))
        if isinstance(error, MissingExtraError):
            return Problem("not-served", f"This server lacks an optional part: {error}")
        if isinstance(error, DataError):
            return Problem("cannot-read", str(error))
        log.error("a request failed", exc_info=(type(error), error, error.__traceback__))
        if isinstance(error, RunError | ModelError):
            return Problem(
                "engine-failed",
                "The engine did not answer. Try again; if it fails again, see the server's log.",
            )
        return Problem("failed", "The server's log says more.")


async def _gone(receive: Receive) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        continue


def _retrieve(job: asyncio.Future[Any]) -> None:
    """Retrieves the exception of an abandoned job, or asyncio would log that nobody did."""
    if not job.cancelled():
        job.exception()
