/* Sends the upload form to the API, which checks rows while they arrive; without scripts the form sends itself.

   The chosen file and all fields stay when something is wrong, and there is no limit but the API's own.
*/

import { percent, said, words } from "./show.js";

const form = document.getElementById("upload-form");
const button = form.querySelector("button");
const status = form.querySelector("[data-upload-status]");

form.addEventListener("submit", (event) => {
  event.preventDefault();
  complain([]);
  if (!form.elements.file.files.length) return complain([["file", words.no_file]]);
  send(fields());
});

/** The form as the API takes it: the nodes as one text, and nothing that was left empty. */
function fields() {
  const told = new FormData();
  const nodes = [];
  for (const [name, value] of new FormData(form)) {
    if (name === "nodes") nodes.push(value);
    else if (value !== "" && name !== "file" && name !== "csrfmiddlewaretoken") told.append(name, value);
  }
  if (nodes.length) told.append("nodes", nodes.join(","));
  told.append("file", form.elements.file.files[0]);
  return told;
}

function send(told) {
  const request = new XMLHttpRequest();
  request.open("POST", "/api/dataset/upload");
  request.setRequestHeader("X-CSRFToken", form.elements.csrfmiddlewaretoken.value);
  request.responseType = "json";
  request.upload.onprogress = (event) => {
    const part = event.lengthComputable ? (100 * event.loaded) / event.total : 0;
    status.textContent = part < 100 ? said(words.uploading, { percent: percent(part) }) : words.checking;
  };
  request.onload = () => answered(request.status, request.response);
  request.onerror = () => answered(0, null);
  button.disabled = true;
  request.send(told);
}

function answered(code, answer) {
  if (code === 201) {
    location.assign(`/jobs/${encodeURIComponent(answer.job_id)}/`);
    return;
  }
  button.disabled = false;
  status.textContent = "";
  complain([[fieldOf(code, answer?.error?.detail), answer?.error?.message ?? words.broken]]);
}

/** Which field an error is about; a bad row is the file's. */
function fieldOf(code, detail) {
  if (code === 413 || detail?.row !== undefined) return "file";
  return detail?.field && form.querySelector(`[data-errors="${CSS.escape(detail.field)}"]`) ? detail.field : "";
}

function complain(errors) {
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
