// A question on its way: what is sent, what is shown meanwhile, and what came of it.

import { copy } from "./clipboard.js";
import { call, Refusal, tooLarge } from "./server.js";
import { at, complain, say, showTrouble, state } from "./state.js";
import { lengthOf, wellFormed } from "./text.js";
import { open, renderTexts, show } from "./texts.js";
import { answersOf, count, noAnswerIn, percent, placeOf } from "./view.js";

const CANDIDATES = 5;
const AROUND = 120; // code points of text on each side that the server sends with an answer

/** Asks what is asked on the page, and shows what is answered. */
export async function ask() {
  const question = wellFormed(at("question").value.trim().replace(/\s*\n\s*/g, " "));
  const field = at("question");
  if (!question) return complain("Type a question first.", field);
  const maxCharacters = state.info?.limits.max_question_characters ?? Infinity;
  const n = lengthOf(question);
  if (n > maxCharacters) return complain(`The question has ${count(n, "character")}; the maximum is ${count(maxCharacters, "character")}.`, field);
  const texts = state.source === "texts" ? state.texts.filter(({ text }) => text.trim()) : null;
  if (texts && !texts.length) return complain("Add a text first: paste it, or add files.", at("sheet").querySelector("textarea"));
  const owners = texts?.map((text) => ({ name: text.name, text }));
  const documents = texts?.map(({ text, pages }, number) => ({ id: String(number), text, pages: pages?.length ? pages : undefined }));
  const body = JSON.stringify({ question, top_k: CANDIDATES, documents });
  const limit = state.info?.limits.max_body_bytes;
  if (limit && new Blob([body]).size > limit) return showTrouble(tooLarge(limit), false);

  state.asking?.abort();
  const mine = new AbortController();
  state.asking = mine;
  state.wasRefused = false;
  const busy = beBusy();
  try {
    let began = performance.now();
    const waiting = ({ seconds, words }) => {
      busy.wait(words, seconds);
      began = performance.now() + 1000 * seconds;
    };
    const reading = await call("read", { body, key: state.key, signal: mine.signal, waiting });
    takeReading(reading, owners, Math.max(0, performance.now() - began) / 1000);
  } catch (error) {
    if (mine.signal.aborted) return undefined;
    if (!(error instanceof Refusal)) throw error;
    state.wasRefused = error.kind === "wrong-key";
    if (state.wasRefused) askForKey(error.message);
    else showTrouble(error.message, true);
  } finally {
    if (state.asking === mine) {
      state.asking = null;
      busy.over();
    }
  }
  return undefined;
}

let clock = null;
let told = null;

/** Shows that something is under way, from the first half second on, and how long it has taken. */
function beBusy() {
  clearInterval(clock);
  clearTimeout(told);
  complain("");
  at("trouble").hidden = true;
  at("answers").hidden = true;
  state.result = null;
  state.current = null;
  const hadFocus = document.activeElement === at("ask");
  at("ask").hidden = true;
  at("stop").hidden = false;
  if (hadFocus) at("stop").focus();
  at("busy").hidden = false;
  at("busy-text").textContent = "Reading";
  const began = performance.now();
  let waitUntil = 0;
  let words = "";
  clock = setInterval(() => {
    const now = performance.now();
    if (now < waitUntil) at("busy-text").textContent = `${words} Asking again in ${Math.ceil((waitUntil - now) / 1000)} s`;
    else at("busy-text").textContent = `Reading, ${Math.round((now - began) / 1000)} s`;
  }, 1000);
  told = setTimeout(() => say("Reading."), 1000);
  return {
    wait(why, seconds) {
      [words, waitUntil] = [why, performance.now() + 1000 * seconds];
      at("busy-text").textContent = `${words} Asking again in ${Math.ceil(seconds)} s`;
      say(`${why} Asking again in ${count(Math.ceil(seconds), "second")}.`);
    },
    over() {
      clearInterval(clock);
      clearTimeout(told);
      at("busy").hidden = true;
      const hasFocus = document.activeElement === at("stop");
      at("ask").hidden = false;
      at("stop").hidden = true;
      if (hasFocus) at("ask").focus();
    },
  };
}

/** Shows a reading; `owners` are {name, text} of the texts that were asked, or undefined where the folder was. */
function takeReading(reading, owners, seconds) {
  const answers = reading.answers.map((answer, number) => ({
    ...answer,
    number,
    goesOn: lengthOf(answer.after) >= AROUND,
    name: owners ? owners[Number(answer.document)].name : answer.document,
    owner: owners ? owners[Number(answer.document)].text : null,
  }));
  state.result = {
    question: reading.question,
    source: owners ? "texts" : "folder",
    hasAnswer: reading.has_answer,
    noAnswerScore: reading.no_answer_score,
    answers,
    seconds,
    nTexts: owners?.length ?? 0,
  };
  at("answers").replaceChildren(...answersOf(state.result, { show, copy, link: copyLink }));
  at("answers").hidden = false;
  const best = answers[0];
  if (reading.has_answer) {
    const others = answers.length > 1 ? ` ${count(answers.length - 1, "other candidate")}.` : "";
    say(`Answer: ${best.text}. ${percent(best.score)} sure, ${placeOf(best)}.${others}`);
    open(best);
  } else {
    say(`${noAnswerIn(state.result)}.`);
    if (owners) state.isEdited = !state.chosen.text;
    else state.opened = null;
    renderTexts();
  }
}

function copyLink(button) {
  const { question, source } = state.result;
  const fragment = new URLSearchParams({ q: question, ...(source === "folder" ? { in: "folder" } : {}) });
  const address = new URL(location.href);
  address.hash = fragment.toString();
  const more = source === "texts" ? " It holds the question, not your texts." : "";
  copy(address.href, button, `The link is copied.${more}`);
}

/** Asks for the server's key: none was given, or not the right one. */
export function askForKey(words) {
  at("key-form").hidden = false;
  at("key-note").textContent = state.key ? words : `${words} It is kept until you leave this page.`;
  at("key-note").classList.toggle("bad", Boolean(state.key));
  say(words);
  at("key").focus();
  at("key").select();
}
