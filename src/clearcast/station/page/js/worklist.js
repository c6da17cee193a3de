/** Worklist: inspections reviewed one after another; and the views "Review" and "Disagreements" built on it. */

import { imageUrls, queryString, requestJson } from "./api.js";
import { asyncRegion, emptyState } from "./async-region.js";
import { announce, bindKeys, button, el, icon, newId } from "./dom.js";
import { formatCount, PERIODS, periodStart, pluralise } from "./format.js";
import { inspectionPanel } from "./inspection-panel.js";
import { thumbnailButton } from "./thumbnails.js";

const PAGE_SIZE = 30;
const LOAD_AHEAD = 5; // inspections before the end at which the next page is loaded

/**
 * Create the worklist of a query (pairs, see `queryString`). `settling`: see `feedbackSection`; `nothing`: shown if it is
 * empty; `finished`: shown after the last inspection.
 */
function worklist(pairs, { signal, settling = false, nothing, finished }) {
  return asyncRegion(async () => {
    const [page, totals] = await Promise.all([fetchPage(pairs, null, signal), requestJson(`v1/counts${queryString(pairs.filter(([name]) => name !== "order"))}`, { signal })]);
    const certain = pairs.some(([name]) => name === "order"); // ordered by certainty: images without a verdict are left out
    const all = totals.inspections - (certain ? totals.verdicts.none : 0);
    return page.inspections.length ? new Worklist(pairs, page, all, { signal, settling, finished }).node : nothing;
  }, signal);
}

function fetchPage(pairs, after, signal) {
  return requestJson(`v1/inspections${queryString([...pairs, ["limit", PAGE_SIZE], ["after", after ?? ""]])}`, { signal });
}

class Worklist {
  #items;
  #reviewed = new Set(); // ids
  #index = 0;

  constructor(pairs, page, all, options) {
    Object.assign(this, { pairs, next: page.next, all, ...options });
    this.#items = page.inspections;
    this.list = el("ol", { class: "thumbnail-strip" });
    this.place = el("div", { class: "shown" });
    this.remaining = el("p", { class: "remaining" });
    const back = button({ onclick: () => this.go(-1), "aria-keyshortcuts": "ArrowLeft" }, icon("back"), "Back");
    const next = button({ onclick: () => this.go(1), "aria-keyshortcuts": "ArrowRight" }, "Next", icon("next"));
    const keys = el("p", { class: "quiet keys" }, ...["O", "D", "B"].map((key) => el("kbd", {}, key)), " feedback, ", el("kbd", {}, "←"), el("kbd", {}, "→"), " move, ", el("kbd", {}, "H"), " heat map, ", el("kbd", {}, "N"), " note");
    this.node = el("section", { class: "worklist", "aria-label": "Worklist" }, el("div", { class: "row" }, back, next, this.remaining, keys), el("div", { class: "workspace" }, this.list, this.place));
    bindKeys(this.node, { ArrowLeft: () => this.go(-1), ArrowRight: () => this.go(1), k: () => this.go(-1), j: () => this.go(1) });
    this.#append(this.#items);
    this.#show({ focus: false });
  }

  /** Move by `step` inspections; load the next page near the end. */
  async go(step) {
    const to = this.#index + step;
    if (to < 0) return;
    this.#index = Math.min(to, this.#items.length);
    this.#show({ focus: true });
    if (this.next && this.#index >= this.#items.length - LOAD_AHEAD) await this.#loadMore();
  }

  async #loadMore() {
    const after = this.next;
    this.next = null; // requested once
    try {
      const page = await fetchPage(this.pairs, after, this.signal);
      this.next = page.next;
      this.#items.push(...page.inspections);
      this.#append(page.inspections);
      if (this.#index === this.#items.length - page.inspections.length) this.#show({ focus: true });
    } catch (error) {
      this.next = after; // the next step retries
      if (!this.signal.aborted) announce(error.message);
    }
  }

  #append(inspections) {
    this.list.append(...inspections.map((inspection) => el("li", {}, this.#thumb(inspection))));
  }

  #thumb(inspection) {
    const go = () => this.go(this.#items.findIndex(({ id }) => id === inspection.id) - this.#index);
    return thumbnailButton(inspection, { done: this.#reviewed.has(inspection.id), onclick: go });
  }

  #show({ focus }) {
    const inspection = this.#items[this.#index];
    [...this.list.children].forEach((place, index) => (place.firstElementChild.ariaCurrent = index === this.#index ? "true" : null));
    this.list.children[this.#index]?.scrollIntoView({ block: "nearest", inline: "center" });
    const left = this.all - this.#reviewed.size;
    this.remaining.textContent = `${formatCount(Math.max(left, 0))} of ${formatCount(this.all)} left`;
    if (!inspection) this.place.replaceChildren(el("div", { tabindex: "-1" }, this.finished));
    else this.place.replaceChildren(inspectionPanel(inspection, { saved: (updated) => this.#saved(updated), settling: this.settling }));
    if (focus) this.place.firstElementChild.focus({ preventScroll: true });
    for (const following of this.#items.slice(this.#index + 1, this.#index + 3)) prefetchImages(imageUrls(following));
  }

  #saved(updated) {
    const index = this.#items.findIndex(({ id }) => id === updated.id);
    this.#items[index] = updated;
    this.#reviewed.add(updated.id);
    this.list.children[index].replaceChildren(this.#thumb(updated));
    this.go(index + 1 - this.#index);
  }
}

/** Prefetch the images of an inspection. */
function prefetchImages({ noisy, restored }) {
  for (const address of [noisy, restored]) if (address) new Image().src = address;
}

const DEFAULT_PERIOD = "24h";

/** The view "Review": the least certain verdicts first, for a check before parts are released. */
export function reviewView({ query }, signal) {
  const lead = "Verdicts closest to the threshold come first.";
  const list = el("div", { class: "review-list" });
  const start = () => list.replaceChildren(asyncRegion(() => noVerdictNote(query, signal), signal), reviewList(query, signal));
  const choices = asyncRegion(async () => reviewFilters(query, (await requestJson("v1/choices", { signal })).stations, start), signal);
  start();
  return { heading: "Review before release", content: [el("p", { class: "lead" }, lead), choices, list] };
}

/** Create a note on images without a verdict, which the worklist leaves out. */
async function noVerdictNote(query, signal) {
  const period = query.get("period") ?? DEFAULT_PERIOD;
  const station = query.get("station") ?? "";
  const filter = [["verdict", "none"], ["station", station], ["feedback", "false"]];
  const { inspections } = await requestJson(`v1/counts${queryString([...filter, ["since", periodStart(period)]])}`, { signal });
  if (!inspections) return [];
  const link = el("a", { href: `#/history${queryString([...filter, ["period", period]])}` }, "Show in history");
  return el("p", { class: "note" }, el("span", { class: "tag" }, "Not in this list"), ` ${pluralise(inspections, "image has", "images have")} no verdict. `, link, ".");
}

function reviewList(query, signal) {
  const nothing = emptyState("Nothing to review", "No inspections match. Choose a longer period or include reviewed inspections.");
  const finished = emptyState("Worklist complete", "You have reviewed all inspections of this period.");
  const pairs = [
    ["order", "least_certain"],
    ["since", periodStart(query.get("period") ?? DEFAULT_PERIOD)],
    ["station", query.get("station") ?? ""],
    ["feedback", query.has("all") ? "" : "false"],
  ];
  return worklist(pairs, { signal, nothing, finished });
}

/** Create the review's filters: period, station and whether to include reviewed inspections. They are kept in the page's address. */
function reviewFilters(query, stations, start) {
  const [periodId, stationId] = [newId("period"), newId("station")];
  const option = (value, label, chosen) => el("option", { value, selected: value === chosen }, label);
  const period = el("select", { id: periodId }, ...Object.entries(PERIODS).map(([key, { label }]) => option(key, label, query.get("period") ?? DEFAULT_PERIOD)));
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
    { class: "review-filters", onchange: change, onsubmit: (event) => event.preventDefault() },
    el("div", { class: "field" }, el("label", { for: periodId }, "Time"), period),
    el("div", { class: "field" }, el("label", { for: stationId }, "Station"), station),
    el("label", { class: "check" }, all, "Include reviewed inspections"),
  );
}

/** The view "Disagreements": inspections whose feedback contradicts the verdict, until they are settled. */
export function disagreementsView(_, signal) {
  const nothing = emptyState("No open disagreements", "Inspections whose feedback contradicts the verdict appear here until they are settled.");
  const finished = emptyState("Worklist complete", "Settled disagreements stay in the history.");
  const lead = "Feedback contradicts these verdicts. Check the part or the image, then record the final decision. Corrected labels improve the next model.";
  const list = worklist([["disagreement", "open"]], { signal, settling: true, nothing, finished });
  return { heading: "Open disagreements", content: [el("p", { class: "lead" }, lead), list] };
}
