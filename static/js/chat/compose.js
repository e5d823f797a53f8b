/* The field for a message: Enter sends unless it only ends the composing of a character; the field grows with its text. */

const COMPOSING_KEY = 229; // Safari ends the composition before its keydown, which only this number gives away

/** Whether this key press means: send. */
export function sends(event) {
  return event.key === "Enter" && !event.shiftKey && !event.ctrlKey && !event.altKey && !event.metaKey && !isComposing(event);
}

export const isComposing = (event) => event.isComposing || event.keyCode === COMPOSING_KEY;

/** `send` is called for Enter. */
export function compose(field, send) {
  field.addEventListener("keydown", (event) => {
    if (!sends(event)) return;
    event.preventDefault();
    send();
  });
  field.addEventListener("input", () => fit(field));
  fit(field);
}

/** As high as its text, within what the style sheet allows. */
export function fit(field) {
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight + 2}px`;
}
