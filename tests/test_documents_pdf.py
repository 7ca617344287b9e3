"""`documents.pdf` and `documents.layout`: the words of a PDF in the order of reading, on their pages and lines."""

from __future__ import annotations

import pytest

from document_samples import pdf_made, shown, stream
from tinyreader.documents import Document, document_of
from tinyreader.documents.layout import joined_pages
from tinyreader.errors import DataError

WIN = "/BaseFont /Helvetica /Encoding /WinAnsiEncoding"


def read(*contents: str, objects: tuple[str, ...] = (), **more: str) -> Document:
    return document_of(pdf_made(contents, *objects, **more), "a.pdf", ".pdf")


def to_unicode(*pairs: tuple[int, str]) -> str:
    """A map of character codes to UTF-16, with ASCII for itself."""
    rows = [(code, f"{code:04X}") for code in range(0x20, 0x7F)] + list(pairs)
    return stream(
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /X def 1 begincodespacerange "
        f"<00> <FF> endcodespacerange {len(rows)} beginbfchar\n"
        + "\n".join(f"<{code:02X}> <{to}>" for code, to in rows)
        + "\nendbfchar endcmap end end"
    )


def test_broken_words_are_joined() -> None:
    """As the document or the lexicon has the word, whether the hyphen is soft or hard; lines stay those of
    the file.
    """
    lines = shown(
        (50, 700, "Designed by the inter-"),
        (50, 684, "national bureau, a well-"),
        (50, 668, "known firm of 1914-"),
        (50, 652, "1918 in Selm\xad"),
        (50, 636, "hof."),
    )
    document = read(lines, font=WIN)
    assert document.text == (
        "Designed by the international\nbureau, a well-known\nfirm of 1914-1918\nin Selmhof.\n"
    )
    assert document.line_at(document.text.index("bureau")) == 2


@pytest.mark.parametrize(
    ("pages", "text"),
    [
        ([["the Selm-", "hof mill"]], ["the Selmhof\nmill"]),  # half of it is no word
        ([["an Orlow-mill, Orlow-", "mill"]], ["an Orlow-mill, Orlow-mill"]),
        ([["by Ada Rost-", "Lind"]], ["by Ada Rost-Lind"]),
        ([["the inter-"], ["national one"]], ["the international", "one"]),  # across pages
        ([["a dash -", "alone"]], ["a dash -\nalone"]),
    ],
)
def test_a_hyphen_stays_where_it_belongs(pages: list[list[str]], text: list[str]) -> None:
    """Between two words, before a capital, and between spaces."""
    assert joined_pages(pages) == text


def test_headers_part_no_sentence() -> None:
    """Running headers and page numbers go where they stand between two halves of a sentence, and stay
    elsewhere; each page keeps its place.
    """
    pages = [
        ["The Orlow Gazette", "The mill was built by", "Page 1"],
        ["The Orlow Gazette", "Ada Rost. It burnt.", "Page 2"],
        ["The Orlow Gazette", "Then came Bo Lind.", "Page 3"],
    ]
    assert joined_pages(pages) == [
        "The Orlow Gazette\nThe mill was built by",
        "Ada Rost. It burnt.\nPage 2",
        "The Orlow Gazette\nThen came Bo Lind.\nPage 3",
    ]
    assert joined_pages([["a"], ["a"]]) == ["a", "a"]  # a page of nothing else keeps it
    assert joined_pages([["Rent 900", "is due"], ["Rent 950", "is due"]])[1].startswith("Rent 950")


def test_columns_are_read_one_after_the_other() -> None:
    """Columns of prose, below a title; cells of a table stay in their rows."""
    left = ["The mill was", "built by Ada Rost", "in 1823."]
    right = ["The bridge was", "built by Bo Lind", "in 1911."]
    rows = [
        (x, 684 - 16 * n, words)
        for n, pair in enumerate(zip(left, right, strict=True))
        for x, words in zip((50, 320), pair, strict=True)
    ]
    assert read(shown((50, 720, "Two works of the town of Orlow, and who built them when"), *rows)).text == (
        "Two works of the town of Orlow, and who built them when\n" + "\n".join(left + right) + "\n"
    )
    cells = [("Mill", "Height"), ("Orlow in the north", "31 m"), ("Sest by the sea", "28 m")]
    table = [
        (x, 700 - 16 * n, words)
        for n, pair in enumerate(cells)
        for x, words in zip((50, 320), pair, strict=True)
    ]
    assert read(shown(*table)).text == "Mill\tHeight\nOrlow in the north\t31 m\nSest by the sea\t28 m\n"


def test_letters_are_what_a_person_sees() -> None:
    """Ligatures are opened, raised digits stay raised, letters on a grid are words, text beyond the page is
    not.
    """
    ligatures = to_unicode((1, "FB01"), (2, "FB03"))
    mapped = {"objects": (ligatures,), "font": "/BaseFont /X /ToUnicode 4 0 R"}
    assert read(shown((50, 700, "The \x01nance o\x02ce")), **mapped).text == "The finance office\n"  # type: ignore[arg-type]
    raised = "BT /F1 12 Tf 50 700 Td (It holds 10) Tj /F1 7 Tf 5 Ts (6) Tj /F1 12 Tf 0 Ts ( litres) Tj ET"
    assert read(raised).text == "It holds 10⁶ litres\n"
    grid = "".join(f"1 0 0 1 {50 + 7 * n} 700 Tm ({sign}) Tj " for n, sign in enumerate("Ada built it."))
    assert read(f"BT /F1 12 Tf {grid} ET").text == "Ada built it.\n"
    assert read(shown((50, 700, "in"), (50, 900, "out"))).text == "in\n"


def test_form_values_and_notes_are_read() -> None:
    """Where they stand; other comments are counted."""
    field = "<< /Type /Annot /Subtype /Widget /FT /Tx /T (n) /V (Ada Rost) /Rect [150 690 300 710] >>"
    note = "<< /Type /Annot /Subtype /FreeText /Contents (Paid.) /Rect [150 590 300 610] >>"
    comment = "<< /Type /Annot /Subtype /Text /Contents (Really?) /Rect [150 490 300 510] >>"
    document = read(
        shown((50, 700, "Signed by:"), (50, 500, "End.")),
        objects=(field, note, comment),
        catalog="/AcroForm << /Fields [4 0 R] >>",
        page="/Annots [4 0 R 5 0 R 6 0 R]",
    )
    assert document.text == "Signed by: Ada Rost\nPaid.\nEnd.\n"
    assert document.warnings == ("1 comment not read",)


def test_data_of_an_xfa_form_and_attachments() -> None:
    """The data stand behind the first page; attachments are named."""
    document = read(
        shown((50, 700, "Please wait...")),
        objects=(
            stream("<xdp><datasets><name>Ada</name></datasets></xdp>"),
            "<< /F (b.txt) /EF << /F 4 0 R >> >>",
        ),
        catalog="/AcroForm << /Fields [] /XFA 4 0 R >> /Names << /EmbeddedFiles << /Names [(b.txt) 5 0 R] >> >>",
    )
    assert document.text == "Please wait...\nname: Ada\n"
    assert document.warnings == ("1 attachment not read: b.txt",)


def test_a_text_layer_without_characters_is_a_scan() -> None:
    """Private signs and codes without a name are no text; a ligature without one is found in the lexicon."""
    private = to_unicode(*((code, f"F0{code:02X}") for code in range(0x20, 0x7F)))
    identity = (
        "/Subtype /Type0 /BaseFont /A+X /Encoding /Identity-H /DescendantFonts [<< /Type /Font /Subtype "
    )
    identity += "/CIDFontType2 /BaseFont /A+X /CIDSystemInfo << /Registry (A) /Ordering (Identity) /Supplement 0 >> >>]"
    codes = "BT /F1 12 Tf 50 700 Td <00240027004400030035005200560057> Tj ET"
    for content, more in (
        (
            shown((50, 700, "Ada Rost built it.")),
            {"objects": (private,), "font": "/BaseFont /X /ToUnicode 4 0 R"},
        ),
        (codes, {"font": identity}),
    ):
        with pytest.raises(DataError, match=r"a.pdf has no text on its 1 pages.*ocrmypdf"):
            read(content, **more)  # type: ignore[arg-type]
    lost = {"objects": (to_unicode((1, "0000")),), "font": "/BaseFont /X /ToUnicode 4 0 R"}
    assert read(shown((50, 700, "The \x01nance office")), **lost) == Document(
        "a.pdf", "The finance office\n", (0,)
    )  # type: ignore[arg-type]
    document = read(shown((50, 700, "The \x01zzq office")), **lost)  # type: ignore[arg-type]
    assert document.warnings == ("1 characters cannot be read: the file does not say which they are",)


def test_pages_without_text_are_named() -> None:
    """With what to do about them."""
    (warning,) = read(shown((50, 700, "a")), "", shown((50, 700, "b")), "").warnings
    assert "2 of 4 pages have no text (page 2, 4)" in warning
    assert "ocrmypdf" in warning
