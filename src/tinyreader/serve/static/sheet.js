// The sheet on which a text is edited, or read with the answers marked in it.

import { at, state } from "./state.js";
import { lengthOf, located, wellFormed } from "./text.js";
import { count, element, fillText, LIKELY } from "./view.js";

const MUCH = 10_000; // units; Chromium takes 18 seconds to paste 100 pages into a field, and no time to show them
const MOST_LINES = 5000; // as it does to fill a field with 50,000 lines

/**
 * Shows the text that is chosen, to edit or to read, or the folder's document that an answer stands in. `acts` are what its
 * buttons and fields do: edit(), done(), remove(),
 * example(), changed(), pasted(), back().
 */
export function renderSheet(acts) {
  const { chosen, opened } = state;
  if (state.source === "folder") {
    if (!opened) return renderFolder();
    return renderReading(opened.id, opened, marked((answer) => !answer.owner && answer.document === opened.id), [], acts);
  }
  if (state.isEdited) return renderEditor(chosen, acts);
  const answers = marked((answer) => answer.owner === chosen);
  const edit = hasLines(chosen.text, MOST_LINES) ? [] : [plain("Edit", acts.edit)];
  return renderReading(chosen.name, chosen, answers, [...edit, plain("Remove", acts.remove)], acts);
}

/** The answers to mark: the likely ones, and the current one. */
function marked(isWanted) {
  const { result, current } = state;
  const isSeen = ({ number, score }) => number === current || (result.hasAnswer && score >= LIKELY);
  return result?.answers.filter((answer) => isWanted(answer) && isSeen(answer)) ?? [];
}

function hasLines(text, n) {
  let at = -1;
  for (let line = 0; line < n; line += 1) if ((at = text.indexOf("\n", at + 1)) < 0) return false;
  return true;
}

function plain(label, onclick, more = "") {
  return element("button", { type: "button", class: `plain ${more}`, onclick }, label);
}

function renderEditor(chosen, acts) {
  const size = element("span", { class: "note" });
  const done = plain("Done", acts.done);
  const example = plain("Try an example", acts.example);
  const name = element("input", { type: "text", class: "name", "aria-label": "Name of this text", maxlength: "200", dir: "auto" });
  const area = element("textarea", {
    "aria-label": "Text",
    dir: "auto",
    spellcheck: "false",
    placeholder: "Paste a text here, or drop files anywhere on this page: text, Markdown, HTML, PDF, DOCX.",
  });
  const head = element("div", { class: "head" }, name, size, done);
  name.value = chosen.name;
  area.value = chosen.text;
  const update = () => {
    size.textContent = chosen.text ? count(lengthOf(chosen.text), "character") : "";
    done.hidden = !chosen.text.trim();
    example.hidden = Boolean(chosen.text) || state.texts.length > 1;
    head.hidden = !chosen.text;
  };
  name.addEventListener("input", () => {
    chosen.name = wellFormed(name.value);
    acts.changed();
  });
  area.addEventListener("input", () => {
    chosen.text = wellFormed(area.value);
    chosen.pages = []; // where they begin now, nobody knows
    update();
    acts.changed();
  });
  area.addEventListener("paste", (event) => {
    const pasted = event.clipboardData?.getData("text/plain") ?? "";
    if (pasted.length < MUCH) return;
    event.preventDefault();
    chosen.pages = [];
    chosen.text = wellFormed(area.value.slice(0, area.selectionStart) + pasted + area.value.slice(area.selectionEnd));
    acts.pasted();
  });
  update();
  at("sheet").replaceChildren(head, area, element("p", { class: "acts" }, example));
}

/** How long a text is, in pages where it has them. */
function size(text, pages) {
  const characters = count(lengthOf(text), "character");
  return pages?.length ? `${count(pages.length, "page")}, ${characters}` : characters;
}

function renderReading(name, { text, pages }, answers, buttons, acts) {
  const found = located(text, answers);
  const box = element("div", { class: "reading", tabindex: "0", role: "region", "aria-label": `Text of ${name || "the document"}` });
  fillText(box, text, found ?? [], state.current);
  const back = plain("Back to answers", acts.back, "narrow");
  const changed = element("p", { class: "note" }, "This text has changed since it was asked. Ask again to see answers in it.");
  at("sheet").replaceChildren(
    element(
      "div",
      { class: "head" },
      element("h3", { class: "name" }, name || "Unnamed"),
      element("span", { class: "note" }, size(text, pages)),
      ...buttons,
      ...(answers.length ? [back] : []),
    ),
    ...(found ? [] : [changed]),
    box,
  );
  const mark = box.querySelector("mark.current");
  if (mark) scrollTo(box, mark);
}

function renderFolder() {
  const folder = state.info.collection;
  const unread = folder.unreadable_files ? ` ${count(folder.unreadable_files, "file")} could not be read.` : "";
  const about = folder.is_ready
    ? `${count(folder.documents, "document")} in ${count(folder.passages, "passage")}.${unread} Answers open here, in their document.`
    : "The folder is being indexed for the first time.";
  at("sheet").replaceChildren(element("p", { class: "empty" }, about));
}

/** Scrolls the box, and not the page, until the mark stands in its upper half. */
function scrollTo(box, mark) {
  const move = () => {
    box.scrollTop += mark.getBoundingClientRect().top - box.getBoundingClientRect().top - box.clientHeight / 3;
  };
  move(); // the heights of blocks that were never drawn are guesses: twice more, when they are known
  requestAnimationFrame(() => {
    move();
    requestAnimationFrame(move);
  });
}
