/* A conversation as a file: Markdown to read, JSON to work with. */

import { words } from "../show.js";

const roles = words.chat.roles;

export function saveMarkdown(talk) {
  const lines = [`# ${oneLine(talk.title)}`, ""];
  if (talk.settings.system) lines.push(quoted(talk.settings.system), "");
  for (const turn of talk.turns) {
    lines.push(`## ${roles.user}`, "", turn.text, "");
    if (turn.pictures.length) lines.push(`(${turn.pictures.length} × ${words.chat.picture.replace(/[:：].*/, "")})`, "");
    for (const answer of turn.answers) lines.push(`## ${headOf(answer)}`, "", answer.text, "");
  }
  save(lines.join("\n"), `${nameOf(talk)}.md`, "text/markdown");
}

/** The settings, and messages in OpenAI's shape; of answers also where they came from. */
export function saveJson(talk) {
  const { id, title, changed, settings, turns } = talk;
  const file = { id, title, changed: new Date(changed).toISOString(), settings, turns };
  save(JSON.stringify(file, null, 2), `${nameOf(talk)}.json`, "application/json");
}

function headOf(answer) {
  const where = [answer.model || answer.asked, answer.node?.name].filter(Boolean).join(" · ");
  return oneLine(where ? `${roles.assistant} (${where})` : roles.assistant);
}

const oneLine = (text) => text.replace(/\s+/g, " ").trim();
const quoted = (text) => text.split("\n").map((line) => `> ${line}`).join("\n");
const nameOf = (talk) => oneLine(talk.title).replace(/[^\p{L}\p{N} _-]/gu, "").trim().slice(0, 60) || "chat";

function save(text, name, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
