/* The overview, live: what comes by the socket, what is asked for besides, and what is drawn of it when. */

import { arrange, labelKeys, rank } from "./arrange.js";
import { Board } from "./board.js";
import { Bound } from "./bound.js";
import { Choice } from "./choice.js";
import { localTimes } from "./fill.js";
import { FleetCurves } from "./fleet_curves.js";
import { of, watts } from "./host.js";
import { lockWithin } from "./host_lock.js";
import { follow } from "./live.js";
import { Past } from "./past.js";
import { number, percent, said, words } from "./show.js";
import { sums } from "./sums.js";

const ACTIVITY_MS = 5000;
const RANK_MS = 5000;

const page = document.getElementById("fleet");
const sumsBox = document.getElementById("sums");
const whole = new Bound(page);
const totals = new Bound(sumsBox);
const me = JSON.parse(document.getElementById("me").textContent);
const nodes = new Map();
const past = new Past();
const ranks = new Map();
let rankedAt = 0;
let shown = [];
let ahead = 0;

const board = new Board(document.getElementById("groups"), (host, node) => host.draw(node, me, past));
const curves = new FleetCurves(document.getElementById("curves"), (text) => whole.put({ near: text }));
const choice = new Choice(document.getElementById("tools"), () => {
  page.dataset.view = choice.view;
  rankedAt = 0;
  draw();
  curves.draw(past, shown);
});

/** A snapshot (or the API's whole answer) replaces what is known, an update adds to it. */
function receive(message) {
  if (message.type !== "update") nodes.clear();
  for (const id of message.removed ?? []) nodes.delete(id);
  for (const node of message.nodes) nodes.set(node.id, node);
  if (message.generated_at) ahead = Date.parse(message.generated_at) - Date.now();
  board.touch(message.nodes.map((node) => node.id));
  draw();
  // The socket is back: what it missed, the server has measured.
  if (message.type === "snapshot" && past.version) askForAll();
}

function draw() {
  const all = [...nodes.values()];
  rankAnew(all);
  const groups = arrange(all, choice, ranks, words.states);
  shown = groups.flatMap((group) => group.nodes);
  choice.offer(labelKeys(all));
  whole.put({
    any: all.length > 0,
    engines: all.some((node) => node.engines.length > 0),
    nothing: all.length > 0 && shown.length === 0,
    shown: shown.length < all.length ? said(words.host.shown_of, { shown: shown.length, all: all.length }) : "",
  });
  drawSums(sums(all));
  board.show(nodes, groups, choice.group !== "");
}

/** Figures change each second: hosts change places less often, and not under the reader's hands. */
function rankAnew(all) {
  const isDue = rankedAt === 0 || (Date.now() - rankedAt > RANK_MS && !board.isHeld);
  if (isDue) {
    ranks.clear();
    rankedAt = Date.now();
  }
  for (const node of all) if (!ranks.has(node.id)) ranks.set(node.id, rank(node, choice.sort));
}

function drawSums(found) {
  totals.put({
    online: number(found.online),
    nodes: number(found.nodes),
    "gpus-busy": number(found.busy),
    gpus: number(found.gpus),
    "memory-percent": percent(found.percent),
    memory: of(...found.memory),
    "memory-known": found.percent !== null,
    "gpu-memory-percent": percent(found.gpu_percent),
    "gpu-memory": of(...found.gpu_memory),
    "gpu-memory-known": found.gpu_percent !== null,
    power: watts(found.power_w),
  });
}

function drawActivity(found) {
  totals.put({
    tokens: number(found.tokens_per_second, 1),
    jobs: number(found.jobs_running),
    alerts: number(found.alerts_firing),
  });
  sumsBox.querySelector("[data-alarm]").dataset.alarm = found.alerts_firing ? "yes" : "no";
}

async function ask(path) {
  try {
    const answer = await fetch(path, { headers: { Accept: "application/json" } });
    return answer.ok ? await answer.json() : undefined;
  } catch {
    return undefined; // the mark of the socket says that the server is away
  }
}

async function askForAll() {
  const found = await ask("/api/cluster/overview");
  if (!found) return;
  drawActivity(found);
  past.take(found.history);
  board.touch(nodes.keys());
  curves.draw(past, shown);
}

async function keepAsking() {
  if (!document.hidden) {
    const found = past.version ? await ask("/api/cluster/overview?only=activity") : undefined;
    if (found) drawActivity(found);
    else if (!past.version) await askForAll();
  }
  setTimeout(keepAsking, ACTIVITY_MS);
}

function go() {
  if (document.hidden || !past.go(Date.now() + ahead, [...nodes.values()])) return;
  board.touch(nodes.keys());
  curves.draw(past, shown);
}

async function refresh(button) {
  button.ariaDisabled = "true";
  const [found] = await Promise.all([ask("/api/status/all"), askForAll()]);
  if (found) receive(found);
  button.ariaDisabled = null;
  whole.put({ shown: found ? words.host.refreshed : words.away });
}

document.getElementById("refresh").addEventListener("click", (event) => {
  event.preventDefault();
  refresh(event.currentTarget);
});
page.querySelector("[data-clear]").addEventListener("click", (event) => {
  event.preventDefault();
  choice.clear();
});
const curveButtons = [...page.querySelectorAll("[data-curve]")];
for (const button of curveButtons) {
  button.addEventListener("click", () => {
    for (const one of curveButtons) one.ariaPressed = String(one === button);
    curves.choose(button.dataset.curve);
    curves.draw(past, shown);
  });
}
lockWithin(document.getElementById("groups"), document.getElementById("lock"), {
  nameOf: (id) => nodes.get(id)?.name ?? "",
  taken: (node) => receive({ type: "update", nodes: [node] }),
  refused: (why) => whole.put({ refusal: why }),
});
// What was not watched is asked for: a gap is for what nobody measured.
document.addEventListener("visibilitychange", () => document.hidden || askForAll());
localTimes(document);
follow({ socket: "/ws/cluster/", api: "/api/status/all", receive });
keepAsking();
setInterval(go, 1000);
