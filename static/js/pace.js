/* How fast the job is, as a curve: asked for once, then carried on by what the socket tells. */

import { Curves } from "./curves.js";
import { number, words } from "./show.js";

const POINTS = 300;
const HEIGHT = 140;
const ENDED = new Set(["completed", "stopped", "failed"]);

const page = document.getElementById("job");
const box = page.querySelector("[data-pace]");
let curves;
let known = { step_ms: 2000, t: [], per_second: [] };
let last;
let asking;

async function ask() {
  try {
    const answer = await fetch(box.dataset.pace, { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    known = await answer.json();
    last = undefined;
    draw();
  } catch {
    // the rest of the page says that the server is away; the curve is asked for again at the next occasion
  }
}

function draw() {
  const isEmpty = known.t.length < 2 || !known.per_second.some(Boolean);
  page.querySelector("[data-pace-section]").hidden = isEmpty;
  if (isEmpty) return;
  curves ??= new Curves(box, { series: [{ label: words.pace }], show: (value) => number(value, 2), height: HEIGHT, label: words.pace });
  curves.set(known.t, [known.per_second]);
}

/** One more point, as far from the last one as the others are. */
function add({ done }) {
  const now = Date.now();
  if (last && now - last.at < known.step_ms) return;
  if (last && done >= last.done) {
    known.t.push(now);
    known.per_second.push((1000 * (done - last.done)) / (now - last.at));
    draw();
  }
  last = { at: now, done };
}

page.addEventListener("job", async (event) => {
  const job = event.detail;
  const hasEnded = ENDED.has(job.status);
  const isStale = known.t.length < 2 || known.t.length > POINTS || hasEnded;
  if (!hasEnded) add(job);
  if (!isStale || asking === job.status + job.done) return;
  asking = job.status + job.done;
  await ask();
});

ask();
