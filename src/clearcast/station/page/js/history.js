/** The view "History": all inspections, filtered, counted, drawn and exported. */

import { call, search } from "./api.js";
import { button, el } from "./dom.js";
import { filterForm, pairsOf } from "./filters.js";
import { icon } from "./icons.js";
import { empty, fillRegion, region } from "./region.js";
import { rowOf } from "./row.js";
import { station } from "./station.js";
import { trends } from "./trends.js";
import { count, counted, VERDICTS } from "./words.js";

const LIMIT = 50; // rows that are loaded at a time

export function historyView({ query }, signal) {
  const results = el("div", { class: "results" });
  let shown = new AbortController(); // of the results; other filters end it
  const show = (filters) => {
    shown.abort();
    shown = new AbortController();
    const either = AbortSignal.any([signal, shown.signal]);
    fillRegion(results, () => resultsOf(pairsOf(filters), either), either);
  };
  const changed = (filters) => {
    history.replaceState(null, "", `#/history${search([...filters])}`);
    show(filters);
  };
  const wide = matchMedia("(min-width: 60rem)").matches || [...query].length > 0;
  const filters = region(async () => {
    const form = filterForm(query, await call("v1/choices", { signal }), station.facts?.shadow, changed);
    return el("details", { class: "filter-box", open: wide }, el("summary", {}, "Search and filters"), form);
  }, signal);
  show(query);
  return { heading: "History", content: el("div", { class: "history" }, filters, results) };
}

async function resultsOf(pairs, signal) {
  const [page, tally] = await Promise.all([rows(pairs, "", signal), call(`v1/counts${search(pairs)}`, { signal })]);
  if (!tally.inspections) return pairs.some(([, value]) => value) ? empty("Nothing matches", "Take a filter away, or choose a longer time.") : nothingYet();
  return [counts(tally, pairs), trends(pairs, signal), list(pairs, page, tally.inspections, signal)];
}

function nothingYet() {
  const node = empty("No inspections yet", "Every picture that is inspected here appears in this list, with its verdict.");
  node.append(el("p", {}, el("a", { class: "button", href: "#/" }, "Inspect a picture")));
  return node;
}

function rows(pairs, after, signal) {
  return call(`v1/inspections${search([...pairs, ["limit", LIMIT], ["after", after]])}`, { signal });
}

function counts(tally, pairs) {
  const judged = tally.verdicts.ok + tally.verdicts.defect + tally.verdicts.retake;
  const share = judged ? `${((100 * tally.verdicts.defect) / judged).toFixed(1)}%` : "–";
  const of = ([verdict, words]) => el("div", { class: "figure" }, el("dt", {}, icon(verdict), words), el("dd", {}, count(tally.verdicts[verdict])));
  const figure = (words, value) => el("div", { class: "figure" }, el("dt", {}, words), el("dd", {}, value));
  return el(
    "section",
    { class: "counts", "aria-label": "Counts" },
    el("dl", {}, figure("Inspections", count(tally.inspections)), ...Object.entries(VERDICTS).map(of), figure("Defect rate", share), figure("Contradicted", count(tally.disagreements))),
    el("a", { class: "button", href: `v1/inspections.csv${search(pairs)}`, download: "" }, icon("download"), `Export ${counted(tally.inspections, "row")} as CSV`),
  );
}

function list(pairs, first, all, signal) {
  const ol = el("ol", { class: "rows" });
  const words = el("p", { class: "quiet", role: "status" });
  const fault = el("p", { class: "fault", role: "alert" });
  let next = null;
  const take = (page) => {
    next = page.next;
    ol.append(...page.inspections.map(rowOf));
    words.textContent = `${count(ol.childElementCount)} of ${count(Math.max(all, ol.childElementCount))} shown`;
    more.hidden = !next;
  };
  const load = async () => {
    more.disabled = true;
    fault.textContent = "";
    try {
      take(await rows(pairs, next, signal));
    } catch (error) {
      if (!signal.aborted) fault.textContent = `${error.message} Please press again.`;
    } finally {
      more.disabled = false;
    }
  };
  const more = button({ onclick: load }, "Show more");
  take(first);
  return el("section", { "aria-label": "Inspections" }, ol, el("div", { class: "row" }, more, words), fault);
}
