/** Filters of the history: as controls, in the page's address, and as the API wants them. */

import { button, el, newId } from "./dom.js";
import { icon } from "./icons.js";
import { PERIODS, since } from "./periods.js";
import { NOISES, VERDICTS } from "./words.js";

const SAME = ["verdict", "noise_type", "model", "station", "disagreement", "feedback", "shadow_differs", "q"]; // named so by the API too
const TYPED = 300; // milliseconds after the last letter until a search begins

/** The API's search parameters for filters of the address, as pairs. */
export function pairsOf(query) {
  const pairs = SAME.flatMap((name) => query.getAll(name).map((value) => [name, value]));
  if (query.get("period") !== "between") return [...pairs, ["since", since(query.get("period"))]];
  return [...pairs, ...["since", "until"].map((name) => [name, query.get(name) ? new Date(query.get(name)).toISOString() : ""])];
}

/** The controls, set as in `query`; `changed` gets the new query. */
export function filterForm(query, { models, stations }, shadow, changed) {
  const form = el("form", { class: "filters", role: "search", "aria-label": "Filters", onsubmit: (event) => event.preventDefault() });
  const between = betweenFields(query);
  let typing = 0;
  const apply = () => {
    clearTimeout(typing);
    between.hidden = form.elements.period.value !== "between";
    changed(read(form));
  };
  form.addEventListener("change", apply);
  form.addEventListener("input", ({ target }) => {
    clearTimeout(typing);
    if (target.type === "search") typing = setTimeout(apply, TYPED);
  });
  const periods = { ...Object.fromEntries(Object.entries(PERIODS).map(([key, { words }]) => [key, words])), between: "Between …" };
  form.append(
    searchField(query),
    selectField("period", "Time", periods, query.get("period") ?? "any"),
    between,
    checks("verdict", "Verdict", VERDICTS, query),
    checks("noise_type", "Noise", NOISES, query),
    selectField("disagreement", "Disagreement", { "": "All", open: "Open", settled: "Settled", none: "None" }, query.get("disagreement")),
    selectField("feedback", "Feedback", { "": "All", true: "With feedback", false: "Without" }, query.get("feedback")),
    ...[
      stations.length > 1 && selectField("station", "Station", named(stations), query.get("station")),
      models.length > 1 && selectField("model", "Model", named(models), query.get("model")),
      shadow && checks("shadow_differs", "Second model", { true: "Differs" }, query),
    ].filter(Boolean),
    el("div", { class: "field" }, button({ class: "plain", onclick: () => (clear(form), apply()) }, "Clear the filters")),
  );
  return form;
}

function searchField(query) {
  const id = newId("search");
  const input = el("input", { id, type: "search", name: "q", value: query.get("q"), placeholder: "part of the name, or SHA-256", autocomplete: "off" });
  return el("div", { class: "field wide" }, el("label", { for: id }, "Search"), input);
}

function selectField(name, words, choices, chosen) {
  const id = newId(name);
  const options = Object.entries(choices).map(([value, text]) => el("option", { value, selected: value === chosen }, text));
  return el("div", { class: "field" }, el("label", { for: id }, words), el("select", { id, name }, ...options));
}

function named(names) {
  return { "": "All", ...Object.fromEntries(names.map((name) => [name, name])) };
}

function checks(name, words, choices, query) {
  const chosen = query.getAll(name);
  const box = ([value, text]) => el("label", { class: "chip" }, el("input", { type: "checkbox", name, value, checked: chosen.includes(value) }), value in VERDICTS && name === "verdict" && icon(value), text);
  return el("fieldset", { class: "field wide" }, el("legend", {}, words), el("div", { class: "chips" }, ...Object.entries(choices).map(box)));
}

function betweenFields(query) {
  const field = (name, words) => {
    const id = newId(name);
    return el("div", { class: "field" }, el("label", { for: id }, words), el("input", { id, type: "datetime-local", name, value: query.get(name) }));
  };
  return el("div", { class: "between", hidden: query.get("period") !== "between" }, field("since", "From"), field("until", "Until"));
}

/** What the controls say; those that ask for everything are left out. */
function read(form) {
  const query = new URLSearchParams();
  const between = form.elements.period.value === "between";
  for (const [name, value] of new FormData(form)) {
    const everything = value === "" || (name === "period" && value === "any") || (["since", "until"].includes(name) && !between);
    if (!everything) query.append(name, value);
  }
  return query;
}

function clear(form) {
  for (const control of form.elements) {
    if (control.type === "checkbox") control.checked = false;
    else if (control.name) control.value = control.name === "period" ? "any" : "";
  }
}
