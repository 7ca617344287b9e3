"""`augment.job` and `tinyreader augment`: a data set to a file, the same one however often the work was
stopped.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tinyreader.augment.job import Input, augment_file, scan
from tinyreader.augment.paragraphs import CHUNK, AugmentReport, augment
from tinyreader.augment.proposer import AugmentOptions, Passage
from tinyreader.cli import app, main
from tinyreader.data import Answer, Example, load_examples, write_jsonl, write_squad
from tinyreader.errors import DataError, Interrupted, RunError, SettingsError
from tinyreader.progress import Progress, StopSwitch

OPTIONS = AugmentOptions(times=3)
QUIET = Progress(quiet=True)


def examples(n: int) -> list[Example]:
    """Two questions on each of n paragraphs, in articles of five."""
    found = []
    for k in range(n):
        text = f"Paragraph {k} tells of a bridge that people built over some river in {1800 + k}."
        year = str(1800 + k)
        title = f"Article {k // 5}"
        found.append(Example(f"{k}-a", "When?", text, answers=(Answer(year, text.index(year)),), title=title))
        found.append(Example(f"{k}-b", "Who?", text, title=title))
    return found


def longer(passages: Sequence[Passage]) -> list[list[list[str]]]:
    """The word with letters after it."""
    return [[[word + "x" * n for n in range(1, 6)] for word in passage.words] for passage in passages]


class Stopping:
    """A proposer that asks for a stop, or fails, at its n-th call."""

    fingerprint = "longer"

    def __init__(self, at: int, stop: StopSwitch | None) -> None:
        self.calls, self.at, self.stop = 0, at, stop

    def __call__(self, passages: Sequence[Passage]) -> list[list[list[str]]]:
        """As `longer`."""
        self.calls += 1
        if self.calls == self.at:
            if self.stop is None:
                raise KeyboardInterrupt
            self.stop.reason = "a test"
        return longer(passages)


def job(data: Path, out: Path, proposer: Stopping, options: AugmentOptions = OPTIONS) -> AugmentReport:
    """The whole job on the file `data`."""
    source, stop = Input(str(data)), proposer.stop or StopSwitch()
    return augment_file(source, out, [proposer], options, scan(source, StopSwitch()), QUIET, stop)


@pytest.mark.parametrize("name", ["out.jsonl", "out.json", "out.jsonl.gz", "out.json.gz"])
def test_the_file_is_the_same_however_often_it_was_stopped(tmp_path: Path, name: str) -> None:
    """Stopped by request or broken off in a part, the work goes on there and ends in the same bytes; the
    parts then go.
    """
    data, whole, pieces = tmp_path / "in.json", tmp_path / "whole" / name, tmp_path / "pieces" / name
    write_squad(examples(3 * CHUNK + 2), data)
    report = job(data, whole, Stopping(0, None))
    with pytest.raises(Interrupted, match="the same command resumes there"):
        job(data, pieces, Stopping(1, StopSwitch()))
    with pytest.raises(KeyboardInterrupt):
        job(data, pieces, Stopping(2, None))
    assert not pieces.exists()
    last = Stopping(0, None)
    assert job(data, pieces, last) == report
    assert last.calls == 2, "two of four parts were left to do"
    assert pieces.read_bytes() == whole.read_bytes()
    for made in (whole, pieces):
        assert sorted(p.name for p in made.parent.iterdir()) == [name, f"{name}.augment.json"]
    assert load_examples(whole) == list(augment(examples(3 * CHUNK + 2), [longer], OPTIONS))


def test_a_part_that_is_damaged_is_named(tmp_path: Path) -> None:
    """A part cut short is an error that says which file to delete; with it gone the work ends well."""
    data, out = tmp_path / "in.json", tmp_path / "out.jsonl"
    write_squad(examples(2 * CHUNK), data)
    with pytest.raises(KeyboardInterrupt):
        job(data, out, Stopping(2, None))
    part = tmp_path / "out.jsonl.parts" / "part-000000.jsonl.gz"
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(RunError, match="part-000000"):
        job(data, out, Stopping(0, None))
    part.unlink()
    job(data, out, Stopping(0, None))
    assert load_examples(out) == list(augment(examples(2 * CHUNK), [longer], OPTIONS))


@pytest.mark.parametrize("what", ["options", "proposers", "data"])
def test_parts_of_another_job_are_not_mixed_in(tmp_path: Path, what: str) -> None:
    """With other settings, proposers or data the parts that are there are refused, and what differs is
    named.
    """
    data, out = tmp_path / "in.json", tmp_path / "out.jsonl"
    write_squad(examples(2 * CHUNK), data)
    with pytest.raises(KeyboardInterrupt):
        job(data, out, Stopping(2, None))
    other = Stopping(0, None)
    if what == "proposers":
        other.fingerprint = "another"
    if what == "data":
        write_squad(examples(CHUNK), data)
    before = sorted((tmp_path / "out.jsonl.parts").iterdir())
    with pytest.raises(RunError, match=f"other {what}"):
        job(data, out, other, AugmentOptions(times=4) if what == "options" else OPTIONS)
    assert sorted((tmp_path / "out.jsonl.parts").iterdir()) == before


def test_parts_that_nobody_owns_are_not_mixed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while its parts are removed, a job is done; another job with the same output takes none of what
    is left.
    """
    data, out = tmp_path / "in.json", tmp_path / "out.jsonl"
    write_squad(examples(2 * CHUNK), data)

    def killed(folder: Path, **_: object) -> None:
        (folder / "part-000001.jsonl.gz").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            job(data, out, Stopping(0, None))
    assert (tmp_path / "out.jsonl.parts" / "part-000000.jsonl.gz").exists()
    shutil.copytree(tmp_path / "out.jsonl.parts", tmp_path / "rest")
    same = Stopping(0, None)
    job(data, out, same)
    assert (same.calls, (tmp_path / "out.jsonl.parts").exists()) == (0, False)
    (tmp_path / "rest").rename(tmp_path / "out.jsonl.parts")
    job(data, out, Stopping(0, None), AugmentOptions(times=1))
    assert load_examples(out) == list(augment(examples(2 * CHUNK), [longer], AugmentOptions(times=1)))


def test_one_text_under_several_titles_is_as_many_paragraphs(tmp_path: Path) -> None:
    """Every question has its copies where the same text stands in several articles, and the scan counts as
    the work does.
    """
    given = [replace(e, id=f"{e.id}-{t}", title=f"{t}") for e in examples(CHUNK)[::2] for t in range(3)]
    write_squad(given, tmp_path / "in.json")
    assert scan(Input(str(tmp_path / "in.json")), StopSwitch()).n_paragraphs == 3 * CHUNK
    job(tmp_path / "in.json", tmp_path / "out.jsonl", Stopping(0, None))
    assert {c.id.partition("#")[0] for c in load_examples(tmp_path / "out.jsonl")} == {e.id for e in given}


@pytest.mark.parametrize("counted", [1, CHUNK + 1])
def test_a_count_that_does_not_fit_is_an_error(tmp_path: Path, counted: int) -> None:
    """Nothing is left out where the scan found another number of paragraphs than the work, or other texts."""
    data, out = tmp_path / "in.json", tmp_path / "out.jsonl"
    write_squad(examples(CHUNK), data)
    seen = scan(Input(str(data)), StopSwitch())
    for wrong in (replace(seen, n_paragraphs=counted), replace(seen, fingerprint="0")):
        with pytest.raises(RunError, match="changed while it was being rewritten"):
            augment_file(Input(str(data)), out, [Stopping(0, None)], OPTIONS, wrong, QUIET, StopSwitch())
    assert [p.name for p in tmp_path.iterdir()] == ["in.json"]


def test_the_same_work_is_not_done_twice(tmp_path: Path) -> None:
    """Done once, the file is left alone while data, settings, proposers and its own content are what they
    were.
    """
    data, out = tmp_path / "in.json", tmp_path / "out.jsonl"
    write_squad(examples(3), data)
    report = job(data, out, Stopping(0, None))
    before, content = out.stat().st_mtime_ns, out.read_bytes()
    again = Stopping(0, None)
    assert job(data, out, again) == report
    assert (again.calls, out.stat().st_mtime_ns) == (0, before)
    assert not (tmp_path / "out.jsonl.parts").exists()
    for damage in (content[:-9], b""):
        out.write_bytes(damage)
        job(data, out, Stopping(0, None))
        assert out.read_bytes() == content
    (tmp_path / "out.jsonl.augment.json").write_text("[]", encoding="utf-8")
    third = Stopping(0, None)
    job(data, out, third)
    assert third.calls == 1
    job(data, out, Stopping(0, None), AugmentOptions(times=1))
    assert len(load_examples(out)) == 2 * 3


def test_a_kill_while_parts_are_joined_leaves_nothing(tmp_path: Path) -> None:
    """What a kill left half written beside the output goes when the same command is repeated; other files
    stay.
    """
    data, out = tmp_path / "in.json", tmp_path / "out[1].jsonl"
    write_squad(examples(3), data)
    kept = [
        tmp_path / name
        for name in (".tmp-0a1b2c3d-other.jsonl", ".tmp-mine-out[1].jsonl", ".tmp-0a1b2c3d-out1.jsonl")
    ]
    (tmp_path / ".tmp-0a1b2c3d-out[1].jsonl").write_text("half", encoding="utf-8")
    for path in kept:
        path.write_text("of others", encoding="utf-8")
    job(data, out, Stopping(0, None))
    assert sorted(tmp_path.glob(".tmp-*")) == sorted(kept)


@pytest.mark.parametrize("alias", ["in.json", "./in.json", "link.json"])
def test_the_data_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alias: str) -> None:
    """An output that is the input, by whatever name, is refused and the input untouched."""
    monkeypatch.chdir(tmp_path)
    write_squad(examples(2), "in.json")
    Path("link.json").symlink_to("in.json")
    before = Path("in.json").read_bytes()
    with pytest.raises(SettingsError, match="is the data, and would replace it"):
        job(Path("in.json"), Path(alias), Stopping(0, None))
    assert Path("in.json").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.json", "link.json"]


@pytest.mark.skipif(os.name == "nt", reason="named pipes")
def test_a_pipe_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """Data is read twice, which a pipe cannot be: it is said at once, without waiting for its first byte."""
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(DataError, match=r"pipe\.jsonl is not a regular file, and the data is read twice"):
        scan(Input(str(tmp_path / "pipe.jsonl")), StopSwitch())


def test_input_is_checked_from_end_to_end_before_the_work(tmp_path: Path) -> None:
    """What is wrong on the last line is said before the first paragraph is rewritten."""
    path = tmp_path / "in.jsonl"
    write_jsonl(examples(40), path)
    path.write_text(path.read_text() + '{"id": 1}\n')
    with pytest.raises(DataError, match=r"line 81"):
        scan(Input(str(path)), StopSwitch())
    path.write_text("")
    with pytest.raises(DataError, match="the file is empty"):
        scan(Input(str(path)), StopSwitch())


# The command


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with in.json and synonyms.tsv, and the working directory."""
    write_squad(examples(6), tmp_path / "in.json")
    (tmp_path / "synonyms.tsv").write_text(
        "bridge\tviaduct\nbridge\tcrossing\nriver\tstream\npeople\tfolk\nbuilt\tmade\n"
    )
    (tmp_path / "plain.toml").write_text(
        'student = {init = "checkpoint", model = "m"}\ndata = {train = "in.json"}\n'
        '[[stages]]\nname = "a"\nkind = "labels"\nbatch_size = 2\nlearning_rate = 1e-4\n'
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `tinyreader augment`."""
    done = subprocess.run(
        [sys.executable, "-m", "tinyreader", "augment", *words], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def test_the_command_writes_copies_and_says_what_it_did(files: Path) -> None:
    """Copies go to the file, counts to the last line of stdout."""
    code, out, _ = call(
        "in.json", "-o", "out.json.gz", "--synonyms", "synonyms.tsv", "--times", "4", "--seed", "3"
    )
    facts = json.loads(out.splitlines()[-1])
    assert code == 0
    assert (facts["paragraphs"], facts["examples"]) == (6, 12)
    with gzip.open(files / "out.json.gz", "rt") as file:
        assert "#aug4" in file.read() or facts["dropped"] > 0
    assert len(load_examples(files / "out.json.gz")) == facts["copied_examples"] == 2 * facts["copies"]


def test_show_prints_some_and_writes_nothing(files: Path) -> None:
    """--show prints as many paragraphs, with the words that stood there in brackets."""
    code, out, _ = call("in.json", "--synonyms", "synonyms.tsv", "--show", "2", "--probability", "1")
    assert code == 0
    assert out.count("words replaced") == 2
    assert "stream[river]" in out
    assert sorted(p.name for p in files.iterdir()) == ["in.json", "plain.toml", "synonyms.tsv"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["in.json", "--synonyms", "synonyms.tsv"], "-o OUT"),
        (["in.json", "-o", "out.json"], "there are no proposers"),
        (
            ["in.json", "-o", "in.json", "--synonyms", "synonyms.tsv"],
            "--out in.json is the data, and would replace it",
        ),
        (["in.json", "-o", ".", "--synonyms", "synonyms.tsv"], "must end with"),
        (["in.json", "-o", "out.txt", "--synonyms", "synonyms.tsv"], "must end with"),
        (["nothing.json", "-o", "out.json", "--synonyms", "synonyms.tsv"], "nothing.json: no such file"),
        (["in.json", "-o", "out.json", "--synonyms", "nothing.tsv"], "nothing.tsv"),
        (["in.json", "-o", "out.json", "--vectors", "nothing.txt"], "nothing.txt"),
        (["in.json", "-o", "out.json", "--masked-lm", "./nothing"], "./nothing"),
        (["in.json", "-o", "out.json", "--synonyms", "synonyms.tsv", "--times", "0"], "times"),
        (["in.json", "-o", "out.json", "--synonyms", "synonyms.tsv", "--probability", "2"], "probability"),
        (
            ["in.json", "-o", "out.json", "--recipe", "plain.toml"],
            "no stage of the recipe plain.toml is augmented",
        ),
        (["in.json", "-o", "out.json", "--recipe", "nonsense"], "no recipe is called 'nonsense'"),
    ],
)
def test_wrong_calls_are_one_line_and_exit_code_2(
    files: Path,
    words: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each mistake is named in one line, before work is spent and without leaving files behind."""
    monkeypatch.setattr(sys, "argv", ["tinyreader", "augment", *words])
    with pytest.raises(SystemExit) as exit_:
        main()
    said = capsys.readouterr().err
    assert exit_.value.code == 2
    assert message in said
    assert len(said.splitlines()) == 1
    assert sorted(p.name for p in files.iterdir()) == ["in.json", "plain.toml", "synonyms.tsv"]


def test_a_recipe_gives_the_settings_and_flags_go_over_it(files: Path) -> None:
    """--recipe takes times, probability, seed and the rest from its augmented stage; what is said beside it
    counts more.
    """
    augmented = '[stages.augment]\ntimes = 2\nsynonyms = "synonyms.tsv"\nkeep_original = true\n'
    (files / "mine.toml").write_text(
        "training = {seed = 9}\n" + (files / "plain.toml").read_text() + augmented
    )
    for words, n in ((["--recipe", "mine.toml"], 2), (["--recipe", "mine.toml", "--times", "3"], 3)):
        code, out, err = call("in.json", "-o", f"{n}.jsonl", *words)
        assert code == 0, err
        facts = json.loads(out.splitlines()[-1])
        assert facts["copies"] + facts["dropped"] == 6 * n
    by_flags = ["--synonyms", "synonyms.tsv", "--times", "2", "--seed", "9", "--keep-original"]
    assert call("in.json", "-o", "flags.jsonl", *by_flags)[0] == 0
    assert (files / "flags.jsonl").read_bytes() == (files / "2.jsonl").read_bytes()


def test_help_names_the_settings() -> None:
    """The help shows every setting with what it does."""
    result = CliRunner().invoke(app, ["augment", "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    for option in (
        "--times",
        "--masked-lm",
        "--vectors",
        "--synonyms",
        "--recipe",
        "--seed",
        "--show",
        "--exact",
    ):
        assert option in result.output


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_keeps_what_was_done(files: Path) -> None:
    """SIGINT ends the command with code 1 and a word on how to go on; the same command then makes the whole
    file.
    """
    write_squad(examples(40 * CHUNK), files / "big.json")
    words = ["big.json", "-o", "out.jsonl", "--synonyms", "synonyms.tsv", "--times", "8"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tinyreader", "augment", *words],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    parts = files / "out.jsonl.parts"
    while not list(parts.glob("part-*.json")):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 1, said
    assert "the same command resumes there" in said
    assert not (files / "out.jsonl").exists()
    assert call(*words)[0] == 0
    assert len(load_examples(files / "out.jsonl")) > 40 * CHUNK
    assert not parts.exists()


def test_settings_error_is_what_it_is() -> None:
    """The library raises what the command prints."""
    with pytest.raises(SettingsError):
        AugmentOptions(times=0)
