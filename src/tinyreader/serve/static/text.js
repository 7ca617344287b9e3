// Texts and places in them. The server counts code points, JavaScript counts UTF-16 units: an emoji is one of those and
// two of these.

const HALF = /[\ud800-\udfff]/;
const LONE_HALVES = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** The text with halves of surrogate pairs, which no server takes, replaced by U+FFFD; all places stay. */
export function wellFormed(text) {
  return HALF.test(text) ? text.replace(LONE_HALVES, "\ufffd") : text;
}

/** Places in code points as places in UTF-16 units; both ascending. */
export function unitsOf(text, places) {
  if (!HALF.test(text)) return places;
  let unit = 0;
  let point = 0;
  return places.map((place) => {
    for (; point < place && unit < text.length; point += 1) unit += text.codePointAt(unit) > 0xffff ? 2 : 1;
    return unit;
  });
}

/** The number of code points. */
export function lengthOf(text) {
  if (!HALF.test(text)) return text.length;
  let pairs = 0;
  for (let unit = 0; unit < text.length; unit += 1) if ((text.charCodeAt(unit) & 0xfc00) === 0xd800) pairs += 1;
  return text.length - pairs;
}

/** The answers {start, end, ...} with `from` and `to`, their places in UTF-16 units; null where a text is not what was read. */
export function located(text, answers) {
  const places = [...new Set(answers.flatMap((answer) => [answer.start, answer.end]))].sort((a, b) => a - b);
  const units = unitsOf(text, places);
  const unit = new Map(places.map((place, n) => [place, units[n]]));
  const found = answers.map((answer) => ({ ...answer, from: unit.get(answer.start), to: unit.get(answer.end) }));
  return found.every(({ from, to, text: words }) => text.slice(from, to) === words) ? found : null;
}

const BLOCK = 4000;

/**
 * The text as blocks of about 4,000 units that end with a line's end, each a list of pieces {text, inside}, where `inside`
 * are the spans {from, to} that the piece is part of. Put together, the pieces are the text.
 */
export function* blocksOf(text, spans) {
  const marks = [...new Set(spans.flatMap(({ from, to }) => [from, to]))].sort((a, b) => a - b);
  let mark = 0;
  for (let begin = 0; begin < text.length; ) {
    const line = text.indexOf("\n", begin + BLOCK);
    const end = line < 0 ? text.length : line + 1;
    const pieces = [];
    for (let at = begin; at < end; ) {
      while (mark < marks.length && marks[mark] <= at) mark += 1;
      const next = mark < marks.length ? Math.min(marks[mark], end) : end;
      const [from, to] = [at, next];
      pieces.push({ text: text.slice(from, to), inside: spans.filter((span) => span.from <= from && to <= span.to) });
      at = next;
    }
    yield pieces;
    begin = end;
  }
}
