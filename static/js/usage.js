/* The page of usage: draws what the server has summed up; the tables beside are the truth. */

import { Bars } from "./bars.js";
import { number, words } from "./show.js";

const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

for (const box of document.querySelectorAll("[data-chart]")) {
  const { times, series } = JSON.parse(document.getElementById(`chart-${box.dataset.chart}`).textContent);
  const show = box.dataset.chart === "energy" ? (value) => number(value, 2) : (value) => SHORT.format(value);
  const bars = new Bars(box, { series: series.map((one) => ({ label: one.label })), show, label: box.dataset.label, height: 240 });
  bars.nameDays(words.day);
  bars.set(times, series.map((one) => one.values));
}
