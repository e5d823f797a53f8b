/* A node's engines and models, what the scheduler thinks of them, and the buttons that load and unload a model. */

import { fill, list } from "./fill.js";
import { inWords } from "./sentences.js";
import { heed, whyNot } from "./session.js";
import { duration, number, said, size, words } from "./show.js";

const LOADING_MS = 120000;
const loading = new Map();

const page = document.getElementById("node");
const why = (obstacle) => (obstacle ? (words.node.obstacles[obstacle.code] ?? obstacle.code) : "");

export function drawEngines(root, engines) {
  fill(root, { "has-engines": engines.length > 0 });
  list(root, "engines", "t-engine", engines, (engine) => engine.id, drawEngine);
}

function drawEngine(card, engine) {
  fill(card, {
    "e-kind": engine.kind || "–",
    "e-url": engine.base_url,
    "e-server": engine.server,
    "e-in": !engine.obstacle,
    "e-out": Boolean(engine.obstacle),
    "e-why": why(engine.obstacle),
    "e-detail": inWords(engine.obstacle?.detail),
    "e-busy": number(engine.slots.busy),
    "e-slots": number(engine.slots.total),
    "e-waiting": engine.waiting ? number(engine.waiting) : "",
    "e-closed": !engine.breaker_open_since,
    "e-open": Boolean(engine.breaker_open_since),
    "e-open-since": engine.breaker_open_since,
    "e-models": engine.models.length > 0,
  });
  card.querySelector(".dot").dataset.is = engine.online ? "online" : "offline";
  list(card, "e-models", "t-model", engine.models, (model) => model.name, (row, model) => drawModel(row, model, engine));
}

function drawModel(row, model, engine) {
  if (model.resident) loading.delete(model.name);
  const isLoading = (loading.get(model.name) ?? 0) > Date.now();
  fill(row, {
    "m-name": model.name,
    "m-embeds": !model.generates,
    "m-resident": model.resident,
    "m-size": size(model.size_bytes),
    "m-speed": number(model.tokens_per_second, 1),
    "m-seconds": duration(model.seconds_per_request),
    "m-may-load": !model.resident,
    "m-may-unload": model.resident && engine.kind === "ollama",
  });
  fill(row, verdict(model.decision));
  for (const field of row.querySelectorAll("[name=model]")) field.value = model.name;
  for (const button of row.querySelectorAll("[data-model-act=start] button")) button.disabled = isLoading;
}

function verdict(decision) {
  const place = decision?.place;
  return {
    "m-known": Boolean(decision),
    "m-here": place === 1,
    "m-there": place > 1,
    "m-barred": Boolean(decision) && !place,
    "m-elsewhere": Boolean(decision?.first),
    "m-nowhere": !decision?.first,
    "m-finish": duration(decision?.finish_s),
    "m-first": decision?.first,
    "m-first-finish": duration(decision?.first_finish_s),
    "m-place": place,
    "m-of": decision?.of,
    "m-why": why(decision?.obstacle),
  };
}

page.addEventListener("submit", (event) => {
  const act = event.target.dataset.modelAct;
  if (!act) return;
  event.preventDefault();
  press(event.target, act);
});

async function press(form, act) {
  const { model, csrfmiddlewaretoken } = form.elements;
  const button = form.querySelector("button");
  button.disabled = true;
  tell(words.node.asking);
  const name = model.value;
  const { ok, body, why: refusal } = await ask(`/api/models/${act}/${encodeURIComponent(name)}`, csrfmiddlewaretoken.value);
  button.disabled = false;
  if (!ok) return tell(refusal, "error");
  if (body.state === "loading") {
    loading.set(name, Date.now() + LOADING_MS);
    button.disabled = true;
  }
  tell(said(words.node[`model_${body.state}`], { model: body.model }), "success");
}

async function ask(path, token) {
  const headers = { Accept: "application/json", "Content-Type": "application/json", "X-CSRFToken": token };
  try {
    const answer = heed(await fetch(path, { method: "POST", headers, body: JSON.stringify({ node: Number(page.dataset.id) }) }));
    const body = await answer.json();
    return { ok: answer.ok, body, why: whyNot(answer, body) ?? words.away };
  } catch {
    return { ok: false, why: words.away }; // no answer, or none that can be read: the page says so
  }
}

function tell(text, kind = "") {
  fill(page, { "model-said": text });
  page.querySelector('[data-f="model-said"]').className = `message ${kind}`;
}
