/** A list to work through, one inspection after the other, by keys or by touch. */

import { call, picturesOf, search } from "./api.js";
import { button, el, say } from "./dom.js";
import { icon } from "./icons.js";
import { onKeys } from "./keys.js";
import { panel } from "./panel.js";
import { region } from "./region.js";
import { thumbButton } from "./strip.js";
import { count } from "./words.js";

const LIMIT = 30; // inspections that are loaded at a time
const AHEAD = 5; // so many before the end the next ones are loaded

/**
 * The inspections of a query (pairs, see `search`) in their order. `settling`: see `feedback`; `nothing`: what is shown
 * where there are none; `finished`: what is shown after the last.
 */
export function worklist(pairs, { signal, settling = false, nothing, finished }) {
  return region(async () => {
    const [page, tally] = await Promise.all([fetched(pairs, null, signal), call(`v1/counts${search(pairs.filter(([name]) => name !== "order"))}`, { signal })]);
    const certain = pairs.some(([name]) => name === "order"); // then those that were not judged are left out
    const all = tally.inspections - (certain ? tally.verdicts.none : 0);
    return page.inspections.length ? new Worklist(pairs, page, all, { signal, settling, finished }).node : nothing;
  }, signal);
}

function fetched(pairs, after, signal) {
  return call(`v1/inspections${search([...pairs, ["limit", LIMIT], ["after", after ?? ""]])}`, { signal });
}

class Worklist {
  #items;
  #answered = new Set(); // ids
  #at = 0;

  constructor(pairs, page, all, options) {
    Object.assign(this, { pairs, next: page.next, all, ...options });
    this.#items = page.inspections;
    this.list = el("ol", { class: "strip" });
    this.place = el("div", { class: "shown" });
    this.left = el("p", { class: "left" });
    const back = button({ onclick: () => this.go(-1), "aria-keyshortcuts": "ArrowLeft" }, icon("back"), "Back");
    const next = button({ onclick: () => this.go(1), "aria-keyshortcuts": "ArrowRight" }, "Next", icon("next"));
    const keys = el("p", { class: "quiet keys" }, ...["O", "D", "B"].map((key) => el("kbd", {}, key)), " answer, ", el("kbd", {}, "←"), el("kbd", {}, "→"), " move, ", el("kbd", {}, "H"), " heat map, ", el("kbd", {}, "N"), " note");
    this.node = el("section", { class: "worklist", "aria-label": "List to work through" }, el("div", { class: "row" }, back, next, this.left, keys), el("div", { class: "bench" }, this.list, this.place));
    onKeys(this.node, { ArrowLeft: () => this.go(-1), ArrowRight: () => this.go(1), k: () => this.go(-1), j: () => this.go(1) });
    this.#append(this.#items);
    this.#show({ focus: false });
  }

  /** Go some places on; past the end of what is loaded there is more, or the end is shown. */
  async go(step) {
    const to = this.#at + step;
    if (to < 0) return;
    this.#at = Math.min(to, this.#items.length);
    this.#show({ focus: true });
    if (this.next && this.#at >= this.#items.length - AHEAD) await this.#more();
  }

  async #more() {
    const after = this.next;
    this.next = null; // asked for once
    try {
      const page = await fetched(this.pairs, after, this.signal);
      this.next = page.next;
      this.#items.push(...page.inspections);
      this.#append(page.inspections);
      if (this.#at === this.#items.length - page.inspections.length) this.#show({ focus: true });
    } catch (error) {
      this.next = after; // the next step asks again
      if (!this.signal.aborted) say(error.message);
    }
  }

  #append(inspections) {
    this.list.append(...inspections.map((inspection) => el("li", {}, this.#thumb(inspection))));
  }

  #thumb(inspection) {
    const go = () => this.go(this.#items.findIndex(({ id }) => id === inspection.id) - this.#at);
    return thumbButton(inspection, { done: this.#answered.has(inspection.id), onclick: go });
  }

  #show({ focus }) {
    const inspection = this.#items[this.#at];
    [...this.list.children].forEach((place, index) => (place.firstElementChild.ariaCurrent = index === this.#at ? "true" : null));
    this.list.children[this.#at]?.scrollIntoView({ block: "nearest", inline: "center" });
    const left = this.all - this.#answered.size;
    this.left.textContent = `${count(Math.max(left, 0))} left of ${count(this.all)}`;
    if (!inspection) this.place.replaceChildren(el("div", { tabindex: "-1" }, this.finished));
    else this.place.replaceChildren(panel(inspection, { saved: (now) => this.#saved(now), settling: this.settling }));
    if (focus) this.place.firstElementChild.focus({ preventScroll: true });
    for (const following of this.#items.slice(this.#at + 1, this.#at + 3)) ahead(picturesOf(following));
  }

  #saved(now) {
    const index = this.#items.findIndex(({ id }) => id === now.id);
    this.#items[index] = now;
    this.#answered.add(now.id);
    this.list.children[index].replaceChildren(this.#thumb(now));
    this.go(index + 1 - this.#at);
  }
}

/** Let the browser fetch pictures before they are asked for. */
function ahead({ noisy, restored }) {
  for (const address of [noisy, restored]) if (address) new Image().src = address;
}
