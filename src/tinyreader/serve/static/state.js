// What the page knows, and the ways to say something to whoever is there.

export const state = {
  info: null, // what the server says of itself
  key: "",
  source: "texts", // or "folder"
  texts: [], // {name, text, pages}; `pages` are the code points where its pages begin, if it has any
  chosen: null, // the text that is shown
  isEdited: true,
  opened: null, // the document of the folder that is shown: {id, text, pages}
  result: null, // what was found last, see answersOf in view.js
  current: null, // number of the answer that is shown in its text
  asking: null, // the AbortController of the question under way
  wasRefused: false, // for want of a key
};

let made = 0;

export function newText(text = "") {
  if (!state.texts.length) made = 0;
  made += 1;
  return { name: `Text ${made}`, text };
}

export const at = (id) => document.getElementById(id);

/** Tells it to screen readers, also when the same was told before. */
export function say(words) {
  at("said").textContent = "";
  setTimeout(() => (at("said").textContent = words), 60);
}

/** Says below the question what is missing, and goes to the field where it is; no words: all is well. */
export function complain(words, field = null) {
  at("question-note").textContent = words;
  at("question-note").hidden = !words;
  at("question").toggleAttribute("aria-invalid", false);
  if (!words) return;
  if (field === at("question")) field.setAttribute("aria-invalid", "true");
  say(words);
  field?.focus();
}

export function showTrouble(words, canTryAgain) {
  at("trouble-text").textContent = words;
  at("again").hidden = !canTryAgain;
  at("trouble").hidden = false;
}
