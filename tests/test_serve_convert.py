"""`serve.convert`: the child that makes text of a file, and what it is allowed."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from document_samples import docx_bytes, pdf_of
from tinyreader.errors import DataError
from tinyreader.serve import convert as module
from tinyreader.serve.convert import Refused, convert, kind_of


def answer(raw: bytes, name: str, seconds: int = 30) -> dict[str, Any]:
    """What the child says of a file."""
    head = {"name": name, "max_pages": 3, "max_characters": 1000, "seconds": seconds}
    command = [sys.executable, "-m", "tinyreader.serve.convert"]
    said = subprocess.run(
        command, input=json.dumps(head).encode() + b"\n" + raw, capture_output=True, check=True
    ).stdout
    found: dict[str, Any] = json.loads(said)
    return found


@pytest.mark.parametrize(
    ("raw", "name", "kind"),
    [
        (pdf_of(["a"]), "report.txt", ".pdf"),
        (docx_bytes(), "report.bin", ".docx"),
        (b"PK\x03\x04", "a.docx", ".docx"),
        (b" <!DOCTYPE html><p>a", "page", ".html"),
        (b"<html>", "a.md", ".md"),
        (b"a", "A.HTM", ".htm"),
        (b"a", "", ""),
    ],
)
def test_content_tells_the_kind_before_the_name_does(raw: bytes, name: str, kind: str) -> None:
    """PDF and DOCX are known by their first bytes, HTML too where the name says nothing."""
    assert kind_of(raw, name) == kind


def test_pages_and_text() -> None:
    """Offsets of pages come with the text; other kinds have none."""
    assert answer(pdf_of(["The mill", "was built"]), "p.pdf") == {
        "text": "The mill\nwas built\n",
        "pages": [0, 9],
    }
    assert answer(b"<p>The <b>mill</b>", "p.html") == {"text": "The mill", "pages": []}
    mail = b"Subject: a\nContent-Type: multipart/mixed; boundary=x\n\n--x\n"
    attached = b"Content-Disposition: attachment; filename=b.zip\n\nb\n--x--"
    assert answer(mail + attached, "a.eml")["warnings"] == ["1 attachment not read: b.zip"]
    assert answer("\ufeffMühle 😀".encode(), "p.md") == {"text": "Mühle 😀", "pages": []}
    assert "\t" in answer(docx_bytes(), "d.docx")["text"]


@pytest.mark.parametrize(
    ("raw", "name", "kind", "words"),
    [
        (b"%PDF-1.7 nothing", "a.pdf", "cannot-read", "a.pdf is a broken PDF"),
        (b"\x89PNG\r\n\0\0", "a.png", "cannot-read", "a.png is a PNG picture"),
        (b"\x1f\x8b\x08\0", "a.pdf.gz", "cannot-read", "a.pdf.gz is compressed"),
        (b" \n", "a.txt", "cannot-read", "a.txt is empty"),
        (pdf_of(["a"] * 4), "a.pdf", "limit", "a.pdf has 4 pages; the maximum is 3"),
        (b"a" * 1001, "a.txt", "limit", "a.txt has 1,001 characters; the maximum is 1,000"),
    ],
)
def test_what_there_is_no_text_of_is_told(raw: bytes, name: str, kind: str, words: str) -> None:
    """The child ends well, with the kind of problem and a sentence."""
    found = answer(raw, name)
    assert found["kind"] == kind
    assert found["detail"].startswith(words)


def test_form_feeds_are_pages_too() -> None:
    """The limit holds for the pages that come out, whatever the file said."""
    with pytest.raises(Refused, match="has 4 pages"):
        convert(b"a\fb\fc\fd", "a.txt", 3, 1000)
    with pytest.raises(DataError, match="is empty"):
        convert(b"", "a.pdf", 3, 1000)


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits, which Windows does not have")
@pytest.mark.parametrize("code", ["bytearray(2 << 30)", "while True: pass"])
def test_memory_and_time_have_a_bound(code: str) -> None:
    """What asks for gigabytes, or never ends, ends."""
    code = f"from tinyreader.serve.convert import bounded\nbounded(1)\n{code}"
    assert subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, check=False
    ).returncode


def test_want_of_memory_is_told(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Whatever a parser makes of it, it is a limit and not a broken file."""

    def starve(*_: object) -> None:
        try:
            raise MemoryError
        except MemoryError:
            raise DataError("a.pdf is broken") from None

    head = json.dumps({"name": "a.pdf", "max_pages": 3, "max_characters": 9, "seconds": 9}).encode()
    monkeypatch.setattr(module, "convert", starve)
    monkeypatch.setattr(module, "bounded", lambda seconds: None)
    monkeypatch.setattr(module.logging, "disable", lambda: None)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(head + b"\nx")))
    module.main()
    assert json.loads(capsysbinary.readouterr().out)["kind"] == "limit"


WHOLE = st.sampled_from(
    [pdf_of(["The mill", "", "was built"]), docx_bytes(), b"<p>The <b>mill</b><table><tr><td>a</table>"]
)


@settings(max_examples=60, deadline=None)
@given(
    WHOLE,
    st.sampled_from(["a.pdf", "a.docx", "a.html", "a", "\x00.md"]),
    st.floats(0, 1),
    st.integers(0, 40),
    st.binary(max_size=9),
)
def test_whatever_the_bytes_are_there_is_text_or_a_reason(
    raw: bytes, name: str, at: float, gap: int, instead: bytes
) -> None:
    """Files with bytes taken out and others put in their place."""
    place = int(at * len(raw))
    try:
        found = convert(raw[:place] + instead + raw[place + gap :], name, 100, 100_000)
    except (Refused, DataError):
        return
    assert found["text"].strip()
    assert json.dumps(found, ensure_ascii=False).encode()
