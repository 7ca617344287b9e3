"""Office files become text: DOCX and PPTX (Office Open XML), ODT, ODP and ODS (OpenDocument).

Elements are told apart by their local names, which Word and PowerPoint share: p, r, t, tbl, tr, tc. Whatever is
not known is transparent, so words inside content controls, tracked insertions or any wrapper to come are read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from tinyreader.documents.archive import Archive
from tinyreader.documents.document import Document, in_pages, not_read
from tinyreader.documents.text import raised, without_surrogates

# What is not part of the text: deletions, the old place of what was moved, instructions of fields, the second
# version of a drawing
_LEFT_OUT = {"del", "moveFrom", "delText", "instrText", "delInstrText", "Fallback", "rPr", "pPr", "sectPr"}
_SIGNS = {"tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_UNREAD = {
    "pic": "pictures",
    "imagedata": "pictures",
    "chart": "charts",
    "OLEObject": "embedded objects",
    "oleObj": "embedded objects",
    "altChunk": "embedded documents",
    "commentReference": "comments",
    "image": "pictures",
    "annotation": "comments",
    "object": "embedded objects",
}
_WINGDINGS = {"F0FE": "\u2612", "F0A8": "\u2610", "F06F": "\u2610", "F0FC": "\u2713", "F0B7": "\u2022"}


def docx_document(raw: bytes, name: str) -> Document:
    """A Word file: headers, paragraphs with a blank line between, tables with a line for each row and tabs
    between cells, footers. Changes count as accepted; notes and text boxes follow their paragraph; hidden text
    is left out. Raises `DataError` for damaged and locked files.
    """
    archive = Archive(raw, name, "DOCX")
    main = next(
        (path for kind, path in archive.relations("").values() if kind == "officeDocument"),
        "word/document.xml",
    )
    root = archive.tree(main)
    if root is None:
        raise archive.damaged(KeyError(main))
    walk, relations = _Walk(archive), archive.relations(main)
    walk.hidden_styles = _hidden_styles(archive, relations)
    for kind in ("footnote", "endnote"):
        for path in _paths(relations, f"{kind}s"):
            for note in _elements(archive.tree(path)):
                walk.notes[kind, _value(note, "id")] = note
    edges = {
        kind: [block for path in _paths(relations, kind) for block in walk.blocks(archive.tree(path))]
        for kind in ("header", "footer")
    }
    blocks = [*dict.fromkeys(edges["header"]), *walk.blocks(root), *walk.diagrams(relations)]
    blocks += dict.fromkeys(edges["footer"])
    return Document(name, without_surrogates("\n\n".join(blocks)), warnings=walk.warnings())


def pptx_document(raw: bytes, name: str) -> Document:
    """A presentation: a page for each slide, with its notes behind. Raises `DataError` for damaged files."""
    archive = Archive(raw, name, "PPTX")
    root = archive.tree("ppt/presentation.xml")
    if root is None:
        raise archive.damaged(KeyError("ppt/presentation.xml"))
    walk, slides, pages = _Walk(archive), archive.relations("ppt/presentation.xml"), []
    for slide_id in _of_kind(root, "sldId"):
        path = next((slides[key][1] for key in slide_id.attrib.values() if key in slides), "")
        slide = archive.tree(path)
        if slide is None:
            walk.unread["missing slides"] += 1
        elif slide.get("show") == "0":
            walk.unread["hidden slides"] += 1
        else:
            relations = archive.relations(path)
            blocks = [*walk.blocks(slide), *walk.diagrams(relations)]
            for notes in _paths(relations, "notesSlide"):
                blocks += walk.blocks(archive.tree(notes))
            walk.unread["comments"] += len(_paths(relations, "comments"))
            pages.append(without_surrogates("\n\n".join(blocks)))
    return in_pages(name, pages, walk.warnings())


class _Walk:
    """Takes the text out of the parts of one Office Open XML file, and counts what it did not read."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self.unread: Counter[str] = Counter()
        self.notes: dict[tuple[str, str], Any] = {}
        self.hidden_styles: set[str] = set()
        self._before = ""  # text of a paragraph whose end was deleted: the next one continues it

    def warnings(self) -> tuple[str, ...]:
        """What was not read, and how much of it."""
        return _unread_warnings(self.unread)

    def blocks(self, node: Any) -> Iterator[str]:
        """Yield the paragraphs and tables below an element."""
        for child in _elements(node):
            kind = _kind(child)
            if kind == "p":
                yield from self._paragraph(child)
            elif kind == "tbl":
                if table := "\n".join(self._rows(child)):
                    yield table
            elif kind in _UNREAD:
                self.unread[_UNREAD[kind]] += 1
            elif kind not in _LEFT_OUT and not (kind == "sp" and _is_number_or_image(child)):
                yield from self.blocks(child)

    def diagrams(self, relations: dict[str, tuple[str, str]]) -> Iterator[str]:
        """Yield the words of SmartArt."""
        for path in _paths(relations, "diagramData"):
            yield from self.blocks(self._archive.tree(path))

    def _paragraph(self, node: Any) -> Iterator[str]:
        parts: list[str] = [self._before]
        behind: list[str] = []
        self._before = ""
        style = _value(_child(node, "pPr", "pStyle"), "val")
        self._inline(node, parts, behind, style in self.hidden_styles)
        text = "".join(parts)
        if _child(node, "pPr", "rPr", "del") is not None:
            self._before = text
        elif text.strip():
            yield text.strip()
        yield from behind

    def _inline(self, node: Any, parts: list[str], behind: list[str], is_hidden: bool) -> None:
        """Add the words below an element to `parts`, and to `behind` the blocks that follow the paragraph."""
        for child in _elements(node):
            kind = _kind(child)
            if kind == "t":
                if not is_hidden:
                    parts.append(child.text or "")
            elif kind in _SIGNS:
                if not is_hidden:
                    parts.append(_SIGNS[kind])
            elif kind in _LEFT_OUT or (kind == "fld" and child.get("type") == "slidenum"):
                continue
            elif kind == "r":
                self._run(child, parts, behind, is_hidden)
            elif kind in ("p", "tbl", "txbxContent"):
                behind += self.blocks([child])
            elif kind in ("footnoteReference", "endnoteReference"):
                note = self.notes.pop((kind.removesuffix("Reference"), _value(child, "id")), None)
                behind += [] if note is None else self.blocks(note)
            elif kind in _UNREAD:
                self.unread[_UNREAD[kind]] += 1
            elif kind == "sym":
                sign = _value(child, "char").upper()
                parts.append(_WINGDINGS.get(sign, ""))
                self.unread["symbols of special fonts"] += sign not in _WINGDINGS
            elif kind == "fldChar":
                parts.append(_form_value(child))
            else:
                self._structure(child, kind, parts, behind, is_hidden)

    def _run(self, run: Any, parts: list[str], behind: list[str], is_hidden: bool) -> None:
        properties = _child(run, "rPr")
        vanish = _child(properties, "vanish")
        if vanish is not None:
            is_hidden = _is_on(vanish)
        elif _value(_child(properties, "rStyle"), "val") in self.hidden_styles:
            is_hidden = True
        own: list[str] = []
        self._inline(run, own, behind, is_hidden)
        baseline = _value(properties, "baseline")  # of PowerPoint, in thousandths of a line
        if _value(_child(properties, "vertAlign"), "val") == "superscript" or baseline[:1] in set(
            "123456789"
        ):
            own = [raised("".join(own))]
        parts += own

    def _structure(self, node: Any, kind: str, parts: list[str], behind: list[str], is_hidden: bool) -> None:
        """Formulas, ruby, and every wrapper."""

        def inside(*path: str) -> str:
            found: list[str] = []
            self._inline(_child(node, *path), found, behind, is_hidden)
            return "".join(found)

        if kind == "sSup":
            parts.append(inside("e") + raised(inside("sup")))
        elif kind == "f" and _child(node, "num") is not None:
            parts.append(f"{inside('num')}/{inside('den')}")
        elif kind == "rad":
            parts.append(f"{raised(inside('deg'))}√{inside('e')}")
        elif kind == "d" and _child(node, "e") is not None:
            signs = _child(node, "dPr")
            begin, end = (_child(signs, sign) for sign in ("begChr", "endChr"))
            left = "(" if begin is None else _value(begin, "val")
            right = ")" if end is None else _value(end, "val")
            parts.append(left)
            self._inline(node, parts, behind, is_hidden)
            parts.append(right)
        elif kind == "ruby":
            parts.append(f"{inside('rubyBase')}({inside('rt')})")
        else:
            self._inline(node, parts, behind, is_hidden)

    def _rows(self, table: Any) -> Iterator[str]:
        """Yield a line for each row; a cell over several columns is given once, below a cell over several rows
        stands an empty one.
        """
        for row in _of_kind(table, "tr"):
            if _child(row, "trPr", "del") is not None:
                continue
            cells = []
            for cell in _of_kind(row, "tc"):
                if cell.get("hMerge") == "1":
                    continue
                merge = _child(cell, "tcPr", "vMerge")
                is_below = cell.get("vMerge") == "1" or (
                    merge is not None and _value(merge, "val") in ("", "continue")
                )
                cells.append("" if is_below else " ".join(" ".join(self.blocks(cell)).split()))
            if any(cells):
                yield "\t".join(cells)


def _unread_warnings(unread: Counter[str]) -> tuple[str, ...]:
    return tuple(warning for things, n in unread.items() for warning in not_read(n, things))


def _kind(node: Any) -> str:
    return str(node.tag).rpartition("}")[2]


def _elements(node: Any) -> Iterable[Any]:
    """The child elements; of alternatives the first; none of None."""
    if node is None:
        return ()
    return (child for child in node if isinstance(child.tag, str))


def _child(node: Any, *path: str) -> Any:
    """The first element down a path of local names; None where there is none."""
    for kind in path:
        node = next((child for child in _elements(node) if _kind(child) == kind), None)
    return node


def _value(node: Any, attribute: str) -> str:
    """An attribute by its local name; "" where there is none."""
    if node is None:
        return ""
    return next((value for key, value in node.attrib.items() if key.rpartition("}")[2] == attribute), "")


def _is_on(switch: Any) -> bool:
    """Whether an element such as w:vanish is there and not switched off."""
    return switch is not None and _value(switch, "val") not in ("0", "false", "off")


def _of_kind(node: Any, kind: str) -> Iterator[Any]:
    """Yield the nearest elements of a kind below `node`, inside whatever wrappers."""
    for child in _elements(node):
        if _kind(child) == kind:
            yield child
        elif _kind(child) not in _LEFT_OUT:
            yield from _of_kind(child, kind)


def _paths(relations: dict[str, tuple[str, str]], kind: str) -> list[str]:
    return [path for own, path in relations.values() if own == kind]


def _hidden_styles(archive: Archive, relations: dict[str, tuple[str, str]]) -> set[str]:
    return {
        _value(style, "styleId")
        for path in _paths(relations, "styles")
        for style in _of_kind(archive.tree(path), "style")
        if _is_on(_child(style, "rPr", "vanish"))
    }


def _is_number_or_image(shape: Any) -> bool:
    """Whether a shape of a slide only shows the slide's number or, on a page of notes, the slide."""
    return _value(next(_of_kind(shape, "ph"), None), "type") in ("sldNum", "sldImg")


def _form_value(field: Any) -> str:
    """The state of an old form field: a box, or the entry that is chosen."""
    box, choice = _child(field, "ffData", "checkBox"), _child(field, "ffData", "ddList")
    if box is not None:
        state = _child(box, "checked")
        state = _child(box, "default") if state is None else state
        return "\u2612" if _is_on(state) else "\u2610"
    if choice is not None:
        entries = [_value(entry, "val") for entry in _elements(choice) if _kind(entry) == "listEntry"]
        chosen = _value(_child(choice, "result"), "val")
        return (
            entries[int(chosen)] if chosen.isdigit() and int(chosen) < len(entries) else "".join(entries[:1])
        )
    return ""


def odf_document(raw: bytes, name: str) -> Document:
    """An OpenDocument text, presentation or sheet: paragraphs, and a line for each table row. Raises
    `DataError` for damaged and locked files.
    """
    archive = Archive(raw, name, "OpenDocument")
    if b"encryption-data" in (archive.part("META-INF/manifest.xml") or b""):
        raise archive.locked()
    root = archive.tree("content.xml")
    if root is None:
        raise archive.damaged(KeyError("content.xml"))
    walk = _OdfWalk(root, archive.tree("styles.xml"))
    pages = list(_of_kind(root, "page"))
    if pages:
        return in_pages(name, ["\n\n".join(walk.blocks(page)) for page in pages], walk.warnings())
    text = "\n\n".join(walk.blocks(_child(root, "body")))
    return Document(name, without_surrogates(text), warnings=walk.warnings())


class _OdfWalk:
    """Takes the text out of an OpenDocument file, where words and elements stand side by side."""

    def __init__(self, root: Any, styles: Any) -> None:
        self._unread: Counter[str] = Counter()
        self._raised: set[str] = set()
        self._hidden: set[str] = set()
        for tree in (root, styles):
            for style in () if tree is None else _of_kind(tree, "style"):
                look = _child(style, "text-properties")
                if _value(look, "text-position").startswith(("super", "1", "2", "3", "4", "5", "6")):
                    self._raised.add(_value(style, "name"))
                if _value(look, "display") == "none":
                    self._hidden.add(_value(style, "name"))

    def warnings(self) -> tuple[str, ...]:
        """What was not read, and how much of it."""
        return _unread_warnings(self._unread)

    def blocks(self, node: Any) -> Iterator[str]:
        """Yield the paragraphs and tables below an element."""
        for child in _elements(node):
            kind = _kind(child)
            if kind in ("p", "h"):
                behind: list[str] = []
                if text := self._inline(child, behind).strip():
                    yield text
                yield from behind
            elif kind == "table":
                if table := "\n".join(self._rows(child)):
                    yield table
            elif kind in _UNREAD:
                self._unread[_UNREAD[kind]] += 1
            elif kind not in ("tracked-changes", "forms", "settings"):
                yield from self.blocks(child)

    def _inline(self, node: Any, behind: list[str]) -> str:
        parts = [node.text or ""]
        for child in _elements(node):
            kind = _kind(child)
            if kind == "s":
                n = _value(child, "c")
                parts.append(" " * (min(int(n), 1000) if n.isdigit() else 1))
            elif kind in ("tab", "line-break"):
                parts.append("\t" if kind == "tab" else "\n")
            elif kind == "note":
                behind += self.blocks(_child(child, "note-body"))
            elif kind in ("frame", "custom-shape", "text-box"):
                behind += self.blocks([child])
            elif kind in _UNREAD:
                self._unread[_UNREAD[kind]] += 1
            elif kind == "ruby":
                base, text = (_child(child, f"ruby-{part}") for part in ("base", "text"))
                parts.append("".join(self._inline(base, behind)) if base is not None else "")
                parts.append(f"({self._inline(text, behind)})" if text is not None else "")
            elif kind != "hidden-text" and _value(child, "style-name") not in self._hidden:
                text = self._inline(child, behind)
                parts.append(raised(text) if _value(child, "style-name") in self._raised else text)
            parts.append(child.tail or "")
        return "".join(parts)

    def _rows(self, table: Any) -> Iterator[str]:
        for row in _of_kind(table, "table-row"):
            cells: list[str] = []
            for cell in _elements(row):
                if _kind(cell) not in ("table-cell", "covered-table-cell"):
                    continue
                text = " ".join(" ".join(self.blocks(cell)).split())
                n = _value(cell, "number-columns-repeated")
                cells += [text] * (min(int(n), 100) if n.isdigit() else 1)
            if any(cells):
                yield "\t".join(cells).rstrip("\t")
