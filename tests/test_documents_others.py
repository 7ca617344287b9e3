"""`documents.others` and `documents.sheets`: mail, RTF, books, notebooks, subtitles and tables as text."""

from __future__ import annotations

import io
import json
from datetime import date
from email.message import EmailMessage

import pytest

from document_samples import zipped
from tinyreader.documents import document_of
from tinyreader.errors import DataError


def test_mail() -> None:
    """Header, body in whatever encoding, and the names of what is attached."""
    message = EmailMessage()
    message["Subject"], message["From"], message["Date"] = (
        "Höhe",
        "ada@orlow.example",
        "Tue, 1 Dec 2026 09:00:00",
    )
    message.set_content("The mill is 31 m high.\n", cte="quoted-printable")
    message.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="plan.pdf")
    document = document_of(bytes(message), "a.eml", ".eml")
    assert document.text.startswith("Subject: Höhe\nFrom: ada@orlow.example\nDate: Tue, 01 Dec 2026 09:00:00")
    assert document.text.endswith("\n\nThe mill is 31 m high.")
    assert document.warnings == ("1 attachment not read: plan.pdf",)
    head = b"Subject: a\r\nContent-Type: text/%s; charset=%s\r\n\r\n"
    for kind, charset, body in ((b"plain", b"klingon", b"Caf\xe9"), (b"html", b"latin1", b"<p>Caf\xe9</p>")):
        assert document_of(head % (kind, charset) + body, "a.eml", ".eml").text == "Subject: a\n\nCafé"


def test_rich_text() -> None:
    """By its first bytes, whatever its name."""
    raw = rb"{\rtf1\ansi{\fonttbl{\f0 Times;}}\f0 Built by \b Ada\b0  R\'f8st.\par It is \u8364? 31.\par}"
    assert document_of(raw, "a.txt", ".txt").text == "Built by Ada Røst.\nIt is € 31."


def test_book() -> None:
    """Title and chapters, in the order of the spine; a chapter that is missing is named."""
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        '<dc:title>The mill</dc:title></metadata><manifest><item id="a" href="a.xhtml"/>'
        '<item id="b" href="b%20b.xhtml"/><item id="c" href="c.xhtml"/></manifest>'
        '<spine><itemref idref="b"/><itemref idref="a"/><itemref idref="c"/></spine></package>'
    )
    container = '<container><rootfiles><rootfile full-path="in/book.opf"/></rootfiles></container>'
    parts = {"META-INF/container.xml": container, "in/book.opf": package}
    parts |= {"in/a.xhtml": "<html><p>Then.</p></html>", "in/b b.xhtml": "<html><p>First.</p></html>"}
    document = document_of(zipped(parts), "a.epub", ".epub")
    assert document.text == "The mill\n\nFirst.\n\nThen."
    assert document.warnings == ("the chapter in/c.xhtml is missing",)


def test_notebook() -> None:
    """Cells, what they printed, and how many pictures they drew."""
    picture = {"data": {"image/png": "x", "text/plain": ["<Figure>"]}}
    cells = [
        {"cell_type": "markdown", "source": ["# Mill\n", "Height"]},
        {"cell_type": "code", "source": "print(31)", "outputs": [{"text": ["31\n"]}, picture]},
    ]
    document = document_of(json.dumps({"cells": cells}).encode(), "a.ipynb", ".ipynb")
    assert document.text == "# Mill\nHeight\n\nprint(31)\n\n31\n\n<Figure>"
    assert document.warnings == ("1 picture not read",)
    with pytest.raises(DataError, match=r"a.ipynb is not a notebook"):
        document_of(b"[]", "a.ipynb", ".ipynb")


def test_subtitles() -> None:
    """Only what is spoken."""
    srt = (
        b"1\r\n00:00:01,000 --> 00:00:02,000\r\n<i>The mill</i>\r\nwas built\r\n\r\n"
        b"2\r\n00:00:03,000 --> 00:00:04,000\r\nin 1823.\r\n"
    )
    assert document_of(srt, "a.srt", ".srt").text == "The mill\nwas built\nin 1823."
    vtt = (
        b"WEBVTT\n\nNOTE secret\n\nSTYLE\n::cue {}\n\n"
        b"intro\n00:01.000 --> 00:02.000 align:start\n<v Ada>It is <b>31</b> m.\n"
    )
    assert document_of(vtt, "a.vtt", ".vtt").text == "Ada: It is 31 m."


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (
            "Town,Rent,Deposit\nOrlow,900,\nSest,800,1600\n",
            "Town: Orlow; Rent: 900\nTown: Sest; Rent: 800; Deposit: 1600",
        ),
        ('a;b\n"x;y";2\n', "a: x;y; b: 2"),
        ("Rent,900\nDeposit,1800\n", "Rent: 900\nDeposit: 1800"),
        ("1,2,3\n4,5,6\n", "1; 2; 3\n4; 5; 6"),
        ("Town,Rent\n", "Town; Rent"),
    ],
)
def test_a_row_is_read_with_its_header(table: str, text: str) -> None:
    """One line for each row, each value behind the name of its column."""
    assert document_of(table.encode(), "a.csv", ".csv").text == text


def test_workbook() -> None:
    """Sheets by name, values as they are shown; hidden sheets are counted."""
    import openpyxl

    book, out = openpyxl.Workbook(), io.BytesIO()
    sheet = book.active
    sheet.title = "Flats"
    sheet.append(["Prices of 2026"])
    sheet.append([])
    sheet.append(["Rent", "From", "Rise"])
    sheet.append([900.0, date(2026, 12, 1), 0.031])
    sheet["C4"].number_format = "0.0%"
    book.create_sheet("Notes").append(["Call", "Ada"])
    book.create_sheet("Secret").sheet_state = "hidden"
    book.save(out)
    document = document_of(out.getvalue(), "a.xlsx", ".xlsx")
    assert document.text == (
        "Flats\n\nPrices of 2026\nRent: 900; From: 2026-12-01; Rise: 3.1%\n\nNotes\n\nCall; Ada"
    )
    assert document.warnings == ("1 hidden sheet not read",)
