/* A node's history as its page draws it: a window of time that is asked for once, and then only its newest end. */

const OVERLAP = 3;

export class History {
  constructor(id, metrics) {
    this.path = `/api/v1/nodes/${id}/metrics/?metric=${metrics.join(",")}`;
    this.forget();
  }

  forget() {
    Object.assign(this, { range: "", times: [], stepMs: 0, spanMs: 0, known: new Map() });
  }

  /** The whole window: `1h` is the last hour. */
  async load(range) {
    const found = await this.ask(`&from=-${range}`);
    this.forget();
    this.range = range;
    this.take(found);
    this.spanMs = this.times.length * this.stepMs;
  }

  /** What came since; the last steps are read again, since they were not over. */
  async extend() {
    const { range } = this;
    const from = this.times[Math.max(0, this.times.length - OVERLAP)];
    const found = await this.ask(`&from=${from}&step=${this.stepMs / 1000}`);
    if (range === this.range) this.take(found);
  }

  async ask(query) {
    const answer = await fetch(this.path + query, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(`the history answers with ${answer.status}`);
    return (await answer.json()).metrics;
  }

  /** Put newer points behind the older ones, and drop what is out of the window. */
  take(windows) {
    const [stepMs, start, end] = [windows[0].step_s * 1000, Date.parse(windows[0].from), Date.parse(windows[0].to)];
    const newer = [];
    for (let time = start; time < end; time += stepMs) newer.push(time);
    const kept = this.times.map((time, place) => [time, place]).filter(([time]) => time < start && time >= end - this.spanMs);
    const found = this.fresh(windows, newer);
    for (const key of this.known.keys()) if (!found.has(key)) found.set(key, newer.map(() => null));
    this.known = new Map(
      [...found].map(([key, values]) => [key, [...kept.map(([, place]) => this.known.get(key)?.[place] ?? null), ...values]]),
    );
    this.times = [...kept.map(([time]) => time), ...newer];
    this.stepMs = stepMs;
  }

  fresh(windows, times) {
    const found = new Map();
    for (const { metric, series } of windows) {
      for (const { subject, t, mean } of series) {
        const byTime = new Map(t.map((time, place) => [time, mean[place]]));
        found.set(`${metric}/${subject}`, times.map((time) => byTime.get(time) ?? null));
      }
    }
    return found;
  }

  /** The figures of a metric: `{subject, values}`, GPU 10 after GPU 9. */
  of(metric) {
    return [...this.known]
      .filter(([key]) => key.slice(0, key.indexOf("/")) === metric)
      .map(([key, values]) => ({ subject: key.slice(key.indexOf("/") + 1), values }))
      .sort((one, other) => one.subject.localeCompare(other.subject, "en", { numeric: true }));
  }
}
