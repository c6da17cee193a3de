/** The view of one inspection. */

import { call } from "./api.js";
import { button, el } from "./dom.js";
import { icon } from "./icons.js";
import { panel } from "./panel.js";
import { region } from "./region.js";

export function inspectionView({ id }, signal) {
  const load = async () => {
    const place = el("div");
    const show = (inspection) => place.replaceChildren(panel(inspection, { saved: show, facts: true }));
    show(await call(`v1/inspections/${encodeURIComponent(id)}`, { signal }));
    return place;
  };
  const back = button({ class: "plain", onclick: () => (history.length > 1 ? history.back() : (location.hash = "#/history")) }, icon("back"), "Back");
  return { heading: `Inspection ${id}`, content: [el("div", { class: "row" }, back), region(load, signal)] };
}
