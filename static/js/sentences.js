/* Says in the reader's language what the server and the agents say in English (dpl_site/lib/sentences.py does the same). */

const table = new Map(Object.entries(JSON.parse(document.getElementById("sentences")?.textContent ?? "{}")));
const HOLE = /%\((\w+)\)s/g;
const patterns = [...table.keys()].filter((message) => message.match(HOLE)).map((message) => [pattern(message), message]);
const known = new Map();
const KEPT = 4096;

/** A value is not empty, and goes not over a semicolon. */
function pattern(message) {
  const parts = message.split(/%\((\w+)\)s/);
  const source = parts.map((part, place) => (place % 2 ? `(?<${part}>(?:(?!; ).)+?)` : part.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&")));
  return new RegExp(`^${source.join("")}$`);
}

/** A sentence in the reader's language, as far as it is known; what is not stays as it is. */
export function inWords(text) {
  if (!text || !table.size) return text;
  if (!known.has(text)) {
    if (known.size >= KEPT) known.clear();
    known.set(text, told(text));
  }
  return known.get(text);
}

function told(text) {
  const left = text.split("; ");
  const done = [];
  let isKnown = false;
  while (left.length) {
    let count = left.length;
    let found = "";
    while (count && !(found = one(left.slice(0, count).join("; ")))) count -= 1;
    isKnown ||= Boolean(found);
    done.push(found || left[0]);
    left.splice(0, count || 1);
  }
  return isKnown ? done.join("；") : text;
}

/** One sentence, with or without a name before it. */
function one(text) {
  const found = matched(text);
  const colon = text.indexOf(": ");
  if (found || colon < 0) return found;
  const [name, rest] = [text.slice(0, colon), text.slice(colon + 2)];
  if (name.includes("; ")) return "";
  const [head, tail] = [matched(name), one(rest)];
  // What follows a known beginning may be anybody's words, but then it ends where the next sentence begins.
  return tail || (head && !rest.includes("; ")) ? `${head || name}：${tail || rest}` : "";
}

/** By a message as it stands, or without capital and full stop. */
function matched(text) {
  const bare = text.replace(/\.$/, "");
  for (const form of [text, bare, bare.slice(0, 1).toLowerCase() + bare.slice(1)]) {
    const found = filled(form);
    if (found) return form === text || text === bare ? found : `${found}。`;
  }
  return "";
}

function filled(text) {
  if (table.has(text)) return table.get(text);
  for (const [shape, message] of patterns) {
    const values = shape.exec(text)?.groups;
    if (values) return table.get(message).replace(HOLE, (_, name) => inWords(values[name]));
  }
  return "";
}
