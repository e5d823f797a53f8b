/* Sends the forms that load, fetch and unload models, and says what becomes of them until they are done. */

import { fill } from "./fill.js";
import { heed, whyNot } from "./session.js";
import { percent, said, size, words } from "./show.js";

const LOOK_MS = 2000;
const LONG_MS = { loading: 300000, pulling: 3600000 };

/** Takes over the forms within `page`; `read` reads the models anew, and whoever has them calls `look`. */
export function watchFor(page, read) {
  const under = new Map();
  page.addEventListener("submit", (event) => {
    if (!event.target.dataset.do) return;
    event.preventDefault();
    send(event.target);
  });

  async function send(form) {
    const place = form.closest("article, section");
    const { model, node } = form.elements;
    const button = form.querySelector("button");
    button.disabled = true;
    tell(place, { news: words.asking, problem: "" });
    const hear = (line) => {
      button.disabled = false;
      tell(place, { news: sentence(line), problem: "" });
    };
    const { ok, body, why } = await ask(form, model.value.trim(), Number(node.value) || undefined, hear);
    button.disabled = false;
    if (!ok) return tell(place, { news: "", problem: why });
    tell(place, { news: sentence(body), problem: "" });
    // A line that is cut before the end says nothing of the load, which goes on.
    if (LONG_MS[body.state]) follow(place, body);
    read();
  }

  function follow(place, { model, node, state }) {
    under.set(`${model} ${node.id}`, { place, model, node, until: Date.now() + LONG_MS[state] });
    if (under.size === 1) setTimeout(again, LOOK_MS);
  }

  /** The socket tells of a model that has come; of one that never comes nobody tells. */
  function again() {
    if (under.size === 0) return;
    if (!document.hidden) read();
    setTimeout(again, LOOK_MS);
  }

  function look(models) {
    for (const [key, { place, model, node, until }] of under) {
      const isHere = models.some((one) => isSame(one.name, model) && one.nodes.some(({ id, resident }) => id === node.id && resident));
      if (!isHere && Date.now() < until) continue;
      under.delete(key);
      tell(place, isHere ? { news: said(words.resident, { node: node.name }) } : { news: "", problem: said(words.too_long, { node: node.name }) });
    }
  }
  return { look };
}

/** Without a tag a name means its `latest`, as Ollama has it. */
const isSame = (one, other) => one.replace(/:latest$/, "") === other.replace(/:latest$/, "");

function tell(place, values) {
  fill(place, values);
}

function sentence({ state, node, bytes }) {
  const begun = said(words[state], { node: node?.name ?? "" });
  if (!bytes) return begun;
  return `${begun} ${said(words.so_far, { done: size(bytes.done), total: size(bytes.total), share: percent((100 * bytes.done) / bytes.total) })}`;
}

/** Read what becomes of it, line by line; the last line that came. */
async function heard(answer, hear) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let [rest, last] = ["", undefined];
  try {
    for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines.filter(Boolean)) last = JSON.parse(line);
      if (last && last.state !== "failed") hear(last);
    }
  } catch {
    // the connection is cut: what came last is still true, and the list of models tells the rest
  }
  return last;
}

async function ask(form, model, node, hear) {
  const what = form.dataset.do;
  const body = { ...(node ? { node } : {}), ...(what === "pull" ? { pull: true } : {}) };
  try {
    const answer = heed(await fetch(`/api/models/${what === "stop" ? "stop" : "start"}/${encodeURIComponent(model)}`, {
      method: "POST",
      headers: { Accept: "application/x-ndjson, application/json", "Content-Type": "application/json", "X-CSRFToken": form.elements.csrfmiddlewaretoken.value },
      body: JSON.stringify(body),
    }));
    const isTold = answer.ok && answer.headers.get("Content-Type").startsWith("application/x-ndjson");
    const told = isTold ? await heard(answer, hear) : await answer.json();
    return { ok: answer.ok && !told.error, body: told, why: whyNot(answer, told) ?? words.away };
  } catch {
    return { ok: false, why: words.away }; // no answer is an answer here: the page says so
  }
}
