"""Files made for tests of `documents`."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence


def zipped(parts: Mapping[str, str]) -> bytes:
    """A ZIP file of these parts, as Office files and books are."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in parts.items():
            archive.writestr(path, text)
    return out.getvalue()


def pdf_of(pages: Sequence[str]) -> bytes:
    """The smallest PDF that shows these lines, one a page."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    kids = []
    for words in pages:
        stream = f"BT /F1 12 Tf 50 700 Td ({words}) Tj ET".encode() if words else b""
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % len(objects)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    out, places = io.BytesIO(b"%PDF-1.4\n"), []
    out.seek(0, io.SEEK_END)
    for number, content in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, content))
    table = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.writelines(b"%010d 00000 n \n" % place for place in places)
    out.write(b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table))
    return out.getvalue()


def docx_bytes() -> bytes:
    """A document of a heading, a paragraph and a table whose first row is one cell."""
    import docx

    document, out = docx.Document(), io.BytesIO()
    document.add_heading("The mill")
    document.add_paragraph("It was built in 1823.")
    table = document.add_table(2, 2)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "Height"
    table.cell(1, 0).text, table.cell(1, 1).text = "in metres", "31"
    document.add_paragraph("It burnt.")
    document.save(out)
    return out.getvalue()
