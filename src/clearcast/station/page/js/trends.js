/** Trends of the history: defect rate, noise, and how the pictures look. */

import { call, search } from "./api.js";
import { lineChart, shareChart } from "./charts.js";
import { el } from "./dom.js";
import { region } from "./region.js";
import { counted, moment, NOISES } from "./words.js";

const SPANS = 36;
const LEAST = { rate: 10, brightness: 40, sharpness: 0.5 }; // percent, grey levels, share of the largest: less is no change to speak of

/** The charts of what the filters (pairs) leave, and the same as a table. */
export function trends(pairs, signal) {
  const load = async () => {
    const { spans } = await call(`v1/trend${search([...pairs, ["spans", SPANS]])}`, { signal });
    return spans.length > 1 ? [el("div", { class: "charts" }, ...charts(spans)), table(spans)] : [];
  };
  return el("details", { class: "trends", open: true }, el("summary", {}, "Trends"), region(load, signal));
}

function charts(spans) {
  const starts = spans.map(({ start }) => start);
  const rates = spans.map((span) => (judged(span) ? (100 * span.verdicts.defect) / judged(span) : null));
  const sharpness = spans.map((span) => span.sharpness);
  const words = (say) => (index) => `${moment(starts[index])}: ${say(spans[index])} (${counted(spans[index].inspections, "inspection")})`;
  const line = (title, values, more) => figure(title, values.some((value) => value !== null) && lineChart({ starts, values, label: `${title} over time. ${range(values)}`, ...more }));
  return [
    line("Defect rate", rates, { unit: "%", least: LEAST.rate, words: words((span) => `${span.verdicts.defect} of ${judged(span)} defect`) }),
    figure("Noise", shareChart({ starts, counts: spans.map((span) => span.noise_types), kinds: Object.keys(NOISES), label: "Shares of noise types over time", words: words(noises) }), legend()),
    line("Brightness", spans.map((span) => span.brightness), { least: LEAST.brightness, words: words((span) => rounded(span.brightness)) }),
    line("Sharpness", sharpness, { least: LEAST.sharpness * Math.max(1, ...sharpness), words: words((span) => rounded(span.sharpness)) }),
  ];
}

function judged({ verdicts }) {
  return verdicts.ok + verdicts.defect + verdicts.retake;
}

function noises({ noise_types: types }) {
  return Object.entries(NOISES).filter(([kind]) => types[kind]).map(([kind, words]) => `${words} ${types[kind]}`).join(", ") || "none";
}

function rounded(value) {
  return value === null ? "–" : value.toFixed(1);
}

function range(values) {
  const known = values.filter((value) => value !== null);
  return `From ${rounded(Math.min(...known))} to ${rounded(Math.max(...known))}.`;
}

function figure(title, chart, more) {
  return el("figure", {}, el("figcaption", {}, title), chart || el("p", { class: "quiet" }, "Nothing to draw."), more);
}

function legend() {
  return el("ul", { class: "legend" }, ...Object.entries(NOISES).map(([kind, words]) => el("li", {}, el("span", { class: `swatch ${kind}` }), kind === "none" ? "None" : words.replace(" noise", ""))));
}

/** For those who cannot see the charts, and those who want the numbers. */
function table(spans) {
  const row = (span) => [moment(span.start), span.inspections, span.verdicts.defect, judged(span) ? `${((100 * span.verdicts.defect) / judged(span)).toFixed(1)}%` : "–", noises(span), rounded(span.brightness), rounded(span.sharpness)];
  const head = ["From", "Inspections", "Defect", "Rate", "Noise", "Brightness", "Sharpness"];
  const body = spans.filter(({ inspections }) => inspections).map((span) => el("tr", {}, ...row(span).map((value) => el("td", {}, String(value)))));
  const whole = el("table", {}, el("thead", {}, el("tr", {}, ...head.map((words) => el("th", { scope: "col" }, words)))), el("tbody", {}, ...body));
  return el("details", {}, el("summary", {}, "The same as a table"), el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Trends as a table" }, whole));
}
