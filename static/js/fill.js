/* Puts values into the page by its hooks, as text and never as markup: names and outputs are hostile.

   data-f="name"       its text (of <time>: the instant, of <meter>: the value) is the value `name`
   data-if="name"      seen only while the value `name` is there; data-unless="name": only while it is not
   data-list="name"    its children are made from a <template>, one per item, told apart by data-key
*/

import { moment } from "./show.js";

export function fill(root, values) {
  for (const [name, value] of Object.entries(values)) {
    for (const element of root.querySelectorAll(`[data-f="${name}"]`)) put(element, value);
    for (const element of root.querySelectorAll(`[data-if="${name}"]`)) element.hidden = !value;
    for (const element of root.querySelectorAll(`[data-unless="${name}"]`)) element.hidden = Boolean(value);
  }
}

function put(element, value) {
  if (element instanceof HTMLMeterElement) {
    element.value = value ?? 0;
    return;
  }
  if (element instanceof HTMLTimeElement) {
    element.dateTime = value ?? "";
    element.title = value ?? "";
    value = moment(value);
  }
  const text = String(value ?? "");
  if (element.textContent !== text) element.textContent = text;
}

/** Make the children of `root`'s list `name` those of `items`: kept ones stay, with what is typed into them. */
export function list(root, name, template, items, keyOf, fillOne) {
  const box = root.querySelector(`[data-list="${name}"]`);
  const known = new Map([...box.children].map((child) => [child.dataset.key, child]));
  let place = box.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let child = known.get(key);
    known.delete(key);
    if (!child) {
      child = document.getElementById(template).content.firstElementChild.cloneNode(true);
      child.dataset.key = key;
    }
    fillOne(child, item);
    if (child === place) place = place.nextElementSibling;
    else box.insertBefore(child, place);
  }
  for (const child of known.values()) child.remove();
}

/** Show all instants that the server wrote in UTC in the reader's zone. */
export function localTimes(root) {
  for (const element of root.querySelectorAll("time[datetime]")) put(element, element.getAttribute("datetime"));
}
