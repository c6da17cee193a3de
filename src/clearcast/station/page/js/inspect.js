/** The view "Inspect": give pictures, get verdicts. */

import { batch } from "./batch.js";
import { photograph } from "./camera.js";
import { button, el, say } from "./dom.js";
import { icon } from "./icons.js";
import { panel } from "./panel.js";
import { progressBox } from "./progress.js";
import { choose } from "./receiving.js";
import { empty } from "./region.js";
import { station } from "./station.js";
import { batchStrip } from "./strip.js";
import { size, VERDICTS, verdictOf } from "./words.js";

let chosen = null; // the item that is shown; it stays so when people look at another view and come back

export function inspectView(_, signal) {
  if (station.facts?.role === "reader") {
    const may = ["You may read the history, its pictures and its charts. To inspect, sign in with an operator's token."];
    return { heading: "Inspect", content: empty("You are signed in as a reader", ...may) };
  }
  const giving = el("section", { class: "giving", "aria-label": "Give pictures" });
  const progress = progressBox();
  const shown = el("div", { class: "shown" });
  const choosing = (item) => ((chosen = item), update(null), showItem(shown));
  const strip = batchStrip(choosing);

  function update(item) {
    giving.classList.toggle("small", batch.items.length > 0);
    progress.update();
    strip.update(item, chosen);
    if (item && item === chosen) showItem(shown);
  }
  batch.addEventListener("added", ({ detail }) => choosing(detail[0]), { signal });
  batch.addEventListener("changed", ({ detail }) => update(detail), { signal });
  batch.addEventListener("changed", () => batch.items.includes(chosen) || ((chosen = null), showItem(shown)), { signal });
  giving.append(...givers());
  update(null);
  showItem(shown);
  return { heading: "Inspect", content: [giving, progress.node, el("div", { class: "bench" }, strip.node, shown)] };
}

function givers() {
  const most = station.facts?.limits?.bytes;
  return [
    el("p", { class: "giving-title" }, icon("upload"), "Drop pictures here"),
    el(
      "div",
      { class: "row" },
      button({ class: "primary", onclick: () => choose() }, icon("upload"), "Choose pictures"),
      button({ onclick: photograph }, icon("camera"), "Photograph"),
    ),
    el("p", { class: "quiet giving-hint" }, `Or paste one with Ctrl + V. JPEG, PNG, BMP, TIFF or WebP${most ? `, up to ${size(most)} each` : ""}. Folders can be dropped too.`),
  ];
}

/** The chosen picture: on its way, failed, or inspected. */
function showItem(node) {
  if (!chosen) return node.replaceChildren();
  if (chosen.state === "done") {
    const item = chosen; // while an answer is on its way, another may be chosen
    const saved = (inspection) => batch.replace(item, inspection);
    const { name } = chosen.inspection;
    if (batch.items.length === 1) say(`${name}: ${VERDICTS[verdictOf(chosen.inspection)]}`);
    return node.replaceChildren(panel(chosen.inspection, { saved }));
  }
  const words = chosen.state === "failed" ? empty(`${chosen.name}: no verdict`, chosen.error) : el("p", { class: "working", "aria-busy": "true" }, `Inspecting ${chosen.name} …`);
  return node.replaceChildren(words);
}
