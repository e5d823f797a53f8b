/* The fleet in sums, from what each node tells. Pure; the server's `overview.py` sums alike. */

import { gpusOf } from "./arrange.js";

const BUSY_PERCENT = 5;

/** Null is what nobody tells, never 0. */
export function sums(nodes) {
  const gpus = nodes.flatMap(gpusOf);
  const told = nodes.map((node) => node.metrics).filter((one) => one?.memory_total_bytes && one.memory_used_bytes !== null);
  const memory = [sum(told, "memory_used_bytes"), sum(told, "memory_total_bytes")];
  const gpuMemory = [sum(gpus, "memory_used_bytes"), sum(gpus, "memory_total_bytes")];
  return {
    nodes: nodes.length,
    online: nodes.filter((node) => node.online).length,
    gpus: gpus.length,
    busy: gpus.filter((gpu) => (gpu.utilization_percent ?? 0) >= BUSY_PERCENT).length,
    memory,
    percent: percentOf(...memory),
    gpu_memory: gpuMemory,
    gpu_percent: percentOf(...gpuMemory),
    power_w: sum(gpus, "power_w"),
  };
}

const percentOf = (used, total) => (total && used !== null ? (100 * used) / total : null);

function sum(items, name) {
  const known = items.map((item) => item[name]).filter((value) => typeof value === "number");
  return known.length ? known.reduce((total, value) => total + value, 0) : null;
}
