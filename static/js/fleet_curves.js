/* The curves of all hosts in one chart: CPU or GPU, one each, and which one is under the cursor. */

import { Curves } from "./curves.js";
import { percent, words } from "./show.js";

const MOST_IN_LEGEND = 8;

export class FleetCurves {
  constructor(box, near) {
    Object.assign(this, { box, near, what: "cpu" });
  }

  choose(what) {
    this.what = what;
    this.box.setAttribute("aria-label", words.host[`${what}_curves`]);
  }

  /** Draw these hosts' curves. */
  draw(past, nodes) {
    if (!past.times.length || !this.box.clientWidth) return;
    const series = nodes.map((node) => ({ label: node.name }));
    const isFew = series.length <= MOST_IN_LEGEND;
    if (this.chart && isFew !== this.isFew) this.end();
    this.isFew = isFew;
    this.chart ??= this.made(series, isFew);
    this.chart.become(series);
    const nothing = past.times.map(() => null);
    const values = nodes.map(({ id }) => past.of(id, this.what));
    this.chart.set(past.times, values.map((one) => (one.length === nothing.length ? one : nothing)));
  }

  made(series, isFew) {
    return new Curves(this.box, {
      series,
      show: percent,
      most: 100,
      label: words.host[`${this.what}_curves`],
      legend: isFew,
      near: isFew ? undefined : (name, value) => this.near(name ? `${name}: ${value}` : ""),
    });
  }

  end() {
    this.chart.end();
    this.chart = undefined;
    this.near("");
  }
}
