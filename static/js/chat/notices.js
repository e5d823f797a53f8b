/* What the page says beside the conversation: what is wrong, what may be undone, and what screen readers hear. */

const UNDO_MS = 20000;

export class Notices {
  constructor(page) {
    this.page = page;
    page.querySelector('[data-act="undo"]').addEventListener("click", () => {
      this.part("undo").hidden = true;
      this.back?.();
    });
  }

  part(name) {
    return this.page.querySelector(`[data-${name}]`);
  }

  /** A `problem`, or only a `hint`; nothing takes both away. */
  tell(text, kind = "problem") {
    for (const name of ["problem", "hint"]) {
      this.part(name).hidden = !text || name !== kind;
      this.part(name).textContent = name === kind ? text : "";
    }
  }

  aloud(text) {
    this.part("say").textContent = text;
  }

  /** For a while `back` undoes what this text says. */
  offer(text, back) {
    this.back = back;
    this.part("undo-text").textContent = text;
    this.part("undo").hidden = false;
    clearTimeout(this.going);
    this.going = setTimeout(() => (this.part("undo").hidden = true), UNDO_MS);
  }
}
