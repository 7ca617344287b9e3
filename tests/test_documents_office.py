"""`documents.office`: every word that Word, PowerPoint and LibreOffice show, and none that they do not."""

from __future__ import annotations

import pytest

from document_samples import zipped
from tinyreader.documents import Document, document_of
from tinyreader.errors import DataError

NAMESPACES = 'xmlns:w="w" xmlns:m="m" xmlns:a="a" xmlns:p="p" xmlns:r="r" xmlns:mc="mc" xmlns:w14="w14"'
ENTITIES = "".join(f'<!ENTITY b{n} "' + f"&b{n - 1};" * 10 + '">' for n in range(1, 9))
REFERENCE = '<Relationship Id="r{0}" Type="http://x/{1}" Target="{2}"/>'


def relations(*targets: tuple[str, str]) -> str:
    rows = "".join(REFERENCE.format(number, *target) for number, target in enumerate(targets, 1))
    return f"<Relationships>{rows}</Relationships>"


def word(body: str, **parts: str) -> Document:
    """A Word file with that body; a part `footnotes="..."` is added and referred to."""
    files = {"word/document.xml": f"<w:document {NAMESPACES}><w:body>{body}</w:body></w:document>"}
    for kind, content in parts.items():
        files[f"word/{kind}.xml"] = f"<w:{kind} {NAMESPACES}>{content}</w:{kind}>"
    files["word/_rels/document.xml.rels"] = relations(*((kind, f"{kind}.xml") for kind in parts))
    return document_of(zipped(files), "d.docx", ".docx")


def run(words: str, properties: str = "") -> str:
    return f"<w:r><w:rPr>{properties}</w:rPr><w:t>{words}</w:t></w:r>"


def paragraph(inside: str) -> str:
    return f"<w:p>{inside}</w:p>"


@pytest.mark.parametrize(
    "wrapper",
    [
        "<w:sdt><w:sdtPr><w:alias/></w:sdtPr><w:sdtContent>{}</w:sdtContent></w:sdt>",
        "<w:ins>{}</w:ins>",
        "<w:moveTo>{}</w:moveTo>",
        "<w:smartTag>{}</w:smartTag>",
        "<w:fldSimple>{}</w:fldSimple>",
        "<w:customXml>{}</w:customXml>",
        "<w:hyperlink>{}</w:hyperlink>",
        "<w:wrapperOfTomorrow><w:ins>{}</w:ins></w:wrapperOfTomorrow>",
    ],
)
def test_every_wrapper_is_transparent(wrapper: str) -> None:
    """Around runs, paragraphs, tables, rows and cells."""
    wrap = wrapper.format
    assert word(paragraph(run("by ") + wrap(run("Ada")))).text == "by Ada"
    assert word(wrap(paragraph(run("Ada")))).text == "Ada"
    cells = "".join(f"<w:tc>{paragraph(run(words))}</w:tc>" for words in ("Mill", "Orlow"))
    row = f"<w:tr>{cells}</w:tr>"
    assert word(wrap(f"<w:tbl>{row}</w:tbl>")).text == "Mill\tOrlow"
    assert word(f"<w:tbl>{wrap(row)}</w:tbl>").text == "Mill\tOrlow"
    assert word(f"<w:tbl><w:tr>{wrap(cells)}</w:tr></w:tbl>").text == "Mill\tOrlow"


def test_changes_count_as_accepted() -> None:
    """Deletions and what was moved away are left out, rows too; a deleted paragraph end joins paragraphs."""
    old = f"<w:del>{run('Bo')}</w:del><w:moveFrom>{run('Cy')}</w:moveFrom>"
    assert word(paragraph(run("by ") + old + f"<w:ins>{run('Ada')}</w:ins>")).text == "by Ada"
    joined = "<w:p><w:pPr><w:rPr><w:del/></w:rPr></w:pPr>" + run("by ") + "</w:p>" + paragraph(run("Ada"))
    assert word(joined).text == "by Ada"
    gone = f"<w:tr><w:trPr><w:del/></w:trPr><w:tc>{paragraph(run('Bo'))}</w:tc></w:tr>"
    assert word(f"<w:tbl>{gone}<w:tr><w:tc>{paragraph(run('Ada'))}</w:tc></w:tr></w:tbl>").text == "Ada"


def test_hidden_words_stay_out() -> None:
    """Hidden by the run, by its style, or by the paragraph's; and what is switched off is not hidden."""
    styles = '<w:style w:styleId="S"><w:rPr><w:vanish/></w:rPr></w:style>'
    hidden = run("Bo", "<w:vanish/>") + run("Cy", '<w:rStyle w:val="S"/>')
    shown = run("Ada", '<w:vanish w:val="0"/>')
    assert word(paragraph(hidden + shown), styles=styles).text == "Ada"
    assert word('<w:p><w:pPr><w:pStyle w:val="S"/></w:pPr>' + run("Bo") + "</w:p>", styles=styles).text == ""


def test_words_outside_the_body_are_read() -> None:
    """Notes and text boxes behind their paragraph, each once; header first, footer last."""
    note = '<w:footnote w:id="2">' + paragraph(run("See page 9.")) + "</w:footnote>"
    box = f"<w:txbxContent>{paragraph(run('In a box.'))}</w:txbxContent>"
    both = f"<mc:AlternateContent><mc:Choice>{box}</mc:Choice><mc:Fallback>{box}</mc:Fallback></mc:AlternateContent>"
    body = paragraph(run("Form.") + f'<w:r><w:footnoteReference w:id="2"/>{both}</w:r>') + paragraph(
        run("End.")
    )
    document = word(body, footnotes=note, header=paragraph(run("Orlow")), footer=paragraph(run("Foot")))
    assert document.text == "Orlow\n\nForm.\n\nSee page 9.\n\nIn a box.\n\nEnd.\n\nFoot"


@pytest.mark.parametrize(
    ("inside", "text"),
    [
        (run("10") + run("6", '<w:vertAlign w:val="superscript"/>'), "10⁶"),
        ("<m:oMath><m:r><m:t>31</m:t></m:r></m:oMath>", "31"),
        ("<m:sSup><m:e><m:r><m:t>x</m:t></m:r></m:e><m:sup><m:r><m:t>2</m:t></m:r></m:sup></m:sSup>", "x²"),
        ("<m:f><m:num><m:r><m:t>1</m:t></m:r></m:num><m:den><m:r><m:t>b</m:t></m:r></m:den></m:f>", "1/b"),
        ("<m:d><m:e><m:r><m:t>a</m:t></m:r></m:e></m:d>", "(a)"),
        ("<w:r><w:t>B</w:t><w:noBreakHyphen/><w:t>1</w:t><w:softHyphen/><w:t>7</w:t></w:r>", "B-17"),
        ('<w:r><w:sym w:font="Wingdings" w:char="F0FE"/></w:r>' + run(" yes"), "☒ yes"),
        ("<w:r><w:fldChar><w:ffData><w:checkBox><w:checked/></w:checkBox></w:ffData></w:fldChar></w:r>", "☒"),
        ("<w:r><w:instrText>PAGE</w:instrText></w:r>" + run("7"), "7"),
    ],
)
def test_signs_and_formulas(inside: str, text: str) -> None:
    """What a person sees of them."""
    assert word(paragraph(inside)).text == text


def test_a_merged_cell_is_given_once() -> None:
    """And leaves an empty cell below, so that columns stay where they are."""
    merged = "<w:tc><w:tcPr><w:vMerge{}/></w:tcPr>{}</w:tc>"
    cell = "<w:tc>{}</w:tc>"
    rows = [
        merged.format(' w:val="restart"', paragraph(run("Orlow"))) + cell.format(paragraph(run("a"))),
        merged.format("", paragraph("")) + cell.format(paragraph(run("b"))),
    ]
    table = "".join(f"<w:tr>{row}</w:tr>" for row in rows)
    assert word(f"<w:tbl>{table}</w:tbl>").text == "Orlow\ta\n\tb"


def test_what_is_not_read_is_counted() -> None:
    """Pictures and comments; and a file without words."""
    inside = run("a") + "<w:r><w:drawing><w:pic/></w:drawing><w:commentReference/><w:commentReference/></w:r>"
    assert word(paragraph(inside)).warnings == ("1 picture not read", "2 comments not read")
    assert word("").warnings == ("it has no text",)


def test_a_file_is_known_by_its_bytes() -> None:
    """A renamed file is read as what it is; one that nothing reads is named for what it is."""
    docx = zipped({"word/document.xml": f"<w:document {NAMESPACES}>{paragraph(run('Ada'))}</w:document>"})
    for name in ("a.docm", "a.dotx", "a.odt", "a.txt", "a"):
        assert document_of(docx, name, name[1:]).text == "Ada"
    assert document_of(b"{\\rtf1 Ada\\par}", "a.docx", ".docx").text == "Ada"
    assert document_of(b"<html><p>Ada", "a.docx", ".docx").text == "Ada"
    for raw, what in ((b"\x89PNG\r\n", "a PNG picture"), (zipped({"a.txt": "a"}), "a ZIP archive")):
        with pytest.raises(DataError, match=f"a.dat is {what}"):
            document_of(raw, "a.dat", ".dat")


def test_slides_are_pages() -> None:
    """In the order of the presentation, with tables and notes; hidden slides are counted."""

    def slide(words: str, more: str = "") -> str:
        return f"<p:sld {NAMESPACES} {more}><p:sp><a:p><a:r><a:t>{words}</a:t></a:r></a:p></p:sp></p:sld>"

    files = {
        "ppt/presentation.xml": f'<p:presentation {NAMESPACES}><p:sldId id="9" r:id="r2"/>'
        '<p:sldId id="8" r:id="r1"/><p:sldId id="7" r:id="r3"/></p:presentation>',
        "ppt/_rels/presentation.xml.rels": relations(
            ("slide", "slides/1.xml"), ("slide", "slides/2.xml"), ("slide", "slides/3.xml")
        ),
        "ppt/slides/1.xml": slide("Second"),
        "ppt/slides/2.xml": slide("First"),
        "ppt/slides/3.xml": slide("Hidden", 'show="0"'),
        "ppt/slides/_rels/2.xml.rels": relations(("notesSlide", "../notes.xml")),
        "ppt/notes.xml": slide("Say hello."),
    }
    document = document_of(zipped(files), "d.pptx", ".pptx")
    assert document.text == "First\n\nSay hello.\nSecond\n"
    assert [document.page_at(document.text.index(word)) for word in ("hello", "Second")] == [1, 2]
    assert document.warnings == ("1 hidden slide not read",)


def test_open_document() -> None:
    """Paragraphs with their spaces, notes, raised digits, tables; deletions and hidden words are left out."""
    office = 'xmlns:o="o" xmlns:t="t" xmlns:s="s" xmlns:f="f"'
    styles = (
        '<s:style s:name="up"><s:text-properties s:text-position="super 58%"/></s:style>'
        '<s:style s:name="no"><s:text-properties t:display="none"/></s:style>'
    )
    body = (
        "<t:tracked-changes><t:p>old</t:p></t:tracked-changes>"
        '<t:p>10<t:span t:style-name="up">6</t:span><t:s t:c="2"/>litres<t:span t:style-name="no">x</t:span>'
        "<t:note><t:note-citation>1</t:note-citation><t:note-body><t:p>About.</t:p></t:note-body></t:note>.</t:p>"
        "<f:table><f:table-row><f:table-cell><t:p>Mill</t:p></f:table-cell><f:table-cell/>"
        "<f:table-cell><t:p>31</t:p></f:table-cell></f:table-row></f:table>"
    )
    content = f"<o:document {office}>{styles}<o:body><o:text>{body}</o:text></o:body></o:document>"
    document = document_of(zipped({"content.xml": content}), "d.odt", ".odt")
    assert document.text == "10⁶  litres.\n\nAbout.\n\nMill\t\t31"
    locked = {"content.xml": "x", "META-INF/manifest.xml": "<m><encryption-data/></m>"}
    with pytest.raises(DataError, match=r"d.odt is locked with a password"):
        document_of(zipped(locked), "d.odt", ".odt")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"word/document.xml": "<w"}, "d.docx is not a DOCX file, or it is damaged"),
        ({"word/document.xml": "<a>" * 5000}, "d.docx is not a DOCX file, or it is damaged"),
        ({"word/document.xml": " " * (65 << 20)}, "d.docx unpacks to more than 64 MB in word/document.xml"),
        (
            {"word/document.xml": f'<!DOCTYPE a [<!ENTITY b0 "bbbbbbbbbb">{ENTITIES}]><a>&b8;</a>'},
            "d.docx is not a DOCX file",
        ),
    ],
)
def test_hostile_files_are_one_error(parts: dict[str, str], said: str) -> None:
    """Damaged, nested and inflated ones; entities are never expanded."""
    with pytest.raises(DataError, match=said):
        document_of(zipped(parts), "d.docx", ".docx")
