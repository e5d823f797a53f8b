/* The latest requests of a node, each with where it was tried and why. */

import { fill, list } from "./fill.js";
import { inWords } from "./sentences.js";
import { duration, number, words } from "./show.js";

const LOOKS = { ok: "online", cancelled: "stopped" };
const seconds = (milliseconds) => (milliseconds === null ? null : milliseconds / 1000);

export function drawRequests(section, requests) {
  fill(section, { "has-requests": requests.length > 0 });
  list(section, "requests", "t-request", requests, (one) => one.id, drawRequest);
}

function drawRequest(row, one) {
  fill(row, {
    "r-at": one.at,
    "r-user": one.user.name ?? "–",
    "r-model": one.model,
    "r-outcome": words.node.outcomes[one.outcome] ?? one.outcome,
    "r-ttft": duration(seconds(one.ttft_ms)),
    "r-took": duration(seconds(one.duration_ms)),
    "r-in": number(one.prompt_tokens),
    "r-out": number(one.completion_tokens),
    "r-tries": one.decision.length > 0,
  });
  row.querySelector('[data-f="r-outcome"]').dataset.is = LOOKS[one.outcome] ?? "failed";
  const tries = one.decision.map((tried, place) => ({ ...tried, place }));
  list(row, "r-decision", "t-try", tries, (tried) => tried.place, drawTry);
}

function drawTry(item, tried) {
  fill(item, {
    "t-node": tried.node?.name ?? "–",
    "t-reasons": tried.reasons.map(inWords).join("; "),
    "t-error": tried.error ? `${tried.error.code} ${inWords(tried.error.message)}` : "",
  });
  const others = [
    ...tried.others.map((other) => `${other.node}: ${duration(other.expected_finish_s)}`),
    ...tried.rejected.map((other) => `${other.node}: ${inWords(other.reason)}`),
  ];
  item.querySelector("ul").replaceChildren(...others.map(line));
}

function line(text) {
  const made = document.createElement("li");
  made.textContent = text;
  return made;
}
