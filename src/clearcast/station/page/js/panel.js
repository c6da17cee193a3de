/** One inspection, whole: verdict, pictures, feedback, facts. */

import { el } from "./dom.js";
import { feedback } from "./feedback.js";
import { onKeys } from "./keys.js";
import { verdictCard } from "./verdict.js";
import { viewer } from "./viewer.js";
import { count, moment, noise, percent, size, VERDICTS, verdictOf } from "./words.js";

/** See `feedback` for `saved` and `settling`; `facts`: whether all facts are shown at once. */
export function panel(inspection, { saved, settling = false, facts = false }) {
  const pictures = viewer(inspection);
  const said = feedback(inspection, { saved, settling });
  const node = el(
    "article",
    { class: "panel", "aria-label": `${inspection.name}: ${VERDICTS[verdictOf(inspection)]}`, tabindex: "-1" },
    el("h2", { class: "name", title: inspection.name }, inspection.name, el("span", { class: "quiet" }, ` No. ${inspection.id}, `, el("time", { datetime: inspection.at }, moment(inspection.at)))),
    verdictCard(inspection),
    pictures.node,
    said.node,
    el("details", { class: "facts", open: facts }, el("summary", {}, "All that is known"), factList(inspection)),
  );
  onKeys(node, {
    o: () => said.answer("ok"),
    d: () => said.answer("defect"),
    b: () => said.answer("bad_picture"),
    n: () => said.note(),
    h: () => pictures.toggleHeat(),
  });
  return node;
}

function factList(inspection) {
  const { width, height, shadow } = inspection;
  const facts = [
    ["Number", el("a", { href: `#/inspection/${inspection.id}` }, String(inspection.id))],
    ["Station", inspection.station],
    ["Model", inspection.model],
    ["Noise", noise(inspection)],
    ["Probability of a defect", shown(inspection.p_defect, (p) => p.toFixed(4))],
    ["Threshold", shown(inspection.threshold, (p) => p.toFixed(4))],
    ["Picture", width ? `${count(width)} × ${count(height)} pixels, ${size(inspection.size)}` : size(inspection.size)],
    ["Brightness", shown(inspection.brightness, (value) => `${value.toFixed(1)} of 255`)],
    ["Sharpness", shown(inspection.sharpness, (value) => value.toFixed(1))],
    ["Inspected in", shown(inspection.ms, (value) => `${Math.round(value)} ms`)],
    ["Second model", shadow && `${shadow.model}: ${shadow.error || VERDICTS[shadow.verdict ?? "none"]}${shadow.p_defect === null ? "" : `, ${percent(shadow.p_defect)}`}`],
    ["Error", inspection.error],
    ["SHA-256", inspection.sha256],
  ];
  return el("dl", {}, ...facts.filter(([, value]) => value).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function shown(value, words) {
  return value === null || value === undefined ? "" : words(value);
}
