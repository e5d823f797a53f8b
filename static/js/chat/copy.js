/* Copies text, also where the page came by plain HTTP and the browser therefore has no clipboard of its own. */

import { words } from "../show.js";

const SAID_MS = 1500;

export async function copy(text, button) {
  try {
    if (navigator.clipboard) await navigator.clipboard.writeText(text);
    else copyOldly(text);
  } catch {
    copyOldly(text); // the reader forbade it, or looks elsewhere
  }
  const before = button.textContent;
  if (before === words.chat.copied) return;
  button.textContent = words.chat.copied;
  setTimeout(() => (button.textContent = before), SAID_MS);
}

function copyOldly(text) {
  const field = document.createElement("textarea");
  const had = document.activeElement;
  field.value = text;
  field.className = "unseen";
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
  had?.focus();
}
