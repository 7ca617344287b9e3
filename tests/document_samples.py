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
    return pdf_made([shown((50, 700, words)) if words else "" for words in pages])


def shown(*lines: tuple[float, float, str], size: int = 12) -> str:
    """The content of a page that shows these words at x and y."""
    return "\n".join(f"BT /F1 {size} Tf {x} {y} Td ({words}) Tj ET" for x, y, words in lines)


def pdf_made(
    contents: Sequence[str],
    *objects: str,
    catalog: str = "",
    page: str = "",
    font: str = "/BaseFont /Helvetica",
) -> bytes:
    """A PDF whose pages have these contents. Of `objects`, which `catalog`, `page` and `font` can refer to, the
    first has number 4.
    """
    made = [
        f"<< /Type /Catalog /Pages 2 0 R {catalog} >>",
        "",
        f"<< /Type /Font /Subtype /Type1 {font} >>",
        *objects,
    ]
    kids = []
    for content in contents:
        made.append(stream(content))
        made.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents {len(made)} 0 R "
            f"/Resources << /Font << /F1 3 0 R >> >> {page} >>"
        )
        kids.append(f"{len(made)} 0 R")
    made[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    out, places = io.BytesIO(b"%PDF-1.4\n"), []
    out.seek(0, io.SEEK_END)
    for number, content in enumerate(made, 1):
        places.append(out.tell())
        out.write(f"{number} 0 obj\n{content}\nendobj\n".encode("latin-1"))
    table = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(made) + 1))
    out.writelines(b"%010d 00000 n \n" % place for place in places)
    out.write(b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(made) + 1, table))
    return out.getvalue()


def stream(content: str) -> str:
    """A PDF stream of that content."""
    return f"<< /Length {len(content.encode('latin-1'))} >>\nstream\n{content}\nendstream"


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
