/* The page of models, live: where each is, and what becomes of a warm-up, an unload, a fetch. */

import { fill, list, localTimes } from "./fill.js";
import { follow } from "./live.js";
import { watchFor } from "./loads.js";
import { number, size, words } from "./show.js";

const SOURCE = "/api/v1/models/?page_size=500";
const USED_EVERY_MS = 30000;

const page = document.getElementById("models");
const field = document.getElementById("find");
const onlyResident = document.getElementById("resident-only");
const fleet = new Map();
let models = [];
let wanted = "";
let known = "";
let reading = false;

/** The fleet's news say when to read the models anew: which there are, and which are in memory. */
function receive(message) {
  if (message.type !== "update") fleet.clear();
  for (const id of message.removed ?? []) fleet.delete(id);
  for (const node of message.nodes) fleet.set(node.id, node.engines.map((engine) => [engine.id, engine.online, engine.models]));
  wanted = JSON.stringify([...fleet].sort(([one], [other]) => one - other));
  if (wanted !== known) read();
}

async function read() {
  if (reading) return;
  reading = true;
  const asked = wanted;
  const found = await ask();
  reading = false;
  if (!found) return;
  [models, known] = [found, asked];
  draw();
  if (wanted !== known) read();
}

async function ask() {
  try {
    const answer = await fetch(SOURCE, { headers: { Accept: "application/json" } });
    return answer.ok ? (await answer.json()).results : undefined;
  } catch {
    return undefined; // no answer is an answer here: the next news ask again
  }
}

function draw() {
  const sought = field.value.trim().toLowerCase();
  const shown = models.filter((model) => isSought(model, sought));
  shown.sort((one, other) => other.resident - one.resident || (one.name < other.name ? -1 : 1));
  fill(page, { any: models.length > 0, "none-found": models.length > 0 && shown.length === 0 });
  list(page, "models", "t-model-card", shown, (model) => model.name, drawModel);
  watching.look(models);
}

function isSought(model, sought) {
  const names = [model.name, ...model.aliases, ...model.nodes.map((place) => place.name)];
  return (model.resident || !onlyResident.checked) && names.some((name) => name.toLowerCase().includes(sought));
}

function drawModel(card, model) {
  list(card, "nodes", "t-place", model.nodes, (place) => place.engine, drawPlace);
  list(card, "abilities", "t-chip", model.abilities, (one) => one, (chip, one) => (chip.textContent = words.abilities[one] ?? one));
  if (page.dataset.mayLoad === "yes") {
    const places = [{ id: 0, name: words.best }, ...model.nodes.filter((one, at, all) => all.findIndex(({ id }) => id === one.id) === at)];
    list(card, "options", "t-option", places, (place) => place.id, drawOption);
    for (const input of card.querySelectorAll("[name=model]")) input.value = model.name;
    card.querySelector(".warm button").dataset.command = `${card.querySelector(".warm button").textContent}: ${model.name}`;
  }
  // The places have hooks of the same names, so the model's own are filled without them.
  fill(card.querySelector("header"), { name: model.name, resident: model.resident });
  fill(card.querySelector(".facts"), {
    size: size(model.size_bytes),
    context: number(model.context_length),
    requests: number(model.requests),
    ...used(model),
  });
  fill(card, { aliases: model.aliases.join(", ") });
  card.setAttribute("aria-label", model.name);
}

function drawOption(option, place) {
  option.value = place.id || "";
  option.textContent = place.name;
}

function drawPlace(row, place) {
  fill(row, {
    node: place.name,
    kind: place.kind,
    "place-resident": place.resident,
    "place-size": size(place.size_bytes),
    "place-context": number(place.loaded_context),
    "may-unload": place.resident && place.can_unload,
    keeps: place.resident && !place.can_unload,
    ...used(place),
  });
  row.querySelector(".dot").dataset.is = place.resident ? "online" : "disk";
  const form = row.querySelector("form");
  if (form) form.elements.node.value = place.id;
}

function used(one) {
  const day = one.last_used_at ? "" : one.last_used_on;
  return { "used-at": one.last_used_at, "used-on": day, unused: !one.last_used_on };
}

const watching = watchFor(page, read);

field.form.addEventListener("submit", (event) => event.preventDefault());
field.addEventListener("input", () => models.length && draw());
onlyResident.addEventListener("change", () => models.length && draw());
onlyResident.closest("[data-scripted]").hidden = false;
page.querySelector("[data-plain]").hidden = true;
localTimes(document);
// A use changes no fleet, so it is asked for by itself.
setInterval(() => document.hidden || read(), USED_EVERY_MS);
follow({ socket: "/ws/cluster/", api: "/api/status/all", receive });
