/* The upload form: what is filled in, what is wrong with it, and how it is sent. */

import { fill } from "./fill.js";
import { duration, percent, said, size, words } from "./show.js";

export const form = document.getElementById("upload-form");
export const status = form.querySelector("[data-upload-status]");
const box = form.querySelector("[data-sending]");
const bar = box.querySelector("progress");
const cancel = form.querySelector("[data-cancel]");
const SAMPLING = ["temperature", "max_tokens"];
const OURS = new Set(["csrfmiddlewaretoken", "file", "nodes", "options", "dry_run", ...SAMPLING]);

/** The chosen file, or undefined. */
export const chosenFile = () => form.elements.file.files[0];

/** The form as the API takes it, without its file: the nodes as one text, and nothing that was left empty. */
export function fields() {
  const told = new FormData();
  const given = new FormData(form);
  for (const [name, value] of given) {
    if (value !== "" && !OURS.has(name)) told.append(name, value);
  }
  const nodes = given.getAll("nodes");
  if (nodes.length) told.append("nodes", nodes.join(","));
  const options = sampling(given);
  if (options) told.append("options", options);
  return told;
}

/** The sampling options with those that have fields of their own; what cannot be read goes as it is, to be refused. */
function sampling(given) {
  const written = given.get("options");
  const own = Object.fromEntries(SAMPLING.filter((name) => given.get(name)).map((name) => [name, Number(given.get(name))]));
  if (!Object.keys(own).length) return written;
  try {
    return JSON.stringify({ ...own, ...JSON.parse(written || "{}") });
  } catch {
    return written; // the server says what is wrong with it
  }
}

/** The status of an upload that the person cancelled. */
export const CANCELLED = -1;
let request;

/** Send it; the HTTP status (0 without an answer) and the answer. `onBytes` is told how many are sent, and of how many. */
export function post(told, onBytes) {
  request = new XMLHttpRequest();
  request.open("POST", "/api/dataset/upload");
  request.setRequestHeader("X-CSRFToken", form.elements.csrfmiddlewaretoken.value);
  request.responseType = "json";
  request.upload.onprogress = (event) => event.lengthComputable && onBytes(event.loaded, event.total);
  return new Promise((resolve) => {
    request.onload = () => resolve([request.status, request.response]);
    request.onerror = () => resolve([0, null]);
    request.onabort = () => resolve([CANCELLED, null]);
    request.send(told);
  });
}

/** Shows how far an upload is, once it is clear that it takes a while; spoken of every tenth only. */
export function sending() {
  const began = Date.now();
  let tenth = 0;
  return (sent, total) => {
    const seconds = (Date.now() - began) / 1000;
    box.hidden = seconds < 1;
    bar.value = sent / total;
    const rate = sent / Math.max(seconds, 0.001);
    fill(box, { sent: said(words.upload.sent, { sent: size(sent), size: size(total), rate: size(rate), left: duration((total - sent) / rate) }) });
    if (sent === total) status.textContent = words.upload.checking;
    else if (Math.floor((10 * sent) / total) > tenth) status.textContent = said(words.upload.uploading, { percent: percent(10 * (tenth = Math.floor((10 * sent) / total))) });
  };
}

const warn = (event) => event.preventDefault();

/** Nothing is sent twice while it is sent once, it can be cancelled, and leaving the page is asked about. */
export function busy(isBusy) {
  for (const button of form.querySelectorAll(".actions button:not([data-cancel])")) button.disabled = isBusy;
  cancel.hidden = !isBusy;
  if (!isBusy) box.hidden = true;
  (isBusy ? addEventListener : removeEventListener)("beforeunload", warn);
}

cancel.addEventListener("click", () => request?.abort());

/** What was refused: the field that it is about, and the sentence with what to do. */
export async function refusal(code, answer) {
  const { message, detail, code: why } = answer?.error ?? {};
  const field = fieldOf(code, detail);
  if (!message) return (await isReadable(chosenFile())) ? ["", words.upload.broken] : ["file", words.upload.changed];
  if (detail?.row === undefined) return [field, message];
  return [field, `${inWords(why, detail, message)} ${words.upload.mend}`];
}

/** A browser does not send a file that was changed or removed since it was chosen. */
async function isReadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

/** The server's sentence is English: elsewhere what it means stands before it. */
function inWords(why, { row, field }, message) {
  const known = words.upload.refusals[why];
  if (!known || document.documentElement.lang.startsWith("en")) return message;
  const problem = said(known, { field: field ?? "" });
  return `${row === null ? problem : said(words.upload.bad_row, { index: row, problem })} (${message})`;
}

/** Which field an error is about; a bad row is the file's. */
function fieldOf(code, detail) {
  if (code === 413 || detail?.row !== undefined) return "file";
  return detail?.field && form.querySelector(`[data-errors="${CSS.escape(detail.field)}"]`) ? detail.field : "";
}

/** Show errors, pairs of a field's name and a sentence, each at its field. */
export function complain(errors) {
  for (const box of form.querySelectorAll("[data-errors]")) {
    const mine = errors.filter(([field]) => field === box.dataset.errors);
    box.replaceChildren(...mine.map(([, message]) => line(message)));
    if (mine.length) box.closest("details")?.setAttribute("open", "");
  }
}

function line(message) {
  const item = document.createElement("li");
  item.textContent = message;
  return item;
}

/** A child of a list of the form, made from a template and filled. */
export function made(template, values) {
  const child = document.getElementById(template).content.firstElementChild.cloneNode(true);
  const holder = document.createElement("div");
  holder.append(child);
  fill(holder, values);
  return child;
}
