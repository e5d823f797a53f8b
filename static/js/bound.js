/* Holds the hooks of one partial, found once, and touches only those whose value is another than before.

   For what is drawn each second and many times over. As in fill.js all is text and never markup:
   data-f, data-if, data-unless as there; and the value `name` is, by
   data-tip="name"   the title          data-href="name"  where a link leads
   data-mark="name"  data-is            data-w="name"     how much of a gauge is full, in percent
   data-d="name"     the line of a path
*/

import { moment } from "./show.js";

const HOOKS = {
  f: text,
  if: (element, value) => (element.hidden = !value),
  unless: (element, value) => (element.hidden = Boolean(value)),
  tip: (element, value) => (element.title = value ?? ""),
  href: (element, value) => (element.href = value),
  mark: (element, value) => (element.dataset.is = value ?? ""),
  w: (element, value) => element.setAttribute("width", `${value}%`),
  d: (element, value) => element.setAttribute("d", value),
};
const ANY = Object.keys(HOOKS).map((hook) => `[data-${hook}]`).join(",");

function text(element, value) {
  if (element instanceof HTMLTimeElement) {
    element.dateTime = element.title = value ?? "";
    value = moment(value);
  }
  element.textContent = value ?? "";
}

export class Bound {
  constructor(root) {
    this.root = root;
    this.hooks = new Map();
    this.last = new Map();
    this.find(root);
    for (const element of root.querySelectorAll(ANY)) {
      // What is within a list belongs to the rows of that.
      if (element.closest("[data-rows] > *") === null || root.closest("[data-rows] > *")) this.find(element);
    }
  }

  find(element) {
    for (const hook of Object.keys(HOOKS)) {
      const name = element.dataset[hook];
      if (name === undefined) continue;
      if (!this.hooks.has(name)) this.hooks.set(name, []);
      this.hooks.get(name).push([HOOKS[hook], element]);
    }
  }

  put(values) {
    for (const name in values) {
      const value = values[name];
      if (this.last.has(name) && this.last.get(name) === value) continue;
      this.last.set(name, value);
      for (const [put, element] of this.hooks.get(name) ?? []) put(element, value);
    }
  }
}

/** The children of a `data-rows` list, one per item, told apart by their keys. */
export class Rows {
  constructor(box) {
    this.box = box;
    this.template = document.getElementById(`t-${box.dataset.rows}`);
    this.keys = [...box.children].map((child) => child.dataset.key);
    this.bounds = [...box.children].map((child) => new Bound(child));
  }

  put(items, keyOf, valuesOf) {
    const keys = items.map((item) => String(keyOf(item)));
    if (keys.length !== this.keys.length || keys.some((key, place) => key !== this.keys[place])) this.become(keys);
    items.forEach((item, place) => this.bounds[place].put(valuesOf(item)));
  }

  become(keys) {
    const known = new Map(this.keys.map((key, place) => [key, this.bounds[place]]));
    this.keys = keys;
    this.bounds = keys.map((key) => {
      const kept = known.get(key);
      known.delete(key);
      return kept ?? this.made(key);
    });
    this.box.replaceChildren(...this.bounds.map((bound) => bound.root));
  }

  made(key) {
    const root = this.template.content.firstElementChild.cloneNode(true);
    root.dataset.key = key;
    return new Bound(root);
  }
}
