/* One answer as it comes: takes the line's messages into the plain record that is kept and shown. */

const OPENS = "<think>";
const CLOSES = "</think>";

/** A record of an answer that has not begun; `asked` is the model that was asked for, empty for any. */
export function begun(asked) {
  return {
    state: "waiting", asked, model: "", node: null, reasons: [], text: "", thinking: "", pieces: 0,
    usage: null, finish: "", error: null, at: Date.now(), ttft_s: null, thought_s: null, rate: null,
  };
}

export const isRunning = (answer) => answer.state === "waiting" || answer.state === "running";

/** Feeds one record, with its clock. */
export class Hearing {
  constructor(answer) {
    this.answer = answer;
    this.began = performance.now();
    this.first = null;
    this.raw = "";
  }

  /** Take a message; whether the answer is over. */
  take(message) {
    const answer = this.answer;
    if (message.type === "node") Object.assign(answer, { node: message.node, model: message.model, reasons: message.reasons });
    else if (message.type === "thinking" || message.type === "token") this.grow(message);
    else if (message.type === "done") this.end(message);
    else if (message.type === "error") Object.assign(answer, { state: "failed", error: { code: message.code, message: message.message } });
    else if (message.type === "broke") Object.assign(answer, { state: "broke" });
    return !isRunning(answer);
  }

  grow({ type, text }) {
    const answer = this.answer;
    const now = performance.now();
    this.first ??= now;
    answer.ttft_s ??= (now - this.began) / 1000;
    answer.state = "running";
    answer.pieces += 1;
    if (type === "thinking") answer.thinking += text;
    else this.speak(text, now);
  }

  /** Some engines leave the thoughts within the text, between marks. */
  speak(text, now) {
    const answer = this.answer;
    this.raw += text;
    const start = this.raw.trimStart();
    if (start.startsWith(OPENS)) {
      const end = start.indexOf(CLOSES);
      answer.thinking = start.slice(OPENS.length, end < 0 ? undefined : end).trim();
      answer.text = end < 0 ? "" : start.slice(end + CLOSES.length).trimStart();
    } else if (!OPENS.startsWith(start)) answer.text = this.raw;
    if (answer.thinking && answer.text) answer.thought_s ??= (now - this.first) / 1000;
  }

  end({ usage, finish_reason, ttft_ms, duration_ms }) {
    const answer = this.answer;
    const isStopped = finish_reason === "cancelled";
    if (!answer.text && !answer.thinking) answer.text = this.raw;
    Object.assign(answer, { state: isStopped ? "stopped" : "done", usage, finish: finish_reason });
    const isWhole = duration_ms !== undefined;
    if (isWhole) answer.ttft_s = ttft_ms === null ? null : ttft_ms / 1000;
    const seconds = isWhole ? (duration_ms - (ttft_ms ?? 0)) / 1000 : (performance.now() - (this.first ?? 0)) / 1000;
    const tokens = usage?.completion_tokens ?? (isWhole ? 0 : answer.pieces);
    answer.rate = tokens > 1 && this.first !== null && seconds > 0.02 ? tokens / seconds : null;
  }
}
