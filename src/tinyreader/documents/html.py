"""HTML becomes text: a line for each block, what is not shown left out."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import Any

from tinyreader.documents.text import decode_as, marked, without_surrogates
from tinyreader.errors import DataError, MissingExtraError

_HIDDEN = {
    "script",
    "style",
    "template",
    "noscript",
    "head",
    "svg",
    "math",
    "iframe",
    "object",
    "canvas",
    "datalist",
}
_BLOCKS = set(
    "address article aside blockquote body caption center dd details dialog div dl dt fieldset figcaption "
    "figure footer form "
    "h1 h2 h3 h4 h5 h6 header hr html legend li main menu nav ol optgroup option p pre section summary table "
    "tbody tfoot thead "
    "title tr ul".split()
)
_APART = {
    "p",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "table",
    "ul",
    "ol",
    "dl",
    "blockquote",
    "pre",
    "section",
    "article",
}
_CHARSET = re.compile(
    rb"""<meta[^>]+charset\s*=\s*["']?\s*([\w.:-]+)|<\?xml[^>]+encoding\s*=\s*["']([\w.:-]+)""", re.IGNORECASE
)
_SPACES = re.compile(r"[ \t\n\r\f]+")  # HTML's own; a no-break space is a character


def html_text(raw: bytes, name: str) -> str:
    """The words that a browser would show, title first; blocks on lines of their own, paragraphs with a blank
    line between.

    The encoding is that of the byte order mark, else the declared one, else UTF-8. Raises `DataError` where
    the bytes are not in that encoding or nest deeper than the parser goes, and `MissingExtraError` without
    the `documents` extra.
    """
    try:
        from lxml import etree
        from lxml import html as lxml_html
    except ImportError:
        raise MissingExtraError(f"reading {name} (HTML)", "documents") from None
    source = without_surrogates(_decoded(raw, name))
    if not source.strip():
        return ""
    parser = lxml_html.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        tree = lxml_html.document_fromstring(source.encode("utf-8"), parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError):
        return ""  # nothing but comments and declarations: an empty page
    if fatal := [entry.message for entry in parser.error_log if entry.level_name == "FATAL"]:
        raise DataError(
            f"{name} cannot be read to its end as HTML: {fatal[0]}. Simplify it, or save it as text."
        )
    title = " ".join((tree.findtext(".//head/title") or "").split())
    body = _tidy("".join(_pieces(tree)))
    return f"{title}\n\n{body}" if title and body else title or body


def _decoded(raw: bytes, name: str) -> str:
    encoding, body = marked(raw)
    if encoding is None:
        said = _CHARSET.search(raw[:4096])
        encoding = (said[1] or said[2]).decode("ascii").lower() if said else "utf-8"
        if encoding in ("iso-8859-1", "latin-1", "latin1", "us-ascii", "ascii"):
            encoding = "windows-1252"  # what browsers take these names for
        if encoding.startswith(("utf-16", "utf-32", "ucs-2")):
            encoding = "utf-8"  # the declaration was read as single bytes, so it cannot be true
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise DataError(
            f"{name} says that it is in {encoding!r}, which is no known encoding. Convert it to UTF-8."
        ) from None
    if encoding == "windows-1252":
        return body.decode(
            encoding, errors="replace"
        )  # five bytes of 256 mean nothing there; browsers show a box
    return decode_as(body, encoding, name, n_before=len(raw) - len(body))


def _pieces(root: Any) -> Iterator[str]:
    """Yield the text of the tree in order; "\\v" is a line's end, "\\x1d" a paragraph's, "\\x1c" a kept line
    break.

    A stack of its own, since pages nest deeper than Python's calls may.
    """
    stack: list[tuple[Any, bool]] = [(root, False)]
    n_pre = 0
    while stack:
        node, is_leaving = stack.pop()
        tag = node.tag if isinstance(node.tag, str) else ""
        edge = "\x1d" if tag in _APART else "\v" if tag in _BLOCKS else ""
        if is_leaving:
            n_pre -= tag in ("pre", "textarea")
            yield edge
            yield _inside(node.tail, n_pre) if node is not root else ""
            continue
        if tag in _HIDDEN or not tag:
            yield _inside(node.tail, n_pre) if node is not root else ""
            continue
        if tag == "br":
            yield "\v"
        elif tag in ("td", "th"):
            yield "\t"
        elif tag == "img":
            yield _inside(node.get("alt"), n_pre)
        n_pre += tag in ("pre", "textarea")
        yield edge
        yield _inside(node.text, n_pre)
        stack.append((node, True))
        stack += [(child, False) for child in reversed(node)]


def _inside(text: str | None, n_pre: int) -> str:
    """Text of a node with its own spaces made one, or, in a `pre`, kept."""
    if not text:
        return ""
    if n_pre:
        return text.replace("\r\n", "\n").replace("\n", "\x1c").replace("\t", "    ")
    return _SPACES.sub(" ", re.sub("[\v\x1c\x1d]", " ", text))


def _tidy(text: str) -> str:
    """Blocks as lines: spaces at their edges gone, at most one blank line between paragraphs."""
    lines: list[str] = []
    for part in re.split("([\v\x1d]+)", text):
        if part[:1] in ("\v", "\x1d"):
            if "\x1d" in part and lines and lines[-1]:
                lines.append("")
            continue
        line = re.sub(r" *\t[ \t]*", "\t", re.sub(r" {2,}", " ", part) if "\x1c" not in part else part).strip(
            " \t"
        )
        line = line.replace("\x1c", "\n").strip("\n")
        if line:
            lines.append(line)
    return "\n".join(lines).strip("\n")
