/* What stands above and below a conversation and depends on it: its name, what may be done with it, Send or Stop. */

import { words } from "../show.js";

export class Head {
  constructor(page) {
    this.page = page;
  }

  draw(talk, runs) {
    const title = talk.title || words.chat.untitled;
    const isNew = !talk.turns.length;
    this.page.querySelector("[data-title]").textContent = title;
    document.title = `${title} · DPL`;
    const start = this.page.querySelector("[data-start]");
    if (start) start.hidden = !isNew;
    for (const button of this.page.querySelectorAll("[data-needs-talk]")) button.disabled = isNew;
    this.busy(runs);
  }

  busy(runs) {
    this.page.querySelector('[data-act="stop"]').hidden = !runs;
    this.page.querySelector("[data-send]").hidden = runs;
  }
}
