/* Decides what the first rows of a dataset are and what is wrong with them, as `datasets/parsing.py` and `checking.py`
   do. Pure: the beginning of a file in, rows and complaints out. The server reads all of it and has the last word. */

const BLANK = /[ \t\r\n]/;
const ESCAPES = /\\u0000|\\u[dD][89a-fA-F]/;
const LONE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
const DEPTH = 64;

/** `{rows: [{index, value, raw}], problems: [{index, what, field}], share}`: `share` is how much of what was read the
    complete rows took, 0 to 1. `isWhole`: these bytes are all there is. `most`: how many rows to read. */
export function readRows(bytes, { isWhole, most, rowBytes }) {
  const found = { rows: [], problems: [], share: 0 };
  const text = decoded(bytes, isWhole, found);
  if (text === undefined) return found;
  const start = skip(text, 0);
  if (start === text.length) found.problems.push({ index: null, what: "empty" });
  else if (text[start] === "{") readLines(text, start, { isWhole, most, rowBytes }, found);
  else if (text[start] === "[") readArray(text, start + 1, { isWhole, most, rowBytes }, found);
  else found.problems.push({ index: null, what: "not_a_dataset" });
  return found;
}

/** What is sent for a row: `[{role, text}]`; the system prompt first, unless the row has one of its own. */
export function promptOf(row, system) {
  const messages = (row.messages ?? [{ role: "user", content: row.instruction + (row.input ? `\n\n${row.input}` : "") }]).map(
    (message) => ({ role: String(message.role), text: contentText(message.content) }),
  );
  const hasSystem = messages.some((message) => message.role === "system");
  return system.trim() && !hasSystem ? [{ role: "system", text: system }, ...messages] : messages;
}

/** A message's content, or a reply's, as text: parts that are no text are named by their type. */
export function contentText(content) {
  if (Array.isArray(content)) return content.map((part) => part?.text ?? `[${part?.type}]`).join("\n");
  return typeof content === "string" ? content : content === undefined || content === null ? "" : JSON.stringify(content);
}

function decoded(bytes, isWhole, found) {
  const [one, two] = bytes;
  if ((one === 0xff && two === 0xfe) || (one === 0xfe && two === 0xff) || one === 0 || two === 0) {
    found.problems.push({ index: null, what: "wrong_encoding" });
    return undefined;
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: !isWhole });
  } catch {
    found.problems.push({ index: null, what: "wrong_encoding" }); // the only thing that a fatal decoder throws for
    return undefined;
  }
}

function readLines(text, start, limits, found) {
  let place = start;
  for (let index = 0; index < limits.most && place < text.length; index++) {
    const newline = text.indexOf("\n", place);
    if (newline < 0 && !limits.isWhole) break;
    const end = newline < 0 ? text.length : newline;
    take(text.slice(place, end).trim(), index, limits, found);
    place = skip(text, end);
    found.share = place / text.length;
  }
}

function readArray(text, start, limits, found) {
  let place = skip(text, start);
  if (text[place] === "]") found.problems.push({ index: null, what: "no_rows" });
  for (let index = 0; index < limits.most && place < text.length && text[place] !== "]"; index++) {
    if (text[place] !== "{") return complain(found, index, "row_not_object");
    const end = endOfObject(text, place);
    if (end < 0) return limits.isWhole && complain(found, index, "truncated");
    take(text.slice(place, end), index, limits, found);
    place = skip(text, end);
    found.share = place / text.length;
    if (text[place] === ",") place = skip(text, place + 1);
    else if (place < text.length && text[place] !== "]") return complain(found, index + 1, "no_comma");
  }
  if (limits.isWhole && place >= text.length) complain(found, found.rows.length + found.problems.length, "truncated");
  return undefined;
}

/** Check a row's text and keep the row, or say what is wrong with it. */
function take(raw, index, limits, found) {
  if (raw[0] !== "{") return complain(found, index, "row_not_object");
  let value;
  try {
    value = JSON.parse(raw);
  } catch {
    return complain(found, index, "invalid_json");
  }
  const [what, field] = wrongWith(value, raw, limits.rowBytes) ?? [];
  if (what) return complain(found, index, what, field);
  return found.rows.push({ index, value, raw: raw.replace(/[\r\n]/g, " ") });
}

const complain = (found, index, what, field = "") => void found.problems.push({ index, what, field });

function wrongWith(row, raw, rowBytes) {
  if (raw.length * 4 > rowBytes && new Blob([raw]).size > rowBytes) return ["row_too_large"];
  if (isDeeper(row, DEPTH)) return ["too_deep"];
  if (ESCAPES.test(raw) && texts(row).some((text) => text.includes("\0") || LONE.test(text))) return ["unstorable"];
  if (row.messages !== undefined && row.messages !== null) return wrongMessages(row.messages);
  if (!("instruction" in row)) return ["missing_field", "instruction"];
  if (typeof row.instruction !== "string") return ["not_text", "instruction"];
  if (!row.instruction.trim()) return ["empty_field", "instruction"];
  return row.input === undefined || row.input === null || typeof row.input === "string" ? undefined : ["not_text", "input"];
}

function wrongMessages(messages) {
  if (!Array.isArray(messages) || !messages.length) return ["not_messages", "messages"];
  for (const [place, message] of messages.entries()) {
    const field = `messages[${place}]`;
    if (typeof message !== "object" || message === null || Array.isArray(message)) return ["not_object", field];
    if (typeof message.role !== "string") return ["not_text", `${field}.role`];
    const { content } = message;
    if (Array.isArray(content)) {
      if (!content.length || !content.every((part) => typeof part?.type === "string")) return ["not_parts", `${field}.content`];
    } else if (typeof content !== "string" && !((content ?? null) === null && message.tool_calls?.length)) {
      return ["not_text", `${field}.content`];
    }
  }
  return undefined;
}

function isDeeper(value, limit) {
  let level = [value];
  for (let depth = 0; depth <= limit; depth++) {
    level = level.flatMap((one) => Object.values(one)).filter((one) => typeof one === "object" && one !== null);
    if (!level.length) return false;
  }
  return true;
}

function texts(value) {
  if (typeof value === "string") return [value];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [key, ...texts(inner)]);
}

function skip(text, place) {
  while (place < text.length && BLANK.test(text[place])) place++;
  return place;
}

/** Where the object that begins here ends, -1 when that is not in sight. */
function endOfObject(text, start) {
  let depth = 0;
  for (let place = start; place < text.length; place++) {
    const letter = text[place];
    if (letter === '"') {
      place = endOfString(text, place);
      if (place < 0) return -1;
    } else if (letter === "{" || letter === "[") depth++;
    else if ((letter === "}" || letter === "]") && --depth === 0) return place + 1;
  }
  return -1;
}

function endOfString(text, start) {
  for (let place = start + 1; place < text.length; place++) {
    if (text[place] === "\\") place++;
    else if (text[place] === '"') return place;
  }
  return -1;
}
