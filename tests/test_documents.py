"""`documents`: files become texts with pages and lines, or one clear error."""

from __future__ import annotations

import builtins
import codecs
import gzip
import io
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from document_samples import docx_bytes, pdf_of, zipped
from tinyreader.documents import Document, document_of, find_files, page_breaks, read_document
from tinyreader.errors import DataError, MissingExtraError


def locked(pdf: bytes, password: str) -> bytes:
    """The PDF, encrypted; an empty password locks it against changes only."""
    import pypdf

    writer, out = pypdf.PdfWriter(clone_from=io.BytesIO(pdf)), io.BytesIO()
    writer.encrypt(user_password=password, owner_password="owner", algorithm="AES-256")
    writer.write(out)
    return out.getvalue()


def test_texts_stay_as_they_are(tmp_path: Path) -> None:
    """Plain text and Markdown are taken code point for code point, line ends too, in UTF-8 or with a byte
    order mark.
    """
    text = "# Ünïcode\r\n\r\nof *two*\nlines 😀\n"
    encodings = [
        ("", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
    ]
    for mark, encoding in encodings:
        path = tmp_path / "a.md"
        path.write_bytes((mark or b"") + text.encode(encoding))  # type: ignore[operator]
        assert read_document(path) == Document(str(path), text)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(text.encode()))
    assert read_document(tmp_path / "a.txt.gz", "named") == Document("named", text)
    assert read_document(Path(os.devnull)).text == ""


def test_an_offset_gives_page_and_line() -> None:
    """Pages begin at their offsets, form feeds part the pages of plain text, and lines end in every system's
    way.
    """
    text = "one\ntwo\r\nthree\rfour\ffive"
    document = Document("d", text, page_breaks(text))
    assert document.pages == (0, text.index("five"))
    assert [document.line_at(text.index(word)) for word in ("one", "two", "three", "four")] == [1, 2, 3, 4]
    assert [document.page_at(text.index(word)) for word in ("one", "four", "five")] == [1, 1, 2]
    assert Document("d", text).page_at(3) is None
    assert page_breaks("no pages") == ()


def test_html_is_what_a_browser_shows() -> None:
    """Scripts and styles are left out, blocks stand on lines of their own, inline marks cut no word, cells
    are apart.
    """
    page = b"""<!DOCTYPE html><html><head><title>The  mill</title><style>p {}</style></head><body>
      <script>var hidden = "no"</script><!-- nor this -->
      <h1>Mill</h1><p>It was
      <b>bui</b>lt&nbsp;in <a href="x">1823</a>.</p><ul><li>one</li><li>two<br>three</li></ul>
      <table><tr><th>Height</th><td>31 m</td></tr></table><pre>a
  b</pre></body></html>"""
    expected = "The mill\n\nMill\n\nIt was built\xa0in 1823.\n\none\ntwo\nthree\n\nHeight\t31 m\n\na\n  b"
    assert document_of(page, "p", ".html").text == expected
    assert document_of(b"", "p", ".html").text == document_of(b"<!-- nothing -->", "p", ".html").text == ""
    assert document_of(b"<div>" * 1500 + b"deep", "p", ".html").text == "deep"
    with pytest.raises(DataError, match="cannot be read to its end as HTML: Excessive depth"):
        document_of(b"<div>" * 3000 + b"deep", "p", ".html")


@pytest.mark.parametrize(
    "raw",
    [
        "<meta charset=iso-8859-1><p>Café</p>".encode("latin-1"),
        "<p>Café</p>".encode(),
        '<meta http-equiv=Content-Type content="text/html; charset=UTF-8"><p>Café</p>'.encode(),
        codecs.BOM_UTF16_LE + "<p>Café</p>".encode("utf-16-le"),
        '<?xml version="1.0" encoding="iso-8859-2"?><html><body><p>Café</p></body></html>'.encode(
            "iso-8859-2"
        ),
    ],
)
def test_html_says_its_encoding(raw: bytes) -> None:
    """A byte order mark, a declaration, or UTF-8."""
    assert document_of(raw, "p", ".html").text == "Café"


def test_pdf_has_pages(caplog: pytest.LogCaptureFixture) -> None:
    """Each page's text begins at its offset; a page without text is told; locked against printing is no
    hindrance.
    """
    with caplog.at_level(logging.WARNING, "tinyreader"):
        document = document_of(pdf_of(["The mill", "", "was built"]), "p.pdf", ".pdf")
    assert [document.page_at(document.text.index(word)) for word in ("mill", "built")] == [1, 3]
    assert "p.pdf: 1 of 3 pages have no text (page 2)" in caplog.text
    assert document_of(locked(pdf_of(["The mill"]), ""), "p.pdf").text == "The mill\n"


def test_docx_has_paragraphs_and_tables() -> None:
    """Both stand in their order, a line for each row, a merged cell once."""
    text = document_of(docx_bytes(), "d.docx", ".docx").text
    assert text == "The mill\n\nIt was built in 1823.\n\nHeight\nin metres\t31\n\nIt burnt."


@pytest.mark.parametrize(
    ("name", "raw", "said"),
    [
        ("a.txt", b"Caf\xe9", r"a.txt is not UTF-8 text \(byte 3\). Convert it"),
        ("a.txt", b"\xef\xbb\xbfCaf\xe9", r"a.txt is not UTF-8 text \(byte 6\)"),
        ("a.txt", b"\xff\xfea", r"a.txt is not UTF-16 text"),
        ("a.txt", "the mill".encode("utf-16-le"), "a.txt is not text.*without a byte order mark"),
        ("a.bin", b"\x7fELF\x00\x80", "a.bin is not text.*binary file"),
        (
            "a.txt.gz",
            gzip.compress(b"the mill" * 100)[:30],
            "a.txt.gz cannot be read: it is compressed, and damaged",
        ),
        ("a.html", b"<meta charset=utf-8>Caf\xe9", "a.html is not UTF-8 text"),
        ("a.pdf", b"hello", "a.pdf is a broken PDF"),
        ("a.pdf", pdf_of(["The mill"])[:300], "a.pdf is a broken PDF"),
        ("a.pdf", pdf_of(["", ""]), "a.pdf has no text on its 2 pages.*ocrmypdf"),
        ("a.pdf", locked(pdf_of(["The mill"]), "secret"), "a.pdf is locked with a password. Unlock it"),
        ("a.docx", b"PK\x03\x04 no zip", "a.docx is not a DOCX file, or it is damaged"),
        ("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1", "a.docx is locked with a password, or made by an old Office"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str, raw: bytes, said: str) -> None:
    """Each kind of bad file is one error with its name and a remedy."""
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(DataError, match=said):
        read_document(tmp_path / name)


def test_folders_and_missing_files_are_said(tmp_path: Path) -> None:
    """A folder where a file is wanted, and a path that is not there."""
    with pytest.raises(DataError, match=r"is a folder\. Give its files"):
        read_document(tmp_path)
    with pytest.raises(DataError, match=r"nothing.txt cannot be read: .*No such file"):
        read_document(tmp_path / "nothing.txt")


@pytest.mark.parametrize(
    ("suffix", "module", "raw"),
    [
        (".pdf", "pypdfium2", pdf_of(["a"])),
        (".docx", "lxml", zipped({"word/document.xml": "<a/>"})),
        (".html", "lxml", b"<p>a</p>"),
    ],
)
def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, suffix: str, module: str, raw: bytes
) -> None:
    """Without its library a format is an error that says what to install; text needs none."""
    honest = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.split(".")[0] == module:
            raise ImportError(name)
        return honest(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r'reading a.* needs packages.*tinyreader\[documents\]"'):
        document_of(raw, f"a{suffix}", suffix)
    assert document_of(b"a", "a.txt", ".txt").text == "a"


def test_folders_are_walked_once_round(tmp_path: Path) -> None:
    """In order of names, without hidden files; links in a circle end, a file is taken once, and what is left
    out is told.
    """
    (tmp_path / "docs" / "deep").mkdir(parents=True)
    (tmp_path / "docs" / ".git").mkdir()
    for name in ("b.txt", "A.MD", "deep/c.html", ".git/d.txt", ".e.txt", "f.png", "g.txt.gz"):
        (tmp_path / "docs" / name).write_bytes(b"")
    (tmp_path / "docs" / "deep" / "up").symlink_to("..")
    (tmp_path / "docs" / "deep" / "again.txt").symlink_to("../b.txt")
    (tmp_path / "docs" / "deep" / "dead.txt").symlink_to("nowhere")
    os.mkfifo(tmp_path / "docs" / "pipe.txt")
    found, left_out = find_files([tmp_path / "docs", tmp_path / "docs" / "f.png"])
    names = [(file.path.relative_to(tmp_path / "docs").as_posix(), file.named) for file in found]
    assert names == [
        ("A.MD", False),
        ("b.txt", False),
        ("g.txt.gz", False),
        ("deep/c.html", False),
        ("f.png", True),
    ]
    reasons = {item.path.name: (item.is_other_kind, item.reason) for item in left_out}
    assert reasons.keys() == {"f.png", "dead.txt", "pipe.txt"}
    assert reasons["f.png"][0]
    assert reasons["dead.txt"] == (False, "a link that leads nowhere")
    with pytest.raises(DataError, match="no such file or folder"):
        find_files([tmp_path / "nothing"])


def test_a_file_that_is_named_twice_is_read_once(tmp_path: Path) -> None:
    """Twice by name, or by name and in its folder: one file, which must be readable, at the place of its
    first name.
    """
    (tmp_path / "docs").mkdir()
    first, other = tmp_path / "docs" / "a.txt", tmp_path / "b.txt"
    first.write_text("a")
    other.write_text("b")
    found, _ = find_files([other, tmp_path / "docs", first, other])
    assert [(file.path, file.named) for file in found] == [(other, True), (first, True)]


def test_what_may_not_be_looked_at_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of a folder that the system does not let us ask about is told with the system's reason; the
    others are found.
    """
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("a")
    ask = Path.is_file

    def refusing(path: Path) -> bool:
        if path.name == "a.txt":
            raise PermissionError(13, "Permission denied", str(path))
        return ask(path)

    monkeypatch.setattr(Path, "is_file", refusing)
    found, left_out = find_files([tmp_path])
    assert [file.path.name for file in found] == ["b.txt"]
    assert [(item.path.name, item.reason) for item in left_out] == [("a.txt", "Permission denied")]
