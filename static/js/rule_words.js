/* What a rule means, in sentences, as it stands in its form. */

import { metricName, reading } from "./reading.js";
import { duration, said, words } from "./show.js";

const number = (field) => (field.value.trim() === "" ? null : Number(field.value));
const chosen = (field) => field.selectedOptions[0]?.textContent.trim() ?? "";

/** `places` are the names of where it looks; none: everywhere. Nothing is said while the value to fire at is missing. */
export function meaning({ metric, aggregation, window_s, operator, fire_value, clear_value, for_s, keep_s, severity, no_data, repeat_s }, places) {
  const value = number(fire_value);
  if (value === null || Number.isNaN(value)) return "";
  const is = words.switches[metric.value] ? switched(metric.value, operator.value) : `${words.means.is[operator.value]} ${reading(metric.value, value)}`;
  const sentences = [
    said(words.means.fires, {
      where: places.length ? places.join(", ") : words.means.everywhere,
      figure: figure(metric.value, aggregation, number(window_s)),
      is,
      time: lasting(words.means.lasting, number(for_s)),
      severity: chosen(severity),
    }),
    said(words.means.ends, { back: back(metric.value, operator.value, number(clear_value), value), time: lasting(words.means.lasting, number(keep_s)) }),
    said(words.means.no_data, { what: chosen(no_data) }),
    number(repeat_s) ? said(words.means.repeats, { time: duration(number(repeat_s)) }) : "",
  ];
  return sentences.filter(Boolean).join(words.means.gap);
}

function figure(metric, aggregation, window_s) {
  const name = metricName(metric);
  if (aggregation.value === "last") return name;
  return said(words.means.window, { figure: name, aggregation: chosen(aggregation), time: duration(window_s) });
}

const switched = (metric, operator) => said(words.means.state, { state: words.switches[metric][operator.startsWith("<") ? 0 : 1] });

function back(metric, operator, clear, fire) {
  if (words.switches[metric] || clear === null || clear === fire) return words.means.no_more;
  return said(words.means[operator.startsWith("<") ? "up_to" : "down_to"], { value: reading(metric, clear) });
}

const lasting = (sentence, seconds) => (seconds ? said(sentence, { time: duration(seconds) }) : "");
