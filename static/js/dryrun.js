/* Tries three rows as a job of their own, marked as a dry run, and says what came and how long all would take. */

import { fill } from "./fill.js";
import { firstRows, rowsWanted } from "./preview.js";
import { contentText } from "./rows.js";
import { duration, number, said, state, words } from "./show.js";
import { busy, CANCELLED, chosenFile, complain, fields, form, made, post, refusal, sending, status } from "./uploadform.js";

const ROWS = 3;
const ASK_MS = 700;
const LONGEST = 4000;
const ENDED = new Set(["completed", "stopped", "failed"]);

const box = form.querySelector("[data-tried]");
let current;

export async function tryRows() {
  const told = asked();
  busy(true);
  const [code, answer] = await post(told, sending());
  busy(false);
  status.textContent = code === CANCELLED ? words.upload.cancelled : "";
  if (code === CANCELLED) return undefined;
  if (code !== 201) return complain([await refusal(code, answer)]);
  current = answer.job_id;
  open(answer.job_id);
  return watch(answer.job_id, rowsWanted());
}

/** The form with the three rows alone, where they are at hand; else with the whole file, of which the server takes three. */
function asked() {
  const told = fields();
  const rows = firstRows(ROWS);
  told.set("dry_run", "yes");
  told.delete("exclusive");
  if (rows) told.delete("offset");
  const lines = rows && new Blob(rows.map((row) => `${row.raw}\n`), { type: "application/x-ndjson" });
  told.append("file", lines ?? chosenFile(), chosenFile().name);
  return told;
}

function open(jobId) {
  const link = box.querySelector("[data-dry-job]");
  link.href = `/jobs/${encodeURIComponent(jobId)}/`;
  link.hidden = box.hidden = false;
  fill(box, { estimate: "", "dry-state": "" });
  box.querySelector('[data-list="tried"]').replaceChildren();
  box.scrollIntoView({ block: "nearest" });
}

/** Ask until it has ended, or another one was begun. */
async function watch(jobId, rows) {
  while (jobId === current) {
    const [job, items] = await Promise.all([
      get(`/api/dataset/detailed-status/${jobId}`),
      get(`/api/v1/jobs/${jobId}/items/?text=1`),
    ]);
    if (job && items && jobId === current) draw(job, items.results);
    if (job && ENDED.has(job.status)) return tell(jobId, rows);
    await new Promise((resolve) => setTimeout(resolve, ASK_MS));
  }
  return undefined;
}

async function get(path) {
  try {
    const answer = await fetch(path, { headers: { Accept: "application/json" } });
    return answer.ok ? await answer.json() : undefined;
  } catch {
    return undefined; // asked again soon
  }
}

function draw(job, items) {
  fill(box, { "dry-state": job.error ?? job.waiting ?? said(words.upload.tried, { state: state(job.status), done: job.done, total: job.total }) });
  box.querySelector('[data-list="tried"]').replaceChildren(...items.map(drawItem));
}

/** Numbered as the preview numbers its rows: by their place in the file. */
function drawItem(item) {
  const line = made("t-tried", { facts: facts(item), answer: answerOf(item) });
  line.value = item.index + (Number(form.elements.offset.value) || 0);
  return line;
}

function facts(item) {
  const seconds = item.duration_ms === null ? null : item.duration_ms / 1000;
  return [words.upload.items[item.state], item.node?.name, item.model, duration(seconds), said(words.upload.tokens, { tokens: number(item.completion_tokens) })]
    .filter(Boolean)
    .join(" · ");
}

function answerOf(item) {
  if (item.state === "failed") return item.error ?? item.cause;
  const reply = item.output;
  const message = reply?.message ?? reply?.choices?.[0]?.message ?? { content: reply?.choices?.[0]?.text ?? reply?.response };
  return contentText(message.content).slice(0, LONGEST);
}

/** How long all rows would take, by this and by what is known of the machines. */
async function tell(jobId, rows) {
  const found = rows > 0 ? await get(`/api/v1/jobs/${jobId}/estimate/?rows=${rows}`) : undefined;
  if (!found || jobId !== current) return;
  const values = { rows: number(rows), time: duration(found.seconds), rate: number(found.rate_per_s, 2), nodes: found.nodes.length, tokens: number(found.tokens.completion) };
  fill(box, {
    estimate: found.seconds === null ? words.upload.no_estimate : said(words.upload.estimate, values),
    basis: found.seconds === null ? "" : said(words.upload.estimate_basis, values),
  });
}
