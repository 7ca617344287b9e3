// The texts that can be asked: yours, or the folder's; and the way from an answer to its text.

import { emptyPages, textOf } from "./files.js";
import { call, Refusal } from "./server.js";
import { renderSheet } from "./sheet.js";
import { at, complain, newText, say, showTrouble, state } from "./state.js";
import { lengthOf } from "./text.js";
import { count, element, LIKELY } from "./view.js";

const EXAMPLE = {
  question: "Who designed the bridge?",
  name: "Example",
  text: `The bridge over the Orrin was drawn up by Ada Rost and opened in May 1911. It has three arches of grey stone, each 24 metres wide.

Before that, a ferry crossed the river twice a day. The last ferryman was Tobias Lunn, who kept the ferry house as an inn until 1930.`,
};

const acts = {
  edit() {
    select(state.chosen, true);
    at("sheet").querySelector("textarea").focus();
  },
  done() {
    select(state.chosen);
    at("sheet").querySelector("button").focus();
  },
  pasted() {
    select(state.chosen);
    at("question").focus();
    say("The text is there. Ask a question of it.");
  },
  remove,
  example: useExample,
  changed() {
    complain("");
    renderHead();
  },
  back: backToAnswer,
};

/** The source that is asked: "texts" or "folder". */
export function choose(source) {
  state.source = source;
  for (const radio of document.querySelectorAll("[name=source]")) radio.checked = radio.value === source;
  complain("");
  renderTexts();
}

/** Shows one of your texts: to edit where so wanted, or where there is nothing in it to read. */
export function select(text, isEdited = false) {
  state.chosen = text;
  state.isEdited = isEdited || !text.text;
  renderTexts();
}

/** A new text to paste into; one that is blank already does as well. */
export function addBlank() {
  const blank = state.texts.find(({ text }) => !text.trim()) ?? newText();
  if (!state.texts.includes(blank)) state.texts.push(blank);
  select(blank, true);
  at("sheet").querySelector("textarea").focus();
}

/** A text that was dropped or read, chosen and asked from now on. */
export function addText(text) {
  keep(text);
  choose("texts");
  select(text);
}

export async function addFiles(files) {
  const limits = state.info?.limits;
  const maxCharacters = limits?.max_document_characters ?? 10_000_000;
  const waiting = ({ words }) => say(`${words} Asking again.`);
  const problems = [];
  let last = null;
  let n = 0;
  const late = setTimeout(() => tell([], "Reading files"), 400);
  for (const file of files) {
    try {
      const { warnings = [], ...found } = await textOf(file, { key: state.key, limits, waiting });
      const size = lengthOf(found.text);
      if (size > maxCharacters) throw new Error(`It has ${count(size, "character")}; the maximum is ${count(maxCharacters, "character")}.`);
      last = { name: file.name, ...found };
      keep(last);
      n += 1;
      const empty = emptyPages(found);
      for (const warning of warnings.filter((words) => !words.includes("pages have no text"))) {
        problems.push([file.name, `was read in part: ${warning}.`]);
      }
      if (empty.length) problems.push([file.name, `has no text on ${pageNumbers(empty)}. ${empty.length === 1 ? "Is it an image?" : "Are they images?"}`]);
    } catch (error) {
      problems.push([file.name, `was not read. ${error.message}`]);
    }
  }
  clearTimeout(late);
  tell(problems);
  if (last) {
    choose("texts");
    select(last);
    say(`${count(n, "text")} added.`);
  }
}

function pageNumbers(numbers) {
  const first = numbers.slice(0, 5).join(", ");
  const more = numbers.length > 5 ? ` and ${numbers.length - 5} more` : "";
  return `${numbers.length === 1 ? "page" : "pages"} ${first}${more}`;
}

function tell(problems, words = "") {
  if (words) {
    at("notes").replaceChildren(element("p", { class: "note" }, words));
    return;
  }
  const lines = problems.map(([name, what]) => element("p", {}, element("strong", {}, name), ` ${what}`));
  const close = element("button", { type: "button", onclick: () => at("notes").replaceChildren() }, "Close");
  at("notes").replaceChildren(...(problems.length ? [element("div", { class: "box bad" }, ...lines, close)] : []));
}

/** Puts a text among the others; blank ones go. */
function keep(text) {
  state.texts = [...state.texts.filter((other) => other.text.trim()), text];
}

function remove() {
  const text = state.chosen;
  const place = state.texts.indexOf(text);
  state.texts.splice(place, 1);
  if (!state.texts.length) state.texts.push(newText());
  select(state.texts[Math.min(place, state.texts.length - 1)]);
  say(`${text.name} removed.`);
  (at("sheet").querySelector("textarea") ?? at("sheet").querySelector("button")).focus();
}

export function renderTexts() {
  renderHead();
  renderSheet(acts);
}

/** Title, buttons and the list of texts, all but the text itself. */
function renderHead() {
  const isFolder = state.source === "folder";
  at("texts-title").textContent = isFolder ? "The folder" : state.texts.length > 1 ? `Your texts (${state.texts.length})` : "Your text";
  at("tools").hidden = isFolder;
  at("private").hidden = isFolder;
  at("new-text").hidden = state.texts.length === 1 && !state.texts[0].text; // there it is already
  at("list").hidden = isFolder || state.texts.length < 2;
  renderList();
}

function renderList() {
  const answers = state.result?.source === "texts" ? state.result.answers : [];
  at("list").replaceChildren(
    ...(at("list").hidden ? [] : state.texts).map((text) => {
      const n = state.result?.hasAnswer ? answers.filter((answer) => answer.owner === text && answer.score >= LIKELY).length : 0;
      return element(
        "li",
        {},
        element(
          "button",
          { type: "button", class: "item", "aria-current": text === state.chosen ? "true" : null, onclick: () => pick(text) },
          element("span", { class: "name" }, text.name || "Unnamed"),
          n ? element("span", { class: "found" }, count(n, "answer")) : null,
        ),
      );
    }),
  );
}

function pick(text) {
  select(text);
  at("list").querySelector("[aria-current]").focus();
}

function useExample() {
  addText({ name: EXAMPLE.name, text: EXAMPLE.text });
  at("question").value = EXAMPLE.question;
  at("question").focus();
  say("An example is there. Press Enter to ask.");
}

// --- From an answer to its text

/** Opens the text that an answer stands in, with the answer marked; true if it is there. */
export async function open(answer) {
  state.current = answer.number;
  for (const one of at("answers").querySelectorAll("[data-answer]")) {
    one.classList.toggle("shown", Number(one.dataset.answer) === answer.number);
  }
  if (answer.owner) {
    if (!state.texts.includes(answer.owner)) return false;
    if (state.source !== "texts") choose("texts");
    select(answer.owner);
    return true;
  }
  if (state.opened?.id !== answer.document) {
    try {
      const { id, text, pages } = await call(`documents?id=${encodeURIComponent(answer.document)}`, { key: state.key });
      if (state.current !== answer.number) return false;
      state.opened = { id, text, pages };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      showTrouble(`${answer.document} cannot be shown. ${error.message}`, false);
      return false;
    }
  }
  choose("folder");
  return true;
}

export async function show(answer) {
  if (!(await open(answer))) {
    if (answer.owner) say("That text was removed.");
    return;
  }
  const mark = at("sheet").querySelector("mark.current");
  const box = at("sheet").querySelector(".reading");
  (mark ?? box).focus({ preventScroll: true });
  box.scrollIntoView({ block: "nearest" });
}

function backToAnswer() {
  const card = at("answers").querySelector(".shown") ?? at("answers");
  card.scrollIntoView({ block: "nearest" });
  card.querySelector("button")?.focus({ preventScroll: true });
}
