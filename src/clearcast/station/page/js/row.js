/** One inspection as a row of the history. */

import { el } from "./dom.js";
import { thumbnail } from "./strip.js";
import { chanceBar, verdictSign } from "./verdict.js";
import { moment, noise, percent, SAID } from "./words.js";

export function rowOf(inspection) {
  const { id, name, station, at, error, p_defect: p } = inspection;
  const chance = el("span", { class: "row-chance" }, p === null ? "" : percent(p), chanceBar(inspection, { small: true }));
  return el(
    "li",
    {},
    el(
      "a",
      { class: "inspection-row", href: `#/inspection/${id}` },
      thumbnail(inspection),
      verdictSign(inspection),
      el("span", { class: "row-name" }, el("strong", {}, name), el("span", { class: "quiet" }, error || noise(inspection))),
      chance,
      el("span", { class: "row-when" }, el("time", { datetime: at }, moment(at)), el("span", { class: "quiet" }, station)),
      spoken(inspection),
    ),
  );
}

function spoken({ feedback, disagreement }) {
  const last = feedback.at(-1);
  if (!last) return el("span", { class: "row-said" });
  const tag = disagreement === "open" ? el("span", { class: "tag" }, "open") : disagreement === "settled" && el("span", { class: "tag calm" }, "settled");
  return el("span", { class: "row-said" }, `${last.operator || "Somebody"}: ${SAID[last.says] ?? last.says}`, tag);
}
