"""A collection's texts, passages and fingerprints in one SQLite file: changed all at once, or not at all."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tinyreader.documents import Document
from tinyreader.errors import DataError

NAME = "documents.sqlite"
FORMAT = 2  # 2: words are stemmed

_TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    seen_ns INTEGER NOT NULL, fingerprint TEXT NOT NULL, problem TEXT, text TEXT NOT NULL, pages TEXT NOT NULL,
    places TEXT NOT NULL, words BLOB NOT NULL
) STRICT;
"""


@dataclass(frozen=True, slots=True)
class FileState:
    """What a file looked like when it was read: size (bytes), times (nanoseconds), and a hash of its
    content.
    """

    size: int
    mtime_ns: int
    seen_ns: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the folder: how it looked, its document, or why there is none, and its passages with their
    words.
    """

    state: FileState
    document: Document
    problem: str | None = None
    places: tuple[tuple[int, int], ...] = ()
    words: tuple[Sequence[str], ...] = ()


class Store:
    """The SQLite file in an index directory. Every operation opens it, so threads and processes may
    share it.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME

    @property
    def generation(self) -> int:
        """The number of the index that belongs to the texts; 0 where there is none yet."""
        if not self.path.is_file():
            return 0
        with self._open() as connection:
            return self._fact(connection, "generation")

    def documents(self, ids: Sequence[int]) -> dict[int, Document]:
        """The documents of these rows; rows that are gone are left out."""
        found = {}
        with self._open() as connection:
            for row in dict.fromkeys(ids):
                query = "SELECT name, text, pages FROM documents WHERE id = ?"
                for name, text, pages in connection.execute(query, (row,)):
                    found[row] = Document(name, text, tuple(json.loads(pages)))
        return found

    def document(self, name: str) -> Document | None:
        """The document of that name, or None."""
        with self._open() as connection:
            query = "SELECT name, text, pages FROM documents WHERE name = ? AND problem IS NULL"
            for found, text, pages in connection.execute(query, (name,)):
                return Document(found, text, tuple(json.loads(pages)))
        return None

    def counts(self) -> tuple[int, int]:
        """How many documents there are, and how many files could not be read."""
        with self._open() as connection:
            query = "SELECT count(*) FILTER (WHERE problem IS NULL), count(*) FILTER (WHERE problem IS NOT NULL) FROM documents"
            good, bad = next(connection.execute(query))
            return good, bad

    @contextmanager
    def change(self) -> Iterator[Change]:
        """Yield a transaction: committed when the block ends well, rolled back when it raises."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._open(write=True) as connection:
            connection.executescript(_TABLES)
            connection.execute("BEGIN IMMEDIATE")
            try:
                held = self._fact(connection, "format")
                if held not in (0, FORMAT):
                    raise DataError(
                        f"{self.path} was written by another version of Tinyreader. Delete it, and the folder is indexed again."
                    )
                yield Change(connection)
                connection.execute("INSERT OR REPLACE INTO facts VALUES ('format', ?)", (FORMAT,))
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _open(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        try:
            mode = "rwc" if write else "rw"
            with closing(
                sqlite3.connect(f"{self.path.absolute().as_uri()}?mode={mode}", uri=True, timeout=60.0)
            ) as connection:
                connection.isolation_level = None
                if write:
                    connection.execute("PRAGMA journal_mode = WAL")
                yield connection
        except sqlite3.Error as error:
            raise DataError(
                f"{self.path} cannot be used: {error}. Delete it, and the folder is indexed again."
            ) from None

    @staticmethod
    def _fact(connection: sqlite3.Connection, name: str) -> int:
        for (value,) in connection.execute("SELECT value FROM facts WHERE name = ?", (name,)):
            return int(value)
        return 0


class Change:
    """A store's documents while they are changed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def states(self) -> dict[str, FileState]:
        """How each file looked, by name."""
        query = "SELECT name, size, mtime_ns, seen_ns, fingerprint FROM documents"
        return {name: FileState(*state) for name, *state in self._connection.execute(query)}

    def put(self, entry: Entry) -> None:
        """Adds a file, replacing any of that name."""
        state, document = entry.state, entry.document
        self.remove(document.id)
        words = zlib.compress("\n".join(" ".join(words) for words in entry.words).encode(), 1)
        self._connection.execute(
            "INSERT INTO documents (name, size, mtime_ns, seen_ns, fingerprint, problem, text, pages, "
            "places, words) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                document.id,
                state.size,
                state.mtime_ns,
                state.seen_ns,
                state.fingerprint,
                entry.problem,
                document.text,
                json.dumps(document.pages),
                json.dumps(entry.places),
                words,
            ),
        )

    def touch(self, name: str, state: FileState) -> None:
        """Notes the new size and times of a file whose content is the same."""
        query = "UPDATE documents SET size = ?, mtime_ns = ?, seen_ns = ? WHERE name = ?"
        self._connection.execute(query, (state.size, state.mtime_ns, state.seen_ns, name))

    def remove(self, name: str) -> None:
        """Removes a file."""
        self._connection.execute("DELETE FROM documents WHERE name = ?", (name,))

    def passages(self) -> Iterator[tuple[int, int, int, list[str]]]:
        """Yield row, begin, end and words of every passage, by name of the document and place."""
        for row, places, words in self._connection.execute(
            "SELECT id, places, words FROM documents ORDER BY name"
        ):
            lines = zlib.decompress(words).decode().split("\n")
            for (begin, end), line in zip(json.loads(places), lines, strict=False):
                yield row, begin, end, line.split()

    def set_generation(self, number: int) -> None:
        """Notes which index belongs to the texts."""
        self._connection.execute("INSERT OR REPLACE INTO facts VALUES ('generation', ?)", (number,))
