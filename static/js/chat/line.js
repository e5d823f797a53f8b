/* The line to the server: questions over the socket; in one piece over HTTP while that is down, and says which it is. */

import { heed } from "../session.js";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30000;
const OUT = new Set([4401, 4403]);

export class Line {
  /** `settings` has the addresses; `onstate` hears ready, whole (no socket), away (no server) or out. */
  constructor(settings, token, onstate) {
    Object.assign(this, { settings, token, onstate });
    this.asked = new Map();
    this.failures = 0;
    this.count = 0;
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.hurry());
    this.connect();
  }

  /** Ask; `hears` gets the messages of the answer, also `broke` when the line did. Returns what stops it. */
  ask(question, hears) {
    const id = `${Date.now().toString(36)}-${++this.count}`;
    if (this.socket?.readyState !== WebSocket.OPEN) return this.askWhole(question, hears);
    this.asked.set(id, hears);
    this.say({ type: "start", id, ...question });
    return () => this.say({ type: "stop", id });
  }

  say(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  connect() {
    clearTimeout(this.retry);
    this.retry = undefined;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = (this.socket = new WebSocket(`${scheme}://${location.host}/ws/chat/`));
    socket.onopen = () => {
      this.failures = 0;
      this.onstate("ready");
    };
    socket.onmessage = (event) => this.hear(JSON.parse(event.data));
    socket.onclose = (event) => this.closed(event.code);
  }

  hear(message) {
    const hears = this.asked.get(message.id);
    if (message.type === "done" || message.type === "error") this.asked.delete(message.id);
    hears?.(message);
  }

  closed(code) {
    const broken = [...this.asked.values()];
    this.asked.clear();
    for (const hears of broken) hears({ type: "broke" });
    if (OUT.has(code)) return this.onstate("out");
    const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.failures++);
    this.retry = setTimeout(() => this.connect(), wait * (0.5 + Math.random()));
    this.look();
  }

  hurry() {
    if (this.retry !== undefined) this.connect();
  }

  /** Whether the server is there at all, now that the socket is not. */
  async look() {
    const { status } = await this.fetch(this.settings.models_url, {});
    if (this.socket.readyState === WebSocket.OPEN) return;
    this.onstate(status === 200 ? "whole" : status === 401 || status === 403 ? "out" : "away");
  }

  askWhole(question, hears) {
    const leaving = new AbortController();
    const headers = { "Content-Type": "application/json", "X-CSRFToken": this.token };
    const request = { method: "POST", body: JSON.stringify(question), headers, signal: leaving.signal };
    this.fetch(this.settings.answer, request).then(({ status, body }) => {
      if (leaving.signal.aborted) hears({ type: "done", usage: null, finish_reason: "cancelled" });
      else if (status === 200) tell(body, hears);
      else if (body?.error) hears({ type: "error", ...body.error });
      else hears({ type: "broke" });
    });
    return () => leaving.abort();
  }

  /** The status (0: no answer came) and the JSON of an answer. */
  async fetch(path, request) {
    try {
      const answer = heed(await fetch(path, { ...request, headers: { Accept: "application/json", ...request.headers } }));
      return { status: answer.status, body: await answer.json() };
    } catch {
      return { status: 0 };
    }
  }
}

/** A whole answer in the messages that it would have come in. */
function tell(whole, hears) {
  hears({ type: "node", node: whole.node, model: whole.model, reasons: whole.reasons });
  if (whole.thinking) hears({ type: "thinking", text: whole.thinking });
  if (whole.text) hears({ type: "token", text: whole.text });
  hears({ type: "done", usage: whole.usage, finish_reason: whole.finish_reason, ttft_ms: whole.ttft_ms, duration_ms: whole.duration_ms });
}
