/* One node's page, live: its state and load by the socket, the rest asked for when the socket says that it moved. */

import { fill, localTimes } from "./fill.js";
import { follow, say } from "./live.js";
import { drawAlerts } from "./node_alerts.js";
import { NodeCurves } from "./node_curves.js";
import { drawEngines } from "./node_engines.js";
import { drawMachine } from "./node_machine.js";
import { drawRequests } from "./node_requests.js";
import { Teller } from "./node_teller.js";
import { inWords } from "./sentences.js";
import { number, percent, size, state, words } from "./show.js";

const DETAILS_MS = 4000;
const LISTS_MS = 15000;

const page = document.getElementById("node");
const me = JSON.parse(document.getElementById("me").textContent);
const id = page.dataset.id;
const curves = new NodeCurves(document.getElementById("curves"), id);
const alerts = document.getElementById("alerts");
const requests = document.getElementById("requests");
const tellers = [
  new Teller(`/api/v1/nodes/${id}/details/`, DETAILS_MS, drawDetails),
  new Teller(alerts.dataset.alerts, LISTS_MS, (found) => curves.mark(drawAlerts(alerts, found.results))),
  new Teller(requests.dataset.requests, LISTS_MS, (found) => drawRequests(requests, found.results)),
];

/** The socket sends the fleet's messages about this node alone; the API sends the node itself. */
function receive(message) {
  if (message.removed?.includes(Number(id))) return say("gone");
  const node = message.nodes ? message.nodes[0] : message;
  if (!node) return;
  draw(node);
  curves.follow();
  for (const teller of tellers) teller.hurry();
}

function draw(node) {
  const { lock, metrics } = node;
  fill(page, {
    name: node.name,
    state: state(node.state),
    since: node.since,
    reason: inWords(node.reason),
    busy: number(node.slots.busy),
    slots: number(node.slots.total),
    cpu: percent(metrics?.cpu_percent),
    memory: size(metrics?.memory_used_bytes),
    "memory-total": size(metrics?.memory_total_bytes),
    "net-in": number(metrics?.net_rx_mbps, 1),
    "net-out": number(metrics?.net_tx_mbps, 1),
    "disk-read": number(metrics?.disk_read_mb_s, 1),
    "disk-write": number(metrics?.disk_write_mb_s, 1),
  });
  fill(page, {
    lock: Boolean(lock),
    "locked-banner": Boolean(lock),
    "lock-until": lock?.expires_at,
    "lock-owner": lock?.owner,
    "lock-reason": lock?.reason,
    "lock-by-job": lock?.by === "job",
    "lock-by-agent": lock?.by === "agent",
    "may-unlock": mayUnlock(lock),
  });
  drawSkew(node.clock_skew_s);
  page.querySelector('.heading [data-f="state"]').dataset.is = node.state;
}

function mayUnlock(lock) {
  if (!lock || lock.by === "agent") return false;
  return me.is_admin || (lock.by === "person" && lock.owner === me.name);
}

function drawSkew(seconds) {
  fill(page, { skew: number(seconds, 1) });
  const isOff = typeof seconds === "number" && Math.abs(seconds) > words.node.skew_limit_s;
  for (const warning of page.querySelectorAll('[data-if="skew"]')) warning.hidden = !isOff;
}

function drawDetails(details) {
  drawMachine(page, details.machine);
  drawEngines(page, details.engines);
}

localTimes(document);
curves.load();
tellers[1].hurry();
follow({ socket: `/ws/nodes/${id}/`, api: `/api/v1/nodes/${id}/`, receive });
