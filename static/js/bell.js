/* The bell on every page: how many alerts fire. A socket tells it at once; while that is down it asks now and then. */

import { notifyOf } from "./notify.js";
import { sayEnded } from "./session.js";

const POLL_MS = 20000;
/** For a page that shows more of the alerts than their number. */
const POLL_SOON_MS = 4000;
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 60000;
const OUT = new Set([4401, 4403]);

const bell = document.querySelector("[data-bell]");
const listeners = new Set();
let last;
let failures = 0;
let polling;
let retry;

/** `listener(summary, how)` is called with what stands now and whenever it changes; `how` is live, polling, away, out. */
export function watchAlerts(listener) {
  listeners.add(listener);
  if (last) listener(...last);
}

function tell(summary, how) {
  last = [summary ?? last?.[0], how];
  if (summary) show(summary);
  if (last[0] || how !== "live") for (const listener of listeners) listener(...last);
}

function show({ firing, worst, raised }) {
  const count = bell.querySelector("[data-bell-count]");
  count.textContent = String(firing);
  count.hidden = firing === 0;
  bell.dataset.worst = worst ?? "";
  bell.title = bell.dataset.label.replace("{count}", firing);
  bell.setAttribute("aria-label", bell.title);
  notifyOf(raised);
}

function connect() {
  clearTimeout(retry);
  retry = undefined;
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/ws/alerts/`);
  socket.onmessage = (event) => {
    failures = 0;
    clearTimeout(polling);
    polling = undefined;
    tell(JSON.parse(event.data), "live");
  };
  socket.onclose = (event) => (OUT.has(event.code) ? end() : comeAgain());
}

function comeAgain() {
  const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** failures++);
  retry = setTimeout(connect, wait * (0.5 + Math.random()));
  if (polling === undefined) poll();
}

function end() {
  clearTimeout(retry);
  clearTimeout(polling);
  sayEnded();
  tell(undefined, "out");
}

async function poll() {
  polling = setTimeout(poll, listeners.size ? POLL_SOON_MS : POLL_MS);
  if (document.hidden) return;
  try {
    const answer = await fetch("/api/v1/alerts/summary/", { headers: { Accept: "application/json" } });
    if (answer.status === 401 || answer.status === 403) end();
    else if (answer.ok) tell(await answer.json(), "polling");
    else tell(undefined, "away");
  } catch {
    tell(undefined, "away"); // no answer is an answer here: it is asked again
  }
}

// A laptop that wakes up should not wait for the end of a long pause.
const hurry = () => retry !== undefined && !document.hidden && connect();
addEventListener("online", hurry);
document.addEventListener("visibilitychange", hurry);
if (bell) connect();
