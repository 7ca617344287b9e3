"""`adapt`: own and everyday questions are mixed, a reader learns from them, and the outcome says whether it helped."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tiny_models import write_reader
from tinyreader import adapt as adapt_module
from tinyreader.adapt import AdaptSettings, Change, adapt, everyday_file, mix
from tinyreader.cli import main
from tinyreader.data import Answer, Example, load_examples, write_squad
from tinyreader.errors import DataError, SettingsError
from tinyreader.metrics import paired_bootstrap
from tinyreader.reader import Reader

FILLER = "Nobody minds the weather here, and the ferry runs whenever somebody waits on the pier with a lamp in hand."


def questions(n: int, n_documents: int, name: str, share_unanswerable: float = 0.3) -> list[Example]:
    """Questions on documents that name a person and a year."""
    made = []
    for i in range(n):
        d = i % n_documents
        text = f"The {name} number {d} was opened by Ada Rost in {1900 + d}. {FILLER}"
        year = str(1900 + d)
        answers = () if i % 10 < 10 * share_unanswerable else (Answer(year, text.index(year)),)
        made.append(Example(f"{name}-{i}", f"When was it opened, {i}?", text, answers, title=f"{name} {d}"))
    return made


@pytest.fixture
def everyday(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An everyday set of a few hundred short questions in place of the real one."""
    for part in ("train", "held-out"):
        write_squad(questions(360, 12, f"{part} pier", 0.5), tmp_path / f"{part}.json")
    monkeypatch.setattr(adapt_module, "everyday_file", lambda part: tmp_path / f"{part}.json")


@pytest.mark.usefixtures("everyday")
def test_an_adapted_reader_lies_in_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`out` is a reader with a threshold of its own and a report; run again, nothing is trained again."""
    learned = SimpleNamespace(calibration=SimpleNamespace(changes=lambda: {"no_answer_threshold": 1.25}))
    monkeypatch.setattr(adapt_module, "learn", lambda _: learned)
    model = write_reader(tmp_path / "tiny")
    settings = AdaptSettings(str(model), everyday=40, epochs=1)
    own = questions(40, 8, "mill")
    outcome = adapt(own, tmp_path / "out", settings)
    assert outcome.by_document
    assert (outcome.own.questions, outcome.everyday.questions) == (10, 360)
    report = json.loads((tmp_path / "out" / "adapt.json").read_text("utf-8"))
    assert report["own"]["after"] == pytest.approx(outcome.own.after)
    assert Reader.from_pretrained(tmp_path / "out").settings.no_answer_threshold == 1.25
    data = load_examples(tmp_path / "out" / "training" / "data.json")
    assert len(data) == outcome.n_trained
    weights = (tmp_path / "out" / "model.safetensors").read_bytes()
    again = adapt(own, tmp_path / "out", settings)
    assert again.own == outcome.own
    assert again.is_calibrated
    assert outcome.is_calibrated
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == weights


@pytest.mark.usefixtures("everyday")
def test_odds_that_say_nothing_leave_the_threshold(tmp_path: Path) -> None:
    """A reader whose odds do not tell the questions apart keeps its settings, and the outcome says so."""
    model = write_reader(tmp_path / "tiny")
    outcome = adapt(
        questions(40, 2, "mill"), tmp_path / "out", AdaptSettings(str(model), everyday=0, epochs=0.1)
    )
    assert not outcome.is_calibrated
    kept, before = (Reader.from_pretrained(each).settings for each in (tmp_path / "out", model))
    assert kept.no_answer_threshold == before.no_answer_threshold
    assert not outcome.by_document
    assert outcome.own.questions == 8


@pytest.mark.usefixtures("everyday")
def test_what_cannot_be_adapted_to_is_refused_before_work(tmp_path: Path) -> None:
    """Too few questions, and a place that holds something else, are clear errors."""
    with pytest.raises(DataError, match="19 questions are too few"):
        adapt(questions(19, 8, "mill"), tmp_path / "out")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").touch()
    with pytest.raises(SettingsError, match="holds something else"):
        adapt(questions(40, 8, "mill"), tmp_path / "other")
    assert not (tmp_path / "out").exists()


def test_the_mixture_sees_questions_both_ways() -> None:
    """Half of the own questions have no answer, few ones are repeated, and everyday ones are drawn in equal number."""
    own, others = questions(20, 5, "mill", 0.0), questions(300, 12, "pier", 0.2)
    mixture = mix(own, others, AdaptSettings(everyday=100))
    mine = [one for one in mixture if one.title.startswith("mill")]
    assert len(mine) == 80  # both ways, twice
    assert sum(one.is_impossible for one in mine) == 40
    assert len(mixture) == 180
    assert len({one.id for one in mixture}) == len(mixture)
    alone = mix(own, others, AdaptSettings(everyday=0))
    assert {one.title[:4] for one in alone} == {"mill"}


def test_the_everyday_set_comes_along() -> None:
    """Both parts are where `adapt` looks for them."""
    assert everyday_file("train").is_file()
    assert everyday_file("held-out").is_file()


@pytest.mark.parametrize(("gain", "code"), [(30.0, 0), (0.0, 1), (-30.0, 1)])
def test_the_command_says_whether_it_helped(
    gain: float,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A gain whose interval excludes 0 is exit code 0; no gain is said, and exit code 1."""
    before = np.full(50, 50.0)
    change = Change(50, 50.0, 50.0 + gain, paired_bootstrap(before + gain, before))
    outcome = adapt_module.Outcome(tmp_path / "out", change, change, 100, False, True, 1.0)
    monkeypatch.setattr(adapt_module, "adapt", lambda *_: outcome)
    write_squad(questions(40, 8, "mill"), tmp_path / "own.json")
    monkeypatch.setattr(
        sys, "argv", ["tinyreader", "adapt", str(tmp_path / "own.json"), "-o", str(tmp_path / "out")]
    )
    with pytest.raises(SystemExit) as stop:
        main()
    assert int(stop.value.code or 0) == code
    out, err = capsys.readouterr()
    assert json.loads(out)["helped"] is (gain > 0)
    assert {30.0: "better on your questions", 0.0: "No gain is shown", -30.0: "keep the one you had"}[
        gain
    ] in err
    assert "fewer than 5 documents" in err
