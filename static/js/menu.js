/* The menu on a phone, the sheet of shortcuts, and the palette that finds places and things by their names. */

const TYPING = "input, textarea, select, [contenteditable='true']";
const LEAD_MS = 1200;

const palette = document.getElementById("palette");
const sheet = document.getElementById("shortcuts");
const places = [...document.querySelectorAll("[data-go]")];
let leadUntil = 0;

document.getElementById("menu-toggle")?.addEventListener("click", (event) => {
  const button = event.currentTarget;
  const isOpen = document.getElementById("menu").classList.toggle("show");
  button.setAttribute("aria-expanded", String(isOpen));
});

for (const button of document.querySelectorAll("[data-open]")) {
  button.addEventListener("click", () => open(document.getElementById(button.dataset.open)));
}

for (const button of document.querySelectorAll("[data-press]")) {
  button.addEventListener("click", () => {
    button.closest("dialog")?.close();
    document.querySelector(button.dataset.press)?.click();
  });
}

/** What a link led to stands open: a form that is folded away otherwise. */
function openTarget() {
  const target = document.getElementById(location.hash.slice(1));
  if (!(target instanceof HTMLDetailsElement)) return;
  target.open = true;
  target.querySelector("input:not([type=hidden]), select, textarea")?.focus();
}

addEventListener("hashchange", openTarget);
// Until the page is loaded the browser itself leads the focus to what the address names.
addEventListener("load", () => setTimeout(openTarget));

// A link to a part of this same page closes the palette, since no other page comes.
palette?.addEventListener("click", (event) => event.target.closest("a") && palette.close());

// A click beside a dialog closes it, as does Escape by itself.
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
}

// A menu that hangs open is closed by a click elsewhere, and by Escape.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.hangs[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") closeMenus();
  if (event.isComposing || event.altKey) return;
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    open(palette);
  } else if (!event.ctrlKey && !event.metaKey && !event.target.closest?.(TYPING) && !document.querySelector("dialog[open]")) {
    press(event);
  }
});

function closeMenus() {
  for (const menu of document.querySelectorAll("details.hangs[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
}

function press(event) {
  const isLed = Date.now() < leadUntil;
  leadUntil = 0;
  if (event.key === "?") open(sheet);
  else if (event.key === "/") focusSearch(event);
  else if (event.key === "g") leadUntil = Date.now() + LEAD_MS;
  else if (isLed) places.find((place) => place.dataset.go === event.key)?.click();
}

function focusSearch(event) {
  const field = document.querySelector("[data-search]");
  if (!field) return;
  event.preventDefault();
  field.focus();
}

function open(dialog) {
  if (!dialog || dialog.open) return;
  for (const other of document.querySelectorAll("dialog[open]")) other.close();
  if (dialog === palette) gather();
  dialog.showModal();
  const field = dialog.querySelector("input");
  if (field) {
    field.value = "";
    field.dispatchEvent(new Event("input"));
  }
}

/** What this page can do: each element with `data-command` is found by these words, and pressed. */
function gather() {
  const list = palette.querySelector(".found");
  for (const row of list.querySelectorAll("[data-gathered]")) row.remove();
  for (const element of document.querySelectorAll("main [data-command]")) {
    if (element.closest("[hidden]") || element.disabled) continue;
    hideTwins(list, element.dataset.command);
    const [row, button] = [document.createElement("li"), document.createElement("button")];
    row.dataset.words = row.dataset.gathered = "";
    button.type = "button";
    button.textContent = element.dataset.command;
    button.addEventListener("click", () => {
      palette.close();
      element.click();
      element.focus();
    });
    row.append(button);
    list.prepend(row);
  }
}

/** What the page itself can do is not led to a second time. */
function hideTwins(list, name) {
  for (const row of list.querySelectorAll("[data-words]:not([data-gathered])")) {
    if (row.textContent.trim() === name) row.remove();
  }
}

/* Both dialogs are a field above a list: what is typed leaves those that have all its words in them. */
for (const dialog of [palette, sheet]) {
  if (!dialog) continue;
  const field = dialog.querySelector("input");
  field.addEventListener("input", () => {
    const rows = [...dialog.querySelectorAll("[data-words]")];
    const wanted = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      // The words of the other language are found as well: whoever searches may think in either.
      const words = `${row.textContent} ${row.dataset.also ?? ""}`.toLowerCase();
      row.hidden = !wanted.every((word) => words.includes(word));
    }
    dialog.querySelector("[data-none]").hidden = rows.some((row) => !row.hidden);
    mark(dialog, 0);
  });
  field.addEventListener("keydown", (event) => walk(dialog, event));
}

function shown(dialog) {
  return [...dialog.querySelectorAll("[data-words]")].filter((row) => !row.hidden);
}

function mark(dialog, place) {
  for (const row of dialog.querySelectorAll("[data-words]")) delete row.dataset.marked;
  const row = shown(dialog)[place];
  if (row) row.dataset.marked = "";
  // The focus stays in the field, so a screen reader is told which row Enter would take.
  dialog.querySelector("[data-at]").textContent = row?.textContent.trim().replace(/\s+/g, " ") ?? "";
  row?.scrollIntoView({ block: "nearest" });
}

function walk(dialog, event) {
  const rows = shown(dialog);
  const at = rows.findIndex((row) => row.dataset.marked !== undefined);
  if (event.key === "ArrowDown") mark(dialog, Math.min(at + 1, rows.length - 1));
  else if (event.key === "ArrowUp") mark(dialog, Math.max(at - 1, 0));
  else if (event.key === "Enter" && !event.isComposing) rows[Math.max(at, 0)]?.querySelector("a, button")?.click();
  else return;
  event.preventDefault();
}
