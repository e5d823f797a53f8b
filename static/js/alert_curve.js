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
const [began, fired, ended] = ["from", "fired", "to"].map((name) => Number(section.dataset[name]) || null);

async function show() {
  const to = Math.min((ended ?? Date.now()) + AROUND_MS, Date.now());
  const from = began - AROUND_MS;
  const query = new URLSearchParams({
    metric,
    from: new Date(from).toISOString(),
    to: new Date(to).toISOString(),
    step: String(Math.max(2, Math.round((to - from) / POINTS / 1000))),
  });
  if (subject) query.append("subject", subject);
  const answer = await fetch(`/api/v1/nodes/${node}/metrics/?${query}`, { headers: { Accept: "application/json" } });
  if (!answer.ok) return;
  section.hidden = false;
  const found = (await answer.json()).series.find((one) => one.subject === subject);
  if (found) draw(found);
  else fill(section, { gone: true });
}

function draw({ t, mean }) {
  const curves = new Curves(section.querySelector("[data-chart]"), {
    series: [{ label: metricName(metric) }, { label: words.threshold }],
    show: (value) => reading(metric, value),
    label: metricName(metric),
  });
  curves.set(t, [mean, t.map(() => threshold)]);
  curves.mark([{ from: fired ?? began, to: ended }]);
}

show();
