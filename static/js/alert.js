/* One alert, live: the bell's news say when its page is read again, and what of it has changed is put in place.

   What it puts into the page are parts of our own page, in which the server has escaped every name.
*/

import { readingAgain } from "./again.js";
import { watchAlerts } from "./bell.js";
import { localTimes } from "./fill.js";
import { say } from "./live.js";
import { duration } from "./show.js";

const AGAIN_MS = 15000;
const page = document.getElementById("alert");
const shown = new Map();
let version;

const read = readingAgain(location.pathname, { "X-Part": "alert" }, async (answer) => {
  if (answer.status === 404) say("gone", "alert");
  if (answer.ok) draw(new DOMParser().parseFromString(await answer.text(), "text/html"));
});

function draw(fresh) {
  for (const part of fresh.querySelectorAll("[data-part]")) put(part);
  const curve = document.getElementById("curve");
  if (!curve) return;
  Object.assign(curve.dataset, { ...fresh.getElementById("curve").dataset });
  curve.dispatchEvent(new Event("alert"));
}

/** A part with a version is replaced when that changes, since somebody may be typing in it; others when they differ. */
function put(part) {
  const { part: name, version: told } = part.dataset;
  const old = page.querySelector(`[data-part="${name}"]`);
  const is = told ?? part.outerHTML;
  if (is === (old.dataset.version ?? shown.get(name))) return;
  shown.set(name, is);
  if (name === "head" && old.dataset.is !== part.dataset.is) document.querySelector("[data-say]").textContent = part.textContent.trim().replace(/\s+/g, " ");
  const focused = [...old.querySelectorAll("a, button")].indexOf(document.activeElement);
  const placed = document.importNode(part, true);
  localTimes(placed);
  old.replaceWith(placed);
  if (focused >= 0) placed.querySelectorAll("a, button")[focused]?.focus();
}

/** How long it has fired; the page's own clock. */
function age() {
  const place = page.querySelector("[data-since]");
  if (place) place.textContent = duration(Math.max(0, (Date.now() - Date.parse(place.dataset.since)) / 1000));
}

localTimes(document);
watchAlerts((summary, how) => {
  say(how, "alert");
  if (!summary || summary.version === version) return;
  version = summary.version;
  read();
});
setInterval(() => document.hidden || read(), AGAIN_MS);
setInterval(() => document.hidden || age(), 1000);
