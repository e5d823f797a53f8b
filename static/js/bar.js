/* A job's progress bar: its parts side by side, and what a screen reader is told of it. */

export function drawBar(root, job) {
  const bar = root.querySelector(".bar");
  const total = Math.max(job.total, 1);
  let x = 0;
  for (const kind of ["succeeded", "failed", "running"]) {
    const width = (100 * (job[kind] ?? 0)) / total;
    const part = bar.querySelector(`.${kind}`);
    part.setAttribute("x", `${x.toFixed(3)}%`);
    part.setAttribute("width", `${width.toFixed(3)}%`);
    x += width;
  }
  bar.setAttribute("aria-valuenow", String(Math.floor((100 * job.done) / total)));
}
