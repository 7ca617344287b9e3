// Elements made from what was found. Texts go in as text, never as HTML.

import { blocksOf, lengthOf } from "./text.js";

export const LIKELY = 0.01; // candidates below this score are folded away, and not marked

/** An element: attributes and listeners (`onclick`) from an object, then children; texts become text nodes. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function count(n, one, many = `${one}s`) {
  return `${n.toLocaleString("en-GB")} ${n === 1 ? one : many}`;
}

/** A share as people say it; never 0% or 100%, which a reader cannot know. */
export function percent(share) {
  const whole = Math.round(100 * share);
  return whole < 1 ? "under 1%" : whole > 99 ? "over 99%" : `${whole}%`;
}

export function seconds(s) {
  const digits = s < 0.1 ? 2 : s < 10 ? 1 : 0;
  return `${s.toLocaleString("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits })} s`;
}

/** Where an answer stands: name, page and line. */
export function placeOf(answer) {
  const page = answer.page === null ? "" : `, page ${answer.page}`;
  return `${answer.name}${page}, line ${answer.line.toLocaleString("en-GB")}`;
}

/** The words of an answer as a quote with its source. */
export function quoteOf(answer) {
  return `“${answer.text}” (${placeOf(answer)})`;
}

/**
 * What was found, as elements. `result` has question, source, nTexts, hasAnswer, noAnswerScore, answers, seconds; an answer
 * is the server's, with `number`, `name` (of its document), `owner` (your text, or null) and `goesOn` (there is more text
 * after it than was sent). `acts` has show(answer), copy(text, button), link(button).
 */
export function answersOf(result, acts) {
  const { answers, hasAnswer } = result;
  const rest = hasAnswer ? answers.slice(1) : answers;
  const parts = [hasAnswer ? bestOf(answers[0], acts) : noneOf(result)];
  const likely = hasAnswer ? rest.filter((answer) => answer.score >= LIKELY) : [];
  const unlikely = rest.filter((answer) => !likely.includes(answer));
  if (likely.length) parts.push(element("h3", {}, "Other candidates"), listOf(likely, acts));
  if (unlikely.length) {
    const title = hasAnswer
      ? `${count(unlikely.length, "more candidate")}, under 1% sure`
      : `${count(unlikely.length, "candidate")}, too uncertain to be an answer`;
    parts.push(element("details", {}, element("summary", {}, title), listOf(unlikely, acts)));
  }
  const link = element("button", { type: "button", class: "plain", onclick: () => acts.link(link) }, "Copy link to this question");
  parts.push(element("p", { class: "foot" }, `Answered in ${seconds(result.seconds)}`, link));
  return parts;
}

function bestOf(answer, acts) {
  return element(
    "article",
    { class: "best", "data-answer": answer.number },
    element("h2", { class: "kind" }, "Answer"),
    element("p", { class: "words", dir: "auto" }, answer.text),
    factsOf(answer),
    contextOf(answer),
    actsOf(answer, acts),
  );
}

/** That there is no answer, and where. */
export function noAnswerIn({ source, nTexts }) {
  return `No answer in ${source === "folder" ? "the folder" : nTexts > 1 ? "these texts" : "this text"}`;
}

function noneOf(result) {
  return element(
    "article",
    { class: "best none" },
    element("h2", { class: "words" }, noAnswerIn(result)),
    element("p", { class: "facts" }, `The reader is ${percent(result.noAnswerScore)} sure that there is none.`),
  );
}

function listOf(answers, acts) {
  const items = answers.map((answer) =>
    element(
      "li",
      { "data-answer": answer.number },
      element("p", { class: "words", dir: "auto" }, answer.text),
      factsOf(answer),
      contextOf(answer),
      actsOf(answer, acts),
    ),
  );
  return element("ul", { class: "others" }, ...items);
}

function factsOf(answer) {
  const bar = element("span", { class: "bar", "aria-hidden": "true" }, element("span"));
  bar.firstChild.style.inlineSize = `${Math.max(2, Math.round(100 * answer.score))}%`;
  return element(
    "p",
    { class: "facts" },
    bar,
    element("span", {}, `${percent(answer.score)} sure`),
    element("span", { class: "place" }, placeOf(answer)),
  );
}

const PARAGRAPH_END = /\r?\n[^\S\n]*\r?\n/;

/** The answer among the words around it, as far as its paragraph goes. */
function contextOf(answer) {
  const tidy = (text) => text.replace(/\s+/g, " ");
  const before = answer.before.split(PARAGRAPH_END).at(-1);
  const after = answer.after.split(PARAGRAPH_END)[0];
  const isCutBefore = before === answer.before && answer.start > lengthOf(before);
  const isCutAfter = after === answer.after && answer.goesOn;
  return element(
    "blockquote",
    { class: "context", dir: "auto" },
    isCutBefore ? `…${tidy(before.replace(/^\S{1,30}(?=\s)/, ""))}` : tidy(before).trimStart(),
    element("mark", {}, tidy(answer.text)),
    isCutAfter ? `${tidy(after.replace(/(?<=\s)\S{1,30}$/, "")).trimEnd()} …` : tidy(after).trimEnd(),
  );
}

function actsOf(answer, acts) {
  const name = `${answer.text.slice(0, 60)}, ${placeOf(answer)}`;
  const show = element("button", { type: "button", class: "plain", "aria-label": `Show in text: ${name}` }, "Show in text");
  const copy = element("button", { type: "button", class: "plain", "aria-label": `Copy quote: ${name}` }, "Copy quote");
  show.addEventListener("click", () => acts.show(answer));
  copy.addEventListener("click", () => acts.copy(quoteOf(answer), copy));
  return element("p", { class: "acts" }, show, copy);
}

const MANY_BLOCKS = 4; // from here on, blocks out of sight are not laid out

/** The whole text in blocks, with the answers {from, to, number} marked in it, the one of number `current` strongest. */
export function fillText(container, text, answers, current) {
  for (const pieces of blocksOf(text, answers)) {
    const block = element("div", { class: "block", dir: "auto" });
    for (const { text: words, inside } of pieces) {
      const shown = words.replace(/\r\n?/g, "\n");
      if (!inside.length) {
        block.append(shown);
        continue;
      }
      const isCurrent = inside.some((answer) => answer.number === current);
      block.append(element("mark", { class: isCurrent ? "current" : "other", tabindex: isCurrent ? "-1" : null }, shown));
    }
    container.append(block);
  }
  container.classList.toggle("long", container.childElementCount > MANY_BLOCKS);
}
