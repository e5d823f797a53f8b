/* Turns what a model wrote into safe elements: Markdown by marked, sanitised by DOMPurify, and no more than that.

   HTML is shown as text, pictures as words, links only where they lead by http, https or mailto, with where that
   is. Characters that turn the order of text around are shown instead of obeyed. */

import { Marked } from "../../vendor/marked.js";
import DOMPurify from "../../vendor/purify.js";
import { said, words } from "../show.js";

const phrases = words.chat;
const TURNERS = /[\u202A-\u202E\u2066-\u2069]/g;
const LEADS = /^(?:https?:\/\/|mailto:)/i;
const LOOKS_LIKE_ADDRESS = /^(?:https?:\/\/)?([\w-]+(?:\.[\w-]+)+)/i;
const LANGUAGE = /^[\w+#.-]{1,30}$/;
const DEFINITION = /^ {0,3}\[[^\]]+\]:/m;
const KEPT_OPEN = 2;
const PURE = {
  ALLOWED_TAGS: "p br strong em del code pre blockquote ul ol li h1 h2 h3 h4 h5 h6 table thead tbody tr th td a hr span".split(" "),
  ALLOWED_ATTR: ["href", "class", "align", "start"],
  ALLOWED_URI_REGEXP: LEADS,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

const escaped = (text) => text.replace(/[&<>"']/g, (one) => `&#${one.charCodeAt(0)};`);

const marked = new Marked({ gfm: true, breaks: true, async: false });
marked.use({
  renderer: {
    html: ({ text }) => escaped(text),
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
    image: ({ text, href }) => `<span class="elsewhere">[${escaped(said(phrases.picture, { text: text || href }))}]</span>`,
    link({ href, tokens }) {
      const text = this.parser.parseInline(tokens);
      return LEADS.test(href) ? `<a href="${escaped(href)}">${text}</a>` : text;
    },
    code: ({ text, lang }) => `<pre><code class="${LANGUAGE.test(lang ?? "") ? escaped(lang) : ""}">${escaped(text)}</code></pre>`,
  },
});

/** The text with a mark for each character that would turn it around. */
export const tame = (text) => text.replace(TURNERS, (one) => `⟦U+${one.charCodeAt(0).toString(16).toUpperCase()}⟧`);

/** One answer in its box, which may grow: only what came since is read and drawn. */
export class Growing {
  constructor(box) {
    this.box = box;
    this.begin();
  }

  begin() {
    this.box.replaceChildren();
    this.text = "";
    this.settled = 0;
    this.open = [];
  }

  /** Show all of `raw`; `isWhole` once nothing follows. */
  show(raw, isWhole) {
    const text = tame(raw).replace(/\r\n?/g, "\n");
    if (!text.startsWith(this.text) || (isWhole && DEFINITION.test(text))) this.begin();
    this.text = text;
    const tokens = marked.lexer(text.slice(this.settled));
    for (const element of this.open) element.remove();
    const drawn = tokens.map((token) => ({ token, element: block(token) }));
    for (const { element } of drawn) if (element) this.box.append(element);
    const kept = isWhole ? 0 : firstOpen(tokens);
    this.settled += tokens.slice(0, kept).reduce((sum, token) => sum + token.raw.length, 0);
    this.open = drawn.slice(kept).flatMap(({ element }) => element ?? []);
    if (isWhole) this.open = [...this.box.children]; // so that a later change draws it anew
    if (isWhole) this.settled = 0;
  }
}

/** What stands before this place does not change any more, whatever follows. */
function firstOpen(tokens) {
  const places = tokens.flatMap((token, place) => (token.type === "space" ? [] : [place]));
  return places.at(-KEPT_OPEN) ?? 0;
}

function block(token) {
  if (token.type === "space" || token.type === "def") return null;
  const element = document.createElement("div");
  element.className = "block";
  element.append(DOMPurify.sanitize(marked.parser([token]), PURE));
  for (const one of element.querySelectorAll("[class]")) if (!one.matches("code, .elsewhere")) one.removeAttribute("class");
  for (const link of element.querySelectorAll("a[href]")) guard(link);
  for (const pre of element.querySelectorAll("pre")) frame(pre);
  return element;
}

/** A link opens elsewhere, tells nothing of where it stands, and says where it leads when its text says otherwise. */
function guard(link) {
  link.target = "_blank";
  link.rel = "noopener noreferrer nofollow";
  link.title = link.href;
  const shown = LOOKS_LIKE_ADDRESS.exec(link.textContent.trim());
  if (!shown || link.protocol === "mailto:" || link.hostname === shown[1].toLowerCase()) return;
  const note = document.createElement("span");
  note.className = "elsewhere";
  note.textContent = ` (${said(phrases.goes_to, { host: link.hostname })})`;
  link.after(note);
}

/** Code in a frame that names its language and copies it. */
function frame(pre) {
  const [box, head, name, button] = ["div", "div", "span", "button"].map((tag) => document.createElement(tag));
  const code = pre.querySelector("code");
  box.className = "code";
  name.textContent = code?.className || phrases.code;
  code?.removeAttribute("class");
  button.type = "button";
  button.className = "bare";
  button.dataset.act = "copy-code";
  button.textContent = phrases.copy;
  head.append(name, button);
  pre.tabIndex = 0;
  pre.replaceWith(box);
  box.append(head, pre);
}
