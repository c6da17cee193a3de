/** The view "Review": before parts are released, people look at what the model was least certain of. */

import { call, search } from "./api.js";
import { el, newId } from "./dom.js";
import { PERIODS, since } from "./periods.js";
import { empty, region } from "./region.js";
import { counted } from "./words.js";
import { worklist } from "./worklist.js";

const USUAL = "24h";

export function reviewView({ query }, signal) {
  const about = "The verdicts nearest to the threshold come first.";
  const list = el("div", { class: "working-through" });
  const start = () => list.replaceChildren(region(() => unjudged(query, signal), signal), listOf(query, signal));
  const choices = region(async () => choosers(query, (await call("v1/choices", { signal })).stations, start), signal);
  start();
  return { heading: "Review before release", content: [el("p", { class: "lead" }, about), choices, list] };
}

/** Pictures without a verdict are in no order of certainty; nobody shall overlook them. */
async function unjudged(query, signal) {
  const period = query.get("period") ?? USUAL;
  const station = query.get("station") ?? "";
  const filter = [["verdict", "none"], ["station", station], ["feedback", "false"]];
  const { inspections } = await call(`v1/counts${search([...filter, ["since", since(period)]])}`, { signal });
  if (!inspections) return [];
  const link = el("a", { href: `#/history${search([...filter, ["period", period]])}` }, "Look at them in the history");
  return el("p", { class: "note" }, el("span", { class: "tag" }, "Not in this list"), ` ${counted(inspections, "picture has", "pictures have")} no verdict at all. `, link, ".");
}

function listOf(query, signal) {
  const nothing = empty("Nothing to review", "There are no inspections like this that wait for a look. Choose a longer time, or show those that were answered too.");
  const finished = empty("That was the last one", "All inspections of this time were looked at.");
  const pairs = [
    ["order", "least_certain"],
    ["since", since(query.get("period") ?? USUAL)],
    ["station", query.get("station") ?? ""],
    ["feedback", query.has("all") ? "" : "false"],
  ];
  return worklist(pairs, { signal, nothing, finished });
}

/** Which time and station are reviewed, and whether also what was answered before; kept in the address. */
function choosers(query, stations, start) {
  const [periodId, stationId] = [newId("period"), newId("station")];
  const option = (value, words, chosen) => el("option", { value, selected: value === chosen }, words);
  const period = el("select", { id: periodId }, ...Object.entries(PERIODS).map(([key, { words }]) => option(key, words, query.get("period") ?? USUAL)));
  const station = el("select", { id: stationId }, option("", "All", ""), ...stations.map((name) => option(name, name, query.get("station"))));
  const all = el("input", { type: "checkbox", checked: query.has("all") });
  const change = () => {
    query.set("period", period.value);
    if (station.value) query.set("station", station.value);
    else query.delete("station");
    if (all.checked) query.set("all", "yes");
    else query.delete("all");
    history.replaceState(null, "", `#/review?${query}`);
    start();
  };
  return el(
    "form",
    { class: "choosers", onchange: change, onsubmit: (event) => event.preventDefault() },
    el("div", { class: "field" }, el("label", { for: periodId }, "Time"), period),
    el("div", { class: "field" }, el("label", { for: stationId }, "Station"), station),
    el("label", { class: "check" }, all, "Also those that people answered"),
  );
}
