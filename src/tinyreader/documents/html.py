"""HTML becomes text: a line for each block and each table row; what a browser does not show is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tinyreader.documents.document import Document
from tinyreader.documents.text import decode_as, marked, raised, without_surrogates
from tinyreader.errors import DataError, MissingExtraError

_HIDDEN = set(
    "script style noscript head canvas datalist audio video noframes noembed progress meter rp "
    "annotation annotation-xml desc defs metadata".split()
)
_BLOCKS = set(
    "address article aside blockquote body caption center dd details dialog div dl dt fieldset figcaption "
    "figure footer form h1 h2 h3 h4 h5 h6 header hr html iframe legend li main marquee menu nav object ol "
    "optgroup option p pre section summary table tbody text textarea tfoot thead title tr ul".split()
)
_APART = set("p h1 h2 h3 h4 h5 h6 table ul ol dl blockquote pre section article".split())
_PADDED = {"button", "select", "input"}  # shown in boxes: their words do not touch their neighbours'
_MATH_TOKENS = {"mn", "mi", "mo", "mtext", "ms"}
_UNREAD_INPUTS = {"hidden", "password", "file", "image", "color", "range"}

# What the walk puts between words, for _tidy to make lines of. Signs that no text of a page keeps.
_LINE, _PARAGRAPH, _KEPT_BREAK, _ROW, _ROW_END, _CELL = "\v", "\x1d", "\x1c", "\x1e", "\x17", "\x1f"
_SUP, _SUP_END, _SUB, _SUB_END = "\x02", "\x03", "\x04", "\x05"
_MARKS = re.compile("[\x02-\x05\x17\v\x1c-\x1f]")
_EDGES = re.compile("([\x17\v\x1d-\x1f])")

_SPACES = re.compile(r"[ \t\n\r\f]+")  # HTML's own; a no-break space is a character
_HIDING = re.compile(
    r"(?:^|[;{\s])(?:display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse))", re.IGNORECASE
)
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_SIMPLE_SELECTOR = re.compile(r"([a-z][\w-]*)?(?:([.#])([\w-]+))?", re.IGNORECASE)
_ZERO_WIDTH = re.compile("\xad|(?<=[A-Za-z\xc0-\u024f])\u200b(?=[A-Za-z\xc0-\u024f])")
_FRACTION = re.compile("\x02(\\d+)\x03\\s*[\u2044/]\\s*\x04(\\d+)\x05|\x02(\\d+)\x03\u2044(\\d+)")
_VULGAR = dict(
    zip("1/2 1/3 2/3 1/4 3/4 1/5 2/5 3/5 4/5 1/6 5/6 1/8 3/8 5/8 7/8".split(), "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞", strict=True)
)

# Where a declared encoding may not stand, and where it may (WHATWG HTML, "prescan a byte stream")
_NO_MARKUP = re.compile(
    rb"<!--.*?(?:-->|$)|<(script|style|title|textarea|noscript)\b.*?(?:</\1|$)", re.IGNORECASE | re.DOTALL
)
_META = re.compile(rb"<meta\b[^>]*", re.IGNORECASE)
_CHARSET = re.compile(rb"""charset\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"""^\s*<\?xml[^>]+encoding\s*=\s*["']([^"'>]*)""", re.IGNORECASE)
# Python's codecs that read what browsers read under these names. UTF-16 declared in single bytes cannot be true.
_CODECS = {
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "euc-jp": "euc_jis_2004",
    "shift_jis": "cp932",
    "euc-kr": "cp949",
    "utf-16le": "utf-8",
    "utf-16be": "utf-8",
    "x-user-defined": "cp1252",
}


def html_document(raw: bytes, name: str) -> Document:
    """The words that a browser would show, title first; blocks on lines of their own, paragraphs with a blank
    line between, table rows on one line with tabs between their cells.

    The encoding is that of the byte order mark, else the declared one as browsers take it (WHATWG Encoding),
    else UTF-8. Raises `DataError` where the bytes are not in that encoding or nest deeper than the parser
    goes, and `MissingExtraError` without the `documents` extra.
    """
    try:
        from lxml import etree
        from lxml import html as lxml_html
    except ImportError:
        raise MissingExtraError(f"reading {name} (HTML)", "documents") from None
    source, warnings = _decoded(raw, name)
    if not source.strip():
        return Document(name, "", warnings=warnings)
    parser = lxml_html.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        tree = lxml_html.document_fromstring(source.encode("utf-8"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError):
        return Document(name, "", warnings=warnings)  # nothing but comments and declarations
    if fatal := [entry.message for entry in parser.error_log if entry.level_name == "FATAL"]:
        raise DataError(
            f"{name} cannot be read to its end as HTML: {fatal[0]}. Simplify it, or save it as text."
        )
    n_frames = sum(node.get("srcdoc") is None for node in tree.iter("frame", "iframe"))
    if n_frames:
        warnings += (f"{n_frames} frames are files of their own and are not read",)
    title = " ".join((tree.findtext(".//head/title") or "").split())
    body = _tidy("".join(_pieces(tree)))
    return Document(name, f"{title}\n\n{body}" if title and body else title or body, warnings=warnings)


def _decoded(raw: bytes, name: str) -> tuple[str, tuple[str, ...]]:
    """The text of a page, and a warning where bytes mean nothing in the page's encoding."""
    encoding, body = marked(raw)
    encoding = encoding or _declared(raw) or "utf-8"
    if encoding.startswith("utf"):
        return without_surrogates(decode_as(body, encoding, name, n_before=len(raw) - len(body))), ()
    text = body.decode(encoding, errors="replace")
    n_lost = text.count("\ufffd")
    return text, (f"{n_lost} bytes mean nothing in its encoding, {encoding}",) * bool(n_lost)


def codec_of(label: str) -> str | None:
    """Python's name of the encoding that browsers read under a label; None where they know none."""
    try:
        import webencodings
    except ImportError:
        raise MissingExtraError("reading text in other encodings", "documents") from None
    known = webencodings.lookup(label.strip().rstrip(";").strip())
    if known is None:
        return None
    return _CODECS.get(known.name) or str(known.codec_info.name)


def _declared(raw: bytes) -> str | None:
    """The codec that the page declares; None where it declares none that browsers know."""
    head = raw[: 1 << 20]
    labels = [found[1] for found in _XML_ENCODING.finditer(head)]
    for meta in _META.finditer(_NO_MARKUP.sub(b" ", head)):
        labels += [next(filter(None, found.groups()), b"") for found in _CHARSET.finditer(meta[0])]
    return next((codec for label in labels if (codec := codec_of(label.decode("latin-1")))), None)


def _pieces(root: Any) -> Iterator[str]:
    """Yield the text of the tree in order, with marks where lines, paragraphs, rows and cells begin and end.

    A stack of its own, since pages nest deeper than Python's calls may.
    """
    from lxml import html as lxml_html

    layout_rows, hiding = _layout_rows(root), _hiding_selectors(root)
    unchosen = _unchosen_options(root)
    stack: list[tuple[Any, bool]] = [(root, False)]
    n_pre = n_math = 0
    while stack:
        node, is_leaving = stack.pop()
        tag = node.tag if isinstance(node.tag, str) else ""
        before, after = _edges(node, tag, layout_rows)
        if is_leaving:
            n_pre -= tag in ("pre", "textarea")
            n_math -= tag == "math"
            yield after
            yield _inside(node.tail, n_pre, n_math)
            continue
        if not tag or node in unchosen or _is_hidden(node, tag, hiding):
            yield _inside(node.tail, n_pre, n_math)
            continue
        n_pre += tag in ("pre", "textarea")
        n_math += tag == "math"
        yield before
        stack.append((node, True))
        if tag == "img":
            yield _inside(node.get("alt"), n_pre, 0)
        elif tag == "input":
            yield _inside(_input_value(node), 0, 0)
        elif tag == "iframe":
            if (node.get("srcdoc") or "").strip():
                stack.append((lxml_html.document_fromstring(node.get("srcdoc")), False))
            continue
        elif tag == "math" and n_math == 1 and not _says_its_formula(node):
            yield _inside(node.get("alttext"), 0, 0)
            continue
        yield _inside(node.text, n_pre, 0 if tag in _MATH_TOKENS else n_math)
        stack += [(child, False) for child in reversed(node)]


def _edges(node: Any, tag: str, layout_rows: set[Any]) -> tuple[str, str]:
    """The marks before and after an element."""
    if tag == "br":
        return _LINE, ""
    if tag == "tr" and node not in layout_rows:
        return _ROW, _ROW_END
    if tag in ("td", "th"):
        return (_PARAGRAPH, _PARAGRAPH) if node.getparent() in layout_rows else (_CELL, "")
    if tag == "sup":
        return _SUP, _SUP_END
    if tag == "sub":
        return _SUB, _SUB_END
    if tag == "rt":
        return "(", ")"
    if tag == "q":
        return "\u201c", "\u201d"
    if tag in _PADDED:
        return " ", " "
    parent = node.getparent()
    if parent is not None and parent.tag == "mfrac" and node is parent[0]:
        return "", "/"
    if parent is not None and parent.tag == "msup" and node is parent[-1]:
        return _SUP, _SUP_END
    edge = _PARAGRAPH if tag in _APART else _LINE if tag in _BLOCKS else ""
    return edge, edge


def _layout_rows(root: Any) -> set[Any]:
    """The rows around a table of several rows: they lay out the page and hold no record."""
    rows: set[Any] = set()
    n_rows: dict[Any, int] = {}
    tables: dict[Any, Any] = {}  # by the element that a row stands in: many rows stand in one
    for row in root.iter("tr"):
        parent = row.getparent()
        if parent not in tables:
            tables[parent] = next(row.iterancestors("table"), None)
        table = tables[parent]
        n_rows[table] = n_rows.get(table, 0) + 1
        if table is None or n_rows[table] != 2:
            continue
        for above in table.iterancestors("tr"):
            if above in rows:
                break
            rows.add(above)
    return rows


def _unchosen_options(root: Any) -> set[Any]:
    """The options that a closed list does not show, where one of its options is chosen; else all may be
    wanted.
    """
    unchosen: set[Any] = set()
    for select in root.iter("select"):
        options = list(select.iter("option"))
        if any("selected" in option.attrib for option in options):
            unchosen.update(option for option in options if "selected" not in option.attrib)
    return unchosen


def _hiding_selectors(root: Any) -> set[tuple[str, str, str]]:
    """The plain selectors (tag, "." or "#", name) that the page's style sheets hide at last, as (tag, sign,
    name); rules within @media and others of their like do not count.
    """
    hiding: set[tuple[str, str, str]] = set()
    for sheet in root.iter("style"):
        text = re.sub(
            r"/\*.*?\*/|@[^{};]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}", "", sheet.text or "", flags=re.DOTALL
        )
        for selectors, declarations in _RULE.findall(text):
            shows = "display" in declarations or "visibility" in declarations
            for selector in selectors.split(","):
                found = _SIMPLE_SELECTOR.fullmatch(selector.strip())
                if found is None or not found[0]:
                    continue
                key = ((found[1] or "").lower(), found[2] or "", found[3] or "")
                if _HIDING.search(declarations):
                    hiding.add(key)
                elif shows:
                    hiding.discard(key)
    return hiding


def _is_hidden(node: Any, tag: str, hiding: set[tuple[str, str, str]]) -> bool:
    if tag in _HIDDEN or "hidden" in node.attrib or _HIDING.search(node.get("style") or ""):
        return True
    if tag == "dialog":
        return "open" not in node.attrib
    if tag == "template":
        return node.get("shadowrootmode") is None  # a shadow root in the page's own markup is shown
    if tag == "title":
        return any(True for _ in node.iterancestors("svg"))
    if not hiding:
        return False
    names = [
        ("", ""),
        *((".", name) for name in (node.get("class") or "").split()),
        ("#", node.get("id") or ""),
    ]
    return any((of, sign, name) in hiding for sign, name in names for of in ("", tag))


def _input_value(node: Any) -> str:
    kind = (node.get("type") or "text").lower()
    if kind in ("checkbox", "radio"):
        return "\u2612" if "checked" in node.attrib else "\u2610"
    return "" if kind in _UNREAD_INPUTS else node.get("value") or ""


def _says_its_formula(math: Any) -> bool:
    """Whether the elements of a formula show all numbers and names of its alternative text."""
    words = re.findall(
        r"\d+|(?<![\\A-Za-z])[A-Za-z]+", re.sub(r"\\[A-Za-z]+", " ", math.get("alttext") or "")
    )
    shown = "".join(token.text or "" for token in math.iter(*_MATH_TOKENS))
    return all(word in shown for word in words)


def _inside(text: str | None, n_pre: int, n_math: int) -> str:
    """Text of a node with its own spaces made one, or, in a `pre`, kept; between a formula's signs, none."""
    if not text:
        return ""
    if n_pre:
        return _MARKS.sub(" ", text).replace("\r\n", "\n").replace("\n", _KEPT_BREAK).replace("\t", "    ")
    return _SPACES.sub("" if n_math else " ", _MARKS.sub(" ", text))


def _fraction(found: re.Match[str]) -> str:
    above, below = (found[1], found[2]) if found[1] else (found[3], found[4])
    sub = below.translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))
    return _VULGAR.get(f"{above}/{below}", f"{raised(above)}\u2044{sub}")


def _tidy(text: str) -> str:
    """Blocks and rows as lines: spaces at their edges gone, at most one blank line between paragraphs."""
    text = _FRACTION.sub(_fraction, text)
    text = re.sub("\x02([^\x02\x03]*)\x03", lambda found: raised(found[1]), text)
    text = _ZERO_WIDTH.sub("", re.sub("[\x02-\x05]", "", text))
    lines: list[str] = []
    cells: list[str] = []
    n_open = 0
    opens_nested_row = False  # its first cell is the cell that it stands in
    for part in _EDGES.split(text):
        if part == _ROW:
            opens_nested_row = n_open > 0 and bool(cells)
            cells = cells if n_open else []
            n_open += 1
        elif part == _ROW_END:
            n_open = max(0, n_open - 1)
            if n_open == 0 and any(cell.strip(" ") for cell in cells):
                lines.append("\t".join(re.sub(" {2,}", " ", cell).strip(" ") for cell in cells))
        elif n_open and part == _CELL:
            if not opens_nested_row:
                cells.append("")
            opens_nested_row = False
        elif n_open:
            words = " " if part in (_LINE, _PARAGRAPH) else part.replace(_KEPT_BREAK, " ")
            if cells:
                cells[-1] += words
            elif words.strip():
                cells.append(words)
        elif part == _PARAGRAPH:
            if lines and lines[-1]:
                lines.append("")
        elif part not in (_LINE, _CELL):
            line = part if _KEPT_BREAK in part else re.sub(" {2,}", " ", part)
            line = line.strip(" \t").replace(_KEPT_BREAK, "\n").strip("\n")
            if line:
                lines.append(line)
    return "\n".join(lines).strip("\n")
