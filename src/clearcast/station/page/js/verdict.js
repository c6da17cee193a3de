/** Verdict card, verdict badge and probability bar. */

import { el, icon } from "./dom.js";
import { describeNoise, explainVerdict, formatPercent, formatPercentPair, VERDICT_LABELS, verdictKey } from "./format.js";

/** Create the verdict card, legible from two metres away. */
export function verdictCard(inspection) {
  const verdict = verdictKey(inspection);
  return el(
    "section",
    { class: "verdict-card", "aria-label": "Verdict" },
    el("p", { class: `verdict ${verdict}` }, icon(verdict), el("span", {}, VERDICT_LABELS[verdict])),
    el("p", { class: "reason" }, explainVerdict(inspection)),
    probabilityBar(inspection),
    noiseLine(inspection),
    shadowLine(inspection),
  );
}

/** Create the small badge of a verdict. */
export function verdictBadge(inspection) {
  const verdict = verdictKey(inspection);
  return el("span", { class: `verdict-badge ${verdict}` }, icon(verdict), VERDICT_LABELS[verdict]);
}

/** Create a bar of the defect probability with a mark at the threshold; null if the model gives none. */
export function probabilityBar(inspection, { small = false } = {}) {
  const { p_defect: p, threshold } = inspection;
  if (p === null || threshold === null) return null;
  const [chance, limit] = formatPercentPair(p, threshold);
  const filled = el("div", { class: `fill ${verdictKey(inspection)}` });
  const mark = el("div", { class: "mark" });
  filled.style.width = `${100 * p}%`;
  mark.style.left = `${100 * threshold}%`;
  const label = `Probability of a defect ${chance}; threshold ${limit}`;
  const bar = el("div", { class: "probability", role: "img", "aria-label": label, title: label }, filled, mark);
  if (small) return bar;
  const words = el("span", {}, `threshold ${limit}`);
  words.style.left = `${Math.min(Math.max(100 * threshold, 24), 76)}%`;
  return el("div", { class: "probability-large" }, bar, el("div", { class: "scale", "aria-hidden": "true" }, el("span", {}, "0%"), words, el("span", {}, "100%")));
}

function noiseLine(inspection) {
  const words = describeNoise(inspection);
  if (!words) return null;
  const sure = inspection.p_noise === null ? "" : ` (${formatPercent(inspection.p_noise)} confidence)`;
  return el("p", { class: "noise" }, el("strong", {}, "Noise: "), words, el("span", { class: "quiet" }, sure));
}

function shadowLine({ shadow, verdict }) {
  if (!shadow) return null;
  const result = shadow.error || `${VERDICT_LABELS[shadow.verdict ?? "none"]}${shadow.p_defect === null ? "" : `, ${formatPercent(shadow.p_defect)}`}`;
  const differs = !shadow.error && shadow.verdict !== verdict;
  return el(
    "p",
    { class: "noise" },
    el("strong", {}, "Trial model: "),
    result,
    differs && el("span", { class: "tag" }, "differs"),
    el("span", { class: "quiet" }, " Does not affect the verdict."),
  );
}
