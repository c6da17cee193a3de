/** The view "History": inspections with filters, counts, trend charts and CSV export. */

import { queryString, requestJson } from "./api.js";
import { asyncRegion, emptyState, loadRegion } from "./async-region.js";
import { button, el, icon } from "./dom.js";
import { filterForm, filterParams } from "./filters.js";
import { describeNoise, FEEDBACK_LABELS, formatCount, formatPercent, formatTime, pluralise, VERDICT_LABELS } from "./format.js";
import { station } from "./station-status.js";
import { thumbnailImage } from "./thumbnails.js";
import { trendCharts } from "./trend-charts.js";
import { probabilityBar, verdictBadge } from "./verdict.js";

const PAGE_SIZE = 50;

/** The view "History". */
export function historyView({ query }, signal) {
  const results = el("div", { class: "results" });
  let current = new AbortController(); // of the results; aborted when the filters change
  const showResults = (filters) => {
    current.abort();
    current = new AbortController();
    const either = AbortSignal.any([signal, current.signal]);
    loadRegion(results, () => loadResults(filterParams(filters), either), either);
  };
  const changed = (filters) => {
    history.replaceState(null, "", `#/history${queryString([...filters])}`);
    showResults(filters);
  };
  const wide = matchMedia("(min-width: 60rem)").matches || [...query].length > 0;
  const filters = asyncRegion(async () => {
    const form = filterForm(query, await requestJson("v1/choices", { signal }), station.status, changed);
    return el("details", { class: "filter-box", open: wide }, el("summary", {}, "Search and filters"), form);
  }, signal);
  showResults(query);
  return { heading: "History", content: el("div", { class: "history" }, filters, results) };
}

async function loadResults(pairs, signal) {
  const [page, totals] = await Promise.all([fetchPage(pairs, "", signal), requestJson(`v1/counts${queryString(pairs)}`, { signal })]);
  if (!totals.inspections) return pairs.some(([, value]) => value) ? emptyState("No matches", "Remove a filter or choose a longer period.") : emptyHistory();
  return [countsBar(totals, pairs), trendCharts(pairs, signal), inspectionList(pairs, page, totals.inspections, signal)];
}

function emptyHistory() {
  const node = emptyState("No inspections yet", "Inspected images appear here with their verdict.");
  node.append(el("p", {}, el("a", { class: "button", href: "#/" }, "Inspect an image")));
  return node;
}

function fetchPage(pairs, after, signal) {
  return requestJson(`v1/inspections${queryString([...pairs, ["limit", PAGE_SIZE], ["after", after]])}`, { signal });
}

function countsBar(totals, pairs) {
  const withVerdict = totals.verdicts.ok + totals.verdicts.defect + totals.verdicts.retake;
  const share = withVerdict ? `${((100 * totals.verdicts.defect) / withVerdict).toFixed(1)}%` : "–";
  const of = ([verdict, words]) => el("div", { class: "figure" }, el("dt", {}, icon(verdict), words), el("dd", {}, formatCount(totals.verdicts[verdict])));
  const figure = (words, value) => el("div", { class: "figure" }, el("dt", {}, words), el("dd", {}, value));
  return el(
    "section",
    { class: "counts", "aria-label": "Counts" },
    el("dl", {}, figure("Inspections", formatCount(totals.inspections)), ...Object.entries(VERDICT_LABELS).map(of), figure("Defect rate", share), figure("Disagreements", formatCount(totals.disagreements))),
    el("a", { class: "button", href: `v1/inspections.csv${queryString(pairs)}`, download: "" }, icon("download"), `Export ${pluralise(totals.inspections, "row")} as CSV`),
  );
}

function inspectionList(pairs, first, all, signal) {
  const ol = el("ol", { class: "rows" });
  const words = el("p", { class: "quiet", role: "status" });
  const fault = el("p", { class: "fault", role: "alert" });
  let next = null;
  const append = (page) => {
    next = page.next;
    ol.append(...page.inspections.map(historyRow));
    words.textContent = `${formatCount(ol.childElementCount)} of ${formatCount(Math.max(all, ol.childElementCount))} shown`;
    more.hidden = !next;
  };
  const load = async () => {
    more.disabled = true;
    fault.textContent = "";
    try {
      append(await fetchPage(pairs, next, signal));
    } catch (error) {
      if (!signal.aborted) fault.textContent = `${error.message} Try again.`;
    } finally {
      more.disabled = false;
    }
  };
  const more = button({ onclick: load }, "Show more");
  append(first);
  return el("section", { "aria-label": "Inspections" }, ol, el("div", { class: "row" }, more, words), fault);
}

/** Create the row of one inspection. */
function historyRow(inspection) {
  const { id, name, station, at, error, p_defect: p } = inspection;
  const probability = el("span", { class: "row-probability" }, p === null ? "" : formatPercent(p), probabilityBar(inspection, { small: true }));
  return el(
    "li",
    {},
    el(
      "a",
      { class: "inspection-row", href: `#/inspection/${id}` },
      thumbnailImage(inspection),
      verdictBadge(inspection),
      el("span", { class: "row-name" }, el("strong", {}, name), el("span", { class: "quiet" }, error || describeNoise(inspection))),
      probability,
      el("span", { class: "row-when" }, el("time", { datetime: at }, formatTime(at)), el("span", { class: "quiet" }, station)),
      lastFeedback(inspection),
    ),
  );
}

function lastFeedback({ feedback, disagreement }) {
  const last = feedback.at(-1);
  if (!last) return el("span", { class: "row-feedback" });
  const tag = disagreement === "open" ? el("span", { class: "tag" }, "open") : disagreement === "settled" && el("span", { class: "tag calm" }, "settled");
  return el("span", { class: "row-feedback" }, `${last.operator || "Unknown"}: ${FEEDBACK_LABELS[last.says] ?? last.says}`, tag);
}
