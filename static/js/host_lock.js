/* Locks and unlocks a host where it stands, without loading the page again.

   One dialog serves all hosts: a form in each would cost, since browsers lay out every form that they might fill in.
*/

import { heed, whyNot } from "./session.js";
import { said, words } from "./show.js";

/** `nameOf(id)` is a host's name; `taken(node)` gets the host as it is then, `refused(why)` the reason. */
export function lockWithin(box, dialog, { nameOf, taken, refused }) {
  if (!dialog) return;
  const form = dialog.querySelector("form");
  const token = form.elements.csrfmiddlewaretoken.value;
  const problem = dialog.querySelector(".problem");
  let id;

  box.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-act]");
    if (!button) return;
    id = Number(button.closest("[data-key]").dataset.key);
    if (button.dataset.act === "lock") return open();
    const { ok, body, why } = await send(`/api/v1/nodes/${id}/unlock/`, token, {});
    refused(why);
    if (ok) taken(body);
  });

  form.addEventListener("submit", async (event) => {
    if (!event.submitter?.value) return; // Cancel closes it by itself
    event.preventDefault();
    const told = { reason: form.elements.reason.value, ttl_s: Number(form.elements.minutes.value) * 60 };
    const { ok, body, why } = await send(`/api/v1/nodes/${id}/lock/`, token, told);
    problem.textContent = why;
    if (!ok) return;
    dialog.close();
    taken(body);
  });

  function open() {
    problem.textContent = form.elements.reason.value = "";
    dialog.querySelector("h2").textContent = said(words.host.lock, { name: nameOf(id) });
    dialog.showModal();
    form.elements.reason.focus();
  }
}

async function send(path, token, told) {
  try {
    const answer = heed(await fetch(path, {
      method: "POST",
      headers: { Accept: "application/json", "Content-Type": "application/json", "X-CSRFToken": token },
      body: JSON.stringify(told),
    }));
    const body = await answer.json();
    return { ok: answer.ok, body, why: answer.ok ? "" : (whyNot(answer, body) ?? words.away) };
  } catch {
    return { ok: false, why: words.away }; // no answer is an answer here: the page says so
  }
}
