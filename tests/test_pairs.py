"""`distil.pairs`: for each of the student's windows the teacher reads the same text, and both know where
their tokens stand.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from small_disk import small_disk
from tiny_tokenizers import byte_level, mpnet, wordpiece, words
from tinyreader.data import Example
from tinyreader.distil.features import FeatureStore, write_features
from tinyreader.distil.pairs import Pairer, PairStore, write_pairs
from tinyreader.errors import DataError, RunError
from tinyreader.windows import Windower, WindowSettings

SETTINGS = WindowSettings(max_seq_len=48, doc_stride=8)
SENTENCE = "The ferry at Lenn carries forty people. Café Ünal sells 東京 jam 🌉. "
EXAMPLES = [
    Example("short", "Who built it?", "Tobe Harl built the mill."),
    Example("long", "Who built the ferry at Lenn?", SENTENCE * 8),
    Example("empty", "Who?", " \u200b "),
]


def store_of(folder: Path, max_tokens: int | None = None, examples: list[Example] = EXAMPLES) -> PairStore:
    """The pairs of BERT's kind of student with RoBERTa's kind of teacher, and the student's own windows, on
    disk.
    """
    student, teacher = wordpiece(), byte_level()
    write_features(
        Windower(student, SETTINGS).windows(examples), folder / "student", vocab_size=400, fingerprint="s"
    )
    pairer = Pairer(student, teacher, SETTINGS, max_tokens)
    write_pairs(lambda: pairer.pairs(examples), folder / "pairs", vocab_size=400, fingerprint="p")
    return PairStore(folder / "pairs", FeatureStore(folder / "student"))


def slices(example: Example) -> list[tuple[int, int]]:
    """The code points that each of the student's windows holds."""
    windows = list(Windower(wordpiece(), SETTINGS).windows([example]))
    context = [w.offsets[w.first : w.stop] for w in windows]
    begins = [0, *(int(c[0, 0]) for c in context[1:])]
    return list(zip(begins, [*(int(c[-1, 1]) for c in context[:-1]), len(example.context)], strict=True))


@pytest.mark.parametrize("teacher", [byte_level, mpnet])
def test_the_teacher_reads_what_the_student_reads(teacher: object) -> None:
    """Its input is its own pair form of the question and of the tokens of the whole context that lie in the
    slice.
    """
    assert callable(teacher)
    tokenizer = teacher()
    for example in EXAMPLES:
        pairs = list(Pairer(wordpiece(), tokenizer, SETTINGS, None).pairs([example]))
        (whole,) = Windower(tokenizer, WindowSettings(2**30, 0)).windows([example])
        assert len(pairs) == len(slices(example))
        for pair, (begin, end) in zip(pairs, slices(example), strict=True):
            (piece,) = pair.pieces
            offsets = whole.offsets[whole.first : whole.stop]
            inside = (offsets[:, 0] >= begin) & (offsets[:, 1] <= end)
            context = whole.input_ids[whole.first : whole.stop][inside]
            expected = [*whole.input_ids[: whole.first], *context, *whole.input_ids[whole.stop :]]
            assert piece.window.input_ids.tolist() == expected
            assert len(piece.window.segment_ids) == len(piece.places) == len(expected)
            assert piece.places.stop - piece.places.first == len(context)


def test_tokens_of_both_stand_on_the_same_line() -> None:
    """What both cut alike, special tokens and question included, has the same place; the lines end at the
    same place.
    """
    (pair,) = Pairer(wordpiece(), mpnet(), SETTINGS, None).pairs([EXAMPLES[0]])
    student, (teacher,) = pair.student, [piece.places for piece in pair.pieces]
    assert teacher.line.tolist() == [
        *student.line[: student.first].tolist(),
        student.line[student.first - 1].tolist(),
        *student.line[student.first :].tolist(),
    ]
    for pair in Pairer(wordpiece(), byte_level(), SETTINGS, None).pairs(EXAMPLES):
        for piece in pair.pieces:
            assert piece.places.line[-1].tolist() == pair.student.line[-1].tolist()
            assert piece.places.line[0].tolist() == pair.student.line[0].tolist() == [0, 1]


def test_a_slice_too_long_for_the_teacher_is_read_in_pieces(tmp_path: Path) -> None:
    """Pieces overlap by the stride, cover the slice, and none is longer than the teacher takes."""
    whole, cut = store_of(tmp_path / "a"), store_of(tmp_path / "b", 40)
    assert int(cut.windows.lengths.max()) == 40
    assert set(whole.n_pieces(np.arange(len(whole.student)))) == {1}
    n_cut = 0
    for row in range(len(cut.student)):
        pieces = [cut.teacher_places(piece) for piece in cut.pieces(row)]
        begins = [cut.begin(piece) for piece in cut.pieces(row)]
        (all_of_it,) = whole.pieces(row)
        expected = whole.teacher_places(all_of_it).context
        for begin, places in zip(begins, pieces, strict=True):
            assert places.context.tolist() == expected[begin : begin + len(places.context)].tolist()
        ends = [begin + len(places.context) for begin, places in zip(begins, pieces, strict=True)]
        assert begins[0] == 0
        assert ends[-1] == len(expected)
        assert all(
            end - begin == min(8, (40 - len(pieces[0]) + len(pieces[0].context)) // 2)
            for end, begin in zip(ends, begins[1:], strict=False)
        )
        assert cut.lengths[row] == sum(len(places) for places in pieces)
        n_cut += len(pieces) > 1
    assert n_cut > 3


def test_a_question_that_leaves_the_teacher_no_room_is_an_error() -> None:
    """Its id, its length for the teacher and the remedy are named."""
    pairer = Pairer(words(), byte_level(), SETTINGS, 30)
    with pytest.raises(
        DataError, match=r"question 'q' has \d+ tokens for the teacher, which takes at most 30 in all"
    ):
        list(pairer.pairs([Example("q", "w1 w2 " * 5, SENTENCE)]))


def test_a_question_cut_for_the_student_is_cut_for_the_teacher() -> None:
    """Nobody reads more of it than the student does."""
    settings = WindowSettings(48, 8, max_question_tokens=2, on_long_question="truncate")
    (pair,) = Pairer(words(), byte_level(), settings, None).pairs([Example("q", "w1 w22 w3 w4", "w5")])
    (piece,) = pair.pieces
    assert pair.student.line[: pair.student.first].tolist() == [[0, 1], [1, 3], [4, 7], [7, 8]]
    asked = byte_level().decode(piece.window.input_ids[: piece.places.first].tolist())
    assert asked == "w1 w22"


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """By row of the student's store: the same places and windows, in two bytes a number."""
    kept = store_of(tmp_path, 40)
    made = list(Pairer(wordpiece(), byte_level(), SETTINGS, 40).pairs(EXAMPLES))
    assert len(made) == len(kept.student)
    for row, pair in enumerate(made):
        assert kept.student_places(row).line.tolist() == pair.student.line.tolist()
        for number, piece in zip(kept.pieces(row), pair.pieces, strict=True):
            found = kept.teacher_places(number)
            assert (found.first, found.stop) == (piece.places.first, piece.places.stop)
            assert found.line.tolist() == piece.places.line.tolist()
            batch = kept.windows.batch(np.array([number]), 1)
            assert batch.input_ids[0, : len(found)].tolist() == piece.window.input_ids.tolist()
    assert json.loads((tmp_path / "pairs" / "pairs.json").read_text())["dtype"] == "<u2"


def test_a_very_wide_window_takes_more_bytes(tmp_path: Path) -> None:
    """A token of 70,000 characters has its place too."""
    text = "x" * 70_000
    student = Windower(words(), SETTINGS)
    example = Example("wide", "w1", f"w2 {text} w3")
    write_features(student.windows([example]), tmp_path / "student", vocab_size=400, fingerprint="s")
    pairer = Pairer(words(), words(50), SETTINGS, None)
    write_pairs(lambda: pairer.pairs([example]), tmp_path / "pairs", vocab_size=400, fingerprint="p")
    kept = PairStore(tmp_path / "pairs", FeatureStore(tmp_path / "student"))
    assert kept.student_places(0).context[-1].tolist() == [70_008, 70_010]
    assert json.loads((tmp_path / "pairs" / "pairs.json").read_text())["dtype"] == "<u4"


@pytest.mark.parametrize("name", ["pairs.json", "student.bin", "teacher.bin", "begins.bin"])
def test_damage_is_an_error_with_a_remedy(tmp_path: Path, name: str) -> None:
    """A file that is missing or cut off is never taken for whole."""
    kept = store_of(tmp_path)
    path = kept.folder / name
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(RunError, match=r"Delete .*pairs to have it made again"):
        PairStore(kept.folder, kept.student)
    path.unlink()
    with pytest.raises(RunError, match=r"Delete .*pairs to have it made again"):
        PairStore(kept.folder, kept.student)


def test_a_full_disk_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to do, and no folder is there that looks whole."""
    many = [Example(f"q{n}", "Who built it?", SENTENCE * 8) for n in range(40)]
    write_features(
        Windower(wordpiece(), SETTINGS).windows(many), tmp_path / "s", vocab_size=400, fingerprint="s"
    )
    pairer = Pairer(wordpiece(), byte_level(), SETTINGS, None)
    with small_disk(tmp_path / "disk", "64k") as disk:
        with pytest.raises(RunError, match=r"could not be written to .*Make room"):
            write_pairs(lambda: pairer.pairs(many), disk / "pairs", vocab_size=400, fingerprint="p")
        assert not list(disk.glob("pairs*"))
