// Copying, also where browsers have no clipboard for a page.

import { say } from "./state.js";
import { element } from "./view.js";

/** Copies the text, says so on the button that was pressed; where that cannot be, shows the text to be copied by hand. */
export async function copy(text, button, said = "Copied.") {
  const isDone = await toClipboard(text);
  if (!isDone) {
    const why = "The browser does not let this page copy. Copy it from here.";
    const area = element("textarea", { class: "by-hand", readonly: true, "aria-label": why });
    area.value = text;
    button.closest("p").after(area);
    area.select();
    return;
  }
  const label = button.textContent;
  button.textContent = "Copied";
  say(said);
  setTimeout(() => (button.textContent = label), 2000);
}

async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // only pages at https or on this machine have a clipboard; elsewhere there is the old way
  }
  const focused = document.activeElement;
  const area = element("textarea", { class: "unseen", "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  const isDone = document.execCommand("copy");
  area.remove();
  focused?.focus({ preventScroll: true });
  return isDone;
}
