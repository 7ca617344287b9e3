// Files become texts: plain ones here, the others by the server.

import { call } from "./server.js";
import { unitsOf, wellFormed } from "./text.js";

const MARKS = [
  ["utf-8", [0xef, 0xbb, 0xbf]],
  ["utf-32", [0xff, 0xfe, 0, 0]],
  ["utf-32", [0, 0, 0xfe, 0xff]],
  ["utf-16le", [0xff, 0xfe]],
  ["utf-16be", [0xfe, 0xff]],
];
const BY_SERVER = /\.(pdf|doc[xm]|dot[xm]|html?|xhtml|odt|odp|ods|rtf|pptx|xlsx|csv|tsv|epub|eml|ipynb|srt|vtt)$/i;
const OTHERS = /\.(doc|ppt|xls|zip|gz|png|jpe?g)$/i;

/**
 * Text and pages of a file; `pages` are the code points where they begin, none for a text without pages. `server` is
 * {key, signal, waiting, limits}. Throws an Error that says in plain words why it is not read.
 */
export async function textOf(file, server) {
  if (OTHERS.test(file.name)) throw new Error("This page reads text, HTML, PDF, Office files, e-mail and e-books. Paste its text.");
  if (file.size > (server.limits?.max_body_bytes ?? Infinity)) {
    const size = (server.limits.max_body_bytes / 2 ** 20).toLocaleString("en-GB", { maximumFractionDigits: 1 });
    throw new Error(`This server takes files of ${size} MB, and it is larger.`);
  }
  let bytes;
  try {
    bytes = new Uint8Array(await file.arrayBuffer());
  } catch {
    throw new Error("The browser cannot read it. Is it a folder? Drop the files in it.");
  }
  if (BY_SERVER.test(file.name) || String.fromCharCode(...bytes.subarray(0, 5)) === "%PDF-") {
    return byServer(wellFormed(file.name).slice(0, 1000), bytes, server);
  }
  return { text: plain(bytes), pages: [] };
}

async function byServer(name, bytes, { key, signal, waiting }) {
  try {
    const { text, pages, warnings } = await call(`documents/text?name=${encodeURIComponent(name)}`, { file: bytes, key, signal, waiting });
    return { text, pages, warnings };
  } catch (error) {
    if (!error.detail || !["cannot-read", "limit", "not-served"].includes(error.kind)) throw error;
    throw new Error(error.detail.startsWith(`${name} `) ? `It ${error.detail.slice(name.length + 1)}` : error.detail);
  }
}

function plain(bytes) {
  const [encoding] = MARKS.find(([, mark]) => mark.every((byte, n) => bytes[n] === byte)) ?? ["utf-8"];
  let text;
  try {
    if (encoding === "utf-32") throw new Error();
    text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw new Error(bytes.includes(0) ? "It is not a text file." : "It is not UTF-8 text. Save it as UTF-8 and add it again.");
  }
  if (text.includes("\0")) throw new Error("It is not a text file.");
  if (!text.trim()) throw new Error("It is empty.");
  return text;
}

/** The numbers of the pages that have no text: images of it, as a rule. */
export function emptyPages({ text, pages }) {
  const units = unitsOf(text, pages);
  return units.map((begin, n) => (text.slice(begin, units[n + 1]).trim() ? 0 : n + 1)).filter(Boolean);
}
