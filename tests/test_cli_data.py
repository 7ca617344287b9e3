"""The commands under `tinyreader data`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from data_samples import EXAMPLES, document, row, write_json, write_rows
from tinyreader import cli
from tinyreader.data import fingerprint, load_examples


class Outcome(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def result(self) -> Any:
        """The JSON document on the last line of stdout."""
        return json.loads(self.out.splitlines()[-1])


Run = Callable[..., Outcome]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs `tinyreader data ...` as the console script does."""

    def run_command(*arguments: object) -> Outcome:
        monkeypatch.setattr("sys.argv", ["tinyreader", "data", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as stop:
            return Outcome(int(stop.code or 0), *capsys.readouterr())
        return Outcome(0, *capsys.readouterr())

    return run_command


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """Return a SQuAD file without findings."""
    return write_json(tmp_path / "good.json", document())


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """Return JSON Lines of a good row, one that can be mended and one that cannot."""
    shifted = row("shifted", answers={"text": ["1811"], "answer_start": [3]})
    return write_rows(tmp_path / "bad.jsonl", row("fine"), shifted, row("blank", question=""))


def test_check_of_good_data(run: Run, good: Path) -> None:
    """Nothing found: exit code 0 and the counts."""
    outcome = run("check", good)
    assert outcome.code == 0
    assert outcome.result == {
        "file": str(good),
        "ok": True,
        "n_questions": 3,
        "n_good": 3,
        "n_findings": 0,
        "n_repairable": 0,
        "findings": {},
    }


def test_check_of_bad_data(run: Run, bad: Path, tmp_path: Path) -> None:
    """Findings: exit code 1, each on a line with place, kind, article, question and reason; all go to
    --rejects.
    """
    outcome = run("check", bad, "--rejects", tmp_path / "rejects.jsonl")
    assert outcome.code == 1
    first, second, _ = outcome.out.splitlines()
    assert first.split("\t")[:4] == ["line 2", "offset-mismatch", "Orrin Weir", "shifted"]
    assert "once, at 36" in first
    assert second.split("\t")[:4] == ["line 3", "empty-question", "Orrin Weir", "blank"]
    assert outcome.result["findings"] == {"empty-question": 1, "offset-mismatch": 1}
    assert outcome.result["n_repairable"] == 1
    assert len((tmp_path / "rejects.jsonl").read_text().splitlines()) == 2


def test_check_shows_the_first_findings(run: Run, bad: Path) -> None:
    """--limit bounds what is shown, not what is counted."""
    outcome = run("check", bad, "--limit", 1)
    assert "... and 1 more" in outcome.out
    assert "blank" not in outcome.out
    assert outcome.result["n_findings"] == 2


@pytest.mark.parametrize("content", [b"", b'{"data": [', b'{"title": "\xff"}', b"PK\x03\x04"])
def test_check_of_a_damaged_file(run: Run, tmp_path: Path, content: bytes) -> None:
    """A file that is empty, cut off, not UTF-8 or not JSON has a finding, and nothing in it can be read: exit
    code 2.
    """
    path = tmp_path / "a.json"
    path.write_bytes(content)
    outcome = run("check", path)
    assert (outcome.code, outcome.result["n_findings"]) == (2, 1)


def test_check_of_what_is_not_there(run: Run, tmp_path: Path) -> None:
    """No such file: exit code 2, one line on stderr, nothing on stdout."""
    outcome = run("check", tmp_path / "absent.json")
    assert (outcome.code, outcome.out) == (2, "")
    assert "no such file" in outcome.err


def test_titles_cannot_break_the_output(run: Run, tmp_path: Path) -> None:
    """Line breaks, escape sequences and half characters in the data are shown as escapes."""
    path = write_rows(tmp_path / "a.jsonl", row("x\ud800", title="a\n\x1b[31mb", question=""))
    outcome = run("check", path)
    assert outcome.code == 1
    assert outcome.out.splitlines()[0].split("\t")[2:4] == ["a\\n\\x1b[31mb", "x\\ud800"]


def test_a_table_on_a_terminal(run: Run, bad: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal findings come as a table with headings; the last line is still JSON."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "dumb")
    outcome = run("check", bad)
    assert "what is wrong" in outcome.out
    assert outcome.result["n_findings"] == 2


def test_stats(run: Run, good: Path) -> None:
    """Counts and spreads for a person, and everything in the JSON line."""
    outcome = run("stats", good)
    assert outcome.code == 0
    assert "n_questions\t3" in outcome.out.splitlines()
    assert outcome.result["n_impossible"] == 1
    assert outcome.result["context_words"]["most"] == 19
    assert outcome.result["fingerprint"] == fingerprint(EXAMPLES)


def test_stats_of_bad_data(run: Run, bad: Path) -> None:
    """Bad data is refused with exit code 2 unless it is said what to do with it."""
    outcome = run("stats", bad)
    assert outcome.code == 2
    assert "2 findings: 1 empty-question, 1 offset-mismatch" in outcome.err
    outcome = run("stats", bad, "--on-bad", "skip")
    assert (outcome.code, outcome.result["n_questions"]) == (0, 1)
    assert outcome.result["reading"]["n_skipped"] == 2


def test_convert_repairs(run: Run, bad: Path, tmp_path: Path) -> None:
    """--on-bad repair mends what can be mended, leaves out the rest, says both and writes the reasons."""
    out, rejects = tmp_path / "new" / "out.json.gz", tmp_path / "rejects.jsonl"
    outcome = run("convert", bad, "-o", out, "--on-bad", "repair", "--rejects", rejects)
    assert outcome.code == 0
    assert [example.id for example in load_examples(out)] == ["fine", "shifted"]
    reading = outcome.result["reading"]
    assert (reading["n_kept"], reading["n_repaired"], reading["n_skipped"]) == (2, 1, 1)
    assert [json.loads(line)["action"] for line in rejects.read_text().splitlines()] == [
        "skipped",
        "repaired",
    ]
    assert "2 kept (1 of them repaired), 1 skipped" in outcome.err


def test_convert_and_back(run: Run, good: Path, tmp_path: Path) -> None:
    """To JSON Lines and back nothing changes, and the fingerprint says so."""
    there = run("convert", good, "--out", tmp_path / "a.jsonl")
    back = run("convert", tmp_path / "a.jsonl", "-o", tmp_path / "b.json")
    assert there.result["out"]["fingerprint"] == back.result["out"]["fingerprint"] == fingerprint(EXAMPLES)
    assert json.loads((tmp_path / "b.json").read_text(encoding="utf-8")) == document()


def test_convert_refuses_a_name_without_format(run: Run, tmp_path: Path) -> None:
    """A name that says no format is refused before anything is read."""
    outcome = run("convert", tmp_path / "absent.json", "-o", tmp_path / "a.txt")
    assert outcome.code == 2
    assert "must end with .json" in outcome.err


def test_split(run: Run, good: Path, tmp_path: Path) -> None:
    """Two files in the format of the source, with all questions between them and no context in both."""
    outcome = run("split", good, "--held-out", "0.4", "--seed", 3, "-o", tmp_path / "parts")
    assert outcome.code == 0
    train, held_out = (load_examples(tmp_path / "parts" / name) for name in ("train.json", "held-out.json"))
    assert sorted(example.id for example in [*train, *held_out]) == ["f1", "m1", "m2"]
    assert not {example.context for example in train} & {example.context for example in held_out}
    assert outcome.result["held_out"] == {
        "file": str(tmp_path / "parts" / "held-out.json"),
        "n_questions": 1,
        "fingerprint": fingerprint(held_out),
    }


def test_split_by_number_in_the_source_format(run: Run, good: Path, tmp_path: Path) -> None:
    """A whole number means questions; JSON Lines, compressed, stay so."""
    run("convert", good, "-o", tmp_path / "a.jsonl.gz")
    outcome = run("split", tmp_path / "a.jsonl.gz", "--held-out", "2", "-o", tmp_path)
    assert outcome.result["held_out"]["n_questions"] == 2
    assert len(load_examples(tmp_path / "train.jsonl.gz")) == 1


@pytest.mark.parametrize("held_out", ["much", "0", "1.0", "3", "-1"])
def test_split_refuses_what_makes_no_sense(run: Run, good: Path, tmp_path: Path, held_out: str) -> None:
    """An amount that cannot be held out is refused with exit code 2 and its value."""
    outcome = run("split", good, f"--held-out={held_out}", "-o", tmp_path / "parts")
    assert outcome.code == 2
    assert held_out in outcome.err
    assert not (tmp_path / "parts").exists()


def test_a_place_that_cannot_be_written(run: Run, good: Path, tmp_path: Path) -> None:
    """A file where a directory should be gives one line and exit code 2."""
    outcome = run("convert", good, "-o", good / "inside.json")
    assert outcome.code == 2
    assert f"{good / 'inside.json'} cannot be written: no file can be created in {good}" in outcome.err
    (tmp_path / "taken.json").mkdir()
    assert run("convert", good, "-o", tmp_path / "taken.json").code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["convert", "bad.jsonl", "-o", "bad.jsonl", "--on-bad", "skip"],
            "--out bad.jsonl is the data, and would replace it",
        ),
        (["convert", "bad.jsonl", "-o", "./link.jsonl", "--on-bad", "skip"], "--out link.jsonl is the data"),
        (
            ["convert", "bad.jsonl", "-o", "a.jsonl", "--rejects", "a.jsonl"],
            "--out a.jsonl is the file of --rejects",
        ),
        (
            ["convert", "bad.jsonl", "-o", "a.jsonl", "--rejects", "bad.jsonl"],
            "--rejects bad.jsonl is the data",
        ),
        (["check", "bad.jsonl", "--rejects", "bad.jsonl"], "--rejects bad.jsonl is the data"),
        (["stats", "bad.jsonl", "--rejects", "link.jsonl"], "--rejects link.jsonl is the data"),
        (["split", "bad.jsonl", "-o", "bad.jsonl"], "bad.jsonl/train.jsonl cannot be written"),
    ],
)
def test_the_data_is_never_replaced(
    run: Run, bad: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    """A result that would take the place of what is read, by whatever name, is refused before anything is
    written.
    """
    monkeypatch.chdir(bad.parent)
    Path("link.jsonl").symlink_to("bad.jsonl")
    before = bad.read_bytes()
    outcome = run(*words)
    assert outcome.code == 2
    assert message in outcome.err
    assert bad.read_bytes() == before
    assert sorted(p.name for p in bad.parent.iterdir()) == ["bad.jsonl", "link.jsonl"]


def test_wrong_usage(run: Run) -> None:
    """Wrong options are exit code 2."""
    assert run("check").code == 2
    assert run("stats", "x.json", "--on-bad", "ignore").code == 2


def test_split_does_not_overwrite_what_it_splits(run: Run, tmp_path: Path) -> None:
    """A file that has the name of one of the parts, in the directory where they go, is left alone."""
    source = write_json(tmp_path / "train.json", document())
    before = source.read_bytes()
    (tmp_path / "link").symlink_to(tmp_path)
    for out in (tmp_path, tmp_path / "link"):
        outcome = run("split", source, "-o", out, "--held-out", "0.5")
        assert outcome.code == 2
        assert "is the data, and would replace it" in outcome.err
    assert source.read_bytes() == before
    assert not (tmp_path / "held-out.json").exists()
    assert run("split", source, "-o", tmp_path / "parts", "--held-out", "0.5").code == 0


def test_sample(run: Run, tmp_path: Path) -> None:
    """A part with the share that was asked for, with questions put elsewhere among it; the counts are in the
    result.
    """
    texts = ("The mill was built in 1811.", "The bridge is younger.", "Boats came up the river.")
    rows = [
        row(f"q{n}", context=text, answers={"text": [text[:8]], "answer_start": [0]})
        for n, text in enumerate(texts)
    ]
    source = write_rows(
        tmp_path / "all.jsonl", *rows, row("none", context=texts[0], answers={"text": [], "answer_start": []})
    )
    outcome = run(
        "sample", source, "-o", tmp_path / "part.json", "--elsewhere", 2, "--unanswerable", "0.5", "--seed", 4
    )
    assert outcome.code == 0, outcome.err
    drawn = load_examples(tmp_path / "part.json")
    assert (len(drawn), sum(one.is_impossible for one in drawn)) == (6, 3)
    assert outcome.result["out"]["n_questions"] == 6
    assert (outcome.result["n_unanswerable"], outcome.result["n_elsewhere"]) == (3, 2)
    assert "2 'elsewhere' questions" in outcome.err
    assert run("sample", source, "-o", tmp_path / "all.json").result["out"]["n_questions"] == 4


def test_sample_pairs_each_question_with_its_text_without_the_answer(run: Run, tmp_path: Path) -> None:
    """--removed all --pairs leaves each suitable question twice: with its text, and without the sentence."""
    filler = "Nothing else is written on this page, though it goes on for a while longer. " * 2
    texts = (f"The mill was built in 1811. {filler}", f"The boat is younger. {filler} The boat, again.")
    rows = [
        row(f"q{n}", context=text, answers={"text": [text[:8]], "answer_start": [0]})
        for n, text in enumerate(texts)
    ]
    source = write_rows(tmp_path / "all.jsonl", *rows)
    outcome = run("sample", source, "-o", tmp_path / "pairs.json", "--removed", "all", "--pairs")
    assert outcome.code == 0, outcome.err
    assert [one.id for one in load_examples(tmp_path / "pairs.json")] == ["q0", "q0-removed"]
    assert outcome.result["n_removed"] == 1
    assert "1 'removed' questions; 1 were unsuitable" in outcome.err
    assert run("sample", source, "-o", tmp_path / "x.json", "--pairs").code == 2
    assert run("sample", source, "-o", tmp_path / "x.json", "--removed", "some").code == 2


def test_sample_refuses_what_makes_no_sense(run: Run, good: Path, tmp_path: Path) -> None:
    """More questions than there are, and overwriting the data, stop with the reason."""
    outcome = run("sample", good, "-o", tmp_path / "part.json", "--questions", 99)
    assert outcome.code == 2
    assert "99 questions are wanted, but there are 3" in outcome.err
    assert run("sample", good, "-o", good).code == 2
    assert not (tmp_path / "part.json").exists()


def test_make_finds_the_offsets(run: Run, tmp_path: Path) -> None:
    """A table becomes SQuAD JSON that `check` finds nothing wrong with; places to look at are listed by row."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "lease.txt").write_text("Rent is 900 euros. Rent is due on the 3rd.", "utf-8")
    table = tmp_path / "own.csv"
    table.write_text("file,question,answer\nlease.txt,What is due?,Rent\nlease.txt,Who pays?,\n", "utf-8")
    outcome = run("make", table, tmp_path / "docs", "-o", tmp_path / "own.json")
    assert outcome.code == 0, outcome.err
    assert (outcome.result["n_unanswerable"], outcome.result["n_ambiguous"]) == (1, 1)
    assert "row 2" in outcome.err
    assert run("check", tmp_path / "own.json").code == 0
    assert run("make", table, "-o", tmp_path / "own.json").code == 2


@pytest.mark.parametrize("on_bad", ["repair", "skip"])
def test_nothing_left_writes_no_data(run: Run, tmp_path: Path, on_bad: str) -> None:
    """Where no question is left, there is an error and no file, and the rejects say why."""
    file = write_rows(tmp_path / "a.jsonl", row("a", question=""))
    rejects = tmp_path / "rejects.jsonl"
    result = run("convert", file, "-o", tmp_path / "b.json", "--on-bad", on_bad, "--rejects", rejects)
    assert result.code == 2
    assert "No question is left" in result.err
    assert not (tmp_path / "b.json").exists()
    assert json.loads(rejects.read_text())["kind"] == "empty-question"


def test_a_share_that_cannot_be_drawn_names_what_helps(run: Run, tmp_path: Path) -> None:
    """Without unanswerable questions a share of them is an error that names the options that make some."""
    file = write_rows(tmp_path / "a.jsonl", row("a"), row("b"))
    for share in (("--unanswerable", "0.5"), ("--unanswerable", "0.5", "--questions", "2")):
        result = run("sample", file, "-o", tmp_path / "b.json", *share)
        assert result.code == 2
        assert "--elsewhere" in result.err
        assert "--removed" in result.err
        assert not (tmp_path / "b.json").exists()
