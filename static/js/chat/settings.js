/* The model, the second one that it is compared with, the system prompt and the parameters: as fields, and as kept. */

import { said, words } from "../show.js";

const phrases = words.chat;
const RENEW_MS = 30000;
const LAST = "chat-settings";

export class Settings {
  /** `onchange` is called when the reader changed something. */
  constructor(page, form, told, onchange) {
    Object.assign(this, { page, form, told, onchange });
    this.fields = [...page.querySelectorAll('[form="ask"], [name="second"]')].filter((one) => one.name);
    this.models = told.models;
    this.compares = false;
    for (const field of this.fields) field.addEventListener("change", () => this.changed());
    page.querySelector("[name=second]").disabled = true;
  }

  /** What stands in the fields. */
  read() {
    return { ...Object.fromEntries(this.fields.map((one) => [one.name, one.value])), compares: this.compares };
  }

  /** Put what was kept into the fields; a new conversation begins with the model that was chosen last. */
  show(kept, isKept) {
    const values = isKept ? kept : { model: last() ?? "" };
    this.wanted = values;
    this.compares = Boolean(values.compares);
    for (const field of this.fields) this.put(field, values[field.name] ?? "");
    this.draw();
  }

  compare() {
    this.compares = !this.compares;
    const second = this.page.querySelector("[name=second]");
    const first = this.form.elements.model.value;
    if (this.compares && !second.value) second.value = this.models.find((one) => one.name !== first)?.name ?? "";
    this.changed();
  }

  changed() {
    try {
      localStorage.setItem(LAST, this.form.elements.model.value);
    } catch {
      // a browser that keeps nothing begins with auto
    }
    this.draw();
    this.onchange();
  }

  draw() {
    const button = this.page.querySelector('[data-act="compare"]');
    button.setAttribute("aria-pressed", String(this.compares));
    button.classList.toggle("btn-primary", this.compares);
    this.page.toggleAttribute("data-compares", this.compares);
    this.page.querySelector("[data-second]").hidden = !this.compares;
    this.page.querySelector("[name=second]").disabled = !this.compares;
    this.page.querySelector("[data-empty]")?.toggleAttribute("hidden", this.models.length > 0);
    const isCold = this.models.length > 0 && !this.models.some((one) => one.resident) && !this.form.elements.model.value;
    const hint = this.page.querySelector("[data-hint]");
    if (isCold) [hint.hidden, hint.textContent] = [false, phrases.none_loaded];
    else if (hint.textContent === phrases.none_loaded) hint.hidden = true;
  }

  /** A field that is wrong is shown, though it be folded away. */
  areSound() {
    const wrong = this.fields.find((one) => !one.disabled && !one.checkValidity());
    if (!wrong) return true;
    wrong.closest("details")?.setAttribute("open", "");
    wrong.reportValidity();
    return false;
  }

  /** Whether the models that are chosen take pictures, and which of them decides that. */
  pictures() {
    const names = [this.form.elements.model.value, ...(this.compares ? [this.page.querySelector("[name=second]").value] : [])];
    const all = names.map((name) => (name ? this.can(name) : this.any()));
    for (const is of ["no", "unknown"]) if (all.includes(is)) return [is, names[all.indexOf(is)] || "auto"];
    return ["yes", ""];
  }

  can(name) {
    return this.models.find((one) => one.name === name)?.pictures ?? "unknown";
  }

  /** Auto goes to what is loaded: one that takes pictures is enough to try. */
  any() {
    if (!this.models.length) return "yes";
    const loaded = this.models.filter((one) => one.resident).map((one) => one.pictures);
    return ["yes", "unknown"].find((is) => loaded.includes(is)) ?? "no";
  }

  /** Ask which models there are now. */
  async renew(line) {
    clearTimeout(this.renewing);
    this.renewing = setTimeout(() => this.renew(line), RENEW_MS);
    if (document.hidden) return;
    const { status, body } = await line.fetch(this.told.models_url, {});
    if (status !== 200 || JSON.stringify(body.models) === JSON.stringify(this.models)) return;
    this.models = body.models;
    for (const field of this.fields) if (field.matches("select[name=model], [name=second]")) this.offer(field);
    this.draw();
  }

  offer(field) {
    const value = field.value;
    const [auto] = field.options;
    const options = this.models.map((one) => new Option(one.resident ? `${one.name} · ${phrases.loaded}` : one.name, one.name));
    field.replaceChildren(auto, ...options);
    this.put(field, value);
  }

  /** A model that is not there now stays chosen, and says so. */
  put(field, value) {
    field.value = value;
    if (field.value === value || !field.matches("select[name=model], [name=second]")) return;
    field.add(new Option(said(phrases.no_such_model, { model: value }), value));
    field.value = value;
  }
}

function last() {
  try {
    return localStorage.getItem(LAST);
  } catch {
    return null;
  }
}
