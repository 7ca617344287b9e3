"""`documents` on damaged files: a document, or one error of ours, for every format, in bounded time."""

from __future__ import annotations

import io
import json
import random
import time
import zipfile

import pytest

from document_samples import docx_bytes, pdf_of, zipped
from tinyreader.documents import document_of
from tinyreader.errors import DataError

N_MUTATIONS = 25  # of each kind and format; 900 to 2,400 in all were run when the formats came in


def xlsx_bytes() -> bytes:
    import openpyxl

    book, out = openpyxl.Workbook(), io.BytesIO()
    book.active.append(["Rent", "From"])
    book.active.append([900.5, "May"])
    book.save(out)
    return out.getvalue()


ODF = "<o:d xmlns:o='o' xmlns:t='t'><o:body><t:p>Ada<t:s t:c='9'/></t:p></o:body></o:d>"
SLIDES = {
    "ppt/presentation.xml": "<p:a xmlns:p='p' xmlns:r='r'><p:sldId r:id='r1'/></p:a>",
    "ppt/_rels/presentation.xml.rels": "<R><S Id='r1' Type='x/slide' Target='s.xml'/></R>",
    "ppt/s.xml": "<a:s xmlns:a='a'><a:p><a:r><a:t>Ada</a:t></a:r></a:p></a:s>",
}
BOOK = {
    "META-INF/container.xml": "<c><rootfile full-path='b.opf'/></c>",
    "b.opf": "<p><item id='a' href='a.html'/><itemref idref='a'/></p>",
    "a.html": "<p>Ada</p>",
}
SAMPLES = {
    ".pdf": pdf_of(["The mill", "was built"]),
    ".docx": docx_bytes(),
    ".xlsx": xlsx_bytes(),
    ".odt": zipped({"content.xml": ODF}),
    ".pptx": zipped(SLIDES),
    ".epub": zipped(BOOK),
    ".html": b"<meta charset=gbk><table><tr><td>a<sup>2</sup><td>b</table><math><mn>1</mn></math>",
    ".eml": b"Subject: =?utf-8?q?a?=\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nAda\r\n--x--",
    ".rtf": rb"{\rtf1\ansi{\fonttbl{\f0 T;}}\f0 by \b Ada\b0 \u8364? R\'f8st\par\trowd a\cell b\cell\row}",
    ".csv": b'Town,Rent\n"Or,low",900\n',
    ".ipynb": json.dumps({"cells": [{"source": ["a"], "outputs": [{"text": ["b"]}]}]}).encode(),
    ".srt": b"1\n00:00:01,000 --> 00:00:02,000\n<i>Ada</i>\n",
    ".txt": "Ada\fRøst".encode(),
}


def mutations(raw: bytes, n: int, seed: int) -> list[bytes]:
    """The file cut off, with bits flipped, a part doubled, a number made huge, and, in archives, the same done
    to a part of it.
    """
    dice, made = random.Random(seed), []
    for _ in range(n):
        made.append(raw[: dice.randrange(len(raw))])
        flipped = bytearray(raw)
        for _ in range(dice.choice((1, 8, 64))):
            flipped[dice.randrange(len(raw))] ^= 1 << dice.randrange(8)
        made.append(bytes(flipped))
        begin, end = sorted(dice.randrange(len(raw)) for _ in range(2))
        made.append(raw[:end] + raw[begin:end] * dice.choice((1, 500)) + raw[end:])
        digits = [place for place, sign in enumerate(raw) if 0x30 <= sign <= 0x39]
        if digits:
            place = dice.choice(digits)
            made.append(raw[:place] + dice.choice((b"99999999999", b"-1")) + raw[place + 1 :])
    if raw.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        for number in range(n):
            name = dice.choice([name for name in parts if parts[name]])
            for inner in mutations(parts[name], 1, seed + number):
                out = io.BytesIO()
                with zipfile.ZipFile(out, "w") as archive:
                    for path, content in parts.items():
                        archive.writestr(path, inner if path == name else content)
                made.append(out.getvalue())
    return made


@pytest.mark.parametrize("suffix", SAMPLES)
@pytest.mark.filterwarnings("ignore::UserWarning:openpyxl")
def test_a_damaged_file_is_a_document_or_one_error(suffix: str) -> None:
    """Whatever is damaged in it; and within ten seconds."""
    for raw in mutations(SAMPLES[suffix], N_MUTATIONS, seed=20):
        started = time.monotonic()
        try:
            document = document_of(raw, f"a{suffix}", suffix)
            document.text.encode()
            assert all(0 <= start <= len(document.text) for start in document.pages)
        except DataError as error:
            assert str(error).startswith(f"a{suffix} ")  # noqa: PT017 - most files are read
        assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("suffix", "raw"),
    [
        (".html", b"<table><tr><td>" * 600 + b"a"),
        (".html", b"<math alttext=x><mn>" * 600),
        (".html", b"<select>" + b"<option>a" * 100_000),
        (".html", b"<table>" + b"<div>" * 1000 + b"<tr>" * 100_000),
        (".html", b"<!--" * 200_000),
        (".html", b"<meta " * 200_000),
        (".html", b"<style>@a{" * 100_000),
        (".html", b"<p style='" + b"display" * 200_000),
        (".html", b"<sup>" * 1500 + b"2"),
        (".eml", b"Content-Type: message/rfc822\r\n\r\n" * 5000),
        (".rtf", b"{\\rtf1" + b"{" * 100_000),
        (".ipynb", b"[" * 100_000),
        (".csv", b'"' + b"a" * 1_000_000),
        (".txt", b"a" * 30_000_000),
        (
            ".docx",
            zipped(
                {"word/document.xml": "<w:p xmlns:w='w'>" + "<w:sdt>" * 200 + "</w:sdt>" * 200 + "</w:p>"}
            ),
        ),
    ],
)
def test_deep_and_long_files_are_read_or_refused(suffix: str, raw: bytes) -> None:
    """Nesting and lines without end."""
    started = time.monotonic()
    try:
        document_of(raw, f"a{suffix}", suffix)
    except DataError as error:
        assert str(error).startswith(f"a{suffix} ")  # noqa: PT017 - either will do
    assert time.monotonic() - started < 10
