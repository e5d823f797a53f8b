/* Which hosts are shown, in which order and groups. Pure; the server's `arranging.py` arranges alike. */

const TROUBLE_FIRST = ["offline", "degraded", "unknown", "online"];
const LABEL = "label:";

export const gpusOf = (node) => node.metrics?.gpus ?? [];

const RANKS = {
  name: () => 0,
  state: (node) => (TROUBLE_FIRST.indexOf(node.state) + TROUBLE_FIRST.length + 1) % (TROUBLE_FIRST.length + 1),
  cpu: (node) => most(node.metrics?.cpu_percent),
  gpu: (node) => most(gpuPercent(node)),
  memory: (node) => most(node.metrics?.memory_percent),
  heat: (node) => most(known(gpusOf(node).map((gpu) => gpu.temperature_c)).reduce((one, other) => Math.max(one, other), -Infinity)),
};

/** What a host is sorted by before its name: the smaller the further ahead. */
export const rank = (node, sort) => (RANKS[sort] ?? RANKS.name)(node);

/** The mean use of its GPUs; null where none tells. */
export function gpuPercent(node) {
  const told = known(gpusOf(node).map((gpu) => gpu.utilization_percent));
  return told.length ? told.reduce((sum, one) => sum + one, 0) / told.length : null;
}

/** Those with every word of `text`, as `[{key, nodes}]`; `ranks` says by id what they are sorted by. */
export function arrange(nodes, { text, group }, ranks, states) {
  const wanted = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = wanted.length ? nodes.filter((node) => has(saidOf(node, states), wanted)) : [...nodes];
  found.sort((one, other) => order(ranks.get(one.id), ranks.get(other.id)) || natural(one.name, other.name) || one.id - other.id);
  const groups = new Map();
  for (const node of found) {
    const key = groupOf(node, group);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(node);
  }
  const keys = [...groups.keys()].sort((one, other) => Number(!one) - Number(!other) || natural(one, other));
  return keys.map((key) => ({ key, nodes: groups.get(key) }));
}

export function labelKeys(nodes) {
  return [...new Set(nodes.flatMap((node) => Object.keys(node.labels)))].sort();
}

/** box2 before box10. */
export function natural(one, other) {
  const [parts, others] = [pieces(one), pieces(other)];
  for (let place = 0; place < Math.min(parts.length, others.length); place++) {
    const decided = order(parts[place], others[place]);
    if (decided) return decided;
  }
  return parts.length - others.length;
}

const cut = new Map();

// A host's name is compared some hundred times a second, and hardly ever changes.
function pieces(name) {
  let found = cut.get(name);
  if (!found) {
    if (cut.size > 5000) cut.clear();
    found = name.toLowerCase().split(/([0-9]+)/).map((part, place) => (place % 2 ? Number(part) : part));
    cut.set(name, found);
  }
  return found;
}

function saidOf(node, states) {
  return [
    node.name,
    node.environment,
    node.state,
    states[node.state] ?? "",
    node.lock?.owner ?? "",
    ...Object.entries(node.labels).map(([key, value]) => `${key}=${value}`),
    ...node.engines.map((engine) => engine.kind),
    ...node.models,
    ...gpusOf(node).map((gpu) => gpu.name ?? ""),
  ].join("\n").toLowerCase();
}

function groupOf(node, by) {
  if (by === "environment") return node.environment;
  return by.startsWith(LABEL) ? String(node.labels[by.slice(LABEL.length)] ?? "") : "";
}

const has = (said, words) => words.every((word) => said.includes(word));
const known = (values) => values.filter((value) => typeof value === "number");
const order = (one, other) => (one < other ? -1 : one > other ? 1 : 0);
const most = (value) => (typeof value === "number" && Number.isFinite(value) ? -value : Infinity);
