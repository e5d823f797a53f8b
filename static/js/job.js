/* One job, live. */

import { drawBar } from "./bar.js";
import { fill, list, localTimes } from "./fill.js";
import { follow } from "./live.js";
import { duration, number, said, share, state, words } from "./show.js";

const SAY_EVERY_MS = 15000;

const page = document.getElementById("job");
const id = encodeURIComponent(page.dataset.id);
let saidAt = 0;
let saidState = page.querySelector('[data-f="state"]').dataset.is;

function receive(job) {
  fill(page, figures(job));
  page.querySelector('[data-f="state"]').dataset.is = job.status;
  drawBar(page, job);
  list(page, "nodes", "t-node", job.nodes, (node) => node.id, drawNode);
  list(page, "errors", "t-error", job.errors, (error) => error.cause, drawError);
  for (const form of page.querySelectorAll("[data-states]")) {
    const isPossible = form.dataset.states.split(" ").includes(job.status);
    form.hidden = !isPossible || (form.dataset.needsFailed === "yes" && job.failed === 0);
  }
  say(job);
  page.dispatchEvent(new CustomEvent("job", { detail: job }));
}

/* One message goes to all who watch, in English; the API answers in the page's language. */
const reasons = new Map();

function waitingIn({ waiting }) {
  if (!waiting || document.documentElement.lang.startsWith("en")) return waiting;
  if (!reasons.has(waiting)) {
    reasons.set(waiting, undefined);
    ask().then((job) => {
      reasons.set(waiting, job?.waiting ?? waiting);
      fill(page, { waiting: reasons.get(waiting) });
    });
  }
  return reasons.get(waiting) ?? shownReason();
}

const shownReason = () => page.querySelector('[data-f="waiting"]').textContent;

async function ask() {
  try {
    const answer = await fetch(`/api/dataset/detailed-status/${id}`, { headers: { Accept: "application/json" } });
    return answer.ok ? await answer.json() : undefined;
  } catch {
    return undefined; // the sentence stays in English until the next one
  }
}

function figures(job) {
  return {
    state: state(job.status),
    created: job.created_at,
    started: job.started_at,
    finished: job.finished_at,
    error: job.error,
    waiting: waitingIn(job),
    done: number(job.done),
    total: number(job.total),
    progress: share(job.progress),
    succeeded: number(job.succeeded),
    failed: number(job.failed),
    running: number(job.running),
    pending: number(job.pending),
    importing: Boolean(job.importing),
    imported: number(job.importing?.imported),
    rate: number(job.rate_per_s, 2),
    eta: duration(job.eta_s),
    "tokens-rate": number(job.tokens_per_second, 1),
    "tokens-in": number(job.tokens.prompt),
    "tokens-out": number(job.tokens.completion),
    duration: duration(job.duration_s),
    restarted: number(job.restarted_after_kill),
    late: number(job.late_results_refused),
    "has-restarted": job.restarted_after_kill > 0,
    "has-late": job.late_results_refused > 0,
    kept: number(job.done),
    failures: number(job.failed),
    "some-failed": job.failed > 0,
    "has-nodes": job.nodes.length > 0,
    "has-errors": job.errors.length > 0,
  };
}

function drawNode(row, node) {
  fill(row, {
    name: node.name,
    "node-succeeded": number(node.succeeded),
    "node-failed": number(node.failed),
    "node-running": number(node.running),
    share: share(node.share),
    tokens: number(node.tokens_per_second, 1),
    p50: duration(node.p50_s),
    p95: duration(node.p95_s),
    idle: duration(node.idle_s),
  });
  lead(row, `node=${node.id}`);
}

function drawError(row, error) {
  fill(row, {
    cause: words.causes[error.cause] ?? error.cause,
    code: error.cause,
    count: number(error.count),
    example: error.example,
    advice: words.advice[error.cause] ?? "",
    retryable: error.retryable,
  });
  lead(row, `state=failed&cause=${encodeURIComponent(error.cause)}`);
}

/** Let the row's link show the items that it stands for. */
function lead(row, query) {
  const link = row.querySelector("a[data-query]");
  if (link.dataset.query === query) return;
  link.dataset.query = query;
  link.href = `?${query}#items`;
}

/** Tell a screen reader now and then, and at once when the state changes. */
function say(job) {
  const now = Date.now();
  if (job.status === saidState && now - saidAt < SAY_EVERY_MS) return;
  [saidAt, saidState] = [now, job.status];
  page.querySelector("[data-say]").textContent = said(job.eta_s === null ? words.progress : words.progress_left, {
    state: state(job.status),
    done: number(job.done),
    total: number(job.total),
    failed: number(job.failed),
    left: duration(job.eta_s),
  });
}

/* Stopping is asked about first; without scripts the buttons do what they say, and what is done is kept all the same. */
page.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-asks]")) return;
  event.preventDefault();
  document.getElementById("stop").showModal();
});

localTimes(document);
follow({ socket: `/ws/jobs/${id}/`, api: `/api/dataset/detailed-status/${id}`, receive });
