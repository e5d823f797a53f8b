/* How values are shown; the server's `templatetags/show.py` shows them alike. What is unknown is a dash, never 0. */

const UNKNOWN = "–";
const language = document.documentElement.lang || "en";
const units = [[86400, "d", 3600, "h"], [3600, "h", 60, "m"], [60, "m", 1, "s"]];
export const region = navigator.languages.find((one) => one.split("-")[0] === language.split("-")[0]) ?? language;
const time = new Intl.DateTimeFormat(region, { timeStyle: "medium" });
const dateAndTime = new Intl.DateTimeFormat(region, { dateStyle: "medium", timeStyle: "short" });

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

export const words = JSON.parse(document.getElementById("words").textContent);

// Kept, since making one takes far longer than using it, and the overview writes thousands of numbers a second.
const formats = new Map();

export function number(value, decimals = 0) {
  if (!isNumber(value)) return UNKNOWN;
  let format = formats.get(decimals);
  if (!format) {
    format = new Intl.NumberFormat("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
    formats.set(decimals, format);
  }
  return format.format(value);
}

export const percent = (value) => (isNumber(value) ? `${number(value)} %` : UNKNOWN);
export const share = (value) => (isNumber(value) ? `${number(value * 100, 1)} %` : UNKNOWN);
export const heat = (value) => (isNumber(value) ? `${number(value)} °C` : UNKNOWN);
export const state = (value) => words.states[value] ?? value;

export function size(value) {
  if (!isNumber(value)) return UNKNOWN;
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (value < 1024) return `${number(value, unit === "B" ? 0 : 1)} ${unit}`;
    value /= 1024;
  }
  return `${number(value, 1)} TiB`;
}

export function duration(seconds) {
  if (!isNumber(seconds)) return UNKNOWN;
  if (seconds < 10) return `${seconds.toFixed(1)}s`;
  const whole = Math.round(seconds);
  for (const [unit_s, unit, below_s, below] of units) {
    if (whole >= unit_s) {
      const rest = String(Math.floor((whole % unit_s) / below_s)).padStart(2, "0");
      return `${Math.floor(whole / unit_s)}${unit} ${rest}${below}`;
    }
  }
  return `${whole}s`;
}

/** An instant in the reader's own zone: today's by its time alone. */
export function moment(iso) {
  if (!iso) return "";
  const then = new Date(iso);
  const isToday = then.toDateString() === new Date().toDateString();
  return (isToday ? time : dateAndTime).format(then);
}

/** `"{done} of {total}"` with its values in place. */
export function said(sentence, values) {
  return sentence.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}
