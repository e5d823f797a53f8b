/* Notifications of this browser: only where a person asked for them, only of what began to fire since, each once. */

const WISH = "notify-alerts";
const KNOWN = "known-alerts";
/** Whether an alert is silent is found out in this time. */
const WAIT_MS = 8000;
const RAISED = new Set(["firing", "recovering"]);

/** on, off, denied, or insecure: a page by plain HTTP from another machine may not. */
export function notifying() {
  if (!window.isSecureContext || !("Notification" in window)) return "insecure";
  if (Notification.permission === "denied") return "denied";
  return kept(WISH) === "yes" && Notification.permission === "granted" ? "on" : "off";
}

/** Ask the browser, which asks the person. */
export async function turnOn() {
  if ((await Notification.requestPermission()) === "granted") keep(WISH, "yes");
}

export function turnOff() {
  keep(WISH, "no");
}

/** Of these alerts (ids) those are told that were not there before. */
export function notifyOf(raised) {
  const known = kept(KNOWN);
  keep(KNOWN, JSON.stringify(raised));
  if (known === null || notifying() !== "on") return;
  const before = new Set(JSON.parse(known));
  for (const id of raised) if (!before.has(id)) setTimeout(tell, WAIT_MS, id);
}

async function tell(id) {
  const answer = await fetch(`/api/v1/alerts/${id}/`, { headers: { Accept: "application/json" } }).catch(() => null);
  if (!answer?.ok) return;
  const alert = await answer.json();
  if (!RAISED.has(alert.state) || alert.muted_by || alert.acknowledged_by) return;
  const shown = new Notification("DPL", { body: alert.message, tag: `dpl-alert-${id}` });
  shown.onclick = () => {
    window.focus();
    location.assign(`/alerts/history/${id}/`);
  };
}

function kept(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null; // a browser that keeps nothing notifies of nothing
  }
}

function keep(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // see above
  }
}
