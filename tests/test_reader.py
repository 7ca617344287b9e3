"""`reader`: questions and documents in, verbatim answers with places and scores out."""

from __future__ import annotations

import io
import json
import math
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as draws
from hypothesis import strategies as st

from tiny_models import WORDS, write_reader
from tinyreader.errors import DataError, ModelError, SettingsError
from tinyreader.reader import Document, FoundAnswer, Question, Reader, ReaderSettings, Reading
from tinyreader.reader.settings import read_settings, write_settings
from tinyreader.runtimes import ModelFacts, Runtime
from tinyreader.runtimes import reading as read_path
from tinyreader.runtimes.reading import CHUNK_CHARACTERS
from tinyreader.tokenizer import load_tokenizer

QUESTION = "who built the bridge ?"
SHORT: dict[str, Any] = {"max_seq_len": 32, "doc_stride": 6}


def text(n: int, seed: int = 0) -> str:
    """A text of n words that the tiny vocabulary knows."""
    draw = random.Random(seed)
    return " ".join(draw.choice([w for w in WORDS if w.isalpha()]) for _ in range(n))


class Pointing(Runtime):
    """A runtime that wants the token `x`: where it stands the logits are high, and the null logit is
    `null`.
    """

    facts = ModelFacts(max_tokens=64)

    def __init__(self, x_id: int, null: float = 0.0, heights: dict[int, float] | None = None) -> None:
        self.x_id, self.null, self.heights, self.shapes = x_id, null, heights or {}, list[tuple[int, int]]()

    def logits(self, input_ids: Any, mask: Any, segment_ids: Any) -> tuple[Any, Any]:
        """High at the token, `null` at the first, low elsewhere."""
        self.shapes.append(input_ids.shape)
        scores = np.where(input_ids == self.x_id, 5.0, -5.0).astype(np.float32)
        scores[:, 0] = self.null
        return scores, scores.copy()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random reader."""
    return write_reader(tmp_path_factory.mktemp("reader"))


@pytest.fixture(scope="module")
def reader(directory: Path) -> Reader:
    """It, in fp32 by OpenVINO."""
    return Reader.from_pretrained(directory, precision="fp32", threads=1, **SHORT)


def pointing(directory: Path, null: float = 0.0, **settings: Any) -> Reader:
    """A reader that finds the word x."""
    tokenizer = load_tokenizer(directory)
    return Reader(
        tokenizer, Pointing(tokenizer.token_to_id("x"), null), ReaderSettings(**{**SHORT, **settings})
    )


class Scattered(Runtime):
    """A runtime whose logits depend on each token and its place alone, whatever stands beside its window in a
    batch.
    """

    facts = ModelFacts(max_tokens=64)

    def logits(self, input_ids: Any, mask: Any, segment_ids: Any) -> tuple[Any, Any]:
        """Numbers that look drawn by chance."""
        places = np.arange(input_ids.shape[1])
        return tuple(  # type: ignore[return-value]
            ((input_ids * 7919 + places * 104729 + salt) % 1009 / 100 - 5).astype(np.float32)
            for salt in (0, 311)
        )


class CountingTokenizer:
    """A tokenizer that notes the texts it was given."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer, self.texts = tokenizer, list[str]()

    def encode_batch(self, texts: list[str], **named: Any) -> Any:
        """What the tokenizer gives."""
        self.texts += texts
        return self.tokenizer.encode_batch(texts, **named)


def same(one: Reading, other: Reading) -> bool:
    """Whether two readings say the same; scores to what fp32 in batches of other shapes may differ by."""

    def plain(r: Reading) -> list[tuple[Any, ...]]:
        return [(a.text, a.start, a.end, a.document.id) for a in r.answers]

    close = all(
        math.isclose(a.score, b.score, abs_tol=1e-5) for a, b in zip(one.answers, other.answers, strict=False)
    )
    return (one.question, plain(one), one.has_answer) == (
        other.question,
        plain(other),
        other.has_answer,
    ) and close


def test_answers_are_slices_of_their_documents(reader: Reader) -> None:
    """Each answer is verbatim, with its place, best first, and scores are chances."""
    documents = [text(n, n) for n in (5, 90, 30)]
    reading = reader.read(QUESTION, documents, top_k=10)
    assert len(reading.answers) == 10
    for answer in reading.answers:
        assert answer.document.text[answer.start : answer.end] == answer.text != ""
        assert answer.document == Document(answer.document.id, documents[int(answer.document.id)])
    scores = [a.score for a in reading.answers]
    assert scores == sorted(scores, reverse=True)
    assert all(0.0 <= s <= 1.0 for s in scores)
    assert math.isclose(reading.no_answer_score, 1.0 - scores[0])


def test_every_document_is_read_to_its_end(directory: Path) -> None:
    """What is sought is found wherever it stands in a document of many windows, once."""
    reader = pointing(directory)
    for place in (0, 17, 140, 299):
        words = text(300).replace("x", "a").split()
        words[place] = "x"
        reading = reader.read(QUESTION, " ".join(words), max_answer_tokens=1)
        assert reading.answer is not None
        assert (reading.answer.text, reading.answer.start) == ("x", len(" ".join([*words[:place], ""])))
        assert [a.text for a in reading.answers].count("x") == 1


def test_a_stream_gives_what_single_calls_give(reader: Reader) -> None:
    """Many questions at once, of many lengths, are answered as one by one, in order."""
    pairs = [
        (f"{QUESTION} {text(n % 3, n)}", [text(3 + 11 * n % 70, n + k) for k in range(n % 3)])
        for n in range(12)
    ]
    together = list(reader.read_many(iter(pairs)))
    assert [r.question for r in together] == [q for q, _ in pairs]
    assert all(same(one, reader.read(*pair)) for one, pair in zip(together, pairs, strict=True))


def test_an_endless_stream_is_read_as_it_comes(directory: Path) -> None:
    """Readings come out while questions still come in, and a chunk bounds what is held."""
    taken = 0

    def endless() -> Iterator[tuple[str, str]]:
        nonlocal taken
        while True:
            taken += 1
            yield QUESTION, "the bridge x " * 200

    stream = pointing(directory).read_many(endless())
    assert next(stream).answers[0].text == "x"
    assert taken * 2600 < 1.1 * CHUNK_CHARACTERS
    stream.close()


def test_one_question_on_more_text_than_a_chunk(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question whose documents fill several chunks gets the best of all of them, and the next one its
    own.
    """
    monkeypatch.setattr("tinyreader.runtimes.reading.CHUNK_CHARACTERS", 300)
    reader = pointing(directory)
    many = [f"{'a ' * 40}{n} the bridge" for n in range(10)]
    many[7] += " x"
    first, second, third = reader.read_many([(QUESTION, many), ("who ?", "x a"), ("it ?", [])])
    assert (first.answers[0].text, first.answers[0].document.id) == ("x", "7")
    assert second.answers[0].document.text == "x a"
    assert third.answers == ()


def test_documents_come_in_several_forms(directory: Path, tmp_path: Path) -> None:
    """A text, a path, a document, a pair, and lists of them; answers name what they come from."""
    reader = pointing(directory)
    path = tmp_path / "notes é.txt"
    path.write_text("the x", encoding="utf-8")
    for given, name in (("the x", "0"), (path, str(path)), (Document("d", "the x"), "d")):
        for documents in (given, [given]):
            assert reader.read(QUESTION, documents).answers[0].document.id == name
    assert reader.read(QUESTION, [("p", "the x")]).answers[0].document.id == "p"
    assert {a.document.id for a in reader.read(QUESTION, ["x", path, ("p", "x")], top_k=3).answers} == {
        "0",
        str(path),
        "p",
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [(("the x", "y"), r"write \[\(id, text\)\]"), ({"id": "a", "text": "the x"}, "type dict")],
)
def test_what_could_be_misread_is_an_error(reader: Reader, given: Any, said: str) -> None:
    """A bare tuple of two texts could be a pair or two documents, and a dict is neither: nothing is lost in
    silence.
    """
    with pytest.raises(DataError, match=said):
        reader.read(QUESTION, given)


@pytest.mark.parametrize(
    ("questions", "said"),
    [
        (5, "what is to be read is of type int (5); give any number of Questions or pairs"),
        ("who ?", "what is to be read is of type str ('who ?'); give"),
        (Question("who ?", "the x" * 100), "what is to be read is of type Question; give"),
        (
            [Question("who ?", "the x", 1.5)],
            "the id of question 0 is 1.5; it must be a text, an integer or None",
        ),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_stream_of_questions_is_said(reader: Reader, questions: Any, said: str) -> None:
    """One question, a text or a number where several are expected is an error that shows it."""
    with pytest.raises(DataError, match=re.escape(said)):
        list(reader.read_many(questions))


@pytest.mark.parametrize("empty", [[], "", "   \n", ["", "  "]])
def test_nothing_to_read_is_no_answer(reader: Reader, empty: Any) -> None:
    """Without text there is no answer, with certainty, and no error."""
    reading = reader.read(QUESTION, empty)
    assert (reading.answers, reading.answer, reading.no_answer_score, reading.has_answer) == (
        (),
        None,
        1.0,
        False,
    )


def test_the_null_score_decides_whether_there_is_an_answer(directory: Path) -> None:
    """The span's odds against null decide at the threshold; the score is their logistic, divided by the
    temperature.
    """
    assert pointing(directory, null=4.9).read(QUESTION, "the x").has_answer
    unsure = pointing(directory, null=5.5).read(QUESTION, "the x")
    assert unsure.answer is None
    assert unsure.answers[0].null_odds == pytest.approx(1.0)
    assert unsure.answers[0].score == pytest.approx(1 / (1 + math.e))
    assert unsure.no_answer_score == pytest.approx(1 - 1 / (1 + math.e))
    assert pointing(directory, null=5.5, no_answer_threshold=1.0).read(QUESTION, "the x").has_answer
    calm = pointing(directory, null=5.5, temperature=4.0).read(QUESTION, "the x")
    assert calm.answers[0].score == pytest.approx(1 / (1 + math.exp(0.25)))
    assert pointing(directory, null=1000.0).read(QUESTION, "the x").answers[0].score == 0.0


def test_zero_is_a_value(directory: Path) -> None:
    """Settings of a call go over the reader's own, 0 and False too; None leaves them as they are."""
    reader = pointing(directory, null=5.5, score_threshold=0.9, word_boundaries=True)
    assert reader.read(QUESTION, "the x").answers == ()
    assert reader.read(QUESTION, "the x", score_threshold=0).answers != ()
    assert reader.read(QUESTION, "the x", score_threshold=None).answers == ()
    with pytest.raises(
        SettingsError, match=r"max_answer_token is not a setting of a reader; there are: .*max_answer_tokens"
    ):
        reader.read(QUESTION, "the x", max_answer_token=3)


def test_answers_do_not_overlap_unless_asked_to(reader: Reader) -> None:
    """Of overlapping spans of a document the best stays; max_overlap = 1 keeps all."""

    def overlaps(answers: tuple[FoundAnswer, ...]) -> bool:
        return any(a.start < b.end and b.start < a.end for n, a in enumerate(answers) for b in answers[:n])

    assert not overlaps(reader.read(QUESTION, text(60), top_k=5).answers)
    assert overlaps(reader.read(QUESTION, text(60), top_k=5, max_overlap=1.0).answers)


def test_word_boundaries_widen_answers(directory: Path) -> None:
    """An answer that cuts through a word takes all of it, by choice."""
    tokenizer = load_tokenizer(directory)
    middle = Reader(tokenizer, Pointing(tokenizer.token_to_id("##ing")), ReaderSettings(**SHORT))
    one = {"max_answer_tokens": 1}
    assert middle.read(QUESTION, "was builting it", **one).answers[0].text == "ing"
    assert middle.read(QUESTION, "was builting it", word_boundaries=True, **one).answers[0].text == "builting"


def test_the_surroundings_of_an_answer(directory: Path) -> None:
    """`context` gives the answer with so many characters on each side, as many as there are."""
    answer = pointing(directory).read(QUESTION, "the bridge x was built").answers[0]
    assert answer.context(4) == "dge x was"
    assert answer.context() == "the bridge x was built"
    assert answer.context(0) == "x"
    for wrong in ("x", -1, 1.5, True):
        with pytest.raises(SettingsError, match=f"chars is {wrong!r}; it must be a whole number"):
            answer.context(wrong)  # type: ignore[arg-type]


def test_one_form_for_programs(reader: Reader) -> None:
    """A reading as plain data holds all that was found, is JSON, and becomes the same reading again."""
    document = Document("a", text(20), (0, 9))
    reading = next(reader.read_many([Question(QUESTION, document, 7)]))
    plain = json.loads(json.dumps(reading.as_dict()))
    assert plain.keys() == {"id", "question", "has_answer", "no_answer_score", "answers"}
    first = reading.answers[0]
    assert plain["id"] == 7
    assert plain["answers"][0] == {
        "text": first.text,
        "score": first.score,
        "document": "a",
        "start": first.start,
        "end": first.end,
        "page": 1 if first.start < 9 else 2,
        "line": 1,
        "null_odds": first.null_odds,
        "before": document.text[: first.start],
        "after": document.text[first.end :],
    }
    assert Reading.from_dict(plain, [document]) == reading
    with pytest.raises(DataError, match="document 'a' has other words"):
        Reading.from_dict(plain, [Document("a", "other")])
    with pytest.raises(DataError, match="from document 'a', which is not among those given"):
        Reading.from_dict(plain, [])
    with pytest.raises(DataError, match="this is not a reading"):
        Reading.from_dict({"question": "?"}, [])


def test_answers_know_page_and_line(directory: Path) -> None:
    """Both are of the answer's first code point; a text without pages has lines alone."""
    answer = pointing(directory).read(QUESTION, Document("d", "the bridge\nwas\nx in", (0, 11))).answers[0]
    assert (answer.text, answer.page, answer.line) == ("x", 2, 3)
    assert pointing(directory).read(QUESTION, "the\n\nx").answers[0].page is None


def test_questions_bear_their_ids(directory: Path) -> None:
    """An id comes back with its reading, and errors name the question by it."""
    reader = pointing(directory)
    asked = [Question(QUESTION, "the x", "q7"), (QUESTION, "x"), Question(QUESTION, ["a", "x"], 3)]
    assert [r.id for r in reader.read_many(asked)] == ["q7", None, 3]
    with pytest.raises(DataError, match="question q7 is empty"):
        list(reader.read_many([Question(" ", "the x", "q7")]))
    with pytest.raises(DataError, match="question 'q8' has 40 tokens"):
        list(reader.read_many([Question("the " * 40, "the x", "q8")]))
    with pytest.raises(DataError, match="question 1 is of type str; give a Question or a pair"):
        list(reader.read_many([asked[0], "who ?"]))  # type: ignore[list-item]


@draws(st.permutations(range(9)), st.integers(1, 400), st.integers(1, 9))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_company_changes_nothing(directory: Path, order: list[int], chunk: int, group: int) -> None:
    """Whatever is read together, in whatever order, chunks and groups of windows, each question has the same
    reading.
    """
    tokenizer = load_tokenizer(directory)
    scattered = Reader(tokenizer, Scattered(), ReaderSettings(**SHORT, top_k=4))
    asked = [
        Question(text(3, n), [text(1 + 17 * (n + k) % 90, n + k) for k in range(n % 4)], n) for n in range(9)
    ]
    alone = [scattered.read(q.text, q.documents) for q in asked]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tinyreader.runtimes.reading.CHUNK_CHARACTERS", chunk)
        patch.setattr("tinyreader.runtimes.reading.GROUP_WINDOWS", group)
        together = list(scattered.read_many(asked[n] for n in order))
    assert [replace(r, id=None) for r in together] == [alone[n] for n in order]


def test_threads_may_share_a_reader(directory: Path) -> None:
    """Four threads asking at the same time, with different settings, get what one gets."""
    reader = pointing(directory, null=1.0)
    asked = [(QUESTION, f"{text(n, n)} x", {"doc_stride": n % 5, "top_k": 1 + n % 3}) for n in range(40)]
    alone = [reader.read(q, d, **s) for q, d, s in asked]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda each: reader.read(each[0], each[1], **each[2]), asked)) == alone


def test_a_text_is_tokenised_once_for_many_questions(directory: Path) -> None:
    """Questions of a text that was just read find it cut already, in another call too."""
    reader = pointing(directory)
    windower = reader._windower(reader.settings)
    counted = CountingTokenizer(windower.tokenizer)
    windower.tokenizer = counted  # type: ignore[assignment]
    for n in range(5):
        list(reader.read_many([(f"who {word} ?", "the bridge x") for word in ("built", "was", "a")]))
        reader.read(f"{'the ' * n} ?", "the bridge x")
    assert counted.texts.count("the bridge x") == 1


def test_a_long_text_is_never_held_in_windows(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a text is, so many windows are computed at a time, and the answer near its end is
    found.
    """
    monkeypatch.setattr("tinyreader.runtimes.reading.GROUP_WINDOWS", 10)
    monkeypatch.setattr("tinyreader.windows.SEGMENT_CHARACTERS", 500)
    reader = pointing(directory)
    alive: list[int] = []
    honest = read_path.run_windows

    def watched(windows: list[Any], *rest: Any, **named: Any) -> Any:
        alive.append(len(windows))
        return honest(windows, *rest, **named)

    monkeypatch.setattr(read_path, "run_windows", watched)
    long = text(3000).replace("x", "a") + " x was"
    reading = reader.read(QUESTION, long)
    assert (max(alive), len(alive) > 10) == (10, True)
    assert reading.answers[0].start == long.index("x")


def test_passages_are_picked_before_reading(directory: Path) -> None:
    """With `passages`, only those that share words are read; offsets are the document's; 0 reads
    everything.
    """
    reader = pointing(directory)
    filler = "in it a b c . " * 90
    documents = [("1", filler), ("2", f"{filler}\n\nwho built the bridge ? x .\n\n{filler}"), ("3", "x")]
    some = reader.read("who built the bridge ?", documents, passages=1)
    assert [a.document.id for a in some.answers if a.text == "x"] == ["2"]
    assert some.answers[0].start == documents[1][1].index("x")
    everything = reader.read("who built the bridge ?", documents, passages=0)
    assert {a.document.id for a in everything.answers if a.text == "x"} == {"2", "3"}
    assert same(everything, reader.read("who built the bridge ?", documents, passages=10_000))
    asked = [("who built the bridge ?", documents), ("b c ?", documents[:1]), ("who built ?", documents)]
    assert next(reader.read_many(asked, passages=1)).answers == some.answers
    assert reader.read(QUESTION, [], passages=3).answers == ()


def test_a_question_that_is_cut_is_told(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By choice too long a question is cut, with a warning that says to what."""
    reader = pointing(directory, on_long_question="truncate")
    assert reader.read("the " * 40, "the x").answers
    assert "were cut to that length" in caplog.text
    caplog.clear()
    reader.read(QUESTION, "the x")
    assert caplog.text == ""


@pytest.mark.parametrize("blank", ["", "  \n", "\u200b", "\x00"])
def test_blank_documents_have_no_answer(directory: Path, blank: str) -> None:
    """Nothing is found in nothing, and other documents are read all the same."""
    reader = pointing(directory)
    assert (reader.read(QUESTION, blank).answer, reader.read(QUESTION, blank).no_answer_score) == (None, 1.0)
    assert reader.read(QUESTION, [blank, "the x"]).answers[0].document.id == "1"


def test_widened_answers_are_told_once(directory: Path) -> None:
    """Two halves of a word become one answer when answers are whole words."""
    tokenizer = load_tokenizer(directory)
    halves = Reader(tokenizer, Pointing(tokenizer.token_to_id("##ing")), ReaderSettings(**SHORT, top_k=5))
    reading = halves.read(QUESTION, "builting it", word_boundaries=True, max_answer_tokens=1)
    assert [a.text for a in reading.answers] == ["builting", "it"]


@pytest.mark.parametrize(
    ("question", "documents", "said"),
    [
        ("", "a", "question 0 is empty"),
        ("  ", "a", "question 0 is empty"),
        ("the " * 40, "a", "has 40 tokens"),
        (QUESTION, [3], "document 0 is of type int"),
        (QUESTION, [("a", 3)], r"document 0 is of type tuple \(str, int\); .* a pair \(id, text\)"),
        (QUESTION, [(5, "the x")], r"document 0 is of type tuple \(int, str\); .* a pair \(id, text\)"),
        (QUESTION, [Document(5, "the x")], r"the id of document 0 is of type int \(5\); it must be a text"),  # type: ignore[arg-type]
        (QUESTION, Path("nothing.txt"), "nothing.txt cannot be read"),
        (QUESTION, None, "document 0 is of type NoneType"),
        (QUESTION, io.StringIO("the x"), r"document 0 is of type StringIO.*; give a text, a path"),
        (QUESTION, b"the x", "document 0 is of type bytes"),
        (QUESTION, Document("d", None), "document 'd' is of type NoneType; it must be a text"),  # type: ignore[arg-type]
        (QUESTION, "the \ud83d x", "document '0' holds half of a surrogate pair at 4"),
        ("who \ud83d ?", "the x", "question 0 holds half of a surrogate pair at 4"),
        (None, "the x", "question 0 is of type NoneType"),
    ],
)
def test_what_cannot_be_read_is_said(reader: Reader, question: str, documents: Any, said: str) -> None:
    """Each mistake is one clear error."""
    with pytest.raises(DataError, match=said):
        reader.read(question, documents)


def test_bytes_that_are_no_text_are_said(reader: Reader, tmp_path: Path) -> None:
    """A file that is not UTF-8 is named with the place."""
    (tmp_path / "a.txt").write_bytes(b"the \xff")
    with pytest.raises(DataError, match=r"a.txt is not UTF-8 text \(byte 4\)"):
        reader.read(QUESTION, tmp_path / "a.txt")


@pytest.mark.parametrize("engine", ["auto", "openvino", "torch"])
def test_engines_agree(directory: Path, reader: Reader, engine: Any) -> None:
    """Whatever engine reads, it finds the same."""
    other = Reader.from_pretrained(directory, engine=engine, precision="fp32", **SHORT)
    for n in range(4):
        assert same(other.read(QUESTION, text(50, n)), reader.read(QUESTION, text(50, n)))


def test_architectures_without_a_graph_are_read_by_torch(tmp_path: Path) -> None:
    """engine = "auto" takes torch for what OpenVINO does not know."""
    reader = Reader.from_pretrained(write_reader(tmp_path, "deberta-v2"), precision="fp32", **SHORT)
    assert type(reader.runtime).__name__ == "TorchRuntime"
    assert reader.read(QUESTION, text(40)).answers


def test_settings_lie_beside_the_model(tmp_path: Path) -> None:
    """What `reader.json` says is the reader's default; a call's own settings go over it."""
    directory = write_reader(tmp_path)
    write_settings(
        ReaderSettings(no_answer_threshold=-1.5, temperature=2.0, max_seq_len=48, doc_stride=10), directory
    )
    assert json.loads((directory / "reader.json").read_text())["settings"]["no_answer_threshold"] == -1.5
    reader = Reader.from_pretrained(directory, temperature=3.0, threads=1)
    assert (
        reader.settings.no_answer_threshold,
        reader.settings.temperature,
        reader.settings.max_seq_len,
    ) == (-1.5, 3.0, 48)
    (directory / "reader.json").write_text('{"settings": {"topk": 3}}')
    with pytest.raises(ModelError, match=r"reader.json: topk is not a setting"):
        read_settings(directory)


def test_windows_fit_short_models(tmp_path: Path) -> None:
    """A model that takes fewer tokens than the usual window is read in its own; asking for more is an
    error.
    """
    directory = write_reader(tmp_path)
    assert Reader.from_pretrained(directory, threads=1).settings.max_seq_len == 64
    with pytest.raises(SettingsError, match="max_seq_len is 80, but this model takes at most 64 tokens"):
        Reader.from_pretrained(directory, threads=1, max_seq_len=80, doc_stride=10)


@pytest.mark.parametrize(
    "wrong",
    [
        {"top_k": 0},
        {"max_answer_tokens": 0},
        {"score_threshold": 1.5},
        {"max_overlap": -1.0},
        {"temperature": 0.0},
        {"no_answer_threshold": math.nan},
        {"score_threshold": math.nan},
        {"temperature": math.nan},
        {"top_k": "3"},
        {"top_k": True},
        {"top_k": 2.5},
        {"temperature": "1"},
        {"word_boundaries": 1},
        {"on_long_question": "cut"},
        {"max_seq_len": 10},
        {"doc_stride": -1},
        {"passages": -1},
    ],
)
def test_settings_without_sense_are_refused(wrong: dict[str, Any]) -> None:
    """A value that could not mean anything is named."""
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        ReaderSettings(**wrong)


def test_reading_takes_neither_torch_nor_transformers(directory: Path) -> None:
    """A question is answered in a process that has imported neither."""
    code = (
        "import sys; from tinyreader.reader import Reader\n"
        f"reader = Reader.from_pretrained({str(directory)!r}, max_seq_len=32, doc_stride=6, threads=1)\n"
        "assert reader.read('who ?', 'the bridge was built').answers\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
