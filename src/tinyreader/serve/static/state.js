// The state of the page, and the ways to tell the user something.

export const state = {
  info: null, // the answer of /info
  key: "",
  source: "texts", // or "folder"
  texts: [], // {name, text, pages}; `pages` are the code points where its pages begin, if it has any
  chosen: null, // the text that is shown
  isEdited: true,
  opened: null, // the document of the folder that is shown: {id, text, pages}
  result: null, // what was found last, see answersOf in view.js
  current: null, // number of the answer that is shown in its text
  asking: null, // the AbortController of the question under way
  wasRefused: false, // because the key was missing or wrong
};

let made = 0;

export function newText(text = "") {
  if (!state.texts.length) made = 0;
  made += 1;
  return { name: `Text ${made}`, text };
}

export const at = (id) => document.getElementById(id);

/** Announces the words to screen readers, even if they are the same as before. */
export function say(words) {
  at("said").textContent = "";
  setTimeout(() => (at("said").textContent = words), 60);
}

/** Shows below the question what is missing, and focuses its field; no words clear it. */
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
