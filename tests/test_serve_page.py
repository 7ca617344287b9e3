"""The page of `tinyreader serve`, used in headless Chromium against a real server whose reader finds what is
quoted.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from browser import browsing, press, visiting
from document_samples import docx_bytes, pdf_of
from serving import Running, running, until
from tinyreader.reader import FoundAnswer, Question, ReaderSettings, Reading
from tinyreader.reader.reading import documents_of
from tinyreader.serve.app import STATIC
from tinyreader.serve.problems import KINDS, Problem

KEY = "a-key-of-25-characters-xx"
EVIL = "<img src=x onerror=\"document.title='run'\"> <b>&amp;</b> "
MILL = "The old mill stands by the river. Ada Rost built it in 1911."
EMOJI = "😀🎉 "
AXE = Path(os.environ.get("NODE_PATH", "node_modules"), "axe-core", "axe.min.js")


class Finder:
    """A reader whose answers to a question are the places of what it quotes: `where is "mill"?`.

    A question that begins with `refuse KIND` is refused by that kind, once where it ends with `once`; `wait`
    waits; `doubt` doubts all that is found.
    """

    settings = ReaderSettings()

    def __init__(self) -> None:
        self.go_on, self.refused = threading.Event(), 0

    def read_many(self, questions: Iterable[Question], **options: Any) -> Iterator[Reading]:
        """Yield a reading for each."""
        for question in questions:
            self._obey(question.text)
            (sought,) = re.findall('"(.+?)"', question.text) or [""]
            found = [
                (document, place.start(), place.end())
                for document in documents_of(question.documents)
                for place in re.finditer(re.escape(sought), document.text)
                if sought
            ][: options["top_k"]]
            answers = [
                FoundAnswer(sought, 0.83 if n == 0 else 0.12 if n == 1 else 0.002, start, end, document, -1.0)
                for n, (document, start, end) in enumerate(found)
            ]
            has = bool(answers) and not question.text.startswith("doubt")
            yield Reading(question.text, tuple(answers), 0.07 if has else 0.93, has, question.id)

    def _obey(self, text: str) -> None:
        if text.startswith("wait"):
            assert self.go_on.wait(60)
        if text.startswith("refuse ") and not (text.endswith("once") and self.refused):
            self.refused += 1
            kind = text.split()[1]
            raise Problem(kind, "Because.", retry_after_s=1 if KINDS[kind][0] == 503 else None)


@contextmanager
def serving(folder: Path, **settings: Any) -> Iterator[tuple[Running, Finder]]:
    """A server with such a reader."""
    with running(folder, **settings) as server:
        finder = Finder()
        server.service.reader = finder  # type: ignore[assignment]
        try:
            yield server, finder
        finally:
            finder.go_on.set()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser, where this machine has one."""
    with browsing() as found:
        yield found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Finder]]:
    """A server without a folder."""
    with serving(
        tmp_path_factory.mktemp("served"), max_body_bytes=600_000, max_question_characters=100
    ) as found:
        yield found


@pytest.fixture
def page(browser: Browser, served: tuple[Running, Finder]) -> Iterator[Page]:
    """The page, opened anew; afterwards it has neither failed nor tried what its security policy forbids."""
    with visiting(browser, served[0].url) as found:
        yield found


def ask(page: Page, question: str, text: str | None = None) -> None:
    """Puts the text there, if any, asks, and waits for what comes of it."""
    if text is not None:
        page.fill("#sheet textarea", text)
    page.fill("#question", question)
    press(page, "Enter")
    expect(page.locator("#ask")).to_be_visible()


def paste(page: Page, text: str) -> None:
    """Pastes a long text; the page does it, and not the browser, which takes long."""
    taken_by_browser = page.evaluate(f"""(() => {{
      const clipboardData = new DataTransfer();
      clipboardData.setData('text/plain', {json.dumps(text)});
      const event = new ClipboardEvent('paste', {{ clipboardData, bubbles: true, cancelable: true }});
      return document.querySelector('#sheet textarea').dispatchEvent(event);
    }})()""")
    assert not taken_by_browser


def marks(page: Page) -> list[tuple[str, str]]:
    """The marked words of the text that is shown, with their kind."""
    found = page.evaluate(
        "[...document.querySelectorAll('.reading mark')].map(m => [m.textContent, m.className])"
    )
    return [tuple(mark) for mark in found]


def allow_copying(page: Page) -> None:
    """Lets the page use the clipboard, as people do when they press its button."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])


def test_answers_are_marked_in_their_text(page: Page) -> None:
    """With emoji before and HTML in it, the text stays as it was pasted, the answers stand where they are,
    best first.
    """
    text = f"{EMOJI}{EVIL}\n\n{MILL}\n\nThe 🏚 mill is old. A mill, a mill."
    ask(page, 'Where is the "mill"?', text)
    assert page.inner_text(".best .words") == "mill"
    assert page.locator(".best .facts span:not(.bar, .bar *)").all_text_contents() == [
        "83% sure",
        "Text 1, line 3",
    ]
    assert page.inner_text(".best .context") == MILL
    assert page.evaluate("document.querySelector('.best mark').textContent") == "mill"
    assert page.locator(
        "h3 + .others > li:first-child .facts span:not(.bar, .bar *)"
    ).all_text_contents() == ["12% sure", "Text 1, line 5"]
    assert page.inner_text("summary") == "2 more candidates, under 1% sure"
    assert marks(page) == [("mill", "current"), ("mill", "other")]
    assert page.evaluate("document.querySelector('.reading').textContent") == text
    assert page.evaluate("document.querySelectorAll('.reading img, .reading b').length") == 0
    assert re.match(r"Answered in \d+(\.\d+)? s", page.inner_text(".foot"))
    said = "Answer: mill. 83% sure, Text 1, line 3. 3 other candidates."
    expect(page.locator("#said")).to_have_text(said)
    page.click(".others button")
    assert marks(page) == [("mill", "other"), ("mill", "current")]
    assert page.evaluate("document.activeElement.className") == "current"
    page.click("summary")
    page.click("details button")
    assert marks(page) == [("mill", "other"), ("mill", "other"), ("mill", "current")]
    assert page.evaluate("document.title") == "Tinyreader"


def test_no_answer_is_said(page: Page) -> None:
    """Where the reader finds none, the page says so with the reader's confidence, and marks nothing."""
    ask(page, 'Where is the "castle"?', MILL)
    assert page.inner_text("#answers h2") == "No answer in this text"
    assert page.inner_text("#answers .facts") == "The reader is 93% sure that there is none."
    assert marks(page) == []
    expect(page.locator("#said")).to_have_text("No answer in this text.")
    ask(page, 'doubt "river"')
    assert page.inner_text("#answers h2") == "No answer in this text"
    assert page.inner_text("summary") == "1 candidate, too uncertain to be an answer"
    assert marks(page) == []
    page.click("summary")
    page.click("details button")
    assert marks(page) == [("river", "current")]


def test_a_changed_text_is_not_marked_in_wrong_places(page: Page) -> None:
    """Edited after it was asked, a text shows no marks, says why, and asked again is marked anew."""
    ask(page, 'Where is the "mill"?', MILL)
    page.click("#sheet .head button")
    page.fill("#sheet textarea", f"Changed. {MILL}")
    page.click("#sheet .head button")
    assert (
        page.inner_text("#sheet > .note")
        == "This text has changed since it was asked. Ask again to see answers in it."
    )
    assert marks(page) == []
    ask(page, 'Where is the "mill"?')
    assert marks(page) == [("mill", "current")]


def test_files_are_read_in_the_browser(page: Page, tmp_path: Path) -> None:
    """Plain texts in UTF-8 and UTF-16 are added under their names; what is no text is named with the reason,
    and not asked.
    """
    given: Mapping[str, bytes] = {
        "a.txt": b"\xef\xbb\xbfFirst.",
        "b.md": f"{EMOJI}{MILL}".encode("utf-16"),
        "c.doc": b"PK",
        "d.txt": b"caf\xe9",
        "e.bin": b"a\0b",
        "f.txt": b" \n",
        "g.txt": b"\xff\xfe\0\0a\0\0\0",
    }
    for name, content in given.items():
        (tmp_path / name).write_bytes(content)
    page.set_input_files("#files", [tmp_path / name for name in given])
    expect(page.locator("#list li")).to_have_count(2)
    assert page.locator("#notes p").all_text_contents() == [
        "c.doc was not read. This page reads text, HTML, PDF, Office files, e-mail and e-books. Paste its text.",
        "d.txt was not read. It is not UTF-8 text. Save it as UTF-8 and add it again.",
        "e.bin was not read. It is not a text file.",
        "f.txt was not read. It is empty.",
        "g.txt was not read. It is not a text file.",
    ]
    ask(page, 'Who is "Ada Rost"?')
    assert page.inner_text(".best .place") == "b.md, line 1"
    assert page.locator("#list [aria-current] span").all_text_contents() == ["b.md", "1 answer"]
    assert marks(page) == [("Ada Rost", "current")]
    sent = json.loads(page.requests()[-1].post_data or "")
    assert [document["text"] for document in sent["documents"]] == ["First.", f"{EMOJI}{MILL}"]


def test_files_of_other_kinds_are_read_by_the_server(page: Page, tmp_path: Path) -> None:
    """PDF, DOCX and HTML become text there; answers have their page; what cannot be read is said by its
    name.
    """
    given = {
        "mill.pdf": pdf_of(["The river is long.", "", "Ada Rost built the mill."]),
        "d.docx": docx_bytes(),
        "p.html": b"<title>T</title><p>Shown &amp; <script>not</script>told",
        "b.pdf": b"%PDF-1.7",
        "r.txt": pdf_of(["Renamed"]),
    }
    for name, content in given.items():
        (tmp_path / name).write_bytes(content)
    page.set_input_files("#files", [tmp_path / name for name in given])
    expect(page.locator("#list li")).to_have_count(4)
    expect(page.locator("#notes p")).to_have_count(2)
    first, second = page.locator("#notes p").all_text_contents()
    assert first == "mill.pdf has no text on page 2. Is it an image?"
    assert second.startswith("b.pdf was not read. It is a broken PDF (")
    ask(page, 'Who is "Ada Rost"?')
    assert page.inner_text(".best .place") == "mill.pdf, page 3, line 3"
    assert marks(page) == [("Ada Rost", "current")]
    assert page.inner_text("#sheet .note").startswith("3 pages, ")
    sent = json.loads(page.requests()[-1].post_data or "")["documents"]
    assert [document.get("pages") for document in sent] == [[0, 19, 20], None, None, [0]]
    assert sent[2]["text"] == "T\n\nShown & told"
    page.evaluate("document.querySelector('#sheet .head button').click()")
    page.fill("#sheet textarea", f"{MILL} Changed.")
    ask(page, 'Who is "Ada Rost"?')
    assert page.inner_text(".best .place") == "mill.pdf, line 1"


def test_texts_are_added_named_and_removed(page: Page) -> None:
    """A second text can be pasted; names given to texts stand in the places of answers; removed, a text is
    not asked.
    """
    page.fill("#sheet textarea", "Nothing here.")
    page.click("#new-text")
    page.fill("#sheet textarea", MILL)
    page.fill("#sheet input", "Local history")
    assert page.locator("#list .name").all_text_contents() == ["Text 1", "Local history"]
    ask(page, 'Who is "Ada Rost"?')
    assert page.inner_text(".best .place") == "Local history, line 1"
    page.click("#sheet .head button:nth-of-type(2)")
    assert page.evaluate("document.activeElement.innerText") == "Edit"
    ask(page, 'Who is "Ada Rost"?')
    assert page.inner_text("#answers h2") == "No answer in this text"
    page.click("#sheet .head button:nth-of-type(2)")
    assert page.evaluate("document.querySelector('#sheet textarea').value") == ""
    page.click("#sheet .acts button")
    assert "Ada Rost" in page.inner_text(".reading")
    assert page.evaluate("document.querySelector('#question').value") == "Who designed the bridge?"


def test_what_is_dropped_is_added(page: Page) -> None:
    """A file or a text dropped anywhere on the page is a text to ask."""
    page.evaluate("""(() => {
      const drop = (add) => {
        const dataTransfer = new DataTransfer();
        add(dataTransfer);
        for (const kind of ['dragenter', 'dragover', 'drop']) {
          const event = new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true });
          document.querySelector('header').dispatchEvent(event);
        }
      };
      drop((transfer) => transfer.items.add(new File(['From a file.'], 'dropped.txt')));
      drop((transfer) => transfer.setData('text/plain', 'From a page.'));
    })()""")
    expect(page.locator("#list li")).to_have_count(2)
    assert sorted(page.locator("#list .name").all_text_contents()) == ["Text 2", "dropped.txt"]
    assert page.evaluate("document.querySelector('#drop').hidden")


def test_an_answer_is_copied_as_a_quote_with_its_source(page: Page) -> None:
    """The quote holds the words, the text's name and the line; so does, without a clipboard, a field to copy
    from.
    """
    allow_copying(page)
    ask(page, 'Who is "Ada Rost"?', MILL)
    page.click(".best [aria-label^=Copy]")
    expect(page.locator(".best [aria-label^=Copy]")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "“Ada Rost” (Text 1, line 1)"
    page.evaluate(
        "navigator.clipboard.writeText = () => Promise.reject(new Error()), document.execCommand = () => "
        "false, 0"
    )
    page.click("#answers .best [aria-label^=Copy]")
    assert page.input_value(".by-hand") == "“Ada Rost” (Text 1, line 1)"


def test_a_link_restores_a_question_and_tells_the_server_nothing(
    page: Page, browser: Browser, served: tuple[Running, Finder]
) -> None:
    """The link's fragment holds the question; opened, the question is there, and no address asked for holds
    any of it.
    """
    allow_copying(page)
    question = 'Where is "the mill" & who? 😀'
    ask(page, question, MILL)
    page.click(".foot button")
    expect(page.locator(".foot button")).to_have_text("Copied")
    link = str(page.evaluate("navigator.clipboard.readText()"))
    assert link.startswith(f"{served[0].url}/#q=")
    with visiting(browser, link) as other:
        assert other.evaluate("document.querySelector('#question').value") == question
        assert other.evaluate("document.activeElement.id") == "question"
        addresses = {request.url for request in other.requests() + page.requests()}
        assert addresses == {f"{served[0].url}/{path}" for path in ("", "info", "read", *assets())}


def assets() -> set[str]:
    """The paths of what the page loads."""
    files = [file for file in STATIC.iterdir() if file.stem != "docs"]
    return {f"static/{file.name}" for file in files if file.suffix in (".js", ".css", ".svg")}


def test_what_is_missing_is_said_before_anything_is_sent(page: Page) -> None:
    """Without a question, without a text, with a question too long or texts too large, the page says so and
    asks nothing.
    """
    before = len(page.requests())
    page.evaluate("document.querySelector('#question').focus()")
    press(page, "Enter")
    assert page.inner_text("#question-note") == "Type a question first."
    assert page.evaluate("document.querySelector('#question').getAttribute('aria-invalid')") == "true"
    ask(page, "Who?")
    assert page.inner_text("#question-note") == "Add a text first: paste it, or add files."
    assert page.evaluate("document.activeElement.ariaLabel") == "Text"
    ask(page, "w" * 101, MILL)
    assert (
        page.inner_text("#question-note") == "The question has 101 characters; the maximum is 100 characters."
    )
    paste(page, "mill\n" * 130_000)
    assert page.locator("#sheet .head button").all_text_contents() == [
        "Remove"
    ]  # a browser's field takes a minute for so many lines
    ask(page, "Who?")
    assert "the maximum is 0.6 MB" in page.inner_text("#trouble")
    assert len(page.requests()) == before


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("cannot-read", "The server rejected this: Because."),
        ("too-late", "The server gave up, as this took too long."),
        (
            "engine-failed",
            "The reader failed at this question. Ask again. In the server’s log this is request ",
        ),
        ("failed", "The server failed (500). In the server’s log this is request "),
        ("too-large", "That is too much text for one question"),
    ],
)
def test_refusals_are_said_in_plain_words(page: Page, kind: str, words: str) -> None:
    """A refusal is an alert that says what happened and offers to try again."""
    ask(page, f"refuse {kind}", MILL)
    assert page.inner_text("#trouble").startswith(words)
    assert page.evaluate("document.querySelector('#trouble').getAttribute('role')") == "alert"
    assert page.inner_text("#again") == "Try again"
    assert page.evaluate("document.querySelector('#answers').hidden")


def test_a_busy_server_is_asked_again(page: Page, served: tuple[Running, Finder]) -> None:
    """Refused with 503, the page says that it waits, asks again by itself, and shows the answer."""
    served[1].refused = 0
    page.fill("#sheet textarea", MILL)
    page.fill("#question", 'refuse full for "Ada Rost" once')
    press(page, "Enter")
    expect(page.locator("#busy-text")).to_have_text(re.compile("^The server is busy. Asking again in"))
    expect(page.locator(".best")).to_be_visible()
    assert page.inner_text(".best .words") == "Ada Rost"
    expect(page.locator("#ask")).to_be_visible()


def test_a_question_can_be_stopped(page: Page, served: tuple[Running, Finder]) -> None:
    """Stop ends the request at the server as well, and the page is as before it was asked."""
    server, finder = served
    before = server.counted("abandoned_total")
    finder.go_on.clear()
    page.fill("#sheet textarea", MILL)
    page.fill("#question", 'wait for "mill"')
    press(page, "Tab", "Enter")  # on the button Ask
    expect(page.locator("#stop")).to_be_visible()
    assert page.evaluate("document.activeElement.id") == "stop"
    until(lambda: server.counted("requests_inside") == 1, "the request")
    press(page, "Enter")
    expect(page.locator("#ask")).to_be_visible()
    assert page.evaluate("document.activeElement.id") == "ask"
    until(lambda: server.counted("abandoned_total") == before + 1, "the end of the request")
    finder.go_on.set()
    assert page.evaluate(
        "document.querySelector('#answers').hidden && document.querySelector('#trouble').hidden"
    )


def test_a_server_that_has_gone_is_said(browser: Browser, tmp_path: Path) -> None:
    """The page keeps the texts and says that the server cannot be reached."""
    with ExitStack() as stack:
        with serving(tmp_path) as (server, _):
            page = stack.enter_context(visiting(browser, server.url))
        ask(page, "Who?", MILL)
        assert page.inner_text("#trouble").startswith("The server cannot be reached.")
        assert page.input_value("#sheet textarea") == MILL


def test_a_key_is_asked_for(browser: Browser, tmp_path: Path) -> None:
    """The page opens without a key, asks for it, says when it is wrong, and with the right one answers; the
    key is not kept.
    """
    with serving(tmp_path, api_key=KEY) as (server, _), visiting(browser, server.url) as page:
        assert page.evaluate("document.activeElement.id") == "key"
        assert (
            page.inner_text("#key-note")
            == "This server requires a key. It is kept until you leave this page."
        )
        page.fill("#key", "wrong")
        press(page, "Enter")
        expect(page.locator("#key-note")).to_have_text("This key is not valid.")
        page.fill("#key", KEY)
        press(page, "Enter")
        expect(page.locator("#key-form")).to_be_hidden()
        ask(page, 'Where is the "mill"?', MILL)
        assert page.inner_text(".best .words") == "mill"
        assert page.evaluate("sessionStorage.length + localStorage.length + document.cookie.length") == 0
        assert not any(KEY in request.url for request in page.requests())


def test_the_folder_is_asked(browser: Browser, tmp_path: Path) -> None:
    """With a folder, its documents answer and open with the answer marked; a link knows that it was the
    folder.
    """
    home = tmp_path / "documents"
    home.mkdir()
    (home / "mill.md").write_text(f"{EMOJI}{EVIL}\r\n\r\n{MILL}", encoding="utf-8", newline="")
    (home / "river & sea.txt").write_text("The river is long.", encoding="utf-8")
    with (
        serving(tmp_path, documents=home, index=tmp_path / "index") as (server, _),
        visiting(browser, server.url) as page,
    ):
        expect(page.locator("#folder-size")).to_have_text("(2 documents)")
        assert page.evaluate("document.querySelector('[value=folder]').checked")
        assert page.inner_text(".empty") == "2 documents in 2 passages. Answers open here, in their document."
        ask(page, 'Where is the mill of "Ada Rost"?')
        assert page.inner_text(".best .place") == "mill.md, line 3"
        expect(page.locator(".reading mark")).to_be_visible()
        assert marks(page) == [("Ada Rost", "current")]
        assert page.inner_text("#sheet h3") == "mill.md"
        ask(page, 'Which "river is long"?')
        expect(page.locator("#sheet h3")).to_have_text("river & sea.txt")
        ask(page, 'Is there a "castle" at the river?')
        assert page.inner_text("#answers h2") == "No answer in the folder"
        page.click("[value=texts]")
        ask(page, 'What "stands"?', MILL)
        assert page.inner_text(".best .place") == "Text 1, line 1"
        with visiting(browser, f"{server.url}/#q=Which+mill%3F&in=folder") as other:
            assert other.evaluate("document.querySelector('[value=folder]').checked")
            assert other.evaluate("document.querySelector('#question').value") == "Which mill?"


def test_the_keyboard_alone_does_everything(page: Page) -> None:
    """From the question by Tab to the text and back, asked by Enter, the answer shown in its text, with focus
    always seen.
    """
    page.evaluate("document.querySelector('#question').focus()")
    press(page, "Tab", "Tab", "Tab")  # Ask, Add files
    assert page.evaluate("document.activeElement.ariaLabel") == "Text"
    page.keyboard.insert_text(MILL)
    for _ in range(10):
        press(page, "Shift+Tab")
        if page.evaluate("document.activeElement.id") == "question":
            break
    page.keyboard.insert_text('Who is "Ada Rost"?')
    press(page, "Enter")
    expect(page.locator(".best")).to_be_visible()
    assert page.evaluate("document.activeElement.id") == "question"
    press(page, "Tab", "Tab")
    assert page.evaluate("document.activeElement.innerText") == "Show in text"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    press(page, "Enter")
    expect(page.locator("mark:focus")).to_have_text("Ada Rost")
    press(page, "Shift+Tab")
    assert page.evaluate("document.activeElement.className") == "reading"


def test_a_hundred_pages_are_read_and_the_answer_is_in_sight(page: Page) -> None:
    """The text of 100 pages is shown whole, scrolled to its answer, and the page itself does not scroll."""
    text = "\n".join(
        f"Line {n} says what a line of {EMOJI}says, and then it says some more of it." for n in range(4500)
    )
    text = text.replace("Line 3210 says", "Line 3210, the needle, says")
    paste(page, text)
    assert page.evaluate("document.activeElement.id") == "question"
    assert page.locator("#sheet .head button").all_text_contents() == ["Edit", "Remove"]
    ask(page, 'Where is "the needle"?')
    until(
        lambda: page.evaluate("""(() => {
          const box = document.querySelector('.reading').getBoundingClientRect();
          const mark = document.querySelector('mark.current').getBoundingClientRect();
          return mark.top >= box.top && mark.bottom <= Math.min(box.bottom, innerHeight) && scrollY === 0;
        })()"""),
        "the answer in sight",
    )
    assert page.evaluate("document.querySelector('.reading').textContent") == text
    assert page.inner_text(".best .place") == "Text 1, line 3,211"


def test_places_are_code_points(page: Page) -> None:
    """Places and pieces agree with counting one by one, on texts of emoji, halves of pairs and ends of
    lines.
    """
    wrong = page.evaluate("""(async () => {
      const { lengthOf, blocksOf, wellFormed, located } = await import('/static/text.js');
      let seed = 7;
      const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
      const parts = ['a', 'é', '😀', '\\ud83d', '\\ude00', '\\n', '\\r\\n', '中', 'x'.repeat(900)];
      const wrong = [];
      for (let round = 0; round < 300; round += 1) {
        const text = wellFormed(Array.from({ length: random(60) }, () => parts[random(parts.length)]).join(''));
        const points = Array.from(text);
        if (!text.isWellFormed()) wrong.push(['halves', text]);
        if (lengthOf(text) !== points.length) wrong.push(['length', text]);
        const spans = Array.from({ length: random(4) }, () => {
          const start = random(points.length + 1);
          const end = start + random(points.length - start + 1);
          return { start, end, text: points.slice(start, end).join('') };
        });
        const found = located(text, spans);
        if (!found) { wrong.push(['located', text, spans]); continue; }
        const pieces = [...blocksOf(text, found)].flat();
        if (pieces.map((piece) => piece.text).join('') !== text) wrong.push(['pieces', text]);
        for (const span of found) {
          const marked = pieces.filter((piece) => piece.inside.includes(span)).map((piece) => piece.text).join('');
          if (marked !== span.text) wrong.push(['marked', text, span]);
        }
        const moved = spans.every((span) => Array.from(`x${text}`).slice(span.start, span.end).join('') === span.text);
        if (Boolean(located(`x${text}`, spans)) !== moved) wrong.push(['moved', text, spans]);
      }
      return wrong;
    })()""")
    assert wrong == []


STATES = ("empty", "answers", "none", "trouble", "files")


def bring_about(page: Page, state: str, folder: Path) -> None:
    """Brings the page into a state that people meet."""
    if state == "answers":
        ask(page, 'Where is the "mill"?', f"{MILL} A mill. A mill. " + "unbroken" * 60)
        page.click("summary")
    elif state == "none":
        ask(page, 'Where is the "castle"?', MILL)
    elif state == "trouble":
        ask(page, "refuse failed", MILL)
    elif state == "files":
        for name in ("one.txt", "a-name-that-is-" + "very-" * 20 + "long.txt", "three.pdf"):
            (folder / name).write_text(MILL)
        page.set_input_files("#files", sorted(folder.iterdir()))
        expect(page.locator("#list li")).to_have_count(2)


@pytest.mark.parametrize("state", STATES)
def test_it_fits_a_phone(
    browser: Browser, served: tuple[Running, Finder], state: str, tmp_path: Path
) -> None:
    """At 360 pixels nothing is wider than the screen, and no button is lower than 24 pixels."""
    with visiting(browser, served[0].url, width=360, height=740) as page:
        bring_about(page, state, tmp_path)
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert page.evaluate("innerWidth") == 360
        low = "[...document.querySelectorAll('button')].filter((e) => e.offsetHeight > 0 && e.offsetHeight < 24)"
        assert page.evaluate(f"{low}.length") == 0


@pytest.mark.skipif(not AXE.is_file(), reason="needs axe-core from npm in the folder that NODE_PATH names")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("state", STATES)
def test_axe_finds_nothing(
    browser: Browser, served: tuple[Running, Finder], state: str, width: int, dark: bool, tmp_path: Path
) -> None:
    """axe, the accessibility checker, has no complaint, in light and dark, on a screen and on a phone."""
    with visiting(browser, served[0].url, width=width, dark=dark) as page:
        bring_about(page, state, tmp_path)
        page.evaluate(f"{AXE.read_text(encoding='utf-8')}; 0")
        violations = page.evaluate(
            "axe.run().then((found) => found.violations.map((v) => [v.id, v.nodes.map((n) => n.html)]))"
        )
        assert violations == []
        assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == (
            "dark" if dark else "light"
        )


def test_the_api_is_described_without_a_network(browser: Browser, served: tuple[Running, Finder]) -> None:
    """The page /docs shows routes, models and refusals, a refusal's type leads to its place there, and nothing comes
    from elsewhere.
    """
    url = served[0].url
    with visiting(browser, f"{url}/docs#too-late") as page:
        assert "POST /read" in page.locator("h2").all_text_contents()
        assert "max_answer_tokens" in page.inner_text("#ReadBody + p + table")
        assert page.inner_text("#limit") == "limit\t422\tA limit is exceeded"
        assert {row.get_attribute("id") for row in page.locator("tr[id]").all()} == set(KINDS)
        assert page.evaluate(
            "document.querySelector('#too-late').getBoundingClientRect().bottom <= innerHeight"
        )
        assert {request.url.rpartition("/")[0] for request in page.requests()} == {url, f"{url}/static"}


def test_browsers_ask_for_the_files_again(served: tuple[Running, Finder]) -> None:
    """Page and files come with `no-cache`, and with a tag by which an unchanged file is not sent again."""
    for path in ("/", "/static/page.js"):
        answer = served[0].ask("GET", path)
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["content-security-policy"].startswith(
            "default-src 'none'; script-src 'self'; style-src 'self';"
        )
    again = served[0].ask("GET", "/static/page.js", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


class Outline(HTMLParser):
    """The tags of a page, and its ids."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id" and value]


def test_nothing_is_loaded_from_elsewhere() -> None:
    """No file of the page names another site, and the HTML has neither scripts, styles nor handlers in it."""
    for file in STATIC.iterdir():
        addresses = set(
            re.findall(r"(?:https?:)?//[\w-]+\.[\w.-]+[^\s\"')]*", file.read_text(encoding="utf-8"))
        )
        assert addresses <= {"http://www.w3.org/2000/svg"}, file.name
    outline = Outline()
    outline.feed((STATIC / "index.html").read_text(encoding="utf-8"))
    assert len(outline.ids) == len(set(outline.ids))
    for tag, attributes in outline.tags:
        assert tag != "style"
        assert tag != "script" or attributes["src"]
        assert not any(name == "style" or name.startswith("on") for name in attributes)
    source = "".join(file.read_text(encoding="utf-8") for file in STATIC.glob("*.js"))
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", source
    )
    for name in set(re.findall(r'\bat\("([\w-]+)"\)', source)):
        assert name in outline.ids, f"no element has the id {name}"
