/* Buttons that copy a text of the page: `data-copy` names the element that holds it. They show where scripts run. */

import { words } from "./show.js";

const SAID_MS = 2500;

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
}

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  say(button, (await put(source)) ? words.copied : words.not_copied);
}

/** Browsers give the clipboard to pages under https only; on a plain network the old way still works. */
async function put(source) {
  try {
    await navigator.clipboard.writeText(source.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(source);
    return document.execCommand("copy");
  }
}

function say(button, text) {
  button.dataset.was ??= button.textContent;
  button.textContent = text;
  button.setAttribute("aria-live", "polite");
  clearTimeout(button.dataset.timer);
  button.dataset.timer = String(setTimeout(() => (button.textContent = button.dataset.was), SAID_MS));
}
