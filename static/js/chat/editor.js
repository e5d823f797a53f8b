/* An earlier message that is edited in its place. */

import { fit, sends } from "./compose.js";

/** `edited` gets the row of the turn and its new text. */
export function editing(page, edited) {
  page.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-edit]")) return;
    event.preventDefault();
    edited(event.target.closest(".turn"), event.target.elements.text.value);
  });
  page.addEventListener("keydown", (event) => {
    const editor = event.target.closest("[data-edit]");
    if (!editor) return;
    if (event.target.name === "text" && sends(event)) {
      event.preventDefault();
      editor.requestSubmit();
    } else if (event.key === "Escape") {
      event.stopImmediatePropagation();
      closeEditor(editor.closest(".turn"));
    }
  });
  page.addEventListener("input", (event) => event.target.closest("[data-edit]") && fit(event.target));
}

export function openEditor(row, text) {
  const editor = row.querySelector("[data-edit]");
  editor.hidden = false;
  row.querySelector("[data-question]").hidden = true;
  editor.elements.text.value = text;
  fit(editor.elements.text);
  editor.elements.text.focus();
}

export function closeEditor(row) {
  row.querySelector("[data-edit]").hidden = true;
  row.querySelector("[data-question]").hidden = false;
  row.querySelector('[data-act="edit"]').focus();
}
