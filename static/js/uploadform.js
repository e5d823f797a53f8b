/* The upload form: what is filled in, what is wrong with it, and how it is sent. */

import { fill } from "./fill.js";

export const form = document.getElementById("upload-form");
export const status = form.querySelector("[data-upload-status]");
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

/** Send it; the HTTP status (0 without an answer) and the answer. `onShare` is told how much is sent, 0 to 1. */
export function post(told, onShare) {
  const request = new XMLHttpRequest();
  request.open("POST", "/api/dataset/upload");
  request.setRequestHeader("X-CSRFToken", form.elements.csrfmiddlewaretoken.value);
  request.responseType = "json";
  request.upload.onprogress = (event) => onShare(event.lengthComputable ? event.loaded / event.total : 0);
  return new Promise((resolve) => {
    request.onload = () => resolve([request.status, request.response]);
    request.onerror = () => resolve([0, null]);
    request.send(told);
  });
}

/** Nothing is sent twice while it is sent once. */
export function busy(isBusy) {
  for (const button of form.querySelectorAll(".actions button")) button.disabled = isBusy;
}

/** Which field an error is about; a bad row is the file's. */
export function fieldOf(code, detail) {
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
