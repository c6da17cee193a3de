/** What the station says of itself: which model judges, and how good it was when it was measured. */

import { button, el } from "./dom.js";
import { station } from "./station.js";
import { counted, interval, percent, size } from "./words.js";

const MEASURES = { accuracy: "Right verdicts", escape: "Defects that it called OK", overkill: "OK parts that it called defects" };

export function showAbout() {
  const dialog = el("dialog", { class: "dialog", "aria-labelledby": "about", onclose: () => dialog.remove() });
  dialog.append(
    el(
      "div",
      { class: "stack" },
      el("h1", { id: "about" }, "This station"),
      station.facts ? facts(station.facts) : el("p", {}, "The station has not answered yet."),
      el("p", { class: "quiet" }, "In brackets: the range that holds the true share with 95% confidence."),
      el("div", { class: "row" }, button({ class: "primary", autofocus: true, onclick: () => dialog.close() }, "Close"), el("a", { href: "docs" }, "For programs: the API")),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
}

function facts({ station: name, model, threshold, measured, shadow, shadow_fault: fault, limits, repeats, version }) {
  const shares = Object.entries(MEASURES).filter(([key]) => measured?.[key]); // null: it was not measured, which is not 0%
  const pairs = [
    ["Name", name],
    ["Model", model],
    ["It says defect above", threshold === null ? "" : percent(threshold)],
    ["Measured on", measured?.images ? `${counted(measured.images, "picture")} of ${counted(measured.parts, "part")} that it had not seen` : ""],
    ...shares.map(([key, words]) => [words, interval(measured[key])]),
    ["Second model, on trial", [shadow, fault].filter(Boolean).join(": ")],
    ["Repeated pictures", repeats ? `${counted(repeats, "picture")} the same as the sender's one before` : ""],
    ["Largest file", size(limits.bytes)],
    ["Clearcast", version],
  ];
  return el("dl", { class: "about" }, ...pairs.filter(([, value]) => value).map(([words, value]) => el("div", {}, el("dt", {}, words), el("dd", {}, value))));
}
