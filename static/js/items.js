/* The items of a job on its page: filtered, paged and opened without leaving it; the address says what is seen.

   What it puts into the page are parts of our own pages, in which the server has escaped every name and output.
*/

import { prepare } from "./item.js";
import { heed } from "./session.js";

const REFRESH_MS = 4000;

const page = document.getElementById("job");
const drawer = document.getElementById("drawer");
const home = location.pathname;
let asked = 0;
let refreshedAt = 0;
let seen;

const section = () => document.getElementById("items");

async function part(address, name) {
  const answer = heed(await fetch(address, { headers: { "X-Part": name } }));
  if (!answer.ok || answer.redirected) throw new Error(`${answer.status}`);
  const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
  return document.importNode(parsed.body.firstElementChild, true);
}

/** Show the items that a query asks for. */
async function show(query, { isRefresh = false } = {}) {
  const mine = ++asked;
  try {
    const fresh = await part(`${section().dataset.part}?${query}`, "items");
    if (mine !== asked) return;
    if (isRefresh && isInUse()) return;
    section().replaceWith(fresh);
  } catch {
    if (!isRefresh && mine === asked) location.assign(`${home}?${query}#items`); // the server's own page says what is wrong
    return;
  }
  if (isRefresh) return;
  history.replaceState(history.state, "", `${home}${query ? `?${query}` : ""}#items`);
  section().scrollIntoView({ block: "nearest" });
}

const isInUse = () => drawer.open || section().contains(document.activeElement);

page.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-query], a[data-item]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  if (link.dataset.item === undefined) show(link.dataset.query);
  else openItem(link.href, link.rel);
});

page.addEventListener("submit", (event) => {
  if (!event.target.matches("#items .filter")) return;
  event.preventDefault();
  show(filterOf(event.target));
});

page.addEventListener("change", (event) => {
  const filter = event.target.closest("#items .filter");
  if (filter && event.target.matches("select")) show(filterOf(filter));
});

function filterOf(filter) {
  const told = new URLSearchParams(new FormData(filter));
  for (const [name, value] of [...told]) if (value === "") told.delete(name);
  return told.toString();
}

/** Open an item beside the list; its address is that of its own page. */
async function openItem(address, rel = "") {
  const box = drawer.querySelector("[data-drawer]");
  const isMove = drawer.open;
  let article;
  try {
    article = await part(address, "item");
  } catch {
    return location.assign(address); // the server's own page says what is wrong
  }
  prepare(article);
  box.replaceChildren(article);
  drawer.querySelector("[data-whole]").href = address;
  if (!isMove) drawer.showModal();
  drawer.scrollTop = 0;
  (article.querySelector(`a[rel="${rel}"]`) ?? article.querySelector("h2")).focus({ preventScroll: true });
  if (location.href !== address) history[isMove ? "replaceState" : "pushState"]({ item: address }, "", address);
  return undefined;
}

/* The arrows lead from item to item, except where they move within something. */
const WAYS = { ArrowLeft: "prev", ArrowRight: "next" };
drawer.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || event.target.closest("pre, .scroll")) return;
  const link = WAYS[event.key] && drawer.querySelector(`a[rel="${WAYS[event.key]}"]`);
  if (link) openItem(link.href);
});

drawer.addEventListener("close", () => history.state?.item && history.back());
addEventListener("popstate", () => {
  if (history.state?.item) openItem(history.state.item);
  else if (drawer.open) drawer.close();
});

page.addEventListener("job", (event) => {
  const job = event.detail;
  const state = `${job.status} ${job.done} ${job.running} ${job.pending}`;
  const now = Date.now();
  if (state === seen || document.hidden || isInUse()) return;
  if (now - refreshedAt < REFRESH_MS && job.pending + job.running > 0) return;
  [refreshedAt, seen] = [now, state];
  show(section().dataset.query, { isRefresh: true });
});

document.querySelector("[data-print]").addEventListener("click", () => print());
