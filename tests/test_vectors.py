"""Files of word vectors: the formats, what can be wrong with them, and the cache."""

from __future__ import annotations

import gzip
import json
import logging
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyreader import storage
from tinyreader.augment import vectors
from tinyreader.augment.vectors import VectorNotes, Vectors, load_vectors
from tinyreader.errors import DataError

ROWS = {
    "the": [1.0, 2.0, 2.0],
    "bridge": [0.0, -3.0, 4.0],
    "naïve": [0.5, 0.25, 1.0],
    "Ελλάδα": [1e-3, 0.0, 0.0],
}
UNIT = np.array(
    [[1 / 3, 2 / 3, 2 / 3], [0, -0.6, 0.8], [0.4364358, 0.2182179, 0.8728716], [1, 0, 0]], dtype=np.float32
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache directory, of each test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tinyreader"


def glove(rows: Any = ROWS) -> bytes:
    """The rows in GloVe's format."""
    pairs = rows.items() if isinstance(rows, dict) else rows
    return "".join(f"{word} {' '.join(map(str, values))}\n" for word, values in pairs).encode()


def text(rows: Any = ROWS) -> bytes:
    """The rows in word2vec's text format; its own program writes a blank at the end of each line."""
    return f"{len(rows)} {len(next(iter(rows.values())))}\n".encode() + glove(rows).replace(b"\n", b" \n")


WRITERS: tuple[Callable[[Any], bytes], ...] = (glove, text)


def load(tmp_path: Path, content: bytes, name: str = "vectors") -> Vectors:
    """The vectors in a file with that content."""
    (tmp_path / name).write_bytes(content)
    return load_vectors(tmp_path / name)


def kept(cache: Path) -> list[Path]:
    """The entries of the cache, without its lock."""
    return [path for path in (cache / vectors._FOLDER).iterdir() if path.name != ".lock"]


def complaint(tmp_path: Path, content: bytes) -> str:
    """What is said of a file with that content, which leaves nothing in the cache."""
    with pytest.raises(DataError) as caught:
        load(tmp_path, content, "bad")
    assert str(tmp_path / "bad") in str(caught.value)
    assert [
        p
        for p in tmp_path.rglob("*")
        if p.name not in ("bad", "cache", "tinyreader", ".lock", vectors._FOLDER)
    ] == []
    return str(caught.value)


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("write", WRITERS, ids=lambda w: w.__name__)
def test_every_format_gives_the_same(tmp_path: Path, write: Callable[[Any], bytes], compress: bool) -> None:
    """Words in order with rows of length 1, whatever the format and the name; then the same again from the
    cache.
    """
    content = gzip.compress(write(ROWS)) if compress else write(ROWS)
    for _ in range(2):
        read = load(tmp_path, content, "any.name")
        assert list(read.words) == list(ROWS)
        assert read.unit.dtype == np.float32
        np.testing.assert_allclose(read.unit, UNIT, atol=1e-6)
        assert read.notes == VectorNotes(read=4)
        assert str(read.notes) == "4 vectors read"


@pytest.mark.parametrize("write", WRITERS, ids=lambda w: w.__name__)
@pytest.mark.parametrize("word", ["w\x0c:", "w\x0c0", "w\x0b1", "w\x1c2", "w\xa03", "w\x854"])
def test_only_blanks_and_tabs_separate(tmp_path: Path, word: str, write: Callable[[Any], bytes]) -> None:
    """Form feeds and other white space are part of the word they stand in, in the first row too."""
    (tmp_path / "v").write_bytes(write({word: [1.0, 2.0], "b": [0.5, 1.0]}))
    [(words, values)] = vectors.read_blocks(tmp_path / "v")
    assert [w.decode() for w in words] == [word, "b"]
    assert values.tolist() == [[1.0, 2.0], [0.5, 1.0]]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Any words with any numbers come back in order, in every format, and in blocks of any size."""
    word = st.text(
        st.characters(blacklist_characters=" \t\r\n\0", blacklist_categories=("Cs",)), min_size=1, max_size=5
    )
    words = data.draw(st.lists(word.map(lambda w: f"w{w}"), min_size=1, max_size=12, unique=True))
    width = data.draw(st.integers(2, 4))
    number = st.floats(-4, 4, width=32).filter(lambda x: x == 0 or abs(x) > 1e-30)
    # a first value that is not zero, so that no row is
    values = [
        [
            data.draw(st.floats(1, 4, width=32)),
            *data.draw(st.lists(number, min_size=width - 1, max_size=width - 1)),
        ]
        for _ in words
    ]
    rows = dict(zip(words, values, strict=True))
    write = data.draw(st.sampled_from(WRITERS))
    path = tmp_path_factory.mktemp("any") / "v"
    path.write_bytes(write(rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectors, "_BLOCK_VALUES", data.draw(st.integers(1, 60)))
        blocks = list(vectors.read_blocks(path))
    assert [w.decode() for names, _ in blocks for w in names] == words
    assert np.array_equal(np.concatenate([block for _, block in blocks]), np.array(values))


def test_the_fingerprint_stands_for_words_and_values(tmp_path: Path) -> None:
    """It is the same for the same table in either format, compressed or not, and changes with any part."""
    first = load(tmp_path, glove())
    assert len(first.fingerprint) == 32
    same = (load(tmp_path, gzip.compress(text())), load(tmp_path, text()), load(tmp_path, glove()))
    assert {v.fingerprint for v in same} == {first.fingerprint}
    others = (
        load(tmp_path, glove({**ROWS, "the": [1.0, 2.0, 2.01]})),
        load(tmp_path, glove().replace(b"bridge", b"Bridge")),
        load(tmp_path, glove(dict(reversed(ROWS.items())))),
        load(tmp_path, glove(dict(list(ROWS.items())[:3]))),
    )
    assert len({v.fingerprint for v in (first, *others)}) == 5


def test_words_are_found_as_they_are_or_in_lower_case(tmp_path: Path) -> None:
    """The word itself comes before its lower-case form; a word with neither is not found."""
    read = load(tmp_path, glove({word: [1.0, 2.0] for word in ("turkey", "Turkey", "bridge")}))
    assert [read.find(w) for w in ("turkey", "Turkey", "TURKEY", "Bridge", "tower", "")] == [
        0,
        1,
        0,
        2,
        None,
        None,
    ]


@pytest.mark.parametrize("write", WRITERS, ids=lambda w: w.__name__)
def test_what_is_no_use_is_left_out_and_counted(tmp_path: Path, write: Callable[[Any], bytes]) -> None:
    """Vectors without a direction and words that came before are left out; the first usable one of a word
    counts.
    """
    rows = [("a", [1.0, 0.0]), ("b", [0.0, 0.0]), ("a", [0.0, 1.0]), ("b", [0.0, 2.0]), ("", [1.0, 1.0])]
    read = load(tmp_path, f"{len(rows)} 2\n".encode() + glove(rows) if write is text else write(rows))
    assert list(read.words) == ["a", "b"]
    assert read.unit.tolist() == [[1, 0], [0, 1]]
    assert read.notes == VectorNotes(read=5, zero=1, duplicate=1, nameless=1)
    assert read.notes.left_out == 3
    assert (
        str(read.notes) == "5 vectors read, left out: 1 of length 0, 1 for a duplicate word, 1 without a word"
    )
    assert load(tmp_path, (tmp_path / "vectors").read_bytes()).notes == read.notes


def test_words_that_are_not_utf8_are_left_out_and_counted(tmp_path: Path) -> None:
    """Some files have words cut inside a character: no text contains them, and the other words are usable."""
    read = load(tmp_path, b"caf\xc3\xa9 1 2\ncaf\xc3 3 2\n\xff 1 1\ntower 2 1\n")
    assert list(read.words) == ["café", "tower"]
    assert read.notes == VectorNotes(read=4, not_utf8=2)


def test_words_of_glove_may_hold_blanks(tmp_path: Path) -> None:
    """`. . .` and `at name@domain.com` are words of GloVe's largest file; a no-break space or a new-line sign
    is no blank.
    """
    words = ["a", ". . .", "at name@domain.com", "\u00a0", "x\u0085y", "\u3000", "2", "1/2"]
    content = "".join(f"{word} 0.{n + 1} -1e-2 3\n" for n, word in enumerate(words)).encode()
    assert list(load(tmp_path, content).words) == words
    assert list(load(tmp_path, f"{len(words)} 3\n".encode() + content).words) == words


def test_marks_tabs_and_line_ends_do_not_matter(tmp_path: Path) -> None:
    """A byte order mark, tabs, Windows line ends, blank lines and a last line without its end change
    nothing.
    """
    for plain in (glove(), text()):
        odd = b"\xef\xbb\xbf" + plain.replace(b" ", b"\t").replace(b"\n", b"\r\n") + b"\r\n\r\n"
        for content in (odd, plain.rstrip(), plain.replace(b"\n", b"\n\n")):
            assert load(tmp_path, content).fingerprint == load(tmp_path, plain).fingerprint


def test_very_large_and_very_small_values_keep_their_direction(tmp_path: Path) -> None:
    """Squares beyond what a float can hold are no problem."""
    read = load(tmp_path, b"a 3e200 4e200\nb 3e-300 -4e-300\n")
    np.testing.assert_allclose(read.unit, [[0.6, 0.8], [0.6, -0.8]], rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "there are no vectors in it, it is empty"),
        (b" \n\n", "there are no vectors in it, it is empty"),
        (b"0 300\n", r"no vectors in it, its header \(line 1\) says so"),
        (b"5 0\n", "line 1: the header says 0 dimensions"),
        (b"5 99999999999\n", "line 1: the header says 99999999999 dimensions"),
        (b"a 0 0\nb 0 0\n", "none of its vectors can be used: 2 vectors read, left out: 2 of length 0"),
        (b"a\nb\n", "line 1: there are no values after 'a'"),
        (b"a 1 x\n", "line 1: 'x' is not a number"),
        (b"a 1 2\nb 1 x\nc 1 2\n", "line 2: 'x' is not a number"),
        (b"a 1 2\nb 1 1_0\nc 1 2\n", "line 2: '1_0' is not a number"),
        (b"a 1 2\n\nb nan 2\n", "line 3: 'nan' is not a finite number"),
        (b"a 1 2\nb 1 -inf\n", "line 2: '-inf' is not a finite number"),
        (b"a 1 2\nb 1 1e999\n", "line 2: '1e999' is not a finite number"),
        (b"a 1 2\nb 1\n", r"line 2: 'b' has 1 values, and the first line has 2\."),
        (b"a 1 2\nb\n", "line 2: 'b' has 0 values, and the first line has 2"),
        (b"a 1 2\nb 1 2 3\n", "line 2: 'b' has 3 values, and the first line has 2"),
        (b"2 3\na 1 2\nb 1 2\n", r"line 2: 'a' has 2 values, and the header \(line 1\) says 3"),
        (b"3 2\na 1 2\nb 1 2\n", r"the header \(line 1\) says 3 vectors, and there are 2"),
        (b"3 2\n", r"the header \(line 1\) says 3 vectors, and there are 0"),
        (b"1 2\na 1 2\nb 1 2\n", "line 3: is one vector more than the 1 that the header"),
        (b"PK\3\4\0\0\0", "It is a zip archive: unpack it first"),
        (b"\x93NUMPY\0\0", "is not a text file"),
        ("a 1 2\n".encode("utf-16"), "is not a text file"),
        (gzip.compress(glove() * 50)[:-20], "the compressed data ends early or is damaged"),
        (gzip.compress(glove())[:-8] + bytes(8), "CRC check failed"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, content: bytes, said: str) -> None:
    """A malformed file is an error that names the line."""
    message = complaint(tmp_path, content)
    assert re.search(said, message), message


@pytest.mark.parametrize("n_dimensions", [2, 100])
def test_the_binary_format_is_refused_with_a_way_to_convert_it(tmp_path: Path, n_dimensions: int) -> None:
    """word2vec's binary files have the header of its text files; the message names gensim's converter."""
    rows = b"".join(word + b" " + np.full(n_dimensions, 2.6, "<f4").tobytes() for word in (b"the", b"bridge"))
    message = complaint(tmp_path, f"2 {n_dimensions}\n".encode() + rows)
    assert "line 2: " in message
    assert "load_word2vec_format(OLD, binary=True).save_word2vec_format(NEW)" in message


def test_a_line_without_end_is_not_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without line ends is refused after the first few megabytes."""
    monkeypatch.setattr(vectors, "_MAX_LINE_BYTES", 1000)
    assert "line 1: is longer than 1,000 bytes" in complaint(tmp_path, b"a " + b"0.5 " * 1000)


def test_a_missing_file_and_a_directory_are_errors(tmp_path: Path) -> None:
    """Both are said before anything is read."""
    with pytest.raises(DataError, match=r"nothing\.txt: no such file\. Word vectors are a text file"):
        load_vectors(tmp_path / "nothing.txt")
    with pytest.raises(DataError, match="is a directory"):
        load_vectors(str(tmp_path))


def test_the_second_time_the_file_is_not_parsed(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vectors are parsed once, whatever the file's name is then, and memory-mapped; nothing temporary
    stays.
    """
    first = load(tmp_path, glove())
    monkeypatch.setattr(vectors, "read_blocks", lambda path: pytest.fail("parsed again"))
    again = load(tmp_path, glove(), "of another name")
    assert isinstance(again.unit.base, np.memmap)
    assert not again.unit.flags.writeable
    assert (again.words, again.fingerprint, again.notes) == (first.words, first.fingerprint, first.notes)
    assert np.array_equal(again.unit, first.unit)
    (folder,) = kept(cache)
    assert sorted(path.name for path in folder.iterdir()) == ["about.json", "unit.f32", "words.txt"]
    assert (folder / "unit.f32").stat().st_size == 4 * 3 * 4


def test_the_cache_may_be_elsewhere(tmp_path: Path, cache: Path) -> None:
    """`cache` names another directory than the user's own."""
    (tmp_path / "v").write_bytes(glove())
    load_vectors(tmp_path / "v", cache=tmp_path / "mine")
    assert (tmp_path / "mine" / vectors._FOLDER).is_dir()
    assert not cache.exists()


def edit_about(folder: Path, **changes: Any) -> None:
    """Change what about.json says."""
    about = json.loads((folder / "about.json").read_text())
    (folder / "about.json").write_text(json.dumps(about | changes))


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "unit.f32").write_bytes((folder / "unit.f32").read_bytes()[:-1]),
        lambda folder: (folder / "unit.f32").write_bytes((folder / "unit.f32").read_bytes() + bytes(12)),
        lambda folder: (folder / "unit.f32").unlink(),
        lambda folder: (folder / "words.txt").write_text("the\nbridge\nother\nwords"),
        lambda folder: (folder / "words.txt").unlink(),
        lambda folder: (folder / "about.json").write_text("{"),
        lambda folder: (folder / "about.json").write_text("[]"),
        lambda folder: edit_about(folder, rows=3),
        lambda folder: edit_about(folder, dimensions=4),
        lambda folder: edit_about(folder, notes={"zzz": 1}),
        lambda folder: [path.unlink() for path in folder.iterdir()],
    ],
)
def test_a_damaged_cache_is_made_again(
    tmp_path: Path, cache: Path, damage: Callable[[Path], Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is missing or of another size is noticed, said, and replaced."""
    first = load(tmp_path, glove())
    (folder,) = kept(cache)
    first = Vectors(first.words, first.unit.copy(), first.fingerprint, first.notes)
    damage(folder)
    again = load(tmp_path, glove())
    assert "is damaged" in caplog.text
    assert (again.words, again.notes) == (first.words, first.notes)
    assert np.array_equal(again.unit, first.unit)
    caplog.clear()
    assert isinstance(load(tmp_path, glove()).unit.base, np.memmap)
    assert caplog.text == ""
    assert kept(cache) == [folder]


def test_a_cache_that_cannot_be_written_is_only_slower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where nothing can be kept the vectors are held in memory, with a warning."""
    (tmp_path / "file").write_text("")
    cached = load(tmp_path, glove())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    held = load(tmp_path, glove())
    assert "cannot be cached in" in caplog.text
    assert not isinstance(held.unit.base, np.memmap)
    assert np.array_equal(held.unit, cached.unit)
    assert (list(held.words), held.fingerprint, held.notes) == (
        list(cached.words),
        cached.fingerprint,
        cached.notes,
    )


def test_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error while the last of it is written out is no error of the load, and what was written is
    removed.
    """

    def full(*paths: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "sync", full)
    assert list(load(tmp_path, glove()).words) == list(ROWS)
    assert "No space left on device" in caplog.text
    assert kept(cache) == []


def test_a_file_that_grows_meanwhile_is_refused(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file still being fetched is not kept under the hash of its first part."""
    path = tmp_path / "v"
    path.write_bytes(glove())
    read = vectors._hash

    def hash_then_grow(source: Path) -> str:
        said = read(source)
        with source.open("ab") as file:
            file.write(b"more 1 2 3\n")
        return said

    monkeypatch.setattr(vectors, "_hash", hash_then_grow)
    with pytest.raises(DataError, match="changed while it was read"):
        load_vectors(path)
    assert kept(cache) == []


LOAD = "import sys; from tinyreader.augment.vectors import load_vectors; v = load_vectors(sys.argv[1]); print(v.fingerprint)"
KILLED = (
    "import os, signal, sys\nfrom tinyreader import storage\nfrom tinyreader.augment import vectors\n"
    "storage.sync = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)\nvectors.load_vectors(sys.argv[1])"
)


def test_many_processes_may_load_at_once(tmp_path: Path, cache: Path) -> None:
    """Processes that meet the same new file give the same, and leave one whole copy and nothing else."""
    rows = {f"w{n}": [float(n + 1), 1.0, float(n % 7)] for n in range(10_000)}
    path = tmp_path / "v"
    path.write_bytes(glove(rows))
    running = [
        subprocess.Popen([sys.executable, "-c", LOAD, str(path)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = {process.communicate()[0].strip() for process in running}
    assert [process.returncode for process in running] == [0] * 3
    assert said == {load_vectors(path).fingerprint}
    assert len(kept(cache)) == 1


def test_the_faster_process_wins(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If another process has filled the cache while this one waited for the lock, its copy stays and is used."""
    (tmp_path / "v").write_bytes(glove())
    load_vectors(tmp_path / "v", cache=tmp_path / "other")
    (made,) = kept(tmp_path / "other")
    lock = vectors.file_lock

    @contextmanager
    def another_first(path: Path) -> Iterator[None]:
        with lock(path):
            shutil.copytree(made, cache / vectors._FOLDER / made.name)
            yield

    monkeypatch.setattr(vectors, "file_lock", another_first)
    monkeypatch.setattr(vectors, "read_blocks", lambda path: pytest.fail("parsed again"))
    assert list(load_vectors(tmp_path / "v").words) == list(ROWS)
    assert [path.name for path in kept(cache)] == [made.name]


@pytest.mark.skipif(
    not hasattr(signal, "SIGKILL"), reason="needs a system where processes can be killed at once"
)
def test_a_kill_in_between_does_not_hurt(tmp_path: Path, cache: Path) -> None:
    """What a killed process leaves is never used, and is removed when the same file is read again."""
    path = tmp_path / "v"
    path.write_bytes(glove())
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    (leftover,) = kept(cache)
    assert leftover.name.startswith(".tmp-")
    assert list(load_vectors(path).words) == list(ROWS)
    assert not leftover.exists()
    assert len(kept(cache)) == 1


def test_the_first_reading_is_announced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """That it takes a while, once, is told through the log."""
    with caplog.at_level(logging.INFO):
        load(tmp_path, glove())
        load(tmp_path, glove())
    assert caplog.text.count("reading the word vectors") == 1
