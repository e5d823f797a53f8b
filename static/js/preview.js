/* Shows the first rows of the chosen file as the prompts that they become, before anything is sent; takes dropped files.
   Reads the beginning of the file only, however large it is. */

import { fill } from "./fill.js";
import { number, said, size, words } from "./show.js";
import { promptOf, readRows } from "./rows.js";
import { chosenFile, complain, form, made } from "./uploadform.js";

const FIRST_BYTES = 256 * 1024;
const MOST_BYTES = 8 * 1024 * 1024;
const ROWS_READ = 2000;
const ROWS_SHOWN = 3;
const PROBLEMS_SHOWN = 5;
const LONGEST = 4000;

const box = form.querySelector("[data-preview]");
const rowBytes = Number(form.dataset.rowKb) * 1024;
let head;

/* A browser tells of no change when the same file is chosen again, and keeps what it knew of it before it was mended. */
let held = [];
form.elements.file.addEventListener("click", () => {
  held = [...form.elements.file.files];
  form.elements.file.value = "";
});
form.elements.file.addEventListener("cancel", () => chosenFile() || choose(held));

function choose(files) {
  const chosen = new DataTransfer();
  for (const file of files) chosen.items.add(file);
  form.elements.file.files = chosen.files;
}

form.elements.file.addEventListener("change", () => {
  complain([]);
  look();
});
for (const name of ["system", "offset", "limit"]) form.elements[name].addEventListener("input", draw);
look();

/** Rows that would run first, `[{raw}]`: undefined when they lie behind what was read. */
export function firstRows(count) {
  const [begin, limit] = range();
  const rows = head?.rows.filter((row) => row.index >= begin && row.index < begin + Math.min(count, limit));
  const isThere = rows?.length && !head.problems.some((one) => one.index === null || one.index < begin + count);
  return isThere && (rows.length === Math.min(count, limit) || head.isWhole) ? rows : undefined;
}

/** How many rows would run: about, when the file is larger than what was read. */
export function rowsWanted() {
  const [begin, limit] = range();
  return head?.total ? Math.max(Math.min(head.total - begin, limit), 0) : 0;
}

function range() {
  const { offset, limit } = form.elements;
  return [Number(offset.value) || 0, Number(limit.value) || Infinity];
}

async function look() {
  const file = chosenFile();
  head = undefined;
  if (!file) return draw();
  const read = await readHead(file);
  // Another file may have been chosen while this one was read.
  if (file !== chosenFile()) return undefined;
  head = read;
  return draw();
}

async function readHead(file) {
  const found = await readSome(file, FIRST_BYTES);
  const isTooLittle = !found.rows.length && !found.problems.length && !found.isWhole;
  return isTooLittle ? readSome(file, Math.min(rowBytes + FIRST_BYTES, MOST_BYTES)) : found;
}

async function readSome(file, most) {
  const bytes = new Uint8Array(await file.slice(0, most).arrayBuffer());
  const isWhole = file.size <= most;
  const found = readRows(bytes, { isWhole, most: ROWS_READ, rowBytes });
  const count = found.rows.length + found.problems.filter((one) => one.index !== null).length;
  const isAllRead = isWhole && count < ROWS_READ;
  const total = isAllRead || !found.share ? count : Math.round((count * file.size) / (found.share * bytes.length));
  return { ...found, count, total, isWhole: isAllRead, size: file.size };
}

function draw() {
  box.hidden = !head;
  if (!head) return;
  const problems = head.problems.slice(0, PROBLEMS_SHOWN).map(complaint);
  const more = head.problems.length - problems.length;
  if (more > 0) problems.push(said(words.upload.more_problems, { count: number(more) }));
  fill(box, { about: about(), mend: problems.length ? words.upload.mend : "" });
  box.querySelector('[data-list="problems"]').replaceChildren(...problems.map((problem) => made("t-problem", { problem })));
  const [begin, limit] = range();
  const shown = head.rows.filter((row) => row.index >= begin).slice(0, Math.min(ROWS_SHOWN, limit));
  box.querySelector('[data-list="rows"]').replaceChildren(...shown.map(drawRow));
}

function about() {
  const bad = head.problems.filter((one) => one.index !== null).length;
  const values = { rows: number(head.total), size: size(head.size), checked: number(head.count), first: range()[0], bad: number(bad) };
  if (head.problems.length > bad) return said(words.upload.preview_unread, values);
  if (bad) return said(words.upload.preview_bad, values);
  if (head.isWhole) return said(words.upload.preview_all, values);
  const isBeyond = range()[0] >= head.count;
  return said(isBeyond ? words.upload.preview_beyond : words.upload.preview_head, values);
}

function complaint({ index, what, field }) {
  const sentence = said(words.upload.problems[what] ?? what, { field });
  return index === null ? sentence : said(words.upload.bad_row, { index, problem: sentence });
}

function drawRow(row) {
  const item = made("t-row", {});
  item.value = row.index;
  const turns = promptOf(row.value, form.elements.system.value).map(({ role, text }) =>
    made("t-turn", { role, text: text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text }),
  );
  item.querySelector('[data-list="turns"]').append(...turns);
  return item;
}

/* A file may be dropped anywhere on the form; elsewhere the browser would leave the page for it. */
const zone = form.querySelector("[data-drop]");
const hasFile = (event) => event.dataTransfer?.types.includes("Files");

addEventListener("dragover", (event) => hasFile(event) && event.preventDefault());
addEventListener("drop", (event) => hasFile(event) && event.preventDefault());
form.addEventListener("dragenter", (event) => hasFile(event) && zone.classList.add("over"));
form.addEventListener("dragleave", (event) => form.contains(event.relatedTarget) || zone.classList.remove("over"));
form.addEventListener("drop", (event) => {
  zone.classList.remove("over");
  if (!event.dataTransfer?.files.length) return;
  choose([event.dataTransfer.files[0]]);
  form.elements.file.dispatchEvent(new Event("change", { bubbles: true }));
});
