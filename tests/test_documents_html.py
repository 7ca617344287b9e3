"""`documents.html`: the words that a browser shows, in the encoding that a browser takes."""

from __future__ import annotations

import pytest

from tinyreader.documents import document_of
from tinyreader.errors import DataError


def text_of(page: str) -> str:
    return document_of(page.encode(), "p.html", ".html").text


@pytest.mark.parametrize(
    "hidden",
    [
        "<p hidden>secret</p>",
        "<div style='color: red; DISPLAY : none'><p>secret</p></div>",
        "<span style=visibility:hidden>secret</span>",
        "<dialog>secret</dialog>",
        "<video>secret</video>",
        "<template><p>secret</p></template>",
        "<input type=hidden value=secret><input type=password value=secret>",
        "<style>.a, p.b { display: none }</style><p class='x b'>secret</p>",
        "<svg><title>secret</title></svg>",
    ],
)
def test_hidden_words_stay_out(hidden: str) -> None:
    """Whatever way they are hidden; their neighbours are read."""
    assert text_of(f"<p>before</p>{hidden}<p>after</p>") == "before\n\nafter"


def test_what_a_style_sheet_shows_again_is_read() -> None:
    """The last rule of a selector counts, and rules for printing do not."""
    sheet = "<style>.a {display: none} .a {display: block} @media print { .b {display: none} }</style>"
    assert text_of(f"{sheet}<p class=a>one</p><p class=b>two</p>") == "one\n\ntwo"


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>2<sup>10</sup> or 10<sup>−3</sup>, the 1<sup>st</sup></p>", "2¹⁰ or 10⁻³, the 1st"),
        ("<p>Built in 1823<sup>4</sup>.</p>", "Built in 1823⁴."),
        ("<p>5<sup>3</sup>&frasl;<sub>4</sub> or <sup>1</sup>/<sub>2</sub> cup</p>", "5¾ or ½ cup"),
        ("<p>CO<sub>2</sub></p>", "CO2"),
        ("<p>Or&shy;low inter&#8203;national</p>", "Orlow international"),
        ("<button>Yes</button><button>No</button>", "Yes No"),
        ("<label>Town</label><input value=Orlow>", "Town Orlow"),
        ("<select><option>Red<option selected>Blue</select>", "Blue"),
        ("<select><option>Red<option>Blue</select>", "Red\nBlue"),
        ("<details><summary>More</summary>Orlow</details>", "More\nOrlow"),
        (
            "<p><ruby>水<rt>mizu</rt></ruby>, <ruby>火<rp>(</rp><rt>hi</rt><rp>)</rp></ruby></p>",
            "水(mizu), 火(hi)",
        ),
        ("<p>is <math><mi>x</mi> <mo>=</mo> <msup><mn>2</mn><mn>3</mn></msup></math>.</p>", "is x=2³."),
        ("<math alttext='x \\geq 5'><mi>x</mi></math>", "x \\geq 5"),
        ("<p>Chart</p><svg><text>31 m</text></svg>", "Chart\n\n31 m"),
        ("<object data=x.pdf><p>Orlow</p></object>", "Orlow"),
        ("<iframe srcdoc='<p>Orlow</p>'></iframe>", "Orlow"),
        ("<q>Never</q> said he", "“Never” said he"),
    ],
)
def test_words_read_as_they_are_shown(page: str, text: str) -> None:
    """Raised digits stay raised, form values and formulas give their text, nothing is glued together."""
    assert text_of(page) == text


def test_a_table_row_is_one_line() -> None:
    """With a tab between its cells, whatever blocks they hold, and empty cells too; a table that lays out the
    page gives blocks.
    """
    cells = "<tr><td><p>Orlow</p><p>north</p></td><td></td><td><div>31<br>m</div></td></tr>"
    assert text_of(f"<table><tr><th>Mill<th>Built<th>Height</tr>{cells}</table>") == (
        "Mill\tBuilt\tHeight\nOrlow north\t\t31 m"
    )
    assert text_of("<table><tr><td>a</td><td><table><tr><td>b<td>c</table></td></tr></table>") == "a\tb\tc"
    inner = "<table><tr><td>b<td>c<tr><td>d<td>e</table>"
    assert text_of(f"<table><tr><td>a<td>{inner}</table>") == "a\n\nb\tc\nd\te"


@pytest.mark.parametrize(
    ("declared", "codec", "text"),
    [
        ("gb2312", "gb18030", "价格31€"),
        ("shift_jis", "cp932", "①髙橋"),
        ("x-sjis", "cp932", "アダ"),
        ("euc-kr", "cp949", "똠방각하"),
        ("latin1", "cp1252", "“Café”"),
        ("ISO_8859-1", "cp1252", "“Café”"),
        ("windows-874", "cp874", "ราคา"),
        ("x-mac-cyrillic", "mac_cyrillic", "Цена"),
        ("utf-16", "utf-8", "Café"),
        ("'UTF-8;'", "utf-8", "Café"),
        ("base64", "utf-8", "Café"),
        ("punycode", "utf-8", "Café"),
        ("klingon", "utf-8", "Café"),
    ],
)
def test_encodings_are_read_as_browsers_read_them(declared: str, codec: str, text: str) -> None:
    """Labels and supersets of WHATWG's table; a label that browsers do not know counts as not declared."""
    assert document_of(f"<meta charset={declared}><p>{text}".encode(codec), "p", ".html").text == text


def test_only_a_meta_element_declares_an_encoding() -> None:
    """Not one in a script or a comment; and one far down does."""
    for around in ("<script>'<meta charset=gbk>'</script>", "<!-- <meta charset=gbk> -->"):
        assert text_of(f"{around}<p>Café") == "Café"
    late = f"<!--{'x' * 9000}--><meta charset=windows-1252><p>Café".encode("cp1252")
    assert document_of(late, "p", ".html").text == "Café"


def test_what_is_lost_is_counted() -> None:
    """Bytes without meaning in the declared encoding, frames of other files, and pages without words."""
    (warning,) = document_of(b"<meta charset=shift_jis><p>a\x81 ", "p", ".html").warnings
    assert warning.startswith("1 bytes mean nothing in its encoding, cp932")
    assert "1 frames" in document_of(b"<p>a</p><iframe src=x>", "p", ".html").warnings[0]
    with pytest.raises(DataError, match=r"p is not UTF-8 text \(byte 3\)"):
        document_of(b"<p>\xff", "p", ".html")
