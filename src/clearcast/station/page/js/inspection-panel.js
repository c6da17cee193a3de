/** Inspection panel: verdict, images, feedback and details of one inspection; and the view that shows it alone. */

import { requestJson } from "./api.js";
import { asyncRegion } from "./async-region.js";
import { bindKeys, button, el, icon } from "./dom.js";
import { feedbackSection } from "./feedback-form.js";
import { describeNoise, formatBytes, formatCount, formatPercent, formatTime, VERDICT_LABELS, verdictKey } from "./format.js";
import { imageViewer } from "./image-viewer.js";
import { verdictCard } from "./verdict.js";

/** Create the panel. `saved` and `settling`: see `feedbackSection`; `expanded`: whether the details are open. */
export function inspectionPanel(inspection, { saved, settling = false, expanded = false }) {
  const images = imageViewer(inspection);
  const feedback = feedbackSection(inspection, { saved, settling });
  const node = el(
    "article",
    { class: "panel", "aria-label": `${inspection.name}: ${VERDICT_LABELS[verdictKey(inspection)]}`, tabindex: "-1" },
    el("h2", { class: "name", title: inspection.name }, inspection.name, el("span", { class: "quiet" }, ` No. ${inspection.id}, `, el("time", { datetime: inspection.at }, formatTime(inspection.at)))),
    verdictCard(inspection),
    images.node,
    feedback.node,
    el("details", { class: "details", open: expanded }, el("summary", {}, "Details"), detailList(inspection)),
  );
  bindKeys(node, {
    o: () => feedback.submit("ok"),
    d: () => feedback.submit("defect"),
    b: () => feedback.submit("bad_picture"),
    n: () => feedback.focusNote(),
    h: () => images.toggleHeat(),
  });
  return node;
}

function detailList(inspection) {
  const { width, height, shadow } = inspection;
  const facts = [
    ["Number", el("a", { href: `#/inspection/${inspection.id}` }, String(inspection.id))],
    ["Station", inspection.station],
    ["Model", inspection.model],
    ["Noise", describeNoise(inspection)],
    ["Probability of a defect", formatIfKnown(inspection.p_defect, (p) => p.toFixed(4))],
    ["Threshold", formatIfKnown(inspection.threshold, (p) => p.toFixed(4))],
    ["Image", width ? `${formatCount(width)} × ${formatCount(height)} pixels, ${formatBytes(inspection.size)}` : formatBytes(inspection.size)],
    ["Brightness", formatIfKnown(inspection.brightness, (value) => `${value.toFixed(1)} of 255`)],
    ["Sharpness", formatIfKnown(inspection.sharpness, (value) => value.toFixed(1))],
    ["Inspection time", formatIfKnown(inspection.ms, (value) => `${Math.round(value)} ms`)],
    ["Trial model", shadow && `${shadow.model}: ${shadow.error || VERDICT_LABELS[shadow.verdict ?? "none"]}${shadow.p_defect === null ? "" : `, ${formatPercent(shadow.p_defect)}`}`],
    ["Error", inspection.error],
    ["SHA-256", inspection.sha256],
  ];
  return el("dl", {}, ...facts.filter(([, value]) => value).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function formatIfKnown(value, format) {
  return value === null || value === undefined ? "" : format(value);
}

/** The view of one inspection. */
export function inspectionView({ id }, signal) {
  const load = async () => {
    const place = el("div");
    const render = (inspection) => place.replaceChildren(inspectionPanel(inspection, { saved: render, expanded: true }));
    render(await requestJson(`v1/inspections/${encodeURIComponent(id)}`, { signal }));
    return place;
  };
  const back = button({ class: "plain", onclick: () => (history.length > 1 ? history.back() : (location.hash = "#/history")) }, icon("back"), "Back");
  return { heading: `Inspection ${id}`, content: [el("div", { class: "row" }, back), asyncRegion(load, signal)] };
}
