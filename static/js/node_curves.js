/* The curves of one node: which there are, how far back they go, and when they are drawn anew. */

import { Curves } from "./curves.js";
import { fill } from "./fill.js";
import { History } from "./node_history.js";
import { number, said, words } from "./show.js";

const LEAST_MS = 2000;
const AGAIN_MS = 5000;
const SYNC = "node";
const UNITS = { percent: "%" };

const MOST_DECIMALS = 3;
/** Of a figure as it suits its size, of an axis' marks so that no two are written alike. */
const decimals = (value, step) =>
  step ? Math.min(MOST_DECIMALS, Math.max(0, Math.ceil(-Math.log10(step)))) : value % 1 === 0 || value >= 10 ? 0 : value < 1 ? 2 : 1;

export class NodeCurves {
  constructor(section, id) {
    this.section = section;
    this.range = section.dataset.range;
    this.charts = [...section.querySelectorAll("[data-curve]")].map((figure) => new Chart(figure));
    this.history = new History(id, this.charts.flatMap((chart) => chart.metrics));
    this.isAsking = false;
    this.readAt = 0;
    section.addEventListener("click", (event) => this.choose(event));
    section.addEventListener("dblclick", () => this.show());
    section.addEventListener("pointerup", () => setTimeout(() => this.showZoom()));
    addEventListener("popstate", () => this.go(new URL(location).searchParams.get("range") ?? section.dataset.range));
    section.querySelector("[data-unzoom]").addEventListener("click", () => this.show());
  }

  load() {
    return this.read(() => this.history.load(this.range), () => this.load());
  }

  /** There is news: draw it, when a step of the curves has passed. */
  follow() {
    const pause = Math.max(LEAST_MS, this.history.stepMs / 2);
    if (this.history.times.length && Date.now() - this.readAt >= pause) this.read(() => this.history.extend());
  }

  /** Shade the times of alerts: on the curves of their figure, on all where no curve has it. */
  mark(spans) {
    const drawn = new Set(this.charts.flatMap((chart) => chart.metrics));
    for (const chart of this.charts) {
      chart.mark(spans.filter(({ metric }) => chart.metrics.includes(metric) || !drawn.has(metric)));
    }
  }

  async read(work, again) {
    if (this.isAsking || document.hidden) return again && setTimeout(again, LEAST_MS);
    this.isAsking = true;
    this.readAt = Date.now();
    const { range } = this;
    const isRead = await work().then(() => true, () => false);
    this.isAsking = false;
    fill(this.section, { "curves-problem": isRead ? "" : words.node.no_curves });
    if (range !== this.range) return this.load();
    if (!isRead) return again && setTimeout(again, AGAIN_MS);
    if (!this.isZoomed()) this.show();
  }

  show() {
    for (const chart of this.charts) chart.show(this.history);
    setTimeout(() => this.showZoom()); // a chart takes its scale when the script is done
  }

  isZoomed() {
    return this.charts.some((chart) => chart.isZoomed());
  }

  showZoom() {
    this.section.querySelector("[data-unzoom]").hidden = !this.isZoomed();
  }

  choose(event) {
    const link = event.target.closest("[data-range-choice]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    history.pushState(null, "", link.href);
    this.go(link.dataset.rangeChoice);
  }

  go(range) {
    const links = [...this.section.querySelectorAll("[data-range-choice]")];
    if (!links.some((link) => link.dataset.rangeChoice === range)) return;
    for (const link of links) {
      if (link.dataset.rangeChoice === range) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    this.range = range;
    if (!this.isAsking) this.load();
  }
}

/** One figure of the page: the curves of its metrics, or of each thing (GPU, filesystem) that has its one metric. */
class Chart {
  constructor(figure) {
    this.figure = figure;
    this.metrics = figure.dataset.curve.split(" ");
    this.each = figure.dataset.each;
    const unit = figure.dataset.unit;
    this.curves = new Curves(figure.querySelector("[data-drawn]"), {
      series: this.each ? [] : this.metrics.map((metric) => ({ label: words.node.curves[metric] })),
      show: (value, step) => `${number(value, decimals(value, step))} ${UNITS[unit] ?? unit}`.trimEnd(),
      most: unit === "percent" ? 100 : undefined,
      sync: SYNC,
      label: figure.getAttribute("aria-label"),
    });
  }

  show(history) {
    const found = this.metrics.map((metric) => history.of(metric));
    if (this.each) {
      this.figure.hidden = found[0].length === 0;
      this.curves.become(found[0].map(({ subject }) => ({ label: said(this.each, { subject }) })));
      if (found[0].length) this.curves.set(history.times, found[0].map(({ values }) => values));
      return;
    }
    const nothing = history.times.map(() => null);
    this.curves.set(history.times, found.map(([first]) => first?.values ?? nothing));
  }

  mark(spans) {
    this.curves.mark(spans);
  }

  isZoomed() {
    const { scales, data } = this.curves.chart;
    const times = data[0];
    return times.length > 1 && (scales.x.min > times[0] || scales.x.max < times[times.length - 1]);
  }
}
