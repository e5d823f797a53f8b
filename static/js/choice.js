/* How the reader wants to see the hosts: kept in the address for links, and in a cookie for the next visit. */

const COOKIE = "overview";
const A_YEAR_S = 31536000;
const REMEMBERED = ["sort", "group", "view"];

export class Choice {
  /** `form` is the bar above the hosts; `changed` is called with each change. */
  constructor(form, changed) {
    this.form = form;
    this.views = [...form.querySelectorAll(".views button")];
    this.view = this.views.find((button) => button.ariaPressed === "true")?.value ?? "cards";
    this.changed = changed;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => this.told());
    for (const button of this.views) button.addEventListener("click", () => this.see(button.value));
  }

  get text() {
    return this.form.elements.q.value;
  }

  get sort() {
    return this.form.elements.sort.value;
  }

  get group() {
    return this.form.elements.group.value;
  }

  see(view) {
    this.view = view;
    for (const button of this.views) button.ariaPressed = String(button.value === view);
    this.told();
  }

  clear() {
    this.form.elements.q.value = "";
    this.told();
  }

  /** Offer the labels that there are; one that is chosen stays. */
  offer(keys) {
    const box = this.form.elements.group.querySelector("optgroup");
    const known = [...box.children].map((option) => option.textContent);
    for (const key of keys) if (!known.includes(key)) box.append(new Option(key, `label:${key}`));
    box.hidden = box.children.length === 0;
  }

  told() {
    const all = { q: this.text, sort: this.sort, group: this.group, view: this.view };
    history.replaceState(null, "", `?${new URLSearchParams(all)}`);
    const kept = new URLSearchParams(REMEMBERED.map((name) => [name, all[name]]));
    document.cookie = `${COOKIE}=${kept}; path=/; max-age=${A_YEAR_S}; samesite=lax`;
    this.changed();
  }
}
