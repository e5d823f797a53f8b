/* The chat page: which conversation is open, what is asked and stopped, and what is kept of it. */

import { Hearing, begun, isRunning } from "./chat/answer.js";
import { compose, fit, isComposing } from "./chat/compose.js";
import { copy } from "./chat/copy.js";
import { closeEditor, editing, openEditor } from "./chat/editor.js";
import { saveJson, saveMarkdown } from "./chat/export.js";
import { Head } from "./chat/head.js";
import { Line } from "./chat/line.js";
import { List } from "./chat/list.js";
import { Notices } from "./chat/notices.js";
import { Pictures } from "./chat/pictures.js";
import { Running } from "./chat/running.js";
import { Settings } from "./chat/settings.js";
import { Store } from "./chat/store.js";
import { asked, newId, newTalk, question, titleOf } from "./chat/talk.js";
import { View } from "./chat/view.js";
import { fitWindow } from "./chat/window.js";
import { said, words } from "./show.js";

const SAVE_MS = 1500;

const phrases = words.chat;
const page = document.getElementById("chat");
const settings = JSON.parse(document.getElementById("chat-settings").textContent);
const form = document.getElementById("ask");
const field = form.elements.prompt;

const store = await Store.open(page.dataset.user);
const notices = new Notices(page);
const tell = (text, kind) => notices.tell(text, kind);
const head = new Head(page);
const view = new View(page);
const list = new List(page, store, settings);
const pictures = new Pictures({ form, settings, tell });
const chosen = new Settings(page, form, settings, () => (pictures.may(...chosen.pictures()), keep()));
const line = new Line(settings, form.elements.csrfmiddlewaretoken.value, state);
const running = new Running();
const dropped = new WeakSet(); // conversations that were deleted or undone: what still comes for them is not kept

let talk = newTalk();
let saving;

/* --- Which conversation ------------------------------------------------------------------------------- */

function idInAddress() {
  return location.pathname.slice(settings.page.length).replace(/\/$/, "");
}

async function openFromAddress() {
  const id = idInAddress();
  const found = id ? (running.live(id) ?? (await store.get(id))) : undefined;
  tell(id && !found ? phrases.not_there : "");
  show(found ?? newTalk());
}

function show(next) {
  talk = next;
  for (const answer of answers()) if (isRunning(answer) && !running.has(answer)) answer.state = "left";
  chosen.show(talk.settings, talk.turns.length > 0);
  pictures.may(...chosen.pictures());
  view.draw(talk);
  head.draw(talk, running.isIn(talk));
  list.draw(talk.id);
}

function go(id) {
  const path = id ? `${settings.page}${id}/` : settings.page;
  if (location.pathname !== path) history.pushState(null, "", path);
}

function startNew() {
  go("");
  tell("");
  show(newTalk());
  list.show(false);
  field.focus();
}

const answers = () => talk.turns.flatMap((turn) => turn.answers);

/* --- Asking and stopping ------------------------------------------------------------------------------ */

function send() {
  const text = field.value;
  if ((!text.trim() && !pictures.urls.length) || !chosen.areSound()) return;
  if (running.isIn(talk)) return tell(phrases.one_moment, "hint");
  const turn = { id: newId(), text, pictures: pictures.urls, answers: [] };
  if (!ask([...talk.turns, turn])) return;
  field.value = "";
  pictures.take();
  fit(field);
}

/** Let the last of these turns be answered, by each model that is asked. Whether it could be sent. */
function ask(turns) {
  const next = { ...talk, turns, settings: chosen.read() };
  const models = asked(next.settings);
  const questions = models.map((_, column) => question(next, turns.length, column));
  if (questions.some((each) => new Blob([JSON.stringify(each)]).size > settings.most_question_bytes)) {
    tell(phrases.question_large);
    return false;
  }
  tell("");
  talk = next;
  talk.title ||= titleOf(turns[0].text) || phrases.untitled;
  const turn = turns.at(-1);
  turn.answers = models.map(begun);
  view.toEnd();
  for (const [column, each] of questions.entries()) listen(turn, column, each);
  view.draw(talk);
  view.toEnd();
  go(talk.id);
  head.draw(talk, running.isIn(talk));
  save().then(() => list.draw(talk.id));
  notices.aloud(phrases.sent);
  return true;
}

function listen(turn, column, each) {
  const [of, answer] = [talk, turn.answers[column]];
  const hearing = new Hearing(answer);
  const stop = line.ask(each, (message) => {
    const isOver = hearing.take(message);
    if (talk === of) view.grow(turn, column);
    if (isOver) over(of, answer);
    else keep(of);
  });
  running.add(of, answer, stop);
}

function over(of, answer) {
  running.delete(answer);
  head.busy(running.isIn(talk));
  if (of === talk) notices.aloud(ending(answer));
  save(of).then(() => list.draw());
  if (answer.error) chosen.renew(line);
}

function ending({ state, error }) {
  return { done: phrases.answered, stopped: phrases.stopped }[state] ?? phrases.errors[error?.code] ?? phrases.broke;
}

function regenerate(turn, column) {
  if (running.isIn(talk)) return tell(phrases.one_moment, "hint");
  const place = talk.turns.indexOf(turn);
  offerUndo(lost(place));
  if (talk.turns.length - 1 > place || turn.answers.length !== asked(chosen.read()).length) {
    ask([...talk.turns.slice(0, place), { ...turn, answers: [] }]);
    return;
  }
  talk.settings = chosen.read();
  turn.answers[column] = begun(asked(talk.settings)[column]);
  listen(turn, column, question(talk, talk.turns.length, column));
  view.draw(talk);
  head.draw(talk, running.isIn(talk));
}

function edit(turn, text) {
  if (running.isIn(talk) || !text.trim()) return;
  const place = talk.turns.indexOf(turn);
  offerUndo(lost(place));
  ask([...talk.turns.slice(0, place), { ...turn, id: newId(), text, answers: [] }]);
}

/** What goes when the turn at this place is answered anew. */
function lost(place) {
  const count = talk.turns.length - 1 - place;
  return count ? said(phrases.cut, { count }) : phrases.regenerated;
}

/* --- Keeping, undoing, telling ------------------------------------------------------------------------ */

function keep(of = talk) {
  if (of.turns.length) saving ??= setTimeout(() => save(of), SAVE_MS);
}

async function save(of = talk) {
  clearTimeout(saving);
  saving = undefined;
  if (dropped.has(of)) return;
  if (of === talk) talk.settings = chosen.read();
  of.changed = Date.now();
  try {
    await store.put(of);
  } catch {
    tell(phrases.kept_full);
  }
}

/** What stands now can be had back for a while. */
function offerUndo(text, of = talk) {
  const before = structuredClone(of);
  notices.offer(text, async () => {
    drop(talk.id === before.id ? talk : running.live(before.id));
    await store.put(before);
    go(before.id);
    view.clear();
    talk = newTalk();
    show(before);
    notices.aloud(phrases.undone);
  });
}

function drop(of) {
  if (!of) return;
  dropped.add(of);
  running.stop(of);
}

async function remove(id) {
  const gone = id === talk.id ? talk : (running.live(id) ?? (await store.get(id)));
  if (!gone) return;
  offerUndo(said(phrases.deleted, { title: gone.title }), gone);
  drop(gone);
  if (id === talk.id) startNew();
  await store.remove(id);
  list.draw();
}

function state(what) {
  const mark = page.querySelector('[data-live="chat"]');
  mark.dataset.is = { ready: "live", whole: "polling" }[what] ?? what;
  mark.textContent = phrases[what];
  if (what === "ready") chosen.renew(line);
}

function rename() {
  const dialog = document.getElementById("rename");
  const input = dialog.querySelector("input");
  input.value = talk.title;
  dialog.returnValue = "";
  dialog.showModal();
  input.select();
  dialog.onclose = () => {
    if (dialog.returnValue !== "save" || !input.value.trim()) return;
    talk.title = input.value.trim();
    head.draw(talk, running.isIn(talk));
    save().then(() => list.draw());
  };
}

/* --- What is pressed ---------------------------------------------------------------------------------- */

const acts = {
  new: startNew,
  stop: () => running.stop(talk),
  newest: () => view.toEnd(),
  compare: () => chosen.compare(),
  rename,
  markdown: () => saveMarkdown(talk),
  json: () => saveJson(talk),
  delete: () => remove(talk.id),
  "delete-talk": (button) => remove(button.closest("li").dataset.key),
  "copy-code": (button) => copy(button.closest(".code").querySelector("code").textContent, button),
  "copy-question": (button) => copy(turnOf(button).text, button),
  "copy-answer": (button) => copy(turnOf(button).answers[columnOf(button)].text, button),
  regenerate: (button) => regenerate(turnOf(button), columnOf(button)),
  edit: (button) => openEditor(button.closest(".turn"), turnOf(button).text),
  "cancel-edit": (button) => closeEditor(button.closest(".turn")),
};

const turnOf = (element) => talk.turns.find((turn) => turn.id === element.closest(".turn").dataset.key);
const columnOf = (element) => Number(element.closest(".answer").dataset.column);

page.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (button && !button.disabled) {
    button.closest("details.hangs")?.removeAttribute("open");
    acts[button.dataset.act]?.(button);
  }
  const link = event.target.closest("[data-open-talk]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  history.pushState(null, "", link.href);
  list.show(false);
  openFromAddress();
});
editing(page, (row, text) => edit(turnOf(row), text));
page.addEventListener("keydown", (event) => {
  const isForAnother = document.querySelector("dialog[open], details.hangs[open], .talks.show");
  if (event.key === "Escape" && !isForAnother && !isComposing(event)) running.stop(talk);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
compose(field, send);
addEventListener("popstate", openFromAddress);
store.onchange = (id) => {
  list.draw();
  if (id === talk.id && !running.isIn(talk)) store.get(id).then((found) => found && found.id === talk.id && show(found));
};

fitWindow(page, () => view.follow());
if (!store.isKept) tell(phrases.kept_nowhere, "hint");
await openFromAddress();
