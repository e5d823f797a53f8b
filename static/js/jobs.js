/* A list of jobs, asked for anew every few seconds while one of them is under way, and rarely else. */

import { drawBar } from "./bar.js";
import { fill, list, localTimes } from "./fill.js";
import { OVER_BY_STATUS, say } from "./live.js";
import { number, state } from "./show.js";

const BUSY_MS = 2000;
const CALM_MS = 10000;
const ENDED = new Set(["completed", "stopped", "failed"]);

async function keep(box) {
  const [what, wait] = document.hidden ? [undefined, BUSY_MS] : await ask(box);
  if (what) say(what, "jobs");
  if (what !== "out" && what !== "gone") setTimeout(() => keep(box), wait);
}

/** What the mark says of the answer, and when to ask again. */
async function ask(box) {
  try {
    const answer = await fetch(box.dataset.jobs, { headers: { Accept: "application/json" } });
    if (!answer.ok) return [OVER_BY_STATUS[answer.status] ?? "away", CALM_MS];
    const jobs = (await answer.json()).results;
    draw(box, jobs);
    return ["live", jobs.some((job) => !ENDED.has(job.status)) ? BUSY_MS : CALM_MS];
  } catch {
    return ["away", BUSY_MS]; // no answer is an answer here: the page says so and asks again
  }
}

function draw(box, jobs) {
  fill(box, { jobs: jobs.length > 0 });
  list(box, "jobs", "t-job", jobs, (job) => job.job_id, drawJob);
}

function drawJob(row, job) {
  fill(row, {
    name: job.name,
    state: state(job.status),
    done: number(job.done),
    total: number(job.total),
    failed: number(job.failed),
    owner: job.owner,
    "dry-run": job.dry_run,
    created: job.created_at,
  });
  row.querySelector('[data-f="state"]').dataset.is = job.status;
  row.querySelector('[data-f="failed"]').dataset.some = job.failed > 0 ? "yes" : "no";
  row.querySelector("a").href = `/jobs/${encodeURIComponent(job.job_id)}/`;
  drawBar(row, job);
}

for (const box of document.querySelectorAll("[data-jobs]")) {
  localTimes(box);
  keep(box);
}
