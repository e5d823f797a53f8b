/* Asks the API for something when it is told that it moved, and no more often than that is worth. */

export class Teller {
  constructor(path, everyMs, draw) {
    Object.assign(this, { path, everyMs, draw, isAsking: false, askedAt: 0, waiting: undefined });
  }

  /** Something moved: ask now, or when the pause since the last time is over. */
  hurry() {
    if (this.isAsking || this.waiting !== undefined) return;
    const wait = Math.max(0, this.askedAt + this.everyMs - Date.now());
    this.waiting = setTimeout(() => this.ask(), wait);
  }

  /** Ask whatever the pause. */
  async now() {
    clearTimeout(this.waiting);
    await this.ask();
  }

  async ask() {
    this.waiting = undefined;
    this.askedAt = Date.now();
    this.isAsking = true;
    try {
      const answer = document.hidden ? undefined : await fetch(this.path, { headers: { Accept: "application/json" } });
      if (answer?.ok) this.draw(await answer.json());
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // no answer: the mark above says so, and news asks again
    } finally {
      this.isAsking = false;
    }
  }
}
