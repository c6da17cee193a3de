/** The verdict: large, in words, colour and shape; and how near it was. */

import { el } from "./dom.js";
import { icon } from "./icons.js";
import { noise, percent, percents, reason, VERDICTS, verdictOf } from "./words.js";

/** The verdict as people see it from two metres away. */
export function verdictCard(inspection) {
  const verdict = verdictOf(inspection);
  return el(
    "section",
    { class: "verdict-card", "aria-label": "Verdict" },
    el("p", { class: `verdict ${verdict}` }, icon(verdict), el("span", {}, VERDICTS[verdict])),
    el("p", { class: "reason" }, reason(inspection)),
    chanceBar(inspection),
    noiseLine(inspection),
    shadowLine(inspection),
  );
}

/** The verdict as a small sign beside a name. */
export function verdictSign(inspection) {
  const verdict = verdictOf(inspection);
  return el("span", { class: `sign ${verdict}` }, icon(verdict), VERDICTS[verdict]);
}

/** The probability as a bar, with the threshold as a mark on it; null where there is none. */
export function chanceBar(inspection, { small = false } = {}) {
  const { p_defect: p, threshold } = inspection;
  if (p === null || threshold === null) return null;
  const [chance, limit] = percents(p, threshold);
  const filled = el("div", { class: `filled ${verdictOf(inspection)}` });
  const mark = el("div", { class: "mark" });
  filled.style.width = `${100 * p}%`;
  mark.style.left = `${100 * threshold}%`;
  const said = `Probability of a defect ${chance}; threshold ${limit}`;
  const bar = el("div", { class: "chance", role: "img", "aria-label": said, title: said }, filled, mark);
  if (small) return bar;
  const words = el("span", {}, `threshold ${limit}`);
  words.style.left = `${Math.min(Math.max(100 * threshold, 24), 76)}%`;
  return el("div", { class: "chance-large" }, bar, el("div", { class: "scale", "aria-hidden": "true" }, el("span", {}, "0%"), words, el("span", {}, "100%")));
}

function noiseLine(inspection) {
  const words = noise(inspection);
  if (!words) return null;
  const sure = inspection.p_noise === null ? "" : ` (${percent(inspection.p_noise)} sure)`;
  return el("p", { class: "noise" }, el("strong", {}, "Noise: "), words, el("span", { class: "quiet" }, sure));
}

function shadowLine({ shadow, verdict }) {
  if (!shadow) return null;
  const said = shadow.error || `${VERDICTS[shadow.verdict ?? "none"]}${shadow.p_defect === null ? "" : `, ${percent(shadow.p_defect)}`}`;
  const differs = !shadow.error && shadow.verdict !== verdict;
  return el(
    "p",
    { class: "noise" },
    el("strong", {}, "Second model, on trial: "),
    said,
    differs && el("span", { class: "tag" }, "differs"),
    el("span", { class: "quiet" }, " It decides nothing."),
  );
}
