/* Follows a websocket; asks the JSON API every few seconds while that is down, and says which of the two it is. */

import { sayEnded } from "./session.js";
import { words } from "./show.js";

const POLL_MS = 3000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30000;
const OVER = { 4401: "out", 4403: "out", 4404: "gone" };
export const OVER_BY_STATUS = { 401: "out", 403: "out", 404: "gone" };

/** `receive` gets each message of the socket at `socket`, or each answer of the API at `api`. */
export function follow({ socket, api, receive }) {
  new Follower(socket, api, receive).connect();
}

class Follower {
  constructor(path, api, receive) {
    this.url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
    this.api = api;
    this.receive = receive;
    this.failures = 0;
    this.isOver = false;
    // A laptop that wakes up should not wait for the end of a long pause.
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.hurry());
  }

  connect() {
    clearTimeout(this.retry);
    this.retry = undefined;
    const socket = new WebSocket(this.url);
    socket.onmessage = (event) => {
      this.failures = 0;
      this.stopPolling();
      say("live");
      this.receive(JSON.parse(event.data));
    };
    socket.onclose = (event) => (OVER[event.code] ? this.end(OVER[event.code]) : this.comeAgain());
  }

  comeAgain() {
    if (this.isOver) return;
    const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.failures++);
    this.retry = setTimeout(() => this.connect(), wait * (0.5 + Math.random()));
    if (!this.polling) this.poll();
  }

  hurry() {
    if (this.retry !== undefined && !this.isOver) this.connect();
  }

  async poll() {
    const round = (this.polling = {});
    const said = document.hidden ? undefined : await this.ask(round);
    if (this.polling !== round) return;
    if (OVER_BY_STATUS[said]) return this.end(OVER_BY_STATUS[said]);
    if (said !== undefined) say(said === 200 ? "polling" : "away");
    setTimeout(() => this.polling === round && this.poll(), POLL_MS);
  }

  /** The status of the API's answer, 0 without one. */
  async ask(round) {
    try {
      const answer = await fetch(this.api, { headers: { Accept: "application/json" } });
      if (answer.ok) {
        const found = await answer.json();
        if (this.polling === round) this.receive(found);
      }
      return answer.status;
    } catch {
      return 0; // no answer is an answer here: the page says so and asks again
    }
  }

  stopPolling() {
    this.polling = undefined;
  }

  end(why) {
    this.isOver = true;
    this.stopPolling();
    clearTimeout(this.retry);
    say(why);
  }
}

/** Set the mark that tells how fresh the page is; `of` is what it stands for: a socket, or the list of jobs. */
export function say(what, of = "socket") {
  if (what === "out") sayEnded();
  for (const mark of document.querySelectorAll(`[data-live="${of}"]`)) {
    if (mark.dataset.is === what) continue;
    mark.dataset.is = what;
    mark.textContent = words[what];
  }
}
