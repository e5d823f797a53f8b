/* The channels: a test is sent without leaving the page, and says what came of it. */

import { localTimes } from "./fill.js";
import { heed, whyNot } from "./session.js";
import { said, words } from "./show.js";

for (const form of document.querySelectorAll("form[data-test]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    test(form);
  });
}

async function test(form) {
  const button = form.querySelector("button");
  const box = form.closest(".card").querySelector("[data-outcome]");
  const tell = (text, kind) => {
    box.hidden = false;
    box.className = `message ${kind}`;
    box.textContent = text;
  };
  button.disabled = true;
  tell(words.sending, "");
  try {
    const headers = { Accept: "application/json", "X-CSRFToken": form.elements.csrfmiddlewaretoken.value };
    const answer = heed(await fetch(form.dataset.test, { method: "POST", headers }));
    const body = await answer.json();
    if (body.ok) tell(words.took, "success");
    else if (answer.ok) tell(said(words.refused, { error: body.error }), "error");
    else tell(whyNot(answer, body) ?? words.away, "error");
  } catch {
    tell(words.away, "error");
  }
  button.disabled = false;
}

localTimes(document);
