/* What a conversation is, and what a model is sent of it. Pure but for the clock and the dice. */

import { tame } from "./markdown.js";

const TITLE_CHARS = 60;
const NUMBERS = ["temperature", "top_p", "max_tokens", "seed", "presence_penalty", "frequency_penalty"];

/** `crypto.randomUUID` is missing where the page came by plain HTTP. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((one) => one.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

export function newTalk() {
  return { id: newId(), title: "", changed: Date.now(), turns: [], settings: {} };
}

/** What a conversation is called until somebody names it. */
export function titleOf(text) {
  const line = tame(text).trim().split("\n")[0].replace(/^[#>*\s-]+(?=\S)/, "");
  const letters = [...line];
  return letters.length > TITLE_CHARS ? `${letters.slice(0, TITLE_CHARS - 1).join("")}…` : line;
}

/** The models that are asked: one, or two that are compared. */
export const asked = (settings) => (settings.compares ? [settings.model ?? "", settings.second ?? ""] : [settings.model ?? ""]);

/** The question for the answer in one column of the last turn before `end`. */
export function question(talk, end, column) {
  const { settings } = talk;
  const messages = settings.system?.trim() ? [{ role: "system", content: settings.system }] : [];
  for (const [place, turn] of talk.turns.slice(0, end).entries()) {
    messages.push({ role: "user", content: contentOf(turn) });
    const said = (turn.answers[column] ?? turn.answers[0])?.text;
    if (place < end - 1 && said) messages.push({ role: "assistant", content: said });
  }
  return { model: asked(settings)[column] ?? "", messages, options: options(settings) };
}

function contentOf(turn) {
  if (!turn.pictures.length) return turn.text;
  const pictures = turn.pictures.map((url) => ({ type: "image_url", image_url: { url } }));
  return turn.text ? [{ type: "text", text: turn.text }, ...pictures] : pictures;
}

function options(settings) {
  const found = {};
  for (const name of NUMBERS) {
    const value = settings[name];
    if (value !== undefined && value !== "" && Number.isFinite(Number(value))) found[name] = Number(value);
  }
  const stop = (settings.stop ?? "").split("\n").filter(Boolean);
  if (stop.length) found.stop = stop;
  if (settings.reasoning_effort) found.reasoning_effort = settings.reasoning_effort;
  return found;
}
