/* Draws the turns of a conversation: all when another is opened, then only the answer that grows, once per frame. */

import { duration, number, said, words } from "../show.js";
import { isRunning } from "./answer.js";
import { Growing, tame } from "./markdown.js";

const phrases = words.chat;
const NEAR_PX = 80;
const WHY = Object.entries(phrases.why).map(([pattern, text]) => [new RegExp(`^${pattern.replaceAll(/\{\d\}/g, "([\\d.,]+)")}$`), text]);

const clone = (id) => document.getElementById(id).content.firstElementChild.cloneNode(true);
const part = (root, name) => root.querySelector(`[data-${name}]`);

export class View {
  constructor(page) {
    this.scroller = part(page, "turns");
    this.list = page.querySelector('[data-list="turns"]');
    this.newest = page.querySelector('[data-act="newest"]');
    this.answers = new Map();
    this.dirty = new Set();
    this.isNear = true;
    this.scroller.addEventListener("scroll", () => this.look(), { passive: true });
    // What is drawn later than the answer itself, such as pictures, must not push the end out of sight.
    new ResizeObserver(() => this.follow()).observe(this.list);
    new ResizeObserver(() => this.follow()).observe(this.scroller);
  }

  /** Show a conversation. Turns that stand there already stay as they are. */
  draw(talk) {
    if (this.talk !== talk.id) this.clear();
    this.talk = talk.id;
    const known = new Map([...this.list.children].map((child) => [child.dataset.key, child]));
    const rows = talk.turns.map((turn) => this.turn(known.get(turn.id), turn));
    for (const child of [...this.list.children]) if (!rows.includes(child)) this.forget(child);
    for (const row of rows) if (row !== this.list.children[rows.indexOf(row)]) this.list.append(row);
    if (!known.size) this.toEnd();
  }

  clear() {
    this.list.replaceChildren();
    this.answers.clear();
    this.dirty.clear();
    this.isNear = true;
  }

  /** An answer has grown or changed: it is drawn with the next frame. */
  grow(turn, column) {
    this.dirty.add(`${turn.id}/${column}`);
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      for (const key of this.dirty) this.answers.get(key)?.draw();
      this.dirty.clear();
    });
  }

  toEnd() {
    this.isNear = true;
    this.follow();
  }

  follow() {
    if (this.isNear) this.scroller.scrollTop = this.scroller.scrollHeight;
    else this.look();
  }

  look() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    this.isNear = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    this.newest.hidden = this.isNear;
  }

  turn(row, turn) {
    row ??= clone("t-turn");
    row.dataset.key = turn.id;
    const text = part(row, "question");
    if (text.textContent !== tame(turn.text)) text.textContent = tame(turn.text);
    part(row, "shown-pictures").replaceChildren(...turn.pictures.map(picture));
    const box = part(row, "answers");
    for (const [column, answer] of turn.answers.entries()) this.answer(box, turn, column, answer);
    while (box.children.length > turn.answers.length) box.lastElementChild.remove();
    return row;
  }

  answer(box, turn, column, answer) {
    const key = `${turn.id}/${column}`;
    if (this.answers.get(key)?.answer === answer && box.children[column]) return;
    const view = new AnswerView(box.children[column] ?? box.appendChild(clone("t-answer")), answer);
    view.element.dataset.column = column;
    this.answers.set(key, view);
    view.draw();
  }

  forget(row) {
    for (const key of this.answers.keys()) if (key.startsWith(`${row.dataset.key}/`)) this.answers.delete(key);
    row.remove();
  }
}

function picture(url) {
  const row = clone("t-picture");
  row.querySelector("img").src = url;
  row.querySelector("button").remove();
  return row;
}

class AnswerView {
  constructor(element, answer) {
    Object.assign(this, { element, answer });
    this.growing = new Growing(part(element, "text"));
    this.growing.begin();
  }

  draw() {
    const { element, answer } = this;
    const runs = isRunning(answer);
    element.setAttribute("aria-busy", String(runs));
    element.dataset.is = answer.state;
    part(element, "model").textContent = tame(answer.model || answer.asked || "auto");
    part(element, "node").textContent = tame(answer.node?.name ?? "");
    part(element, "at").hidden = !answer.node;
    this.why();
    this.thoughts(runs);
    this.growing.show(answer.text, !runs);
    this.wait(runs);
    note(part(element, "note"), answer);
    part(element, "figures").textContent = runs ? "" : figures(answer);
    for (const button of element.querySelectorAll("footer button")) button.hidden = runs;
  }

  why() {
    const box = part(this.element, "why");
    box.hidden = !this.answer.reasons.length;
    if (this.told === this.answer.reasons) return;
    this.told = this.answer.reasons;
    box.querySelector("ul").replaceChildren(...this.told.map((reason) => {
      const row = document.createElement("li");
      row.textContent = inWords(reason);
      return row;
    }));
  }

  thoughts(runs) {
    const { thinking, thought_s, text } = this.answer;
    const box = part(this.element, "thoughts");
    box.hidden = !thinking;
    const [summary, body] = box.children;
    const isThinking = runs && !text;
    summary.textContent = isThinking ? phrases.thinking : thought_s === null || thought_s < 0.1 ? phrases.thought : said(phrases.thought_for, { time: duration(thought_s) });
    const shown = tame(thinking);
    if (!box.open && body.textContent) body.textContent = ""; // what is folded is not laid out again and again
    if (box.open && body.textContent !== shown) body.textContent = shown;
    box.ontoggle = () => (body.textContent = box.open ? tame(this.answer.thinking) : "");
  }

  wait(runs) {
    const box = part(this.element, "waiting");
    const waits = runs && this.answer.state === "waiting";
    box.hidden = !waits;
    clearTimeout(this.waiting);
    if (!waits) return;
    const seconds = Math.floor((Date.now() - this.answer.at) / 1000);
    box.textContent = said(phrases.waiting, { seconds: seconds > 1 ? duration(seconds) : "" });
    this.waiting = setTimeout(() => this.element.isConnected && this.draw(), 1000);
  }
}

function inWords(reason) {
  for (const [pattern, text] of WHY) {
    const found = pattern.exec(reason);
    if (found) return text.replace(/\{(\d)\}/g, (_, place) => found[Number(place) + 1]);
  }
  return reason;
}

/** What is to be said of an answer besides its text: why it ended, and what to do. */
function note(box, answer) {
  const { state, error, finish, text, thinking } = answer;
  const lines = [];
  if (state === "failed") lines.push(phrases.errors[error.code] ?? "", error.message);
  else if (state === "stopped") lines.push(phrases.stopped);
  else if (state === "broke" || state === "left") lines.push(phrases[state]);
  else if (finish === "length") lines.push(phrases.length);
  else if (state === "done" && !text && !thinking) lines.push(phrases.empty);
  box.hidden = !lines.length;
  box.classList.toggle("error", state === "failed");
  box.replaceChildren(...lines.filter(Boolean).map((line, place) => {
    const row = document.createElement("p");
    if (place) row.className = "faint";
    row.textContent = tame(line);
    return row;
  }));
}

function figures({ usage, pieces, ttft_s, rate }) {
  const told = usage?.completion_tokens;
  const tokens = told !== undefined && told !== null ? said(phrases.tokens, { count: number(told) }) : pieces > 1 ? said(phrases.about_tokens, { count: number(pieces) }) : "";
  const first = ttft_s === null ? "" : said(phrases.ttft, { time: duration(ttft_s) });
  return [rate === null ? "" : said(phrases.rate, { rate: number(rate, 1) }), first, tokens].filter(Boolean).join(" · ");
}
