/* Notices that nobody is logged in here any more, says so above the page, and leads to the login and back. */

import { inWords } from "./sentences.js";

const notice = document.getElementById("ended");

/** The answer as it came; the page is told when the server no longer knows who asks. */
export function heed(answer) {
  const isLedAway = answer.redirected && new URL(answer.url).pathname === notice?.dataset.login;
  if (answer.status === 401 || isLedAway) sayEnded();
  return answer;
}

/** What the server says is wrong, in a sentence for the page; undefined when it says nothing. */
export const whyNot = (answer, body) => (answer.status === 401 && notice ? notice.firstChild.textContent : inWords(body?.error?.message));

/** What was typed stays where it is: nobody is led away unasked. */
export function sayEnded() {
  if (!notice?.hidden) return;
  const link = notice.querySelector("a");
  link.search = new URLSearchParams({ next: location.pathname + location.search + location.hash });
  notice.hidden = false;
}
