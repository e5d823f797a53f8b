/* One host of the overview: its card, or row, which is the same by other looks. */

import { Bound, Rows } from "./bound.js";
import { line } from "./past.js";
import { inWords } from "./sentences.js";
import { heat, number, percent, state, words } from "./show.js";

const UNITS = [["TiB", 1024 ** 4], ["GiB", 1024 ** 3], ["MiB", 1024 ** 2], ["KiB", 1024], ["B", 1]];
const HOT_C = 85;
const ABSENT = ["no ", "this is no ", "there is no "];
const UNKNOWN = "–";
const PAGE = document.getElementById("fleet").dataset.hostPage;

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

export class Host {
  /** `root` is a card that the server drew; without one it is made. */
  constructor(id, root) {
    this.id = id;
    this.root = root ?? document.getElementById("t-host").content.firstElementChild.cloneNode(true);
    this.root.dataset.key = id;
    this.bound = new Bound(this.root);
    const rows = [...this.root.querySelectorAll("[data-rows]")];
    this.rows = Object.fromEntries(rows.map((box) => [box.dataset.rows, new Rows(box)]));
  }

  draw(node, me, past) {
    if (this.root.ariaLabel !== node.name) this.root.ariaLabel = node.name;
    this.bound.put(figures(node, me));
    this.rows.gpus.put(node.metrics?.gpus ?? [], (gpu) => gpu.index, gpuFigures);
    this.rows.engines.put(node.engines, (engine) => engine.id, engineFigures);
    this.rows.models.put(resident(node), (name) => name, (name) => ({ model: name }));
    if (past.version !== this.pastVersion) this.drawPast(past);
  }

  drawPast(past) {
    this.pastVersion = past.version;
    const [cpu, gpu] = [past.of(this.id, "cpu"), past.of(this.id, "gpu")];
    this.bound.put({ "spark-cpu": line(cpu), "spark-gpu": line(gpu) });
  }
}

function figures(node, me) {
  const { lock, metrics, slots } = node;
  const rest = node.models.length - resident(node).length;
  return {
    name: node.name,
    page: PAGE.replace(/0(?=\/$)/, node.id),
    state: state(node.state),
    is: node.state,
    since: node.since,
    reason: inWords(node.reason),
    busy: slots.busy,
    slots: slots.total,
    lock: Boolean(lock),
    "lock-until": lock?.expires_at,
    "lock-owner": lock?.owner,
    "lock-reason": lock?.reason,
    "lock-by-job": lock?.by === "job",
    "lock-by-agent": lock?.by === "agent",
    "may-unlock": mayUnlock(lock, me),
    "no-engine": node.engines.length === 0,
    load: Boolean(metrics),
    cpu: percent(metrics?.cpu_percent),
    "cpu-percent": width(metrics?.cpu_percent),
    memory: of(metrics?.memory_used_bytes, metrics?.memory_total_bytes),
    "memory-percent": width(metrics?.memory_percent),
    kinds: kinds(metrics?.gpus),
    "gpu-error": inWords(metrics?.gpu_error),
    "gpu-trouble": words.host.gpu_trouble[trouble(metrics)],
    "on-disk": rest || "",
  };
}

function mayUnlock(lock, me) {
  if (!lock || lock.by === "agent") return false;
  return me.is_admin || (lock.by === "person" && lock.owner === me.name);
}

function gpuFigures(gpu) {
  return {
    "gpu-index": gpu.index,
    "gpu-name": gpu.name,
    "gpu-percent": width(gpu.utilization_percent),
    "gpu-use": percent(gpu.utilization_percent),
    "gpu-memory": of(gpu.memory_used_bytes, gpu.memory_total_bytes),
    "gpu-heat": heat(gpu.temperature_c),
    "gpu-hot": gpu.temperature_c >= HOT_C ? "hot" : "",
    "gpu-power": watts(gpu.power_w),
  };
}

function engineFigures(engine) {
  return {
    address: `${engine.base_url} ${inWords(engine.reason)}`,
    is: engine.online ? "online" : "offline",
    kind: engine.kind,
    "engine-reason": inWords(engine.reason),
  };
}

function resident(node) {
  const models = node.engines.flatMap((engine) => engine.models).filter((model) => model.resident);
  return [...new Set(models.map((model) => model.name))].sort();
}

/** `8 × NVIDIA GeForce RTX 4090` */
export function kinds(gpus) {
  const counted = new Map();
  for (const gpu of gpus ?? []) counted.set(gpu.name || "GPU", (counted.get(gpu.name || "GPU") ?? 0) + 1);
  return [...counted].map(([name, count]) => (count > 1 ? `${count} × ${name}` : name)).join(", ");
}

/** Why there are no GPU figures, in a word; the whole is `gpu_error`. */
export function trouble(metrics) {
  if (!metrics?.gpu_error) return "";
  if (metrics.gpus.length) return "partial";
  return metrics.gpu_error.split("; ").every((why) => ABSENT.some((start) => why.startsWith(start))) ? "absent" : "fault";
}

/** `11.2 / 24.0 GiB`, in the unit that suits the whole. */
export function of(used, total) {
  const whole = isNumber(total) ? total : used;
  if (!isNumber(whole)) return UNKNOWN;
  const [unit, size] = UNITS.find(([, one]) => whole >= one) ?? UNITS.at(-1);
  const shown = (value) => (isNumber(value) ? number(value / size, size === 1 ? 0 : 1) : UNKNOWN);
  return `${shown(used)} / ${shown(total)} ${unit}`;
}

export function watts(value) {
  if (!isNumber(value)) return UNKNOWN;
  return value >= 10000 ? `${number(value / 1000, 1)} kW` : `${number(value)} W`;
}

const width = (value) => (isNumber(value) ? Math.round(Math.min(100, Math.max(0, value))) : 0);
