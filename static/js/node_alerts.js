/* A node's alerts: those that stand, the last that ended, and the times that they shade on its curves. */

import { fill, list } from "./fill.js";
import { duration, words } from "./show.js";

/** Draw them; gives the spans in which they fired: `{metric, from, to}` in epoch milliseconds, `to` null: still. */
export function drawAlerts(section, alerts) {
  const ended = alerts.filter((alert) => alert.state === "resolved");
  const standing = alerts.filter((alert) => alert.state !== "resolved");
  const shown = [...standing, ...ended.slice(0, Number(section.dataset.mostEnded))];
  fill(section, { "a-any": shown.length > 0 });
  list(section, "alerts", "t-alert", shown, (alert) => alert.id, drawAlert);
  return alerts.filter((alert) => alert.fired_at).map(span);
}

function span(alert) {
  const to = alert.resolved_at ? Date.parse(alert.resolved_at) : null;
  return { metric: alert.metric, from: Date.parse(alert.since), to, label: alert.rule };
}

function drawAlert(row, alert) {
  fill(row, {
    "a-state": words.alerts.states[alert.state] ?? alert.state,
    "a-severity": words.alerts.severities[alert.severity] ?? alert.severity,
    "a-message": alert.message,
    "a-since": alert.since,
    "a-until": alert.resolved_at,
    "a-ended": Boolean(alert.resolved_at),
    "a-lasted": duration(alert.duration_s),
    "a-seen": alert.acknowledged_by,
  });
  row.dataset.is = alert.state;
  row.querySelector('[data-f="a-state"]').dataset.is = alert.state;
  row.querySelector('[data-f="a-severity"]').dataset.is = alert.severity;
}
