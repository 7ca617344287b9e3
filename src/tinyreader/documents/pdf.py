"""PDF becomes text, page by page."""

from __future__ import annotations

import io
import logging

from tinyreader.documents.document import Document, in_pages
from tinyreader.documents.text import without_surrogates
from tinyreader.errors import DataError, MissingExtraError

log = logging.getLogger(__name__)


def pdf_document(raw: bytes, name: str) -> Document:
    return in_pages(name, pdf_pages(raw, name))


def pdf_pages(raw: bytes, name: str) -> list[str]:
    """The text of each page, empty where a page has none.

    Raises `DataError` for files that are broken, locked with a password, or hold no text on any page, and
    `MissingExtraError` without the `documents` extra.
    """
    try:
        import pypdf
        from pypdf.errors import DependencyError
    except ImportError:
        raise MissingExtraError(f"reading {name} (PDF)", "documents") from None
    try:
        reader = pypdf.PdfReader(io.BytesIO(raw))
        if reader.is_encrypted and not reader.decrypt(
            ""
        ):  # many are locked against printing only: the password is empty
            raise DataError(
                f"{name} is locked with a password. Unlock it, as with: qpdf --decrypt --password=... IN OUT"
            )
        pages = [without_surrogates(page.extract_text().replace("\0", "")) for page in reader.pages]
    except DataError:
        raise
    except DependencyError:
        raise MissingExtraError(f"reading {name} (an encrypted PDF)", "documents") from None
    except (
        Exception
    ) as error:  # broken files end in whatever the parser met: KeyError, RecursionError, its own
        reason = " ".join(f"{type(error).__name__} {error}".split())[:120]
        raise DataError(f"{name} is a broken PDF ({reason}). Repair it, as with: qpdf IN OUT") from None
    empty = [number for number, text in enumerate(pages, 1) if not text.strip()]
    if len(empty) == len(pages):
        raise DataError(
            f"{name} has no text on its {len(pages)} pages: they are empty, or images of text. Recognise it "
            "first, as with: "
            "ocrmypdf IN OUT"
        )
    if empty:
        log.warning(
            "%s: %d of %d pages have no text, the first is page %d", name, len(empty), len(pages), empty[0]
        )
    return pages
