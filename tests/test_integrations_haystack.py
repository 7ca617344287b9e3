"""`tinyreader.integrations.haystack`: the component as Haystack's own reader was, and right where that one
was not.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tiny_models import VOCABULARY_SIZE, WORDS, write_reader
from tinyreader.data import Example
from tinyreader.errors import DataError, MissingExtraError, ModelError, SettingsError
from tinyreader.runtimes import Inputs, Logits, ModelFacts, Runtime
from tinyreader.spans import Span
from tinyreader.tokenizer import load_tokenizer
from tinyreader.windows import Windower, WindowSettings

pytest.importorskip("haystack", reason="needs the haystack extra")

import haystack
from haystack import Document, ExtractedAnswer, Pipeline
from haystack.utils import ComponentDevice, Secret
from haystack.version import __version__ as haystack_version

from tinyreader.integrations.haystack import ExtractiveReader
from tinyreader.integrations.haystack.loading import LoadedModel, model_request
from tinyreader.integrations.haystack.search import Choices, without_overlaps
from tinyreader.reader.settings import logistic

MODULE = "tinyreader.integrations.haystack"
QUERY = "who built the bridge ?"
SHORT: dict[str, Any] = {"max_seq_length": 48, "stride": 8, "token": None}
LETTERS = [word for word in WORDS if word.isalpha()]


class Pointing(Runtime):
    """A runtime for which a token's start and end logit are its height, by its id; the first token's is
    `null`.
    """

    facts = ModelFacts(max_tokens=64, vocab_size=VOCABULARY_SIZE)

    def __init__(self, heights: dict[int, float], null: float) -> None:
        self.heights, self.null = heights, null
        self.batches = list[Inputs]()

    def logits(self, input_ids: Any, mask: Any, segment_ids: Any) -> Logits:
        """The heights; inputs are remembered."""
        self.batches.append((input_ids, mask, segment_ids))
        scores = np.full(input_ids.shape, -6.0, np.float32)
        for token, height in self.heights.items():
            scores[input_ids == token] = height
        scores[:, 0] = self.null
        return scores, scores.copy()


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random BERT reader."""
    return write_reader(tmp_path_factory.mktemp("reader"))


def pointing(
    directory: Path, heights: dict[str, float] | None = None, null: float = 0.0, **settings: Any
) -> tuple[ExtractiveReader, Pointing]:
    """A component with a network that wants certain words, x unless others are named."""
    tokenizer = load_tokenizer(directory)
    named = {"x": 2.5} if heights is None else heights
    runtime = Pointing({tokenizer.token_to_id(word): height for word, height in named.items()}, null)
    reader = ExtractiveReader(directory, **{**SHORT, **settings})
    reader._model = LoadedModel(tokenizer, runtime, 0.0)
    return reader, runtime


def texts(answers: list[Any]) -> list[str | None]:
    """What the answers say."""
    return [answer.data for answer in answers]


def loaded(text: str) -> Pipeline:
    """The pipeline of a YAML text; Haystack 3 loads classes outside its own packages where it is told so."""
    allowed = {} if haystack_version.startswith("2.") else {"allowed_modules": [MODULE]}
    return Pipeline.loads(text, **allowed)


# -- what the predecessor promises


def test_a_strict_token_is_looked_up_when_the_model_is_loaded(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token whose variable is missing is no error until `warm_up`, which names the variable."""
    monkeypatch.delenv("NO_SUCH_TOKEN", raising=False)
    reader = ExtractiveReader(directory, token=Secret.from_env_var("NO_SUCH_TOKEN"))
    with pytest.raises(ValueError, match="NO_SUCH_TOKEN"):
        reader.warm_up()


def test_the_token_opens_the_hub(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """The token and the revision of `model_kwargs` reach the download, and the model is loaded once."""
    import huggingface_hub

    asked = []

    def download(name: str, **settings: Any) -> str:
        asked.append((name, settings["token"], settings["revision"]))
        return str(directory)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setenv("OUR_TOKEN", "secret")
    reader = ExtractiveReader(
        "owner/name", token=Secret.from_env_var("OUR_TOKEN"), model_kwargs={"revision": "v1"}
    )
    assert asked == []
    reader.warm_up()
    reader.warm_up()
    assert asked == [("owner/name", "secret", "v1")]


def test_the_usual_settings_are_the_predecessors() -> None:
    """Constructed from nothing, the component has the predecessor's model, lengths and thresholds."""
    reader = ExtractiveReader.from_dict({"type": f"{MODULE}.ExtractiveReader", "init_parameters": {}})
    assert reader.model_name_or_path == "deepset/roberta-base-squad2-distilled"
    assert reader.token == Secret.from_env_var(["HF_API_TOKEN", "HF_TOKEN"], strict=False)
    assert (reader.device, reader.top_k, reader.score_threshold) == (None, 20, None)
    assert (reader.max_seq_length, reader.stride) == (384, 128)
    assert (reader.max_batch_size, reader.answers_per_seq) == (None, None)
    assert (reader.no_answer, reader.calibration_factor, reader.overlap_threshold) == (True, 0.1, 0.01)


def test_it_becomes_plain_data_and_comes_back() -> None:
    """Every setting survives `to_dict` and `from_dict`, thresholds, tokens, devices and number types among
    them.
    """
    import torch

    reader = ExtractiveReader(
        "my-model",
        device=ComponentDevice.from_str("cpu"),
        token=Secret.from_env_var("OUR_TOKEN"),
        top_k=5,
        score_threshold=0.0,
        overlap_threshold=0.5,
        max_batch_size=7,
        answers_per_seq=9,
        no_answer=False,
        model_kwargs={"torch_dtype": torch.bfloat16},
        engine="openvino",
        no_answer_from="model",
        context_chars=0,
    )
    data = reader.to_dict()
    assert data["type"] == f"{MODULE}.ExtractiveReader"
    assert data["init_parameters"]["token"] == {"type": "env_var", "env_vars": ["OUR_TOKEN"], "strict": True}
    assert data["init_parameters"]["model_kwargs"] == {"torch_dtype": "torch.bfloat16"}
    assert data["init_parameters"]["device"] == {"type": "single", "device": "cpu"}
    back = ExtractiveReader.from_dict(data)
    assert back.to_dict() == data
    assert (back.overlap_threshold, back.score_threshold, back.token) == (0.5, 0.0, reader.token)
    assert back._request == reader._request
    assert back._request.precision == "bf16"


@pytest.mark.parametrize("token", [None, Secret.from_env_var("OUR_TOKEN")])
def test_a_pipeline_becomes_yaml_and_comes_back(directory: Path, token: Secret | None) -> None:
    """A pipeline with the component gives equal answers after a trip through YAML, without `warm_up`."""
    if token is not None:
        token = Secret.from_env_var("OUR_TOKEN", strict=False)
    pipeline = Pipeline()
    pipeline.add_component(
        "reader", ExtractiveReader(directory, **{**SHORT, "token": token}, top_k=2, threads=1)
    )
    again = loaded(pipeline.dumps())
    assert again.to_dict() == pipeline.to_dict()
    given = {"reader": {"query": QUERY, "documents": [Document(content="the bridge was built in x .")]}}
    first, second = pipeline.run(given)["reader"]["answers"], again.run(given)["reader"]["answers"]
    assert first == second
    assert len(first) == 3


def test_a_token_given_as_text_is_not_written() -> None:
    """A token that is no variable's name is refused by `to_dict` rather than written into a file."""
    reader = ExtractiveReader("my-model", token=Secret.from_token("secret"))
    with pytest.raises(ValueError, match="token"):
        reader.to_dict()


def test_no_documents_no_answers(directory: Path) -> None:
    """Without documents there is nothing to say, not even that there is no answer."""
    assert pointing(directory)[0].run(QUERY, []) == {"answers": []}


def test_scores_are_the_logistic_function_of_the_logits(directory: Path) -> None:
    """Each document gives its best piece with sigmoid(factor x (start + end)); no answer has the product of
    the rest.
    """
    reader, _ = pointing(directory, calibration_factor=0.3)
    documents = [Document(content=text) for text in ("a x b", "the x", "c c x")]
    answers = reader.run(QUERY, documents, top_k=3)["answers"]
    expected = 1 / (1 + math.exp(-0.3 * 5.0))
    assert texts(answers) == ["x", "x", "x", None]
    assert {answer.document.id for answer in answers[:3]} == {document.id for document in documents}
    assert [answer.score for answer in answers[:3]] == pytest.approx([expected] * 3)
    assert answers[3].score == pytest.approx((1 - expected) ** 3)
    assert answers[3].query == QUERY
    assert answers[3].document is None


def test_candidates_are_the_best_spans_of_each_window(directory: Path) -> None:
    """`answers_per_seq` spans of a window are looked at, no end before its start, and all of them where it
    has fewer.
    """
    heights = {"x": 4.0, "a": 3.0, "b": 1.0}
    reader, _ = pointing(directory, heights, no_answer=False, overlap_threshold=1.0)
    answers = reader.run(QUERY, [Document(content="a b x")], answers_per_seq=3)["answers"]
    assert texts(answers) == ["x", "a b x", "a"]
    assert [answer.score for answer in answers] == pytest.approx([logistic(0.1 * s) for s in (8.0, 7.0, 6.0)])
    assert len(reader.run(QUERY, [Document(content="a b x")], answers_per_seq=50)["answers"]) == 6


def test_every_window_is_searched(directory: Path) -> None:
    """A long document is read to its end, and a place that two windows show is one answer, not two."""
    reader, runtime = pointing(directory, no_answer=False)
    long = "a " * 30 + "x " + "a " * 50 + "x"
    answers = reader.run(QUERY, [Document(content=long)], top_k=2)["answers"]
    assert [(answer.data, answer.document_offset.start) for answer in answers] == [("x", 60), ("x", 162)]
    assert sum(len(ids) for ids, _, _ in runtime.batches) > 2
    everything = reader.run(QUERY, [Document(content=long)], top_k=500, overlap_threshold=2.0)["answers"]
    places = [(answer.document_offset.start, answer.document_offset.end) for answer in everything]
    assert len(places) == len(set(places))


def span(start: int, end: int, score: float) -> Span:
    """A span of these code points."""
    return Span(start, end, score, 0, start, end)


@pytest.mark.parametrize(("threshold", "kept"), [(0.01, 2), (0.4, 2), (0.5, 3), (1.0, 3), (None, 3)])
def test_overlaps_count_by_the_shorter_answer(threshold: float | None, kept: int) -> None:
    """An answer goes when it shares more than the threshold's part of its own or of a better one's length
    with that.
    """
    spans = [span(0, 10, 3.0), span(7, 13, 2.0), span(10, 12, 1.0)]  # half of the second lies in the first
    if threshold is not None and threshold == 0.5:  # the third lies wholly in the second, which is kept now
        assert [s.start for s in without_overlaps(spans, threshold, 5)] == [0, 7]
    else:
        assert len(without_overlaps(spans, threshold, 5)) == kept


def test_overlaps_are_removed_until_enough_are_found() -> None:
    """The best ones are found though hundreds of worse places overlap them."""
    crowd = [span(0, 10 + n, 100.0 - n) for n in range(300)]
    rest = [span(1000 + 20 * n, 1010 + 20 * n, -float(n)) for n in range(5)]
    assert [s.start for s in without_overlaps([*crowd, *rest], 0.01, 3)] == [0, 1000, 1020]


def test_answers_of_different_documents_never_overlap(directory: Path) -> None:
    """Equal texts in documents that differ in their meta data are answers of their own."""
    documents = [Document(content="a x b", meta={"name": name}) for name in ("one", "other")]
    answers = pointing(directory)[0].run(QUERY, documents, top_k=2)["answers"]
    assert [answer.document.meta["name"] for answer in answers[:2]] == ["one", "other"]


def test_page_numbers_count_form_feeds(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The page is the document's own plus the form feeds before the answer; without a number there is
    none.
    """
    reader, _ = pointing(directory, top_k=1, no_answer=False)
    text = "a b \f a \f x \f b"
    assert reader.run(QUERY, [Document(content=text, meta={"page_number": 5})])["answers"][0].meta == {
        "answer_page_number": 7
    }
    assert reader.run(QUERY, [Document(content="x", meta={"page_number": 0})])["answers"][0].meta == {
        "answer_page_number": 0
    }
    assert reader.run(QUERY, [Document(content=text)])["answers"][0].meta == {}
    with caplog.at_level(logging.WARNING):
        assert reader.run(QUERY, [Document(content=text, meta={"page_number": "5"})])["answers"][0].meta == {}
    assert "page_number '5', which is not an int" in caplog.text


def test_offsets_point_into_document_and_context(directory: Path) -> None:
    """Both offsets cut the answer out of their text, at the ends of a document and in its middle."""
    reader, _ = pointing(directory, context_chars=5, no_answer=False)
    document = Document(content="x the bridge 😀 was x built in it x")
    answers = reader.run(QUERY, [document])["answers"]
    assert texts(answers[:3]) == ["x", "x", "x"]
    assert {answer.context for answer in answers[:3]} == {"x the ", " was x buil", "n it x"}
    for answer in answers:
        a, b = answer.document_offset, answer.context_offset
        assert document.content[a.start : a.end] == answer.data == answer.context[b.start : b.end]


def test_answers_become_plain_data(directory: Path) -> None:
    """What comes out is Haystack's own answer, and its `to_dict` and `from_dict` hold."""
    for answer in pointing(directory)[0].run(QUERY, [Document(content="a x b")])["answers"]:
        assert type(answer) is ExtractedAnswer
        assert ExtractedAnswer.from_dict(answer.to_dict()) == answer


@pytest.mark.parametrize(
    ("device_map", "device"),
    [
        ("auto", None),
        ("cpu:0", "cpu"),
        ("cpu", "cpu"),
        ({"": "cpu:0"}, "cpu"),
        ({"": 0}, "cuda:0"),
        ("cuda:1", "cuda:1"),
    ],
)
def test_device_maps_name_a_device(device_map: Any, device: str | None) -> None:
    """A `device_map` for Transformers is read as the device it means."""
    assert ExtractiveReader("my-model", model_kwargs={"device_map": device_map})._request.device == device


def test_what_cannot_be_honoured_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Two devices at once, models split over devices, and arguments of Transformers' own loading give a
    warning each.
    """
    with caplog.at_level(logging.WARNING):
        both = ExtractiveReader(
            "m", device=ComponentDevice.from_str("cuda:0"), model_kwargs={"device_map": "cpu"}
        )
        split = ExtractiveReader("m", model_kwargs={"device_map": {"layer_1": 1, "classifier": "cpu"}})
        ExtractiveReader("m", model_kwargs={"attn_implementation": "sdpa"})
    assert (both._request.device, split._request.device) == ("cpu", None)
    for part in (
        "the device_map is used",
        "not split over devices (cpu, cuda:1)",
        "no effect here: attn_implementation",
    ):
        assert part in caplog.text


# -- where the predecessor is wrong


def test_segment_ids_reach_the_model(directory: Path) -> None:
    """The context's tokens have segment 1, the question's 0."""
    reader, runtime = pointing(directory)
    reader.run(QUERY, [Document(content="a x b")])
    ((ids, mask, segments),) = runtime.batches
    separator = load_tokenizer(directory).token_to_id("[SEP]")
    first = list(ids[0]).index(separator)
    n = int(mask[0].sum())
    assert segments[0, : first + 1].tolist() == [0] * (first + 1)
    assert segments[0, first + 1 : n].tolist() == [1] * (n - first - 1)


def test_documents_without_text_are_left_out(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A content of None is left out with a warning, alone too; an empty one holds no answer."""
    reader, _ = pointing(directory, top_k=2)
    nothing, empty, blank = Document(content=None), Document(content=""), Document(content=" \n")
    with caplog.at_level(logging.WARNING):
        answers = reader.run(QUERY, [nothing, Document(content="a x"), empty, blank])["answers"]
    assert texts(answers) == ["x", None, "a"]
    assert answers[0].document.content == "a x"
    assert f"document {nothing.id} has no text" in caplog.text
    assert reader.run(QUERY, [nothing]) == {"answers": []}
    (only,) = reader.run(QUERY, [empty, blank])["answers"]
    assert (only.data, only.score) == (None, 1.0)


def test_zero_and_false_are_values(directory: Path) -> None:
    """At run time 0, 0.0 and False take the place of what the constructor said."""
    reader, _ = pointing(directory, score_threshold=0.6, overlap_threshold=1.0, top_k=2, stride=16)
    documents = [Document(content="a x b")]
    assert texts(reader.run(QUERY, documents)["answers"]) == ["x"]
    assert len(reader.run(QUERY, documents, score_threshold=0.0)["answers"]) == 3
    assert texts(
        reader.run(QUERY, documents, score_threshold=0.0, no_answer=False, overlap_threshold=0.0)["answers"]
    ) == ["x", "a"]
    (nothing,) = reader.run(QUERY, documents, top_k=0)["answers"]
    assert (nothing.data, nothing.score) == (None, 1.0)
    assert reader.run(QUERY, documents, top_k=0, no_answer=False) == {"answers": []}
    long = [Document(content="a " * 120)]
    counts = []
    for stride in (None, 0):
        reader._model.runtime.batches.clear()  # type: ignore[union-attr]
        reader.run(QUERY, long, stride=stride)
        counts.append(sum(len(ids) for ids, _, _ in reader._model.runtime.batches))  # type: ignore[union-attr]
    assert counts[0] > counts[1]


def test_a_document_given_twice_counts_once(directory: Path) -> None:
    """Copies of a document neither double its answers nor weigh on the no-answer score; other texts of its id
    are read.
    """
    reader, runtime = pointing(directory)
    once = reader.run(QUERY, [Document(content="a x b")])["answers"]
    runtime.batches.clear()
    assert reader.run(QUERY, [Document(content="a x b"), Document(content="a x b")])["answers"] == once
    assert sum(len(ids) for ids, _, _ in runtime.batches) == 1
    other = [Document(id="7", content="a x"), Document(id="7", content="x a")]
    assert texts(reader.run(QUERY, other, top_k=2, no_answer=False)["answers"]) == ["x", "x"]


def test_several_queries_are_read_together(directory: Path) -> None:
    """Each query of a call has its own documents and the answers it has alone, and their windows share
    batches.
    """
    reader, runtime = pointing(directory)
    queries = [QUERY, "was it built in x ?"]
    documents = [[Document(content="a x b"), Document(content="c x")], [Document(content="b a x")]]
    together = reader.run_many(queries, documents)["answers"]
    assert len(runtime.batches) == 1
    assert together == [
        reader.run(query, own)["answers"] for query, own in zip(queries, documents, strict=True)
    ]
    assert [answers[0].query for answers in together] == queries
    with pytest.raises(DataError, match="2 queries came with 1 lists"):
        reader.run_many(queries, documents[:1])


def test_batches_are_bounded(directory: Path) -> None:
    """A batch holds at most 4,096 tokens, and `max_batch_size` windows where that is set, with the same
    answers.
    """
    reader, runtime = pointing(directory)
    documents = [Document(content="a " * n + "x") for n in range(1, 31)] * 10
    documents = [replace(document, id=str(number)) for number, document in enumerate(documents)]
    found = reader.run(QUERY, documents)["answers"]
    assert max(ids.size for ids, _, _ in runtime.batches) <= 4096
    runtime.batches.clear()
    assert reader.run(QUERY, documents, max_batch_size=3)["answers"] == found
    assert {len(ids) for ids, _, _ in runtime.batches} == {3}


def test_the_models_own_null_score_by_choice(directory: Path) -> None:
    """With `no_answer_from="model"`, no answer stands first exactly where the null odds are above the
    threshold.
    """
    document = [Document(content="a x b")]
    for null, first in ((2.4, "x"), (2.6, None)):
        reader, _ = pointing(directory, null=null, no_answer_from="model", top_k=1)
        answers = reader.run(QUERY, document)["answers"]
        assert answers[0].data == first
        (score,) = [answer.score for answer in answers if answer.data is None]
        assert score == pytest.approx(logistic(0.1 * 2 * null))
    reader, _ = pointing(directory, null=2.6, no_answer_from="model", top_k=1)
    assert reader._model is not None
    reader._model = replace(reader._model, no_answer_threshold=0.5)
    assert texts(reader.run(QUERY, document)["answers"]) == ["x", None]
    with pytest.raises(SettingsError, match=r'"product" or "model"'):
        ExtractiveReader("m", no_answer_from="null")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bad",
    [
        {"top_k": -1},
        {"max_batch_size": 0},
        {"answers_per_seq": 0},
        {"overlap_threshold": -0.1},
        {"max_seq_length": 20},
        {"score_threshold": math.nan},
        {"top_k": "x"},
        {"stride": "x"},
        {"answers_per_seq": 1.5},
        {"overlap_threshold": "x"},
        {"score_threshold": "x"},
        {"no_answer": "no"},
    ],
)
def test_wrong_values_are_named(directory: Path, bad: dict[str, Any]) -> None:
    """A value that cannot be is one error that names the setting."""
    (name,) = bad
    with pytest.raises(SettingsError, match=name):
        pointing(directory)[0].run(QUERY, [Document(content="a x")], **bad)


def test_a_query_is_needed(directory: Path) -> None:
    """A blank query is an error, as is one that leaves no room for the text."""
    reader, _ = pointing(directory)
    with pytest.raises(DataError, match="query 0 is empty"):
        reader.run(" ", [Document(content="a x")])
    with pytest.raises(DataError, match="query 0 is of type int; it must be a text"):
        reader.run(5, [Document(content="a x")])
    with pytest.raises(
        DataError, match=r"has 60 tokens; .*Shorten the query, raise max_seq_length or lower stride\.$"
    ):
        reader.run("a " * 60, [Document(content="a x")])


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        (["x"], r"document 0 of query 0 is of type str; give Haystack's Document\(content=text\)"),
        ("x", "the documents of query 0 are of type str; give a list"),
        (None, "the documents of query 0 are of type NoneType"),
        (Document(content="a x"), "the documents of query 0 are of type Document"),
    ],
)
def test_what_is_no_document_is_said(directory: Path, documents: Any, said: str) -> None:
    """One error that says which and what is expected; nothing is read."""
    reader, runtime = pointing(directory)
    with pytest.raises(DataError, match=said):
        reader.run(QUERY, documents)
    odd = Document(id="b", content="a x")
    object.__setattr__(
        odd, "content", 5
    )  # newer Haystacks refuse it when a document is made, older ones do not
    with pytest.raises(DataError, match="document b is of type int; it must be a text"):
        reader.run(QUERY, [odd])
    with pytest.raises(DataError, match="document b holds half of a surrogate pair at 2"):
        reader.run(QUERY, [Document(id="b", content="a \ud83d x")])
    with pytest.raises(DataError, match="query 0 holds half of a surrogate pair at 0"):
        reader.run("\ud83d", [odd])
    assert runtime.batches == []


def test_wrong_arguments_are_refused_when_it_is_made(directory: Path) -> None:
    """What is neither number nor mapping is named at once; several queries come as a list."""
    for name, value in {
        "context_chars": "x",
        "calibration_factor": "x",
        "model_kwargs": "x",
        "device": "cpu",
    }.items():
        with pytest.raises(SettingsError, match=f"{name} is {value!r}; (it must be|give)"):
            ExtractiveReader("m", **{name: value})
    with pytest.raises(SettingsError, match="calibration_factor is nan"):
        ExtractiveReader("m", calibration_factor=math.nan)
    with pytest.raises(SettingsError, match="token is not a Haystack Secret") as failure:
        ExtractiveReader("m", token="hf_hidden")  # type: ignore[arg-type]
    assert "hf_hidden" not in str(failure.value)
    with pytest.raises(DataError, match="queries is of type str; give a list"):
        pointing(directory)[0].run_many("who", [[]])
    with pytest.raises(SettingsError, match=r"max_seq_len is not a parameter.*mean max_seq_length\?"):
        pointing(directory)[0].run_many(["who"], [[]], max_seq_len=64)


def test_documents_may_come_as_a_stream(directory: Path) -> None:
    """A generator is read like a list."""
    reader, _ = pointing(directory)
    assert texts(reader.run(QUERY, (d for d in [Document(content="a x")]), top_k=1)["answers"])[0] == "x"


def test_lengths_beyond_the_model_are_lowered(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A model of 64 positions is read in windows of 64, which is said."""
    reader, runtime = pointing(directory, max_seq_length=384, stride=128)
    with caplog.at_level(logging.WARNING):
        answers = reader.run(QUERY, [Document(content="a " * 100 + "x")], top_k=1)["answers"]
    assert answers[0].data == "x"
    assert max(ids.shape[1] for ids, _, _ in runtime.batches) <= 64
    assert "max_seq_length is 64 instead of 384" in caplog.text


# -- the engine beneath


def test_scores_are_the_models_logits(directory: Path) -> None:
    """On a real network, the scores are those that a loop over all spans of every window gives, within
    1e-6.
    """
    reader = ExtractiveReader(
        directory, **SHORT, threads=1, no_answer=False, overlap_threshold=1.0, answers_per_seq=10_000
    )
    text = " ".join(LETTERS * 6)
    found = reader.run(QUERY, [Document(content=text)], top_k=30)["answers"]
    assert reader._model is not None
    windows = list(
        Windower(reader._model.tokenizer, WindowSettings(48, 8)).windows([Example("0", QUERY, text)])
    )
    best: dict[tuple[int, int], float] = {}
    for window in windows:
        ids, segments = (np.array([part], np.int64) for part in (window.input_ids, window.segment_ids))
        start, end = reader._model.runtime.logits(ids, np.ones_like(ids), segments)
        for i in range(window.first, window.stop):
            for j in range(i, window.stop):
                place = (int(window.offsets[i, 0]), int(window.offsets[j, 1]))
                best[place] = max(best.get(place, -math.inf), float(start[0, i]) + float(end[0, j]))
    assert len(windows) > 1
    expected = sorted((logistic(0.1 * logit) for logit in best.values()), reverse=True)[:30]
    assert [answer.score for answer in found] == pytest.approx(expected, abs=1e-6)
    for answer in found:
        place = (answer.document_offset.start, answer.document_offset.end)
        assert answer.score == pytest.approx(logistic(0.1 * best[place]), abs=1e-6)


def test_it_runs_with_and_without_warm_up_and_asynchronously(directory: Path) -> None:
    """Warmed up or not, awaited or not, the answers are the same."""
    documents = [Document(content="the bridge was built in x . it was a x")]
    cold = ExtractiveReader(directory, **SHORT, threads=1).run(QUERY, documents)
    warm = ExtractiveReader(directory, **SHORT, threads=1)
    warm.warm_up()
    assert warm.run(QUERY, documents) == cold
    assert asyncio.run(warm.run_async(QUERY, documents)) == cold


def test_torch_on_a_device_gives_the_same(directory: Path) -> None:
    """With `engine="torch"` and a CPU named, the answers are OpenVINO's within 1e-4; OpenVINO refuses another
    device.
    """
    documents = [Document(content="the bridge was built in x . it was a x")]
    ours = ExtractiveReader(directory, **SHORT, threads=1, top_k=3).run(QUERY, documents)["answers"]
    cpu = ComponentDevice.from_str("cpu")
    other = ExtractiveReader(directory, **SHORT, device=cpu, engine="torch", top_k=3).run(QUERY, documents)[
        "answers"
    ]
    assert texts(other) == texts(ours)
    assert [answer.score for answer in other] == pytest.approx([answer.score for answer in ours], abs=1e-4)
    gpu = ExtractiveReader(directory, **SHORT, device=ComponentDevice.from_str("cuda:0"), engine="openvino")
    with pytest.raises(SettingsError, match="openvino runs on the CPU, not on cuda:0"):
        gpu.warm_up()
    with pytest.raises(SettingsError, match=r"torch.*int8"):
        ExtractiveReader(directory, **SHORT, device=cpu, engine="torch", precision="int8").warm_up()


def test_precision_is_fp32_unless_asked_otherwise() -> None:
    """The number format is the predecessor's own, that of `model_kwargs`, or what `precision` says, which
    goes first.
    """

    def chosen(kwargs: dict[str, Any], precision: Any = None) -> str:
        return model_request("m", None, kwargs, "auto", precision, None).precision

    assert chosen({}) == "fp32"
    assert chosen({"dtype": "torch.bfloat16"}) == "bf16"
    assert chosen({"torch_dtype": "float16"}) == "auto"
    assert chosen({"torch_dtype": "float16"}, "fp32") == "fp32"
    with pytest.raises(SettingsError, match="int3"):
        chosen({"dtype": "int3"})


def test_a_model_that_is_none_is_one_error(tmp_path: Path) -> None:
    """A directory without a model is refused when it is loaded."""
    with pytest.raises(ModelError, match=r"config\.json"):
        ExtractiveReader(tmp_path, token=None).warm_up()


def test_choices_are_checked_on_their_own() -> None:
    """Limits of None are no limits."""
    assert Choices(0, None, 384, 128, None, 20, True, None).overlap_threshold is None


def test_reading_needs_neither_torch_nor_transformers(directory: Path) -> None:
    """A component answers a question in a process that has neither (Haystack itself imports torch where it is
    there).
    """
    code = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['transformers'] = None\n"
        "from haystack import Document\n"
        f"from {MODULE} import ExtractiveReader\n"
        f"reader = ExtractiveReader({str(directory)!r}, token=None, max_seq_length=48, stride=8)\n"
        f"print(len(reader.run({QUERY!r}, [Document(content='a x')])['answers']))\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(result.stdout) >= 2


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Haystack, importing the component says which extra to install."""
    monkeypatch.setitem(sys.modules, "haystack", None)
    monkeypatch.delitem(sys.modules, MODULE)
    with pytest.raises(MissingExtraError, match=r"tinyreader\[haystack\]"):
        __import__(MODULE)
    assert haystack.__name__ == "haystack"


# -- the example with many documents


def example() -> ModuleType:
    """The example's module."""
    path = Path(__file__).parents[1] / "examples" / "haystack_many_documents.py"
    spec = importlib.util.spec_from_file_location("haystack_many_documents", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def arguments(tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example's command line, for two paragraphs."""
    texts_ = {"the bridge was built in x": "who built the bridge ?", "a b c": "who b c ?"}
    paragraphs = [
        {
            "context": text,
            "qas": [{"id": text, "question": question, "answers": [{"text": text[0], "answer_start": 0}]}],
        }
        for text, question in texts_.items()
    ]
    data = tmp_path / "data.json"
    data.write_text(
        json.dumps({"version": "v2.0", "data": [{"title": "t", "paragraphs": paragraphs}]}), "utf-8"
    )
    command = [
        "example",
        str(data),
        "--model",
        str(directory),
        "--table",
        "tinyreader_test",
        "--precision",
        "fp32",
    ]
    monkeypatch.setattr(sys, "argv", command)


@pytest.mark.usefixtures("arguments")
def test_the_example_says_why_it_is_skipped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a database, or without the package for it, the example says which is missing and ends well."""
    monkeypatch.delenv("PG_CONN_STR", raising=False)
    assert example().main() == 0
    said = capsys.readouterr().out
    assert said.startswith("skipped: ")
    assert "PG_CONN_STR" in said or "pgvector-haystack" in said


@pytest.mark.usefixtures("arguments")
def test_the_example_runs_on_a_database(capsys: pytest.CaptureFixture[str]) -> None:
    """With a database, each gold paragraph is found, in a first run and in one that finds the paragraphs
    there already.
    """
    if not os.environ.get("PG_CONN_STR"):
        pytest.skip("needs a PostgreSQL database with pgvector, named by PG_CONN_STR")
    pytest.importorskip("haystack_integrations.document_stores.pgvector", reason="needs pgvector-haystack")
    for run in range(2):
        assert example().main() == 0
        out = capsys.readouterr()
        figures = json.loads(out.out.splitlines()[-1])
        assert (figures["paragraphs"], figures["questions"], figures["gold_in_best"]) == (2, 2, 1.0)
        assert ("Writing" in out.err) == (run == 0)
