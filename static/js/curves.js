/* Curves over time, drawn by uPlot: one cursor over all that share a name, gaps as gaps, the theme's colours. */

import uPlot from "../vendor/uplot.js";
import { region, words } from "./show.js";

const PALETTE = 8;
const HEIGHT = 180;
const NEAR_PX = 24;
/** The room of a mark of the time axis, with and without seconds, which are told below half a minute. */
const [LONG_PX, SHORT_PX, LONG_BELOW_S] = [82, 62, 30];
const LATEST = 3;
/** The steps of a time axis, in seconds. uPlot's own go from one minute to five, too far on a narrow screen. */
const STEPS = [1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 432000, 864000];

const DAY_S = 86400;
const probe = document.createElement("i");
const clock = (options) => new Intl.DateTimeFormat(region, options);
const seconds = clock({ timeStyle: "medium" });
const minutes = clock({ timeStyle: "short" });
const both = clock({ dateStyle: "medium", timeStyle: "medium" });
const days = clock({ month: "short", day: "numeric" });

// Asking for a computed style costs a layout, and a chart of a fleet has hundreds of curves.
const styles = new Map();
addEventListener("theme", () => styles.clear());

/** A colour of the theme as a canvas takes it: a variable may hold another, or a mixture, which only CSS works out. */
function style(name) {
  if (!styles.has(name)) {
    probe.style.color = `var(${name})`;
    probe.hidden = true;
    document.body.append(probe);
    styles.set(name, getComputedStyle(probe).color);
    probe.remove();
  }
  return styles.get(name);
}

/** The colour of the series at this place, as the theme has it. */
export const colour = (place) => style(`--curve-${(place % PALETTE) + 1}`);

const room = (_, __, from, to, px) => (((to - from) / px) * SHORT_PX > LONG_BELOW_S ? SHORT_PX : LONG_PX);

/** What a curve's legend tells while no cursor is there; the newest step may not be over. */
const latest = (values) => values.slice(-LATEST).findLast((value) => value !== null && value !== undefined);

/** The marks of a time axis, in the reader's zone and language. */
function instants(ticks, step) {
  const format = step >= DAY_S ? days : step >= 60 ? minutes : seconds;
  const isMidnight = (tick) => new Date(tick * 1000).getHours() + new Date(tick * 1000).getMinutes() === 0;
  return ticks.map((tick) => (isMidnight(tick) ? days : format).format(tick * 1000));
}

/** A chart in `box`. `series` are `{label}` in the order of their values; `show(value, step)` writes a value with
    its unit (`step`: how far apart the marks of the axis are, where it is one of them);
    `most` is the top of the scale where there is one (100 for percent); charts with one `sync` share their cursor.
    Where there are too many for a legend, `near(label, value)` is told which curve the cursor is at, null for none. */
export class Curves {
  constructor(box, { series, show, most, sync, height = HEIGHT, label, legend = true, near }) {
    Object.assign(this, { box, series, show, most, sync, height, legend, near });
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
      padding: [null, LONG_PX / 2, null, null],
      cursor: {
        sync: this.sync ? { key: this.sync } : undefined,
        drag: { x: true, y: false },
        focus: { prox: this.near ? NEAR_PX : -1 },
      },
      focus: { alpha: 0.2 },
      scales: { x: { time: true }, y: { range: (_, low, high) => this.range(high) } },
      axes: [
        { ...axis, space: room, incrs: STEPS, values: (_, ticks, __, ___, step) => instants(ticks, step) },
        { ...axis, size: 64, values: (_, ticks, __, ___, step) => ticks.map((tick) => this.show(tick, step)) },
      ],
      series: [
        { label: words.time, value: (_, time) => this.instant(time ?? this.data[0].at(-1)) },
        ...this.series.map((one, place) => ({
          label: one.label,
          stroke: colour(place),
          width: this.legend ? 1.5 : 1,
          points: this.legend ? {} : { show: false },
          spanGaps: false,
          value: (chart, value, series, at) => this.told(at === null || at === undefined ? latest(chart.data[series]) : value),
        })),
      ],
      legend: { show: this.legend && this.series.length > 0 },
      hooks: {
        drawAxes: [(chart) => this.shade(chart)],
        setSeries: [(chart, place) => this.tell(chart, place)],
      },
    };
  }

  /** A time of the curves; with its day where they go over more than one. */
  instant(time) {
    const [times] = this.data;
    if (time === undefined) return "–";
    return (times.at(-1) - times[0] > DAY_S ? both : seconds).format(time * 1000);
  }

  told(value) {
    return value === null || value === undefined ? "–" : this.show(value);
  }

  tell(chart, place) {
    const value = place ? chart.data[place][chart.cursor.idx] : null;
    this.near?.(place ? this.series[place - 1].label : null, this.told(value));
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
