/* Makes the line that adds a machine, within the fleet's page, and shows who joins by it while it is good. */

import { fill, list } from "./fill.js";
import { words } from "./show.js";

const ASK_MS = 2000;
const panel = document.getElementById("invite");
const form = panel?.querySelector("[data-invite]");
let asking;

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  make();
});

async function make() {
  const button = form.querySelector("button");
  button.disabled = true;
  const told = { name: form.elements.name.value, uses: Number(form.elements.uses.value) };
  const { ok, body } = await ask("/api/v1/join-tokens/", {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRFToken": form.elements.csrfmiddlewaretoken.value },
    body: JSON.stringify(told),
  });
  button.disabled = false;
  fill(panel, { problem: ok ? "" : (body?.error?.message ?? words.away) });
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
    const answer = await fetch(path, { ...request, headers: { Accept: "application/json", ...request.headers } });
    return { ok: answer.ok, body: await answer.json() };
  } catch {
    return { ok: false };
  }
}

function draw({ joined }) {
  fill(panel, { joined: joined.length > 0 });
  list(panel, "joined", "t-joined", joined, (one) => one.node.id, drawJoined);
}

function drawJoined(row, one) {
  list(row, "joined-engines", "t-joined-engine", one.engines, (engine) => engine.base_url, drawEngine);
  fill(row, {
    "joined-name": one.node.name,
    "joined-address": one.address,
    "joined-again": one.again,
    "joined-push": one.mode === "push",
    "joined-engines": one.engines.length > 0,
  });
}

function drawEngine(row, engine) {
  fill(row, { "joined-url": engine.base_url, "joined-used": engine.used, "joined-reason": engine.reason });
  row.querySelector(".dot").dataset.is = engine.used ? "online" : "offline";
}
