/** Filters of the history: form controls, page address and the API's query parameters. */

import { button, el, icon, newId } from "./dom.js";
import { noiseLabels, PERIODS, periodStart, VERDICT_LABELS } from "./format.js";

const SHARED_NAMES = ["verdict", "noise_type", "model", "station", "disagreement", "feedback", "shadow_differs", "q"]; // the same in the page's address and the API
const SEARCH_DELAY = 300; // milliseconds after the last keystroke

/** Convert the filters of the page's address to the API's query parameters, as pairs. */
export function filterParams(query) {
  const pairs = SHARED_NAMES.flatMap((name) => query.getAll(name).map((value) => [name, value]));
  if (query.get("period") !== "between") return [...pairs, ["since", periodStart(query.get("period"))]];
  return [...pairs, ...["since", "until"].map((name) => [name, query.get(name) ? new Date(query.get(name)).toISOString() : ""])];
}

/** Create the filter form with the values of `query`, from the choices in the log and the status of the station (null: unknown); `changed` gets the new query. */
export function filterForm(query, { models, stations }, status, changed) {
  const form = el("form", { class: "filters", role: "search", "aria-label": "Filters", onsubmit: (event) => event.preventDefault() });
  const between = betweenFields(query);
  let typing = 0;
  const apply = () => {
    clearTimeout(typing);
    between.hidden = form.elements.period.value !== "between";
    changed(readForm(form));
  };
  form.addEventListener("change", apply);
  form.addEventListener("input", ({ target }) => {
    clearTimeout(typing);
    if (target.type === "search") typing = setTimeout(apply, SEARCH_DELAY);
  });
  const periods = { ...Object.fromEntries(Object.entries(PERIODS).map(([key, { label }]) => [key, label])), between: "Between …" };
  form.append(
    searchField(query),
    selectField("period", "Time", periods, query.get("period") ?? "any"),
    between,
    checkboxGroup("verdict", "Verdict", VERDICT_LABELS, query),
    checkboxGroup("noise_type", "Noise", noiseLabels(status?.noise_types), query),
    selectField("disagreement", "Disagreement", { "": "All", open: "Open", settled: "Settled", none: "None" }, query.get("disagreement")),
    selectField("feedback", "Feedback", { "": "All", true: "With feedback", false: "Without" }, query.get("feedback")),
    ...[
      stations.length > 1 && selectField("station", "Station", nameOptions(stations), query.get("station")),
      models.length > 1 && selectField("model", "Model", nameOptions(models), query.get("model")),
      status?.shadow && checkboxGroup("shadow_differs", "Trial model", { true: "Differs" }, query),
    ].filter(Boolean),
    el("div", { class: "field" }, button({ class: "plain", onclick: () => (clearForm(form), apply()) }, "Clear filters")),
  );
  return form;
}

function searchField(query) {
  const id = newId("search");
  const input = el("input", { id, type: "search", name: "q", value: query.get("q"), placeholder: "name or SHA-256", autocomplete: "off" });
  return el("div", { class: "field wide" }, el("label", { for: id }, "Search"), input);
}

function selectField(name, label, choices, chosen) {
  const id = newId(name);
  const options = Object.entries(choices).map(([value, text]) => el("option", { value, selected: value === chosen }, text));
  return el("div", { class: "field" }, el("label", { for: id }, label), el("select", { id, name }, ...options));
}

function nameOptions(names) {
  return { "": "All", ...Object.fromEntries(names.map((name) => [name, name])) };
}

function checkboxGroup(name, label, choices, query) {
  const chosen = query.getAll(name);
  const box = ([value, text]) => el("label", { class: "chip" }, el("input", { type: "checkbox", name, value, checked: chosen.includes(value) }), value in VERDICT_LABELS && name === "verdict" && icon(value), text);
  return el("fieldset", { class: "field wide" }, el("legend", {}, label), el("div", { class: "chips" }, ...Object.entries(choices).map(box)));
}

function betweenFields(query) {
  const field = (name, label) => {
    const id = newId(name);
    return el("div", { class: "field" }, el("label", { for: id }, label), el("input", { id, type: "datetime-local", name, value: query.get(name) }));
  };
  return el("div", { class: "between", hidden: query.get("period") !== "between" }, field("since", "From"), field("until", "Until"));
}

/** Read the form into a query; controls that filter nothing are left out. */
function readForm(form) {
  const query = new URLSearchParams();
  const between = form.elements.period.value === "between";
  for (const [name, value] of new FormData(form)) {
    const unfiltered = value === "" || (name === "period" && value === "any") || (["since", "until"].includes(name) && !between);
    if (!unfiltered) query.append(name, value);
  }
  return query;
}

function clearForm(form) {
  for (const control of form.elements) {
    if (control.type === "checkbox") control.checked = false;
    else if (control.name) control.value = control.name === "period" ? "any" : "";
  }
}
