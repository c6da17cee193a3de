/** A part of the page that is loaded; it says what is wrong, and recovers by itself. */

import { button, el } from "./dom.js";
import { station } from "./station.js";

const AGAIN = 2; // seconds until a station that does not answer is asked again
const SLOW = 300; // milliseconds after which the page says that it loads

/** An element that holds what `load` gives: a node or a list of them. It is left alone once the signal aborts. */
export function region(load, signal) {
  const node = el("div", { class: "region" });
  fillRegion(node, load, signal);
  return node;
}

/** Fill an element anew with what `load` gives, trying again while that may help. */
export async function fillRegion(node, load, signal) {
  const slow = setTimeout(() => node.childElementCount || node.append(el("p", { class: "quiet" }, "Loading …")), SLOW);
  node.setAttribute("aria-busy", "true");
  try {
    const loaded = await load();
    if (!signal.aborted) node.replaceChildren(...[loaded].flat());
  } catch (error) {
    if (signal.aborted) return;
    node.replaceChildren(fault(error, () => fillRegion(node, load, signal)));
    if (error.status === 0) station.lost();
    if (error.passing) setTimeout(() => signal.aborted || fillRegion(node, load, signal), 1000 * (error.retryAfter ?? AGAIN));
  } finally {
    clearTimeout(slow);
    node.removeAttribute("aria-busy");
  }
}

/** What went wrong, and what happens now. */
function fault(error, again) {
  if (error.status === undefined) console.error(error); // a fault of this page
  return el(
    "div",
    { class: "empty", role: "alert" },
    el("p", { class: "empty-title" }, error.message),
    error.passing
      ? el("p", {}, "The page asks again by itself.")
      : button({ onclick: again }, "Try again"),
  );
}

/** Says that there is nothing, and what to do. */
export function empty(title, ...more) {
  return el("div", { class: "empty" }, el("p", { class: "empty-title" }, title), ...more.map((text) => el("p", {}, text)));
}
