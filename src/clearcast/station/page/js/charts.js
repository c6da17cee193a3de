/** Small charts as SVG: a line with gaps, and stacked shares. Times go from left to right in equal spans. */

import { svg } from "./dom.js";

const [WIDTH, HEIGHT] = [270, 140];
const BOX = { left: 38, right: 264, top: 10, bottom: 114 };
const DAY = 86_400_000; // milliseconds
const HOURS = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAYS = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/**
 * Values over time; null leaves a gap. `words(index)` is told of a span where people point at it; `unit` follows a tick.
 * The axis spans `least` at least, so that trifles look like trifles.
 */
export function lineChart({ starts, values, label, unit = "", least, words }) {
  const known = values.filter((value) => value !== null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const room = Math.max(0, least - (high - low)) / 2;
  const scale = scaleOf(Math.max(0, low - room), high + room);
  const y = (value) => BOX.bottom - ((BOX.bottom - BOX.top) * (value - scale[0])) / (scale.at(-1) - scale[0]);
  const x = (index) => BOX.left + ((BOX.right - BOX.left) * (index + 0.5)) / values.length;
  const dots = values.map((value, index) => value !== null && svg("circle", { class: "dot", cx: x(index), cy: y(value), r: 2 }));
  return drawn(label, [...grid(scale, y, unit), ...times(starts), svg("path", { class: "line", d: pathOf(values, x, y) }), ...dots, ...pointed(starts.length, words)]);
}

/** Shares of kinds over time, one on the other: `counts` is one object of numbers for each span. */
export function shareChart({ starts, counts, kinds, label, words }) {
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
  return drawn(label, [...grid([0, 50, 100], (value) => y(value / 100), "%"), ...times(starts), ...columns, ...pointed(starts.length, words)]);
}

function drawn(label, parts) {
  return svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label }, ...parts);
}

/** Three to six round numbers that hold both, which differ. */
function scaleOf(low, high) {
  const rough = (high - low) / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  const [first, last] = [Math.floor(low / step), Math.ceil(high / step)];
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

function grid(scale, y, unit) {
  return scale.flatMap((value) => [
    svg("line", { class: "grid", x1: BOX.left, x2: BOX.right, y1: y(value), y2: y(value) }),
    svg("text", { x: BOX.left - 5, y: y(value) + 4, "text-anchor": "end" }, `${value}${unit}`),
  ]);
}

/** The times at both ends and in the middle. */
function times(starts) {
  const long = new Date(starts.at(-1)) - new Date(starts[0]) > 2 * DAY;
  const marks = [[0, BOX.left, "start"], [Math.floor(starts.length / 2), (BOX.left + BOX.right) / 2, "middle"], [starts.length - 1, BOX.right, "end"]];
  return marks.map(([index, x, anchor]) => svg("text", { x, y: HEIGHT - 8, "text-anchor": anchor }, (long ? DAYS : HOURS).format(new Date(starts[index]))));
}

function pathOf(values, x, y) {
  const move = (index) => (index > 0 && values[index - 1] !== null ? "L" : "M");
  return values.map((value, index) => (value === null ? "" : `${move(index)}${x(index).toFixed(1)} ${y(value).toFixed(1)}`)).join("");
}

/** Unseen columns that say in words what is drawn there. */
function pointed(spans, words) {
  const width = (BOX.right - BOX.left) / spans;
  return Array.from({ length: spans }, (_, index) =>
    svg("rect", { class: "pointed", x: BOX.left + index * width, y: BOX.top, width, height: BOX.bottom - BOX.top }, svg("title", {}, words(index))),
  );
}
