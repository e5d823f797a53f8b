/* The last five minutes of every host: as the API told them at first, then one point more at each step. */

import { gpuPercent } from "./arrange.js";

const WIDTH = 100;
const HEIGHT = 24;
const FRESH_MS = 15000;

export class Past {
  constructor() {
    this.times = [];
    this.curves = new Map();
    this.version = 0;
    this.step = 5000;
  }

  /** The history of the overview's answer. */
  take({ t, nodes }) {
    this.times = [...t];
    if (t.length > 1) this.step = t[1] - t[0];
    this.curves = new Map(nodes.map((node) => [node.id, { cpu: [...node.cpu_percent], gpu: [...node.gpu_percent] }]));
    this.version++;
  }

  of(id, what) {
    return this.curves.get(id)?.[what] ?? [];
  }

  /** One point more when it is due; a reading that is old by then is a gap. Whether there was one. */
  go(now, nodes) {
    const last = this.times.at(-1);
    if (last === undefined || now - last < this.step) return false;
    const missed = Math.min(Math.floor((now - last) / this.step), this.times.length);
    for (let count = 1; count <= missed; count++) this.add(last + count * this.step, count === missed ? nodes : [], now);
    this.version++;
    return true;
  }

  add(time, nodes, now) {
    this.times.shift();
    this.times.push(time);
    const known = new Map(nodes.map((node) => [node.id, isFresh(node, now) ? node : undefined]));
    for (const id of known.keys()) if (!this.curves.has(id)) this.curves.set(id, this.blank());
    for (const [id, curve] of this.curves) {
      if (nodes.length && !known.has(id)) this.curves.delete(id);
      push(curve.cpu, known.get(id)?.metrics.cpu_percent ?? null);
      push(curve.gpu, known.get(id) ? gpuPercent(known.get(id)) : null);
    }
  }

  blank() {
    return { cpu: this.times.map(() => null), gpu: this.times.map(() => null) };
  }
}

function isFresh(node, now) {
  return node.metrics !== null && now - Date.parse(node.sampled_at) < FRESH_MS;
}

function push(values, value) {
  values.shift();
  values.push(value);
}

/** Values from 0 to 100 as the line of an SVG path; nothing is drawn where nothing is known. */
export function line(values) {
  const step = WIDTH / Math.max(1, values.length - 1);
  let [drawn, pen] = ["", "M"];
  values.forEach((value, place) => {
    if (value === null) {
      pen = "M";
      return;
    }
    drawn += `${pen}${(place * step).toFixed(1)},${(HEIGHT - 1 - (value / 100) * (HEIGHT - 2)).toFixed(1)}`;
    pen = "L";
  });
  return drawn;
}
