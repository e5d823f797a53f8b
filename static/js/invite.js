/* Makes the line that adds a machine, on the fleet's page and on its own, and shows who joins by it while it is good. */

import "./copy.js";
import { fill, list } from "./fill.js";
import { inWords } from "./sentences.js";
import { heed, whyNot } from "./session.js";
import { words } from "./show.js";

const ASK_MS = 2000;
const panel = document.getElementById("invite");
const form = panel?.querySelector("[data-invite]");
const tabs = [...(panel?.querySelectorAll("[role=tab]") ?? [])];
const opener = document.getElementById("add-node");
let asking;

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  make();
});

// On the fleet's page the panel is shut, and the button above opens it there instead of leading to its own page.
opener?.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (panel.open) panel.open = false;
  else open();
});
addEventListener("hashchange", openIfMeant);
openIfMeant();

function openIfMeant() {
  if (location.hash === "#invite" && opener) open();
}

function open() {
  panel.open = true;
  panel.scrollIntoView({ block: "nearest" });
  form.elements.name.focus();
}

for (const tab of tabs) {
  tab.parentElement.hidden = false;
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
    choose(next);
    next.focus();
  });
}
if (tabs.length) choose(tabs[0]);

function choose(chosen) {
  for (const tab of tabs) {
    tab.ariaSelected = String(tab === chosen);
    tab.tabIndex = tab === chosen ? 0 : -1;
  }
  for (const pane of panel.querySelectorAll("[data-pane]")) pane.hidden = pane.id !== chosen.getAttribute("aria-controls");
}

async function make() {
  const button = form.querySelector("button");
  button.disabled = true;
  const told = { name: form.elements.name.value, uses: Number(form.elements.uses.value) };
  const { ok, body, why } = await ask("/api/v1/join-tokens/", {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRFToken": form.elements.csrfmiddlewaretoken.value },
    body: JSON.stringify(told),
  });
  button.disabled = false;
  fill(panel, { problem: ok ? "" : why });
  if (!ok) return;
  fill(panel, { made: true, linux: body.lines.linux, windows: body.lines.windows, expires: body.expires_at });
  draw(body);
  clearTimeout(asking);
  asking = setTimeout(look, ASK_MS, body.id);
}

async function look(id) {
  const { ok, body } = document.hidden ? {} : await ask(`/api/v1/join-tokens/${id}`, {});
  if (ok) draw(body);
  if (!ok || body.state === "waiting") asking = setTimeout(look, ASK_MS, id);
}

/** Whether it worked, and the JSON that came; the page says so when nothing does, and asks again. */
async function ask(path, request) {
  try {
    const answer = heed(await fetch(path, { ...request, headers: { Accept: "application/json", ...request.headers } }));
    const body = await answer.json();
    return { ok: answer.ok, body, why: whyNot(answer, body) ?? words.away };
  } catch {
    return { ok: false, why: words.away };
  }
}

function draw({ joined }) {
  fill(panel, { joined: joined.length > 0 });
  list(panel, "joined", "t-joined", joined, (one) => one.node.id, drawJoined);
}

function drawJoined(row, one) {
  list(row, "joined-engines", "t-joined-engine", one.engines, (engine) => engine.base_url, drawEngine);
  row.querySelector("[data-joined-page]").href = panel.dataset.hostPage.replace(/0(?=\/$)/, one.node.id);
  fill(row, {
    "joined-name": one.node.name,
    "joined-address": one.address,
    "joined-again": one.again,
    "joined-push": one.mode === "push",
    "joined-engines": one.engines.length > 0,
  });
}

function drawEngine(row, engine) {
  fill(row, { "joined-url": engine.base_url, "joined-used": engine.used, "joined-reason": inWords(engine.reason) });
  row.querySelector(".dot").dataset.is = engine.used ? "online" : "offline";
}
