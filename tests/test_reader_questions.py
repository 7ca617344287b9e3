"""`reader.questions`: files of questions, with what is wrong said by its line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tinyreader.documents import Document
from tinyreader.errors import DataError
from tinyreader.reader.questions import Library, QuestionFile, key_of, paths_of
from tinyreader.reader.reading import documents_of


def write(path: Path, *rows: object) -> Path:
    """A file of JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_every_form_of_a_line(tmp_path: Path) -> None:
    """Texts, texts with ids, paths that count from the file's folder, one text alone, and SQuAD's rows."""
    (tmp_path / "a.txt").write_text("of a file")
    path = write(
        tmp_path / "q.jsonl",
        {
            "id": "q",
            "question": "1?",
            "documents": ["one", {"id": "d", "text": "two"}, {"text": "three"}, {"path": "a.txt"}],
        },
        {"id": 7, "question": "2?", "documents": {"path": "a.txt", "id": "named"}},
        {"question": "3?", "context": "text", "answers": {"text": [], "answer_start": []}, "title": "t"},
        {"question": "4?", "documents": []},
    )
    first, second, third, fourth = QuestionFile.at(path).questions()
    assert (first.id, second.id, third.id) == ("q", 7, None)
    documents = list(documents_of(first.documents))
    assert documents == [
        Document("0", "one"),
        Document("d", "two"),
        Document("2", "three"),
        Document("a.txt", "of a file"),
    ]
    assert list(documents_of(second.documents)) == [Document("named", "of a file")]
    assert list(documents_of(third.documents)) == [Document("0", "text")]
    assert list(documents_of(fourth.documents)) == []
    assert paths_of(first) == ["a.txt"]
    assert len({key_of(q) for q in (first, second, third, fourth)}) == 4


def test_compressed_files_and_squad_json(tmp_path: Path) -> None:
    """.gz is known by its bytes; .json is SQuAD's form, with its ids."""
    lines = tmp_path / "q.jsonl.gz"
    lines.write_bytes(gzip.compress(b'{"question": "1?", "context": "text"}\n\n'))
    assert [q.text for q in QuestionFile.at(lines).questions()] == ["1?"]
    squad = tmp_path / "squad.json"
    asked = [{"id": "x", "question": "2?", "answers": [{"text": "te", "answer_start": 0}]}]
    squad.write_text(
        json.dumps({"data": [{"title": "t", "paragraphs": [{"context": "text", "qas": asked}]}]})
    )
    (question,) = QuestionFile.at(squad).questions()
    assert (question.id, question.text, question.documents) == ("x", "2?", "text")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[1]", "line 2: it is a list; expected an object"),
        ("{", "line 2: .*cut off"),
        ('{"documents": []}', 'line 2: it has no "question"'),
        ('{"question": " ", "context": "a"}', "line 2: \"question\" is the string ' '"),
        ('{"question": "a", "context": 3}', 'line 2: "context" is the number 3'),
        ('{"question": "a"}', 'line 2: it needs "documents" or "context"'),
        ('{"question": "a", "context": "a", "documents": []}', 'line 2: it needs "documents" or "context"'),
        ('{"question": "a", "id": 1.5, "context": "a"}', 'line 2: "id" is the number 1.5'),
        ('{"question": "a", "documents": [3]}', "line 2: document 0 is the number 3"),
        ('{"question": "a", "documents": ["b", {"id": "c"}]}', 'line 2: document 1 needs "text" or "path"'),
        ('{"question": "a", "documents": [{"text": null}]}', 'line 2: document 0: "text" is null'),
        (
            '{"question": "a", "documents": [{"path": "gone.txt"}]}',
            "line 2: document 0: there is no file .*gone.txt",
        ),
        ('{"question": "\\ud83d", "context": "a"}', 'line 2: "question" holds half of a surrogate pair'),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    """Each mistake names the line, and what was expected."""
    path = tmp_path / "q.jsonl"
    path.write_text('{"question": "a", "context": "a"}\n' + line)
    with pytest.raises(DataError, match=said):
        list(QuestionFile.at(path).questions())


def test_many_mistakes_are_counted(tmp_path: Path) -> None:
    """The first five are shown, the others counted."""
    with pytest.raises(DataError, match=r"9 wrong lines; a line is(.|\n)*line 5(.|\n)*and 4 more"):
        list(QuestionFile.at(write(tmp_path / "q.jsonl", *[{} for _ in range(9)])).questions())
    with pytest.raises(DataError, match="cannot be read: No such file"):
        list(QuestionFile.at(tmp_path / "nothing.jsonl").questions())


def test_files_are_kept_up_to_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that many questions name is read once, and those read longest ago are forgotten."""
    monkeypatch.setattr("tinyreader.reader.questions._KEPT_CHARACTERS", 10)
    for name in "abc":
        (tmp_path / name).write_text(name * 4)
    library = Library(tmp_path)
    first = library.document("a", "a")
    library.document("b", "b")
    assert library.document("a", "a") is first
    library.document("c", "c")  # b was asked for longest ago
    assert library.document("a", "a") is first
    assert library.document("b", "other") == Document("other", "bbbb")
