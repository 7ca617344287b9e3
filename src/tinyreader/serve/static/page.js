// The page: what happens when somebody does something.

import { ask, askForKey } from "./asking.js";
import { call } from "./server.js";
import { at, complain, newText, say, state } from "./state.js";
import { wellFormed } from "./text.js";
import { addBlank, addFiles, addText, choose, renderTexts } from "./texts.js";
import { count } from "./view.js";

const REFRESH_MS = 3000;

// --- What the server is

async function refreshInfo() {
  try {
    state.info = await call("info", { key: state.key });
  } catch (error) {
    if (error.kind === "wrong-key") askForKey(error.message);
    return false;
  }
  const { collection, model, engine, precision } = state.info;
  at("docs").hidden = Boolean(state.key); // a link cannot bring the key along
  at("model").textContent = `${model.replace(/\/+$/, "").split("/").pop()}, ${engine} ${precision}`;
  const was = !at("source").hidden;
  at("source").hidden = !collection;
  if (collection) {
    at("folder-size").textContent = collection.is_ready ? ` (${count(collection.documents, "document")})` : " (being indexed)";
    if (!collection.is_ready) setTimeout(refreshInfo, REFRESH_MS);
    if (!was && !state.texts.some(({ text }) => text.trim()) && !state.result) choose("folder");
    else if (state.source === "folder" && !state.opened) renderTexts();
  } else if (state.source === "folder") choose("texts");
  return true;
}

at("key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  state.key = at("key").value.trim();
  if (!(await refreshInfo())) return;
  at("key-form").hidden = true;
  say("The key is right.");
  at("question").focus();
  if (state.wasRefused) ask();
  else if (!at("question").value) takeLink();
});

// --- Asking, and links to questions

at("ask-form").addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
at("again").addEventListener("click", () => ask());
at("stop").addEventListener("click", () => {
  state.asking?.abort();
  say("Stopped.");
});
at("question").addEventListener("input", () => complain(""));
at("question").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return; // Enter also ends what an input method composes
  event.preventDefault();
  ask();
});
for (const radio of document.querySelectorAll("[name=source]")) {
  radio.addEventListener("change", () => choose(radio.value));
}

/** Takes question and source from the address's fragment, which browsers do not send to servers. */
function takeLink() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const question = fragment.get("q");
  if (!question) return;
  at("question").value = question;
  if (fragment.get("in") === "folder" && state.info?.collection) choose("folder");
  else if (!fragment.has("in")) choose("texts");
  at("question").focus();
  say("The question is from the link. Press Enter to ask it.");
}
window.addEventListener("hashchange", takeLink);

// --- Files and texts that are added

at("new-text").addEventListener("click", addBlank);
at("choose").addEventListener("click", () => at("files").click());
at("files").addEventListener("change", async () => {
  await addFiles([...at("files").files]);
  at("files").value = "";
});

let depth = 0; // dragenter and dragleave come for every element that is crossed

function drops(isOver) {
  depth = isOver ? depth : 0;
  at("drop").hidden = !isOver;
}

const isForUs = (event) =>
  event.dataTransfer.types.includes("Files") ||
  (event.dataTransfer.types.includes("text/plain") && !event.target.closest?.("input, textarea"));
document.addEventListener("dragenter", (event) => {
  depth += 1;
  if (isForUs(event)) drops(true);
});
document.addEventListener("dragleave", () => {
  depth -= 1;
  if (depth <= 0) drops(false);
});
document.addEventListener("dragover", (event) => {
  if (isForUs(event)) event.preventDefault();
});
document.addEventListener("drop", async (event) => {
  drops(false);
  if (!isForUs(event)) return;
  event.preventDefault();
  const files = [...event.dataTransfer.files];
  if (files.length) return addFiles(files);
  const text = wellFormed(event.dataTransfer.getData("text/plain"));
  if (!text.trim()) return undefined;
  return addText(newText(text));
});

// --- Start

state.texts.push(newText());
state.chosen = state.texts[0];
choose("texts");
refreshInfo().then(() => {
  takeLink();
  document.documentElement.dataset.ready = "yes";
});
