"""PDF becomes text, page by page: PDFium finds the characters, `documents.layout` their order."""

from __future__ import annotations

import ctypes
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby, pairwise
from statistics import median
from typing import Any

from tinyreader.documents.document import Document, in_pages, not_read
from tinyreader.documents.layout import Piece, joined_pages, lexicon, page_lines
from tinyreader.documents.text import raised, without_surrogates
from tinyreader.errors import DataError, MissingExtraError

_LOCK = threading.Lock()  # PDFium keeps state of its own, which threads must not share

_NO_CHARACTER = re.compile("[\0\x01\x03-\x08\x0e-\x1f\x7f-\x9f\ufffd\ufffe\uffff\ue000-\uf0b6\uf0b8-\uf8ff]")
_WORD = re.compile("[^\\s\x02\xad]+[\x02\xad]?(?:(?<=\xad)[^\\s\x02]+\x02?)*|[\x02\xad]")
_NAME = re.compile(r"[^\W\d_]+")
_LOST = re.compile("[^\\W\\d_]*[\0\ufffd][^\\W\\d_]*")
_LIGATURES = ("fi", "fl", "ff", "ffi", "ffl")
_DIGIT = re.compile("[0-9]")
_RAISABLE = re.compile("[0-9+\\-\u2212()]")
_WIDE_GAP = 1.2
"""A gap of this many line heights separates columns and cells; between words it is some 0.3."""


def pdf_document(raw: bytes, name: str) -> Document:
    """The text of each page, with form values and free-text notes where they stand.

    Raises `DataError` for files that are broken, locked with a password, or hold no text on any page, and
    `MissingExtraError` without the `documents` extra.
    """
    with _LOCK, _opened(raw, name) as pdf:
        reading = _PdfReading(pdf)
        pages = [reading.lines(number) for number in range(len(pdf))]
        forms = list(reading.xfa_values())
        attachments = [pdf.get_attachment(number).get_name() for number in range(pdf.count_attachments())]
    if forms:
        pages[0] = pages[0] + forms
    empty = [number for number, lines in enumerate(pages, 1) if not any(lines)]
    remedy = "Recognise it first, as with: ocrmypdf --force-ocr IN OUT"
    if len(empty) == len(pages):
        raise DataError(
            f"{name} has no text on its {len(pages)} pages: they are empty, images of text, or text whose letters "
            f"the file does not name. {remedy}"
        )
    warnings = []
    if empty:
        numbers = ", ".join(map(str, empty[:20])) + ", ..." * (len(empty) > 20)
        warnings.append(
            f"{len(empty)} of {len(pages)} pages have no text (page {numbers}). If they are scans, recognise "
            "their text first, as with: ocrmypdf IN OUT"
        )
    if reading.n_unnamed:
        warnings.append(
            f"{reading.n_unnamed} characters cannot be read: the file does not say which they are"
        )
    warnings += not_read(reading.n_comments, "comments")
    warnings += not_read(len(attachments), "attachments", f": {', '.join(attachments[:10])}")
    texts = [without_surrogates(text) for text in joined_pages(pages)]
    return in_pages(name, texts, tuple(warnings))


def pdf_page_count(raw: bytes) -> int:
    """The number of pages, without reading them; 0 for a broken file."""
    try:
        with _LOCK, _opened(raw, "") as pdf:
            return len(pdf)
    except (DataError, MissingExtraError):
        return 0


def _opened(raw: bytes, name: str) -> Any:
    """The open PDF; raises `DataError` for one that is broken, locked or has no page."""
    try:
        import pypdfium2
    except ImportError:
        raise MissingExtraError(f"reading {name} (PDF)", "documents") from None
    try:
        pdf = pypdfium2.PdfDocument(raw)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise DataError(
                f"{name} is locked with a password. Unlock it, as with: qpdf --decrypt --password=... IN OUT"
            ) from None
        raise DataError(f"{name} is a broken PDF ({error}). Repair it, as with: qpdf IN OUT") from None
    if len(pdf) == 0:
        pdf.close()
        raise DataError(f"{name} is a broken PDF (it has no pages). Repair it, as with: qpdf IN OUT")
    return pdf


@dataclass(slots=True)
class _Word:
    """A word, where it stands among the page's characters, and its box in points. `is_new_line` where PDFium
    found a line's end before it; `is_unnamed` where the file does not say which characters it has.
    """

    text: str
    start: int
    left: float
    bottom: float
    right: float
    top: float
    is_new_line: bool
    is_unnamed: bool

    @property
    def height(self) -> float:
        return self.top - self.bottom


class _PdfReading:
    """Takes the lines out of the pages of one open PDF, and counts what it did not read."""

    def __init__(self, pdf: Any) -> None:
        import pypdfium2.raw as pdfium

        self._pdf, self._pdfium = pdf, pdfium
        self._rectangle = pdfium.FS_RECTF()
        self.n_unnamed = 0
        self.n_comments = 0
        self._has_fields = pdf.get_formtype() == pdfium.FORMTYPE_ACRO_FORM
        if self._has_fields:
            pdf.init_forms()

    def lines(self, number: int) -> list[str]:
        """The lines of a page; none where its characters are not those that it shows."""
        import pypdfium2

        try:
            page = self._pdf[number]
        except pypdfium2.PdfiumError:
            return []
        try:
            notes = list(self._notes(page))
            textpage = page.get_textpage()
            try:
                pieces = self._pieces(page, textpage)
            finally:
                textpage.close()
        finally:
            page.close()
        return page_lines(pieces, notes)

    def _pieces(self, page: Any, textpage: Any) -> list[Piece]:
        left, bottom, right, top = page.get_cropbox()
        words = list(self._words(textpage))
        n_unnamed = sum(len(word.text) for word in words if word.is_unnamed)
        if n_unnamed * 3 > sum(len(word.text) for word in words):
            names = [name for word in words for name in _NAME.findall(word.text.lower())]
            if 2 * sum(name in lexicon() for name in names) <= len(names):
                return []  # what PDFium makes of the characters are not words
        pieces = []
        for run in _runs(words):
            if not (left - 1 <= run[0].left <= right and bottom - 1 <= run[0].bottom <= top):
                continue  # beyond the edges of the page
            self._raise(textpage, run)
            texts = [word.text for word in self._without_false_blanks(textpage, run)]
            text = _LOST.sub(_with_ligature, " ".join(texts).replace("\uf0b7", "\u2022"))
            self.n_unnamed += len(_NO_CHARACTER.findall(text))
            pieces.append(_piece(_NO_CHARACTER.sub("", text), run))
        return pieces

    def _words(self, textpage: Any) -> Iterator[_Word]:
        """Yield the words of a page in the order of its content. Two boxes a word: one a character would take
        most of the time that reading a page takes.
        """
        pdfium = self._pdfium
        n = textpage.count_chars()
        room = (ctypes.c_ushort * (n + 1))()
        n_read = pdfium.FPDFText_GetText(textpage, 0, n, room)
        text = bytes(room).decode("utf-16-le", errors="surrogatepass")[:n]
        if n_read != n + 1 or len(text) != n:  # signs beyond 16 bits: one by one
            codes = (pdfium.FPDFText_GetUnicode(textpage, place) for place in range(n))
            text = "".join(chr(code) if code < 0x110000 else "\ufffd" for code in codes)
        # U+FFFE here stands for more than one thing: a hyphen at a line's end, a character without a name
        text = re.sub("\ufffe", lambda found: chr(pdfium.FPDFText_GetUnicode(textpage, found.start())), text)
        end = 0
        for found in _WORD.finditer(text):
            start, before = found.start(), text[end : found.start()]
            end = found.end()
            left, bottom, right, top = self._box(textpage, start)
            if end - start > 1:
                _, low, right, high = self._box(textpage, end - 1)
                bottom, top = min(bottom, low), max(top, high)
            is_new_line = "\n" in before or "\r" in before
            is_unnamed = pdfium.FPDFText_HasUnicodeMapError(textpage, start) == 1
            is_unnamed = is_unnamed or _NO_CHARACTER.search(found[0]) is not None
            yield _Word(found[0], start, left, bottom, right, top, is_new_line, is_unnamed)

    def _box(self, textpage: Any, place: int) -> tuple[float, float, float, float]:
        """Left, bottom, right and top of a character, with the room that its font gives to every letter."""
        box = self._rectangle
        self._pdfium.FPDFText_GetLooseCharBox(textpage, place, box)
        return box.left, box.bottom, box.right, box.top

    def _raise(self, textpage: Any, run: list[_Word]) -> None:
        """Raise the digits that are smaller than their line and stand above its floor."""
        height = median(word.height for word in run)
        floor = median(word.bottom for word in run)
        for word in run:
            if not _DIGIT.search(word.text):
                continue
            boxes = [self._box(textpage, word.start + place) for place in range(len(word.text))]
            if len(run) == 1:
                height = max(top - bottom for _, bottom, _, top in boxes)
                floor = min(bottom for _, bottom, *_ in boxes)
            are_raised = [
                _RAISABLE.match(sign) is not None
                and top - bottom < 0.85 * height
                and bottom > floor + 0.12 * height
                for sign, (_, bottom, _, top) in zip(word.text, boxes, strict=True)
            ]
            groups = groupby(zip(word.text, are_raised, strict=True), key=lambda pair: pair[1])
            parts = [("".join(sign for sign, _ in group), is_raised) for is_raised, group in groups]
            word.text = "".join(raised(part) if is_raised else part for part, is_raised in parts)

    def _without_false_blanks(self, textpage: Any, run: list[_Word]) -> list[_Word]:
        """The words, those joined whose letters stand at equal distances, whatever their width: PDFium takes
        the room beside a narrow letter for a blank.
        """
        if 2 * sum(len(word.text) == 1 for word in run) < len(run) or sum(len(word.text) for word in run) < 6:
            return run
        lefts = [[self._box(textpage, word.start + n)[0] for n in range(len(word.text))] for word in run]
        steps = [after - before for before, after in pairwise(chain.from_iterable(lefts))]
        pitch = min(steps)
        if pitch <= 0 or any(abs(step / pitch - round(step / pitch)) > 0.05 for step in steps):
            return run
        joined = [run[0]]
        for (before, after), word in zip(pairwise(lefts), run[1:], strict=True):
            if after[0] - before[-1] < 1.5 * pitch:
                joined[-1].text += word.text
            else:
                joined.append(word)
        return joined

    def _notes(self, page: Any) -> Iterator[Piece]:
        """Yield form values and free-text notes with their places; other comments are counted."""
        pdfium, box = self._pdfium, self._pdfium.FS_RECTF()
        for number in range(pdfium.FPDFPage_GetAnnotCount(page)):
            note = pdfium.FPDFPage_GetAnnot(page, number)
            kind = pdfium.FPDFAnnot_GetSubtype(note)
            text = ""
            if kind == pdfium.FPDF_ANNOT_WIDGET:
                text = self._field_value(note)
            elif kind == pdfium.FPDF_ANNOT_FREETEXT:
                text = self._string(note, b"Contents")
            elif kind not in (pdfium.FPDF_ANNOT_LINK, pdfium.FPDF_ANNOT_POPUP):
                self.n_comments += bool(self._string(note, b"Contents"))
            text = " ".join(text.split())
            if text and pdfium.FPDFAnnot_GetRect(note, box):
                yield Piece(text, box.left, box.bottom, box.right, box.top)
            pdfium.FPDFPage_CloseAnnot(note)

    def _field_value(self, note: Any) -> str:
        pdfium = self._pdfium
        if not self._has_fields:
            return self._string(note, b"V")
        form = self._pdf.formenv
        kind = pdfium.FPDFAnnot_GetFormFieldType(form, note)
        if kind in (pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON):
            return "\u2612" if pdfium.FPDFAnnot_IsChecked(form, note) else "\u2610"
        if kind in (pdfium.FPDF_FORMFIELD_PUSHBUTTON, pdfium.FPDF_FORMFIELD_SIGNATURE):
            return ""
        return _utf16(lambda *to: pdfium.FPDFAnnot_GetFormFieldValue(form, note, *to))

    def _string(self, note: Any, key: bytes) -> str:
        return _utf16(lambda *to: self._pdfium.FPDFAnnot_GetStringValue(note, key, *to))

    def xfa_values(self) -> Iterator[str]:
        """Yield "field: value" for the data of an XFA form, whose pages show none of it."""
        from lxml import etree

        pdfium, pdf = self._pdfium, self._pdf
        for number in range(max(0, pdfium.FPDF_GetXFAPacketCount(pdf))):
            size = ctypes.c_ulong()
            name = ctypes.create_string_buffer(64)
            pdfium.FPDF_GetXFAPacketName(pdf, number, name, 64)
            if name.value not in (b"", b"datasets"):
                continue
            pdfium.FPDF_GetXFAPacketContent(pdf, number, None, 0, size)
            content = ctypes.create_string_buffer(size.value)
            pdfium.FPDF_GetXFAPacketContent(pdf, number, content, size.value, size)
            parser = etree.XMLParser(resolve_entities=False, recover=True, no_network=True)
            root = etree.fromstring(content.raw, parser) if content.raw.strip(b"\0 \n") else None
            if root is None:
                continue
            data = next(root.iter("{*}datasets"), root)
            for node in data.iter(etree.Element):
                if len(node) == 0 and (node.text or "").strip():
                    yield f"{etree.QName(node).localname}: {' '.join(node.text.split())}"


def _runs(words: Iterable[_Word]) -> Iterator[list[_Word]]:
    """Yield the words in runs: parted at line ends, which a raised digit is not, and at wide gaps."""
    run: list[_Word] = []
    for word in words:
        if run:
            last = run[-1]
            height = max(word.height, last.height)
            overlap = min(word.top, last.top) - max(word.bottom, last.bottom)
            gap = word.left - last.right
            is_beside = overlap > 0.25 * min(word.height, last.height)
            follows = is_beside and abs(gap) < 0.5 * height
            is_apart = is_beside and gap > _WIDE_GAP * height
            is_broken = last.text[-1] in "\x02\xad" and not is_beside
            if is_apart or is_broken or (word.is_new_line and not follows):
                yield run
                run = []
        run.append(word)
    if run:
        yield run


def _piece(text: str, run: list[_Word]) -> Piece:
    return Piece(
        text[:-1].replace("\xad", "") + text[-1:],
        min(word.left for word in run),
        min(word.bottom for word in run),
        max(word.right for word in run),
        max(word.top for word in run),
    )


def _with_ligature(found: re.Match[str]) -> str:
    """A word with the one ligature in place of an unnamed sign that makes a word of it; else as it is."""
    known = [
        word
        for ligature in _LIGATURES
        if (word := re.sub("[\0\ufffd]", ligature, found[0])).lower() in lexicon()
    ]
    return known[0] if len(known) == 1 else found[0]


def _utf16(read: Any) -> str:
    """A string of PDFium's, which says its size in bytes when it is given no room."""
    size = read(None, 0)
    room = ctypes.create_string_buffer(size)
    read(ctypes.cast(room, ctypes.POINTER(ctypes.c_ushort)), size)
    return room.raw[: max(0, size - 2)].decode("utf-16-le", errors="replace")
