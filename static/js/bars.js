/* Days as bars, their parts on top of each other: `Curves` with bars for lines. Days are UTC, as the server sums. */

import uPlot from "../vendor/uplot.js";
import { colour, Curves } from "./curves.js";

const HALF_DAY_S = 43200;
const STEPS_S = [1, 2, 7, 14, 30, 60, 120].map((days) => days * 2 * HALF_DAY_S);
const day = new Intl.DateTimeFormat(document.documentElement.lang || "en", { timeZone: "UTC", month: "short", day: "numeric" });
const wholeDay = new Intl.DateTimeFormat(document.documentElement.lang || "en", { timeZone: "UTC", dateStyle: "medium" });

export class Bars extends Curves {
  /** `values` are those of the parts themselves, from the top of a bar down; null where nothing is known. */
  set(times, values) {
    this.parts = values;
    super.set(times, piled(values));
  }

  /** What the legend calls the days. */
  nameDays(label) {
    this.dayLabel = label;
    this.draw();
  }

  options() {
    const options = super.options();
    options.tzDate = (time) => uPlot.tzDate(new Date(time * 1000), "Etc/UTC");
    options.scales.x.range = (_, low, high) => [low - HALF_DAY_S, high + HALF_DAY_S];
    options.axes[0].incrs = STEPS_S;
    options.axes[0].values = (_, ticks) => ticks.map((tick) => day.format(tick * 1000));
    const [time, ...series] = options.series;
    time.label = this.dayLabel ?? time.label;
    time.value = (_, at) => (at === null ? "–" : wholeDay.format(at * 1000));
    series.forEach((one, place) => this.asBar(one, place));
    return options;
  }

  asBar(one, place) {
    Object.assign(one, { fill: colour(place), width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.75, 64] }) });
    one.value = (_chart, _value, _series, at) => this.told(this.parts?.[place]?.[at]);
  }

  told(value) {
    return value === null || value === undefined ? "–" : this.show(value);
  }
}

/** Each part with all below it, so that the tallest is drawn first and the others over it. */
function piled(values) {
  const piles = [];
  for (let place = values.length - 1; place >= 0; place--) {
    const below = piles[0];
    piles.unshift(values[place].map((value, at) => (value ?? 0) + (below?.[at] ?? 0)));
  }
  return piles;
}
