/* The alerts that stand, live: the bell's news say when to read them again. */

import { readingAgain } from "./again.js";
import { watchAlerts } from "./bell.js";
import { fill, list, localTimes } from "./fill.js";
import { say } from "./live.js";
import { notifying, turnOff, turnOn } from "./notify.js";
import { metricName, reading } from "./reading.js";
import { duration, said, words } from "./show.js";

const AGAIN_MS = 15000;
const page = document.getElementById("alerts");
const search = page.querySelector("[data-search]");
const box = document.getElementById("notify");
const source = `/api/v1/alerts/?state=pending,firing,recovering&order=worst&page_size=${page.dataset.most}`;
let told;

const read = readingAgain(source, { Accept: "application/json" }, async (answer) => {
  if (answer.ok) draw(await answer.json());
});

function draw({ count, results }) {
  fill(page, { any: count > 0, more: count > results.length, standing: count });
  list(page, "alerts", "t-alert", results, (alert) => alert.id, drawAlert);
  sift();
  const firing = results.filter((alert) => alert.state !== "pending").length;
  const sentence = said(words.counted, { count, firing });
  if (told !== undefined && told !== sentence) page.querySelector("[data-say]").textContent = sentence;
  told = sentence;
}

function drawAlert(card, alert) {
  fill(card, {
    rule: alert.rule,
    severity: words.severities[alert.severity],
    state: words.alert_states[alert.state],
    node: alert.node?.name,
    subject: alert.subject,
    metric: metricName(alert.metric),
    value: reading(alert.metric, alert.value),
    threshold: words.switches[alert.metric] ? "" : reading(alert.metric, alert.threshold),
    since: alert.since,
    acknowledged: Boolean(alert.acknowledged_by),
    "acknowledged-by": alert.acknowledged_by,
    "acknowledged-at": alert.acknowledged_at,
    note: alert.acknowledged_note,
    muted: muted(alert.muted_by),
  });
  Object.assign(card.dataset, { is: alert.state, severity: alert.severity });
  card.querySelector('[data-f="state"]').dataset.is = alert.state;
  card.querySelector('[data-f="severity"]').dataset.is = alert.severity;
  card.setAttribute("aria-label", alert.rule);
  const link = card.querySelector("[data-to]");
  link.href = link.dataset.to.replace("/0/", `/${alert.id}/`);
  const node = card.querySelector("[data-node]");
  if (alert.node) node.href = node.dataset.node.replace("/0/", `/${alert.node.id}/`);
  for (const form of card.querySelectorAll("form")) form.action = form.dataset.action.replace("/0/", `/${alert.id}/`);
  age(card);
}

function muted(why) {
  const silence = /^silence (\d+) of ([^]*)$/.exec(why ?? "");
  if (silence) return words.muted_silence.replace("%(id)s", silence[1]).replace("%(author)s", () => silence[2]);
  return why === "its node is down" ? words.muted_node : why;
}

/** How long it has stood; the cards' own clock. */
function age(card) {
  const since = card.querySelector('[data-f="since"]').dateTime;
  const seconds = since ? Math.max(0, (Date.now() - Date.parse(since)) / 1000) : null;
  fill(card, { lasting: seconds === null ? "" : said(words.lasting, { time: duration(seconds) }) });
}

/** Leave what has all the words that were typed. */
function sift() {
  const cards = [...page.querySelectorAll(".alert-now")];
  const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const card of cards) {
    const text = [...card.querySelectorAll("header, .facts")].map((part) => part.textContent).join(" ").toLowerCase();
    card.hidden = !wanted.every((word) => text.includes(word));
  }
  page.querySelector("[data-nothing-fits]").hidden = cards.length === 0 || cards.some((card) => !card.hidden);
}

function showNotify() {
  const how = notifying();
  const sentence = { on: words.notify_on, denied: words.notify_denied, insecure: words.notify_insecure }[how];
  box.hidden = false;
  box.querySelector("[data-notify=on]").hidden = how !== "off";
  box.querySelector("[data-notify=off]").hidden = how !== "on";
  box.querySelector("[data-notify-said]").textContent = sentence ?? "";
}

search.hidden = false;
search.addEventListener("input", sift);
box.addEventListener("click", async (event) => {
  const wish = event.target.dataset?.notify;
  if (wish === "on") await turnOn();
  if (wish === "off") turnOff();
  showNotify();
});
localTimes(document);
showNotify();
watchAlerts((summary, how) => {
  say(how, "alerts");
  if (summary) read();
});
setInterval(() => document.hidden || read(), AGAIN_MS);
setInterval(() => document.hidden || page.querySelectorAll(".alert-now").forEach(age), 1000);
