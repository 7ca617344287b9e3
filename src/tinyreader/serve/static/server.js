// What is asked of the server, and what its refusals mean in plain words.

const MAX_TRIES = 6;
const MAX_WAIT_S = 30;

/** A request that was not answered: `kind` is the server's, or "gone" or "broken" where there is no answer of its own. */
export class Refusal extends Error {
  constructor(kind, words, more = {}) {
    super(words);
    this.kind = kind;
    this.waitS = more.waitS ?? null;
    this.detail = more.detail ?? ""; // the server's own words
  }
}

/**
 * The JSON at a path, relative to the page: GET, or POST where there is a body, JSON or the bytes of a file. A server that is busy is asked again;
 * `waiting` is called with {seconds, words} before. Throws `Refusal`, or an AbortError when the signal says so.
 */
export async function call(path, { body, file, key, signal, waiting } = {}) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await once(path, body ?? file, file ? "application/octet-stream" : "application/json", key, signal);
    } catch (error) {
      if (!(error instanceof Refusal) || error.waitS === null || tries === MAX_TRIES || !waiting) throw error;
      const seconds = Math.min(MAX_WAIT_S, Math.max(1, error.waitS) * 1.5 ** (tries - 1));
      waiting({ seconds, words: error.message });
      await pause(seconds * (0.75 + Math.random() / 2), signal);
    }
  }
}

async function once(path, body, kind, key, signal) {
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = kind;
  if (key) headers.authorization = `Bearer ${key}`;
  let response;
  try {
    const method = body === undefined ? "GET" : "POST";
    response = await fetch(path, { method, body, headers, signal, cache: "no-store", credentials: "same-origin" });
    if (response.ok) return await response.json();
  } catch (error) {
    if (signal?.aborted) throw error;
    if (error instanceof SyntaxError) throw new Refusal("broken", "The server’s answer was cut off. Ask again.");
    throw new Refusal("gone", "The server cannot be reached. It may have been stopped. Your texts are still here.");
  }
  throw await refusalOf(response, Boolean(key));
}

async function refusalOf(response, hasKey) {
  let problem;
  try {
    problem = await response.json();
  } catch {
    problem = {};
  }
  const kind = String(problem.type ?? "").split("#")[1] ?? `status-${response.status}`;
  const wait = Number.parseFloat(response.headers.get("retry-after") ?? "");
  const waitS = response.status === 503 ? (Number.isFinite(wait) ? wait : 2) : null;
  return new Refusal(kind, words(kind, problem, response, hasKey), { waitS, detail: String(problem.detail ?? "") });
}

function words(kind, problem, response, hasKey) {
  const detail = String(problem.detail ?? "");
  const named = problem.request_id ? ` In the server’s log this is request ${problem.request_id}.` : "";
  switch (kind) {
    case "wrong-key":
      return hasKey ? "This key is not valid." : "This server requires a key.";
    case "full":
      return "The server is busy.";
    case "not-ready":
      return `The server is not ready yet. ${detail}`;
    case "too-large":
      return tooLarge(problem.limit);
    case "too-late":
      return "The server gave up, as this took too long. Ask fewer or shorter texts.";
    case "too-slow":
      return "The texts took too long to reach the server. Ask again, or ask fewer.";
    case "engine-failed":
      return `The reader failed at this question. Ask again.${named}`;
    case "foreign-host":
    case "foreign-origin":
      return "The server does not accept questions from this address. Open the page at the address it was started with.";
    default:
  }
  if (response.status >= 500) return `The server failed (${response.status}).${named}`;
  if (detail) return `The server rejected this: ${detail}`;
  return `The server answered with status ${response.status} and no reason.`;
}

/** The message for a request larger than the limit, in bytes. */
export function tooLarge(limit) {
  const size = limit ? `: the maximum is ${(limit / 2 ** 20).toLocaleString("en-GB", { maximumFractionDigits: 1 })} MB` : "";
  return `That is too much text for one question${size}. Remove some texts.`;
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const stopped = () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stopped);
      resolve();
    }, 1000 * seconds);
    signal?.addEventListener("abort", stopped, { once: true });
  });
}
