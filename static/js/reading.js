/* Values of metrics with their units; the server's `alerts/words.py` says them alike. */

import { words } from "./show.js";

const SYMBOLS = { percent: " %", celsius: " °C", watts: " W", seconds: " s", "": "" };
const GIB = 2 ** 30;

export function reading(metric, value) {
  if (value === null || value === undefined) return "–";
  const switched = words.switches[metric];
  if (switched) return switched[value >= 1 ? 1 : 0];
  const unit = words.metrics[metric]?.unit ?? "";
  if (unit === "bytes") return `${(value / GIB).toFixed(1)} GiB`;
  return `${figure(value)}${SYMBOLS[unit] ?? ` ${unit}`}`;
}

/** Four digits, and never fewer than the whole number has. */
function figure(value) {
  return Math.abs(value) >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(4)));
}

export const metricName = (metric) => words.metrics[metric]?.name ?? metric;
