"""Bytes of a text file become text: UTF-8, or UTF-16 and UTF-32 with a byte order mark."""

from __future__ import annotations

import codecs
import re

from tinyreader.errors import DataError

# UTF-32's little-endian mark begins with UTF-16's: the longer ones come first
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

_RAISED = str.maketrans("0123456789+-\u2212=()", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾")
_SURROGATES = re.compile("[\ud800-\udfff]")


def decode_text(raw: bytes, name: str) -> str:
    """The text of a file's bytes, its byte order mark left out; `DataError` for binary files and other
    encodings.
    """
    encoding, body = marked(raw)
    return decode_as(body, encoding or "utf-8", name, n_before=len(raw) - len(body))


def marked(raw: bytes) -> tuple[str | None, bytes]:
    """The encoding that a byte order mark tells, None where there is none, and the bytes after it."""
    for mark, encoding in MARKS:
        if raw.startswith(mark):
            return encoding, raw[len(mark) :]
    return None, raw


def decode_as(raw: bytes, encoding: str, name: str, n_before: int = 0) -> str:
    """The text of bytes in that encoding; `DataError` names the first byte that does not fit."""
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        if b"\0" in raw[:4096]:
            raise DataError(f"{name} is not text: it looks like a binary file. {_remedy(raw)}") from None
        shown = {"utf-8": "UTF-8", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}.get(encoding, encoding)
        raise DataError(
            f"{name} is not {shown} text (byte {n_before + error.start}). Convert it, as with: iconv -f "
            "WINDOWS-1252 -t UTF-8"
        ) from None
    if "\0" in text:
        raise DataError(f"{name} is not text: it has zero bytes, as binary files do. {_remedy(raw)}")
    return text


def without_surrogates(text: str) -> str:
    """The text with half surrogate pairs, which no file can hold, replaced by U+FFFD; offsets stay."""
    return _SURROGATES.sub("\ufffd", text)


def raised(text: str) -> str:
    """The text of a superscript in Unicode's raised signs: 10⁶, 1911², xⁿ. Words (1st) and notes in brackets
    stay as they are.
    """
    bare = text.strip()
    if bare in ("n", "o"):
        return text.replace(bare, {"n": "ⁿ", "o": "°"}[bare])
    return text if "[" in bare or any(sign.isalpha() for sign in bare) else text.translate(_RAISED)


def _remedy(raw: bytes) -> str:
    if raw[1:2] == b"\0" or raw[:1] == b"\0":  # every second byte of an English text in UTF-16 is zero
        return (
            "If it is UTF-16 text without a byte order mark, convert it, as with: iconv -f UTF-16LE -t UTF-8"
        )
    return "Give text, HTML, PDF or an Office file."
