// Files become texts, as far as a browser can read them.

const MARKS = [
  ["utf-8", [0xef, 0xbb, 0xbf]],
  ["utf-32", [0xff, 0xfe, 0, 0]],
  ["utf-32", [0, 0, 0xfe, 0xff]],
  ["utf-16le", [0xff, 0xfe]],
  ["utf-16be", [0xfe, 0xff]],
];
const OF_FOLDERS = /\.(pdf|docx)(\.gz)?$/i; // what the server reads in its folder
const OTHERS = /\.(doc|odt|rtf|pptx?|xlsx?|epub|zip|gz|png|jpe?g)$/i;

/** The text of a file; throws an Error that says in plain words why it is not read. */
export async function textOf(file, limit) {
  if (OF_FOLDERS.test(file.name)) {
    throw new Error("This page reads text files only. Paste its text, or start the server with a folder that holds it.");
  }
  if (OTHERS.test(file.name)) throw new Error("This page reads text files only. Paste its text.");
  if (file.size > 4 * limit) throw new Error(`This server takes texts of ${limit.toLocaleString("en-GB")} characters, and it is longer.`);
  let bytes;
  try {
    bytes = new Uint8Array(await file.arrayBuffer());
  } catch {
    throw new Error("The browser cannot read it. Is it a folder? Drop the files in it.");
  }
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
