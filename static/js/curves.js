/* Curves over time, drawn by uPlot: one cursor over all that share a name, gaps as gaps, the theme's colours. */

import uPlot from "../vendor/uplot.js";

const PALETTE = 8;
const HEIGHT = 180;

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The colour of the series at this place, as the theme has it. */
export const colour = (place) => style(`--curve-${(place % PALETTE) + 1}`);

/** A chart in `box`. `series` are `{label}` in the order of their values; `show` writes a value with its unit;
    `most` is the top of the scale where there is one (100 for percent); charts with one `sync` share their cursor. */
export class Curves {
  constructor(box, { series, show, most, sync, height = HEIGHT, label }) {
    Object.assign(this, { box, series, show, most, sync, height });
    this.data = [[], ...series.map(() => [])];
    this.marks = [];
    box.setAttribute("role", "img");
    if (label) box.setAttribute("aria-label", label);
    this.resizing = new ResizeObserver(() => this.fit());
    this.resizing.observe(box);
    this.onTheme = () => this.draw();
    addEventListener("theme", this.onTheme);
    this.draw();
  }

  /** Times in epoch milliseconds, and for each series its values: null where nothing is known. */
  set(times, values) {
    this.data = [times.map((time) => time / 1000), ...values];
    this.chart.setData(this.data);
  }

  /** Other series than before, such as when a host has come. */
  become(series) {
    if (series.map((one) => one.label).join("\n") === this.series.map((one) => one.label).join("\n")) return;
    this.series = series;
    this.data = [[], ...series.map(() => [])];
    this.draw();
  }

  /** Spans of time that are shaded: `{from, to, label}` in epoch milliseconds; `to` null: until now. */
  mark(spans) {
    this.marks = spans;
    this.chart.redraw(false);
  }

  end() {
    this.resizing.disconnect();
    removeEventListener("theme", this.onTheme);
    this.chart.destroy();
  }

  fit() {
    const width = this.box.clientWidth;
    if (width && width !== this.chart.width) this.chart.setSize({ width, height: this.height });
  }

  draw() {
    this.chart?.destroy();
    this.chart = new uPlot(this.options(), this.data, this.box);
  }

  options() {
    const [ink, line] = [style("--faint"), style("--line")];
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
    return {
      width: this.box.clientWidth || 300,
      height: this.height,
      cursor: { sync: this.sync ? { key: this.sync } : undefined, drag: { x: true, y: false } },
      scales: { x: { time: true }, y: { range: (_, low, high) => this.range(high) } },
      axes: [axis, { ...axis, size: 64, values: (_, ticks) => ticks.map((tick) => this.show(tick)) }],
      series: [
        { value: (_, time) => (time === null ? "–" : new Date(time * 1000).toLocaleString()) },
        ...this.series.map((one, place) => ({
          label: one.label,
          stroke: colour(place),
          width: 1.5,
          spanGaps: false,
          value: (_, value) => (value === null || value === undefined ? "–" : this.show(value)),
        })),
      ],
      legend: { show: this.series.length > 0 },
      hooks: { drawAxes: [(chart) => this.shade(chart)] },
    };
  }

  range(high) {
    if (this.most !== undefined) return [0, this.most];
    return [0, high > 0 ? high * 1.1 : 1];
  }

  shade(chart) {
    const { ctx, bbox } = chart;
    ctx.save();
    ctx.fillStyle = style("--curve-mark");
    for (const { from, to } of this.marks) {
      const left = Math.max(chart.valToPos(from / 1000, "x", true), bbox.left);
      const right = Math.min(chart.valToPos((to ?? Date.now()) / 1000, "x", true), bbox.left + bbox.width);
      if (right > left) ctx.fillRect(left, bbox.top, Math.max(right - left, 2), bbox.height);
    }
    ctx.restore();
  }
}
