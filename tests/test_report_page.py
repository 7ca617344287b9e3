"""`report.page`: one file that needs nothing else, holds what the data says as text, and works in a
browser.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import browser
import report_samples
from tinyreader.data import Answer, Example
from tinyreader.report import slices
from tinyreader.report.page import Shown, marked_context, page

EVIL = "<script>alert(1)</script> & </script><!-- \u2028 {{data}}"


class Outline(HTMLParser):
    """The tags of a page with their attributes, and whether they close in order."""

    VOID = frozenset(("meta", "br", "path", "use", "rect"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def view(context: str) -> dict[str, object]:
    """What the token view shows of one example."""
    tokens = [[m.start(), m.end()] for m in re.finditer(r"\S+", context)]
    chances = [1 / len(tokens)] * len(tokens)
    one = {
        "who": "this reader",
        "answer": "x",
        "tokens": tokens,
        "start": chances,
        "end": chances,
        "null_start": 0.1,
        "null_end": 0.2,
    }
    attention = {
        "who": "this reader",
        "tokens": ["a", "b"],
        "layers": 2,
        "heads": 2,
        "values": "AAECAwQFBgcICQoLDA0ODw==",
    }
    return {
        "label": EVIL,
        "question": EVIL,
        "context": context,
        "gold": [EVIL],
        "views": [one, one | {"who": "the teacher"}],
        "attention": [attention],
    }


def made(plots: dict[str, str] | None = None) -> str:
    """A page with every section, whose texts try to be more than texts."""
    given = report_samples.examples(40)
    given[0] = Example("q0", EVIL, f"{EVIL} the mill", (Answer("mill", len(EVIL) + 5),), (), EVIL)
    judged = report_samples.questions(given, teacher=True)
    judged[0] = replace(
        judged[0], teacher=EVIL, prediction="mill", f1=0.0, exact=0.0, teacher_exact=1.0, confidence=1.0
    )
    report = report_samples.report(
        given, judged, layers=report_samples.layers(), training=report_samples.training()
    )
    report = replace(report, model=report.model | {"name": EVIL}, data=report.data | {"name": EVIL})
    worst = [(f.row, f.kind) for f in slices.failures(judged, 10)]
    lost = [(f.row, f.kind) for f in slices.lost(judged, 10)]
    shown = Shown(
        given,
        judged,
        worst,
        lost,
        slices.mistakes(judged),
        slices.with_teacher(judged),
        [view(given[0].context)],
    )
    drawn = {"training": "<svg></svg>", "slices": "<svg></svg>"} if plots is None else plots
    return page(report, shown, drawn)


def test_the_page_stands_alone() -> None:
    """No address, no other file, no code from elsewhere; a policy in the page forbids it besides."""
    text = made()
    outline = Outline()
    outline.feed(text)
    assert outline.open == []
    assert not any({"src", "srcset", "action", "data"} & attributes.keys() for _, attributes in outline.tags)
    assert all((a["href"] or "").startswith("#") for _, a in outline.tags if "href" in a)
    assert not [tag for tag, _ in outline.tags if tag in ("link", "iframe", "object", "img")]
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "default-src 'none'" in text
    assert "@import" not in text
    assert "url(" not in text


def test_texts_of_the_data_stay_texts() -> None:
    """Names, questions and contexts that look like HTML, or like the template, are shown as they are."""
    text = made()
    assert "<script>alert" not in text
    assert text.count("</script>") == 2
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    assert data["views"][0]["question"] == EVIL


def test_every_section_is_there_only_where_there_is_something() -> None:
    """Sections follow what the report holds."""
    text = made()
    for anchor in ("scores", "slices", "lost", "worst", "tokens", "training", "layers", "cost", "provenance"):
        assert f'<section id="{anchor}">' in text
    given = report_samples.examples(10)
    judged = report_samples.questions(given)
    bare = page(report_samples.report(given, judged), Shown(given, judged), {})
    assert set(re.findall(r'<section id="(\w+)">', bare)) == {"scores", "slices", "cost", "provenance"}
    assert "official SQuAD 2.0 script" in bare


def test_a_normalisation_of_another_language_is_said() -> None:
    """Scores that are not the official ones say so."""
    given = report_samples.examples(10)
    judged = report_samples.questions(given)
    text = page(report_samples.report(given, judged, normalisation="de"), Shown(given, judged), {})
    assert "not the official one" in text


def test_answers_are_marked_where_they_stand() -> None:
    """Gold answers and the reader's words are marked, each by its kind, also where they overlap; long
    contexts are cut.
    """
    context = "x" * 2000 + " the old mill " + "y" * 2000
    example = Example("a", "?", context, (Answer("old mill", 2005),))
    (question,) = report_samples.questions([example])
    question = replace(question, prediction="the old", start=2001, end=2008)
    html = marked_context(example, question)
    assert (
        '<mark class="best">the </mark><mark class="best gold">old</mark><mark class="gold"> mill</mark>'
        in html
    )
    assert html.startswith("… x")
    assert html.endswith("y …")
    assert len(html) < 1700


def test_the_page_works_in_a_browser(tmp_path: Path) -> None:
    """In headless Chromium, offline, the script runs to its end: tokens with their bars, a canvas per head,
    no error.
    """
    (tmp_path / "index.html").write_text(made(), encoding="utf-8")
    url = (tmp_path / "index.html").as_uri()
    with browser.browsing() as running, browser.visiting(running, url) as opened:
        view = opened.locator("#view")
        assert view.locator("canvas").count() == 5  # two layers of two heads, and the large one
        assert view.locator(".t").count() > 4
        assert "the teacher: x" in view.inner_text()


def test_the_page_fits_a_phone(tmp_path: Path) -> None:
    """Nothing makes the page wider than a phone's screen, not a long question to choose; wide plots scroll by
    themselves.
    """
    given = report_samples.examples(40)
    judged = report_samples.questions(given)
    shown = Shown(
        given, judged, views=[view(given[0].context) | {"label": "Which of the many words of it " * 4}]
    )
    report = report_samples.report(given, judged, training=report_samples.training())
    wide = '<svg class="plot" viewBox="0 0 600 400"></svg>'
    html = page(report, shown, {"slices": wide, "training": wide, "reliability": wide})
    (tmp_path / "index.html").write_text(html, encoding="utf-8")
    url = (tmp_path / "index.html").as_uri()
    with browser.browsing() as running, browser.visiting(running, url, width=390) as phone:
        assert phone.evaluate("[innerWidth, document.documentElement.scrollWidth]") == [390, 390]
        widths = phone.evaluate(
            "['slices', 'training'].map((id) => document.querySelector(`#${id} svg`).clientWidth)"
        )
        assert min(widths) > 600  # less, and their words are too small to be read


def test_small_bins_are_admitted() -> None:
    """With few questions the calibration error is mostly chance, and the page says so; with many it does
    not.
    """
    for n, expected in ((150, True), (900, False)):
        given = report_samples.examples(n)
        judged = report_samples.questions(given)
        html = page(report_samples.report(given, judged), Shown(given, judged), {})
        assert ("Bins of 10 questions are small" in html) == expected
