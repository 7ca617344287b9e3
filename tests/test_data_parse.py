"""Files that are damaged in every way give findings, never another exception."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from data_samples import document, row, write_rows
from tinyreader.data import CheckReport, Finding, ReadReport, check, load_examples
from tinyreader.errors import DataError


def checked(path: Path, content: bytes) -> CheckReport:
    """Write the content and return what is found."""
    path.write_bytes(content)
    return check(path)


def only_finding(path: Path, content: bytes) -> Finding:
    """Return the one finding about a file with this content."""
    (finding,) = checked(path, content).findings
    return finding


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.json.gz", "a.jsonl.gz"])
@pytest.mark.parametrize("content", [b"", b" \n\n ", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_an_empty_file(tmp_path: Path, name: str, content: bytes) -> None:
    """A file with nothing but blanks is found to be empty, and cannot be read in any mode."""
    path = tmp_path / name
    assert (
        only_finding(path, gzip.compress(content) if name.endswith(".gz") else content).kind == "empty-file"
    )
    for on_bad in ("error", "repair", "skip"):
        with pytest.raises(DataError, match="empty-file"):
            load_examples(path, on_bad=on_bad)


def test_every_cut_of_a_document_is_called_truncated(tmp_path: Path) -> None:
    """Wherever a SQuAD file ends early (inside a character, a literal, an escape) it is said to be cut
    off.
    """
    data = document()
    del data["data"][0]
    data["data"][0]["title"] = "Örrin \U0001f98a"
    data["data"][0]["width"] = -12.5e3
    for ensure_ascii in (True, False):
        whole = json.dumps(data, ensure_ascii=ensure_ascii).encode()
        for cut in range(1, len(whole)):
            assert only_finding(tmp_path / "a.json", whole[:cut]).kind == "truncated", whole[:cut][-30:]


def test_a_cut_last_line(tmp_path: Path) -> None:
    """A JSON Lines file cut in its last line keeps the lines before; the cut is a finding with its line."""
    whole = json.dumps(row("a")).encode() + b"\n" + json.dumps(row("b")).encode()
    report = ReadReport()
    finding = only_finding(tmp_path / "a.jsonl", whole[:-20])
    assert (finding.kind, finding.place) == ("truncated", "line 2")
    assert len(load_examples(tmp_path / "a.jsonl", on_bad="skip", rejected=report)) == 1
    assert (report.n_kept, report.n_skipped, report.n_unread) == (1, 0, 1)


def test_a_cut_line_in_the_middle_is_not_json(tmp_path: Path) -> None:
    """Half a line that is followed by others is a bad line, not a cut-off file."""
    content = json.dumps(row("a")).encode()[:-9] + b"\n" + json.dumps(row("b")).encode()
    finding = only_finding(tmp_path / "a.jsonl", content)
    assert (finding.kind, finding.place) == ("not-json", "line 1")
    finding = only_finding(tmp_path / "a.jsonl", b'{"id": "a\n' + json.dumps(row("b")).encode())
    assert finding.message == "Unterminated string starting, at column 8"


def test_no_newline_at_the_end_is_fine(tmp_path: Path) -> None:
    """The last line may lack its line end; blank lines and Windows line ends do no harm."""
    lines = [json.dumps(row("a")), "", "  ", json.dumps(row("b"))]
    assert checked(tmp_path / "a.jsonl", "\r\n".join(lines).encode()).ok


def test_only_line_feeds_end_a_line(tmp_path: Path) -> None:
    """U+2028 and the like inside a string do not break a line in two."""
    text = json.dumps(row("a", question="x\u2028y\u0085z\x0b?"), ensure_ascii=False)
    assert checked(tmp_path / "a.jsonl", text.encode()).ok


@pytest.mark.parametrize("name", ["a.json.gz", "a.jsonl.gz"])
def test_cut_compression(tmp_path: Path, name: str) -> None:
    """A compressed file that is cut off is said to be cut off, however much of it is there."""
    path = tmp_path / name
    text = json.dumps(document()) if name == "a.json.gz" else json.dumps(row("a")) + "\n"
    whole = gzip.compress(text.encode())
    for cut in [*range(2, 30), *range(30, len(whole), 7)]:
        path.write_bytes(whole[:cut])
        assert "truncated" in check(path).counts


@pytest.mark.parametrize("name", ["a.json.gz", "a.jsonl.gz"])
def test_damaged_compression(tmp_path: Path, name: str) -> None:
    """Compressed bytes that were changed are found."""
    whole = bytearray(gzip.compress(json.dumps(document()).encode()))
    whole[20] ^= 0xFF
    assert {"damaged-gzip", "truncated"} & set(checked(tmp_path / name, bytes(whole)).counts)
    assert only_finding(tmp_path / name, b"\x1f\x8bno gzip at all").kind == "damaged-gzip"


def test_not_utf8_names_the_byte(tmp_path: Path) -> None:
    """The position of the first byte that is not UTF-8 is given, counted from the start of the file."""
    latin = json.dumps(document()).replace("Orrin", "Örrin", 1).encode("latin-1")
    finding = only_finding(tmp_path / "a.json", latin)
    assert finding.kind == "not-utf8"
    assert f"byte {latin.index(0xD6)} (0xd6)" in finding.message
    lines = (
        b"\xef\xbb\xbf"
        + json.dumps(row("a")).encode()
        + b'\n{"id": "\xff"}\n'
        + json.dumps(row("b")).encode()
    )
    finding = only_finding(tmp_path / "a.jsonl", lines)
    assert (finding.kind, finding.place) == ("not-utf8", "line 2")
    assert f"byte {lines.index(0xFF)} (0xff)" in finding.message


def test_utf16_is_not_utf8(tmp_path: Path) -> None:
    """A UTF-16 file is a finding with the command that converts it."""
    finding = only_finding(tmp_path / "a.json", json.dumps(document()).encode("utf-16"))
    assert finding.kind == "not-utf8"
    assert "iconv -f UTF-16" in finding.message


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_byte_order_mark_is_fine(tmp_path: Path, name: str) -> None:
    """A UTF-8 byte order mark is passed over."""
    text = json.dumps(document() if name == "a.json" else row("a"))
    assert checked(tmp_path / name, b"\xef\xbb\xbf" + text.encode()).ok


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (b"{'data': []}", "not-json", "column 2"),
        (b'{"data": [}\n', "not-json", "column 11"),
        (b"[" * 100_000, "not-json", "nested too deeply"),
        (b'{"data": ' + b"9" * 5000 + b"}", "not-json", "digits"),
        (b'{"data": []}\n{"data": []}', "no-questions", "no question"),
        (b'{"data": []} {"data": []}', "not-json", "name JSON Lines .jsonl"),
        (b"PK\x03\x04...", "not-json", "save the sheet as CSV"),
        (b"\x00\x01\x02", "not-json", "column 1"),
        (b"null", "wrong-type", "this is null; expected an object with a list 'data'"),
        (b'{"data": {}}', "wrong-type", "'data' is an object; expected a list"),
        (b'{"version": "v2.0"}', "missing-field", "'data' is missing"),
        (b'{"data": []}', "no-questions", "no question"),
        (b'{"data": [{"title": "a", "paragraphs": []}]}', "no-questions", "no question"),
    ],
)
def test_documents_that_are_not_squad(tmp_path: Path, content: bytes, kind: str, words: str) -> None:
    """JSON of another shape, or none at all, is one finding and a DataError in every mode."""
    path = tmp_path / "a.json"
    finding = only_finding(path, content)
    assert finding.kind == kind
    assert words in finding.message
    with pytest.raises(DataError, match=kind):
        load_examples(path, on_bad="skip")


def test_lone_surrogates_in_escapes(tmp_path: Path) -> None:
    """Half of a surrogate pair is found wherever it stands; a whole pair is one character."""
    path = write_rows(
        tmp_path / "a.jsonl",
        row("a", question="\udc00?"),
        row("b", title="\ud800"),
        row("c\ud800"),
        row("d", context="x \udfff 1811", answers={"text": ["1811"], "answer_start": [4]}),
        row("e", question="\U0001f98a?"),
    )
    assert "\\ud83e\\udd8a" in path.read_text()
    report = check(path)
    assert report.counts == {"lone-surrogate": 4}
    assert load_examples(path, on_bad="skip")[0].question == "\U0001f98a?"
    report.write(tmp_path / "rejects.jsonl")
    written = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert [each["question_id"] for each in written] == ["a", "b", "c\ud800", "d"]


def test_what_is_no_file(tmp_path: Path) -> None:
    """A missing file is a DataError that says what may be given."""
    with pytest.raises(DataError, match=r"no such file\. A data set is"):
        check(tmp_path / "absent.json")
    with pytest.raises(DataError, match="no such file"):
        load_examples("absent/data.jsonl")
    with pytest.raises(DataError, match="no such file"):
        load_examples("https://example.org/a/b.json")
    with pytest.raises(DataError, match="no such file"):
        load_examples("")
    with pytest.raises(DataError, match="cannot be read"):
        load_examples("a" * 5000)


def test_a_pipe_is_read_once() -> None:
    """What can be read only once, such as a process's output, is not opened twice."""
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "wb") as pipe:
        pipe.write(json.dumps(document()).encode())
    try:
        assert len(load_examples(f"/dev/fd/{read_end}")) == 3
    finally:
        os.close(read_end)
