/* The fleet's page, live. */

import { fill, list, localTimes } from "./fill.js";
import { follow } from "./live.js";
import { heat, percent, size, state } from "./show.js";

const page = document.getElementById("fleet");
const me = JSON.parse(document.getElementById("me").textContent);
const nodes = new Map();

/** A snapshot (or the API's whole answer) replaces what is known, an update adds to it. */
function receive(message) {
  if (message.type !== "update") nodes.clear();
  for (const id of message.removed ?? []) nodes.delete(id);
  for (const node of message.nodes) nodes.set(node.id, node);
  draw([...nodes.values()].sort((one, other) => one.id - other.id));
}

function draw(all) {
  fill(page, { any: all.length > 0, engines: all.some((node) => node.engines.length > 0) });
  fill(page.querySelector(".sums"), {
    nodes: all.length,
    online: all.filter((node) => node.online).length,
    busy: all.reduce((sum, node) => sum + node.slots.busy, 0),
    slots: all.reduce((sum, node) => sum + node.slots.total, 0),
  });
  list(page, "nodes", "t-node", all, (node) => node.id, drawNode);
}

function drawNode(card, node) {
  const { lock, metrics, slots } = node;
  fill(card, {
    name: node.name,
    state: state(node.state),
    since: node.since,
    reason: node.reason,
    busy: slots.busy,
    slots: slots.total,
    lock: Boolean(lock),
    "lock-until": lock?.expires_at,
    "lock-owner": lock?.owner,
    "lock-reason": lock?.reason,
    "lock-by-job": lock?.by === "job",
    "lock-by-agent": lock?.by === "agent",
    "may-unlock": mayUnlock(lock),
    "no-engine": node.engines.length === 0,
    load: Boolean(metrics),
    cpu: percent(metrics?.cpu_percent),
    "cpu-meter": metrics?.cpu_percent,
    memory: `${size(metrics?.memory_used_bytes)} / ${size(metrics?.memory_total_bytes)}`,
    "memory-meter": metrics?.memory_percent,
    "gpu-error": metrics?.gpu_error,
  });
  card.setAttribute("aria-label", node.name);
  card.querySelector('[data-f="state"]').dataset.is = node.state;
  for (const form of card.querySelectorAll("form")) {
    form.action = form.dataset.action.replace("/0/", `/${node.id}/`);
  }
  list(card, "gpus", "t-gpu", metrics?.gpus ?? [], (gpu) => gpu.index, drawGpu);
  list(card, "engines", "t-engine", node.engines, (engine) => engine.id, drawEngine);
}

function mayUnlock(lock) {
  if (!lock || lock.by === "agent") return false;
  return me.is_admin || (lock.by === "person" && lock.owner === me.name);
}

function drawGpu(row, gpu) {
  fill(row, {
    "gpu-name": gpu.name ?? "GPU",
    "gpu-meter": gpu.utilization_percent,
    "gpu-percent": percent(gpu.utilization_percent),
    "gpu-memory": `${size(gpu.memory_used_bytes)} / ${size(gpu.memory_total_bytes)}`,
    "gpu-heat": gpu.temperature_c === null ? "" : heat(gpu.temperature_c),
  });
}

function drawEngine(row, engine) {
  fill(row, { kind: engine.kind, "base-url": engine.base_url, "engine-reason": engine.reason });
  row.querySelector(".dot").dataset.is = engine.online ? "online" : "offline";
  list(row, "models", "t-model", engine.models, (model) => model.name, drawModel);
}

function drawModel(chip, model) {
  fill(chip, { model: model.name, resident: model.resident });
  chip.dataset.resident = model.resident ? "yes" : "no";
}

localTimes(document);
follow({ socket: "/ws/cluster/", api: "/api/status/all", receive });
