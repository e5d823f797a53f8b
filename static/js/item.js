/* One item, on its page or in the drawer: the reader's own times, its output as Markdown when asked for, and copied. */

import { localTimes } from "./fill.js";
import { words } from "./show.js";

const FORBIDDEN = ["img", "picture", "video", "audio", "source", "svg", "math", "style", "form", "input", "button", "select", "textarea", "iframe", "object"];

/** Bring an item's article to life. */
export function prepare(article) {
  localTimes(article);
  article.querySelector("[data-prose]")?.addEventListener("click", (event) => toggle(article, event.currentTarget));
  article.querySelector("[data-copy]")?.addEventListener("click", async (event) => {
    const button = event.currentTarget;
    await navigator.clipboard.writeText(article.querySelector("[data-output]").textContent);
    button.textContent = words.copied;
  });
}

async function toggle(article, button) {
  const [plain, shown] = [article.querySelector("[data-output]"), article.querySelector("[data-shown]")];
  const isProse = shown.hidden;
  if (isProse && !shown.hasChildNodes()) shown.append(await rendered(plain.textContent));
  shown.hidden = !isProse;
  plain.hidden = isProse;
  button.setAttribute("aria-pressed", String(isProse));
  button.textContent = isProse ? words.as_text : words.as_prose;
}

/** Markdown as harmless nodes: nothing in it runs, is asked for from elsewhere, or takes part in the page's forms. */
async function rendered(text) {
  const [{ Marked }, { default: purify }] = await Promise.all([import("../vendor/marked.js"), import("../vendor/purify.js")]);
  // Markup within the Markdown stays text: even where nothing of it survives, the browser would complain of it.
  const marked = new Marked({ renderer: { html: (token) => escaped(token.text), image: (token) => escaped(token.text) } });
  const fragment = purify.sanitize(marked.parse(text, { async: false }), {
    FORBID_TAGS: FORBIDDEN,
    FORBID_ATTR: ["style", "id", "name", "class"],
    ALLOW_DATA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  });
  for (const link of fragment.querySelectorAll("a")) Object.assign(link, { rel: "noopener noreferrer nofollow", target: "_blank" });
  return fragment;
}

const escaped = (text) => text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);

for (const article of document.querySelectorAll("main > article.item")) prepare(article);
