/* A rule's form: its preview follows what is typed, its places grow, and its fields fit one another. */

import { Curves } from "./curves.js";
import { fill, list, localTimes } from "./fill.js";
import { metricName, reading } from "./reading.js";
import { meaning } from "./rule_words.js";
import { heed, whyNot } from "./session.js";
import { said, words } from "./show.js";

const QUIET_MS = 400;
const MOST_LISTED = 12;
const USUAL_WINDOW_S = 300;

const form = document.getElementById("rule");
const preview = document.getElementById("preview");
const charts = new Map();
let timer;
let round = 0;

/** The rule as it stands in the form, as the API takes it; null while the value to fire at is missing. */
function rule() {
  const text = (name) => form.elements[name].value.trim();
  if (text("fire_value") === "") return null;
  const told = { curves: true, days: Number(form.dataset.days), scopes: places() };
  for (const name of ["metric", "aggregation", "operator", "severity", "no_data"]) told[name] = text(name);
  for (const name of ["window_s", "for_s", "keep_s", "fire_value", "clear_value"]) {
    if (text(name) !== "") told[name] = Number(text(name));
  }
  return told;
}

function places() {
  const found = [];
  for (const place of form.querySelectorAll("[data-place]")) {
    const row = {};
    for (const field of place.querySelectorAll("input, select")) {
      const name = field.name.split("-").pop();
      if (name === "DELETE" && field.checked) row.gone = true;
      else if (["node", "environment", "label", "label_value"].includes(name) && field.value) row[name] = field.value;
    }
    if (!row.gone && Object.keys(row).length) found.push(row);
  }
  return found;
}

function later() {
  clearTimeout(timer);
  timer = setTimeout(look, QUIET_MS);
}

/** Ask when it would have fired; an answer that was overtaken by another question is dropped. */
async function look() {
  const mine = ++round;
  const told = rule();
  if (!told) return empty(words.enter);
  preview.setAttribute("aria-busy", "true");
  const { ok, body, why } = await ask(told);
  if (mine !== round) return;
  preview.removeAttribute("aria-busy");
  for (const field of form.elements) field.removeAttribute?.("data-wrong");
  if (ok) draw(told, body);
  else complain(body?.error, why);
}

async function ask(told) {
  try {
    const answer = heed(await fetch("/api/v1/rules/preview/", {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        Accept: "application/json",
        "X-CSRFToken": form.elements.csrfmiddlewaretoken.value,
      },
      body: JSON.stringify(told),
    }));
    const body = await answer.json();
    return { ok: answer.ok, body, why: whyNot(answer, body) ?? words.away };
  } catch {
    return { ok: false, why: words.away };
  }
}

function complain(error, why) {
  const [field] = Object.keys(error?.detail ?? {});
  form.elements[field]?.setAttribute?.("data-wrong", "");
  empty(why);
  preview.querySelector(".said").dataset.is = "wrong";
}

function empty(sentence) {
  fill(preview, { said: sentence });
  delete preview.querySelector(".said").dataset.is;
  drawCharts({ curves: [], t: [] }, {});
  list(preview, "episodes", "t-episode", [], () => "", () => {});
}

function draw(told, found) {
  fill(preview, { said: sentence(found) });
  preview.querySelector(".said").dataset.is = found.fired ? "fires" : "";
  drawCharts(found, told);
  const fired = found.episodes.filter((one) => one.fired_at).slice(0, MOST_LISTED);
  const key = (one) => `${one.node?.id} ${one.subject} ${one.fired_at}`;
  list(preview, "episodes", "t-episode", fired, key, (row, one) => {
    fill(row, {
      fired: one.fired_at,
      ended: one.ended_at,
      about: `${one.node?.name ?? ""} ${one.subject}`,
      worst: reading(told.metric, one.worst),
    });
    row.querySelector("time[data-f=ended]").closest("[data-if]").hidden = !one.ended_at;
  });
}

function sentence({ fired, watched, left_out, has_history }) {
  if (!has_history) return words.no_history;
  if (!watched) return words.nothing;
  if (fired < 2) return fired ? words.fired_1 : words.fired_0;
  const least = left_out ? ` ${said(words.left_out, { count: left_out })}` : "";
  return said(words.fired_n, { count: fired, watched }) + least;
}

function drawCharts(found, told) {
  // A chart keeps the metric that it was made with.
  const key = (curve) => `${told.metric} ${curve.node.id} ${curve.subject}`;
  const wanted = new Set(found.curves.map(key));
  for (const [known, chart] of charts) {
    if (!wanted.has(known)) {
      chart.end();
      charts.delete(known);
    }
  }
  list(preview, "charts", "t-chart", found.curves, key, (figure, curve) => {
    const name = `${curve.node.name} ${curve.subject}`;
    fill(figure, { curve: name, "curve-fired": fires(curve) });
    if (!charts.has(key(curve))) charts.set(key(curve), chartIn(figure, told.metric, name));
    const chart = charts.get(key(curve));
    chart.set(found.t, [curve.values, found.t.map(() => told.fire_value)]);
    chart.mark(spans(found.episodes, curve));
  });
}

const fires = ({ fired }) => (fired ? said(words.fired_here, { count: fired }) : words.fired_not);

function chartIn(figure, metric, label) {
  return new Curves(figure.querySelector("[data-chart]"), {
    series: [{ label: metricName(metric) }, { label: words.threshold }],
    show: (value) => reading(metric, value),
    sync: "preview",
    height: 140,
    label,
  });
}

function spans(episodes, { node, subject }) {
  const mine = episodes.filter((one) => one.fired_at && one.node?.id === node.id && one.subject === subject);
  return mine.map((one) => ({ from: Date.parse(one.fired_at), to: one.ended_at ? Date.parse(one.ended_at) : null }));
}

/** The latest value has no window; the others need one. */
function fitWindow() {
  const { aggregation, window_s } = form.elements;
  const isLast = aggregation.value === "last";
  window_s.readOnly = isLast;
  if (isLast) window_s.value = "0";
  else if (window_s.value === "0" || window_s.value === "") window_s.value = String(USUAL_WINDOW_S);
}

/** In which unit the thresholds are, and what a long number of bytes means. */
function tellUnits() {
  const metric = form.elements.metric.value;
  const unit = words.metrics[metric]?.unit;
  for (const name of ["fire_value", "clear_value"]) {
    const field = form.elements[name];
    let hint = field.parentElement.querySelector("[data-unit]");
    if (!hint) {
      hint = document.createElement("p");
      hint.className = "helptext";
      hint.dataset.unit = "";
      field.after(hint);
    }
    const value = field.value.trim() === "" ? null : reading(metric, Number(field.value));
    hint.textContent = value ?? (unit ? said(words.in_unit, { unit }) : "");
  }
}

function addPlace() {
  const total = form.elements["scopes-TOTAL_FORMS"];
  const place = document.getElementById("t-place").content.firstElementChild.cloneNode(true);
  for (const element of place.querySelectorAll("[name], [id], [for]")) {
    for (const name of ["name", "id", "for"]) {
      const value = element.getAttribute(name);
      if (value) element.setAttribute(name, value.replace("__prefix__", total.value));
    }
  }
  total.value = String(Number(total.value) + 1);
  form.querySelector("[data-places]").append(place);
  place.querySelector("select, input:not([type=hidden])").focus();
}

/** The places by their names, as people read them. */
function placeNames() {
  const nameOf = (id) => form.querySelector(`[data-place] option[value="${CSS.escape(id)}"]`)?.textContent.trim() ?? id;
  return places().map(({ node, environment, label, label_value: value }) =>
    [node && nameOf(node), environment, label && `${label}=${value ?? "*"}`].filter(Boolean).join(" + "),
  );
}

function tellMeaning() {
  fill(preview, { means: meaning(form.elements, placeNames()) });
}

function changed() {
  fitWindow();
  tellUnits();
  tellMeaning();
  later();
}

localTimes(document);
form.addEventListener("input", changed);
form.querySelector("[data-plain]").hidden = true;
const adding = form.querySelector("[data-add-place]");
adding.hidden = false;
adding.addEventListener("click", addPlace);
fitWindow();
tellUnits();
tellMeaning();
look();
