"""Mail, RTF, EPUB, notebooks and subtitles become text."""

from __future__ import annotations

import codecs
import email
import email.policy
import json
import posixpath
import re
from email.message import EmailMessage
from typing import Any
from urllib.parse import unquote

from tinyreader.documents.archive import Archive
from tinyreader.documents.document import Document, not_read
from tinyreader.documents.html import codec_of, html_document
from tinyreader.documents.text import decode_text, without_surrogates
from tinyreader.errors import DataError, MissingExtraError

_TIMING = re.compile(r"\s*(?:\d+:)?\d+:\d+[.,]\d+\s*-->.*")
_VOICE = re.compile(r"<v(?:\.[^ >]*)?\s+([^>]+)>")
_CUE_TAG = re.compile(r"</?[a-z][^>]*>|<\d[\d:.]*>|\{\\[^}]*\}", re.IGNORECASE)


def eml_document(raw: bytes, name: str) -> Document:
    """A mail: subject, sender, receivers and date on lines of their own, then the body. Attachments are named
    in the warnings.
    """
    message: Any = email.message_from_bytes(raw, _class=EmailMessage, policy=email.policy.default)
    lines = []
    for field in ("Subject", "From", "To", "Cc", "Date"):
        try:
            value = message[field]
        except Exception:  # the parser of headers fails in many ways on damaged ones
            value = dict(message.raw_items()).get(field)
        if value:
            lines.append(f"{field}: {' '.join(str(value).split())}")
    body = message.get_body(("plain", "html"))
    text = "" if body is None else _body_text(body, name)
    others = [part.get_filename() or part.get_content_type() for part in message.iter_attachments()]
    warnings = not_read(len(others), "attachments", f": {', '.join(others[:10])}")
    if not lines and not text.strip():
        raise DataError(
            f"{name} is not a mail: it has no header and no body. Rename it to .txt to read it as text."
        )
    return Document(
        name, without_surrogates("\n".join(lines) + f"\n\n{text.strip()}").strip(), warnings=warnings
    )


def _body_text(body: EmailMessage, name: str) -> str:
    """The words of a body in its declared encoding, else in UTF-8 or, as browsers do, Windows-1252."""
    payload = body.get_payload(decode=True)
    raw = payload if isinstance(payload, bytes) else b""
    codec = codec_of(body.get_content_charset("utf-8")) or "utf-8"
    try:
        text = raw.decode("utf-8" if codec == "cp1252" else codec)
    except UnicodeDecodeError:
        text = raw.decode("cp1252" if codec == "utf-8" else codec, errors="replace")
    if body.get_content_subtype() == "html":
        return html_document(codecs.BOM_UTF8 + text.encode(), name).text
    return text.replace("\r\n", "\n")


def rtf_document(raw: bytes, name: str) -> Document:
    """A Rich Text file."""
    try:
        from striprtf.striprtf import rtf_to_text
    except ImportError:
        raise MissingExtraError(f"reading {name} (RTF)", "documents") from None
    n_pictures = raw.count(b"\\pict")
    text = rtf_to_text(raw.decode("latin-1"), errors="replace")
    lines = [line.rstrip("|").replace("|", "\t").strip(" ") for line in text.split("\n")]
    return Document(
        name,
        without_surrogates(re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()),
        warnings=not_read(n_pictures, "pictures"),
    )


def epub_document(raw: bytes, name: str) -> Document:
    """A book: its chapters in the order of reading."""
    archive = Archive(raw, name, "EPUB")
    container = archive.tree("META-INF/container.xml")
    path = (
        ""
        if container is None
        else next((node.get("full-path") for node in container.iter("{*}rootfile")), "")
    )
    package = archive.tree(path or "")
    if package is None:
        raise archive.damaged(KeyError(path))
    folder = posixpath.dirname(path)
    files = {
        node.get("id"): posixpath.normpath(posixpath.join(folder, unquote(node.get("href") or "")))
        for node in package.iter("{*}item")
    }
    texts, warnings = [], []
    for node in package.iter("{*}itemref"):
        chapter = files.get(node.get("idref"), "")
        content = archive.part(chapter)
        if content is None:
            warnings.append(f"the chapter {chapter or node.get('idref')} is missing")
            continue
        try:
            texts.append(html_document(content, f"{name}/{chapter}").text)
        except DataError as error:
            warnings.append(f"a chapter is not read: {error}")
    titles = [
        title.text.strip() for title in package.iter("{http://purl.org/dc/elements/1.1/}title") if title.text
    ]
    return Document(name, "\n\n".join(filter(None, titles[:1] + texts)), warnings=tuple(warnings))


def ipynb_document(raw: bytes, name: str) -> Document:
    """A notebook: its cells, and what they printed."""
    try:
        cells = json.loads(decode_text(raw, name))["cells"]
        parts, n_pictures = [], 0
        for cell in cells:
            parts.append("".join(cell["source"]))
            for output in cell.get("outputs", ()):
                data = output.get("data", {})
                parts.append("".join(output.get("text", ())) or "".join(data.get("text/plain", ())))
                n_pictures += any(kind.startswith("image/") for kind in data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{name} is not a notebook ({type(error).__name__} {error}). Rename it to .txt to read it as text."
        ) from None
    text = "\n\n".join(part.strip("\n") for part in parts if part.strip())
    return Document(name, without_surrogates(text), warnings=not_read(n_pictures, "pictures"))


def subtitles_document(raw: bytes, name: str) -> Document:
    """What is spoken, a line for each line of a cue; numbers, times and styles are left out."""
    spoken = []
    for block in re.split(r"\n\s*\n", decode_text(raw, name).replace("\r\n", "\n").replace("\r", "\n")):
        lines = block.strip("\n").split("\n")
        start = next((place for place, line in enumerate(lines) if _TIMING.fullmatch(line)), None)
        if start is not None:
            for line in lines[start + 1 :]:
                line = _CUE_TAG.sub("", _VOICE.sub(r"\1: ", line)).strip()
                spoken += [line] * bool(line)
    return Document(name, "\n".join(spoken))
