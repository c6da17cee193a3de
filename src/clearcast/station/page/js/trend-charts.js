/** Trend charts of the history as SVG: defect rate, noise types, brightness and sharpness. */

import { queryString, requestJson } from "./api.js";
import { asyncRegion } from "./async-region.js";
import { el, svg } from "./dom.js";
import { formatTime, noiseLabels, pluralise } from "./format.js";
import { station } from "./station-status.js";

const SPANS = 36;
const MIN_RANGES = { rate: 10, brightness: 40, sharpness: 0.5 }; // of the axes, so that small changes look small: percent, grey levels, share of the largest

/** Create the charts of the filtered inspections (pairs: query parameters), and the same data as a table. */
export function trendCharts(pairs, signal) {
  const load = async () => {
    const { spans } = await requestJson(`v1/trend${queryString([...pairs, ["spans", SPANS]])}`, { signal });
    return spans.length > 1 ? [el("div", { class: "charts" }, ...charts(spans)), table(spans)] : [];
  };
  return el("details", { class: "trends", open: true }, el("summary", {}, "Trends"), asyncRegion(load, signal));
}

function charts(spans) {
  const starts = spans.map(({ start }) => start);
  const rates = spans.map((span) => (withVerdict(span) ? (100 * span.verdicts.defect) / withVerdict(span) : null));
  const sharpness = spans.map((span) => span.sharpness);
  const tooltip = (describe) => (index) => `${formatTime(starts[index])}: ${describe(spans[index])} (${pluralise(spans[index].inspections, "inspection")})`;
  const line = (title, values, more) => figure(title, values.some((value) => value !== null) && lineChart({ starts, values, label: `${title} over time. ${range(values)}`, ...more }));
  return [
    line("Defect rate", rates, { unit: "%", minRange: MIN_RANGES.rate, tooltip: tooltip((span) => `${span.verdicts.defect} of ${withVerdict(span)} defect`) }),
    figure("Noise", shareChart({ starts, counts: spans.map((span) => span.noise_types), kinds: Object.keys(noiseLabels(station.status?.noise_types)), label: "Shares of noise types over time", tooltip: tooltip(noiseCounts) }), legend()),
    line("Brightness", spans.map((span) => span.brightness), { minRange: MIN_RANGES.brightness, tooltip: tooltip((span) => rounded(span.brightness)) }),
    line("Sharpness", sharpness, { minRange: MIN_RANGES.sharpness * Math.max(1, ...sharpness), tooltip: tooltip((span) => rounded(span.sharpness)) }),
  ];
}

function withVerdict({ verdicts }) {
  return verdicts.ok + verdicts.defect + verdicts.retake;
}

function noiseCounts({ noise_types: types }) {
  return Object.entries(noiseLabels(station.status?.noise_types)).filter(([kind]) => types[kind]).map(([kind, words]) => `${words} ${types[kind]}`).join(", ") || "none";
}

function rounded(value) {
  return value === null ? "–" : value.toFixed(1);
}

function range(values) {
  const known = values.filter((value) => value !== null);
  return `From ${rounded(Math.min(...known))} to ${rounded(Math.max(...known))}.`;
}

function figure(title, chart, more) {
  return el("figure", {}, el("figcaption", {}, title), chart || el("p", { class: "quiet" }, "No data."), more);
}

function legend() {
  return el("ul", { class: "legend" }, ...Object.entries(noiseLabels(station.status?.noise_types)).map(([kind, words]) => el("li", {}, el("span", { class: `swatch ${kind}` }), kind === "none" ? "None" : words.replace(" noise", ""))));
}

/** The data of the charts as a table, for screen readers and exact numbers. */
function table(spans) {
  const row = (span) => [formatTime(span.start), span.inspections, span.verdicts.defect, withVerdict(span) ? `${((100 * span.verdicts.defect) / withVerdict(span)).toFixed(1)}%` : "–", noiseCounts(span), rounded(span.brightness), rounded(span.sharpness)];
  const head = ["From", "Inspections", "Defect", "Rate", "Noise", "Brightness", "Sharpness"];
  const body = spans.filter(({ inspections }) => inspections).map((span) => el("tr", {}, ...row(span).map((value) => el("td", {}, String(value)))));
  const whole = el("table", {}, el("thead", {}, el("tr", {}, ...head.map((words) => el("th", { scope: "col" }, words)))), el("tbody", {}, ...body));
  return el("details", {}, el("summary", {}, "Show as table"), el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Trends as a table" }, whole));
}

const [WIDTH, HEIGHT] = [270, 140];
const BOX = { left: 38, right: 264, top: 10, bottom: 114 };
const DAY = 86_400_000; // milliseconds
const HOURS = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAYS = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/**
 * Create a line chart of values over time; null leaves a gap. `tooltip(index)` is the text of a span; `unit` follows each tick
 * label; the axis covers at least `minRange`.
 */
function lineChart({ starts, values, label, unit = "", minRange, tooltip }) {
  const known = values.filter((value) => value !== null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const room = Math.max(0, minRange - (high - low)) / 2;
  const scale = axisTicks(Math.max(0, low - room), high + room);
  const y = (value) => BOX.bottom - ((BOX.bottom - BOX.top) * (value - scale[0])) / (scale.at(-1) - scale[0]);
  const x = (index) => BOX.left + ((BOX.right - BOX.left) * (index + 0.5)) / values.length;
  const dots = values.map((value, index) => value !== null && svg("circle", { class: "dot", cx: x(index), cy: y(value), r: 2 }));
  return chart(label, [...gridLines(scale, y, unit), ...timeLabels(starts), svg("path", { class: "line", d: linePath(values, x, y) }), ...dots, ...hoverAreas(starts.length, tooltip)]);
}

/** Create a stacked chart of shares over time; `counts` has one object of numbers per span. */
function shareChart({ starts, counts, kinds, label, tooltip }) {
  const y = (share) => BOX.bottom - (BOX.bottom - BOX.top) * share;
  const width = (BOX.right - BOX.left) / counts.length;
  const columns = counts.flatMap((count, index) => {
    const all = kinds.reduce((sum, kind) => sum + (count[kind] ?? 0), 0);
    let below = 0;
    return kinds.map((kind) => {
      const share = all ? (count[kind] ?? 0) / all : 0;
      below += share;
      return share > 0 && svg("rect", { class: `kind ${kind}`, x: BOX.left + index * width + 0.5, y: y(below), width: Math.max(width - 1, 1), height: y(0) - y(share) });
    });
  });
  return chart(label, [...gridLines([0, 50, 100], (value) => y(value / 100), "%"), ...timeLabels(starts), ...columns, ...hoverAreas(starts.length, tooltip)]);
}

function chart(label, parts) {
  return svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label }, ...parts);
}

/** Return three to six round tick values that enclose `low` and `high`, which must differ. */
function axisTicks(low, high) {
  const rough = (high - low) / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  const [first, last] = [Math.floor(low / step), Math.ceil(high / step)];
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

function gridLines(scale, y, unit) {
  return scale.flatMap((value) => [
    svg("line", { class: "grid", x1: BOX.left, x2: BOX.right, y1: y(value), y2: y(value) }),
    svg("text", { x: BOX.left - 5, y: y(value) + 4, "text-anchor": "end" }, `${value}${unit}`),
  ]);
}

/** Create the time labels: start, middle and end. */
function timeLabels(starts) {
  const long = new Date(starts.at(-1)) - new Date(starts[0]) > 2 * DAY;
  const marks = [[0, BOX.left, "start"], [Math.floor(starts.length / 2), (BOX.left + BOX.right) / 2, "middle"], [starts.length - 1, BOX.right, "end"]];
  return marks.map(([index, x, anchor]) => svg("text", { x, y: HEIGHT - 8, "text-anchor": anchor }, (long ? DAYS : HOURS).format(new Date(starts[index]))));
}

function linePath(values, x, y) {
  const move = (index) => (index > 0 && values[index - 1] !== null ? "L" : "M");
  return values.map((value, index) => (value === null ? "" : `${move(index)}${x(index).toFixed(1)} ${y(value).toFixed(1)}`)).join("");
}

/** Create transparent columns with a tooltip for each span. */
function hoverAreas(spans, tooltip) {
  const width = (BOX.right - BOX.left) / spans;
  return Array.from({ length: spans }, (_, index) =>
    svg("rect", { class: "hover-area", x: BOX.left + index * width, y: BOX.top, width, height: BOX.bottom - BOX.top }, svg("title", {}, tooltip(index))),
  );
}
