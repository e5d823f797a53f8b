/* The answers that are on their way, in whatever conversation, and what stops each. */

export class Running {
  constructor() {
    this.all = new Map();
  }

  add(talk, answer, stop) {
    this.all.set(answer, { talk, stop });
  }

  delete(answer) {
    this.all.delete(answer);
  }

  has(answer) {
    return this.all.has(answer);
  }

  isIn(talk) {
    return [...this.all.values()].some((one) => one.talk === talk);
  }

  /** The conversation with this id in which answers grow: what is kept of it lags behind. */
  live(id) {
    return [...this.all.values()].find((one) => one.talk.id === id)?.talk;
  }

  stop(talk) {
    for (const one of this.all.values()) if (one.talk === talk) one.stop();
  }
}
