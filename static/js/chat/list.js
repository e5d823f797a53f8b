/* The conversations beside the page: the newest first, searched by all their words, opened by a link each. */

import { moment, words } from "../show.js";

const phrases = words.chat;
const MOST_SHOWN = 300;

export class List {
  constructor(page, store, settings) {
    Object.assign(this, { page, store, settings });
    this.box = page.querySelector('[data-list="talks"]');
    this.none = page.querySelector("[data-no-talks]");
    this.field = page.querySelector("[data-find]");
    this.field.addEventListener("input", () => this.draw());
    page.querySelector('[data-act="open-talks"]').addEventListener("click", () => this.show(true));
    page.querySelector('[data-act="close-talks"]').addEventListener("click", () => this.show(false));
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.isShown && this.show(false));
    document.addEventListener("pointerdown", (event) => {
      if (this.isShown && !event.target.closest("#talks, [data-act=open-talks]")) this.show(false);
    });
  }

  get isShown() {
    return this.page.querySelector("#talks").classList.contains("show");
  }

  /** On a phone the conversations lie over the page, behind a button. */
  show(isShown) {
    const button = this.page.querySelector('[data-act="open-talks"]');
    this.page.querySelector("#talks").classList.toggle("show", isShown);
    button.setAttribute("aria-expanded", String(isShown));
    if (isShown) this.field.focus();
    else if (this.page.querySelector("#talks").contains(document.activeElement)) button.focus();
  }

  async draw(current = this.current) {
    this.current = current;
    const round = (this.round = {});
    const wanted = this.field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let heads = await this.store.heads();
    const any = heads.length > 0;
    if (wanted.length) {
      const found = await this.store.search(wanted);
      heads = heads.filter((head) => found.has(head.id));
    }
    if (this.round !== round) return;
    this.none.hidden = heads.length > 0;
    this.none.textContent = any ? phrases.none_found : phrases.none_yet;
    this.box.replaceChildren(...heads.slice(0, MOST_SHOWN).map((head) => this.row(head)));
  }

  row({ id, title, changed }) {
    const row = document.getElementById("t-talk").content.firstElementChild.cloneNode(true);
    const link = row.querySelector("a");
    row.dataset.key = id;
    link.href = `${this.settings.page}${id}/`;
    link.title = title;
    if (id === this.current) link.setAttribute("aria-current", "page");
    row.querySelector("[data-name]").textContent = title || phrases.untitled;
    const time = row.querySelector("time");
    time.dateTime = new Date(changed).toISOString();
    time.textContent = moment(time.dateTime);
    return row;
  }
}
