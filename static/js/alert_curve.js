/* One alert's figure around its life: the curve, the threshold, and when it fired as a shaded span. */

import { Curves } from "./curves.js";
import { fill } from "./fill.js";
import { metricName, reading } from "./reading.js";
import { words } from "./show.js";

const AROUND_MS = 15 * 60000;
const POINTS = 300;
const section = document.getElementById("curve");
const { node, metric, subject } = section.dataset;
const threshold = Number(section.dataset.threshold);
const instants = () => ["from", "fired", "to"].map((name) => Number(section.dataset[name]) || null);
let curves;
let shownUntil = 0;

async function show() {
  const [began, , ended] = instants();
  const to = Math.min((ended ?? Date.now()) + AROUND_MS, Date.now());
  const from = began - AROUND_MS;
  const query = new URLSearchParams({
    metric,
    from: new Date(from).toISOString(),
    to: new Date(to).toISOString(),
    step: String(Math.max(2, Math.round((to - from) / POINTS / 1000))),
  });
  if (subject) query.append("subject", subject);
  const found = await ask(query);
  if (!found) return;
  shownUntil = to;
  section.hidden = false;
  const series = found.series.find((one) => one.subject === subject);
  fill(section, { gone: !series });
  if (series) draw(series);
}

async function ask(query) {
  try {
    const answer = await fetch(`/api/v1/nodes/${node}/metrics/?${query}`, { headers: { Accept: "application/json" } });
    return answer.ok ? await answer.json() : undefined;
  } catch {
    return undefined; // no answer is an answer here: it is asked again
  }
}

function draw({ t, mean }) {
  const [began, fired, ended] = instants();
  curves ??= new Curves(section.querySelector("[data-chart]"), {
    series: [{ label: metricName(metric) }, { label: words.threshold }],
    show: (value) => reading(metric, value),
    label: metricName(metric),
  });
  curves.set(t, [mean, t.map(() => threshold)]);
  curves.mark([{ from: fired ?? began, to: ended }]);
}

/** What is over is drawn until a while after its end; what stands goes on. */
function goOn() {
  const [, , ended] = instants();
  if (shownUntil >= (ended ?? Infinity) + AROUND_MS) return;
  show();
}

section.addEventListener("alert", goOn);
show();
