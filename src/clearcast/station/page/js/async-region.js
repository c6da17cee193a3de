/** Regions and images that load asynchronously, show errors and retry transient ones. */

import { fetchResponse } from "./api.js";
import { button, el } from "./dom.js";
import { station } from "./station-status.js";

const RETRY_DELAY = 2; // seconds until a failed load is repeated
const SPINNER_DELAY = 300; // milliseconds until "Loading" is shown

/** Create a region with the content that `load` resolves to: a node or a list of nodes. It stops updating when the signal aborts. */
export function asyncRegion(load, signal) {
  const node = el("div", { class: "region" });
  loadRegion(node, load, signal);
  return node;
}

/** Replace an element's content with what `load` resolves to; retry transient errors. */
export async function loadRegion(node, load, signal) {
  const slow = setTimeout(() => node.childElementCount || node.append(el("p", { class: "quiet" }, "Loading …")), SPINNER_DELAY);
  node.setAttribute("aria-busy", "true");
  try {
    const loaded = await load();
    if (!signal.aborted) node.replaceChildren(...[loaded].flat());
  } catch (error) {
    if (signal.aborted) return;
    node.replaceChildren(errorBox(error, () => loadRegion(node, load, signal)));
    if (error.status === 0) station.markUnreachable();
    if (error.isTransient) setTimeout(() => signal.aborted || loadRegion(node, load, signal), 1000 * (error.retryAfter ?? RETRY_DELAY));
  } finally {
    clearTimeout(slow);
    node.removeAttribute("aria-busy");
  }
}

/** Show an error, with a button to retry if it is not retried automatically. */
function errorBox(error, retry) {
  if (error.status === undefined) console.error(error); // a bug of this page
  return el(
    "div",
    { class: "empty", role: "alert" },
    el("p", { class: "empty-title" }, error.message),
    error.isTransient
      ? el("p", {}, "Retrying automatically.")
      : button({ onclick: retry }, "Try again"),
  );
}

/** Create the placeholder of an empty view: a title and what to do. */
export function emptyState(title, ...more) {
  return el("div", { class: "empty" }, el("p", { class: "empty-title" }, title), ...more.map((text) => el("p", {}, text)));
}

const IMAGE_RETRY_DELAYS = [2, 4, 8]; // seconds before each retry
const GONE = 410;

/** Create an image element that retries while the station is busy; calls `shown` when it has loaded, else `failed`. */
export function retryingImage(attributes, { failed, shown = () => {} }) {
  const image = el("img", attributes);
  let address = null; // that `tries` counts for
  let tries = 0;
  image.addEventListener("load", () => {
    tries = 0;
    shown();
  });
  image.addEventListener("error", async () => {
    const wanted = image.src;
    if (wanted !== address) [address, tries] = [wanted, 0];
    const gone = await isGone(wanted);
    if (image.src !== wanted) return; // the address has changed
    if (gone || tries >= IMAGE_RETRY_DELAYS.length) return failed();
    const delay = IMAGE_RETRY_DELAYS[tries++];
    setTimeout(() => image.isConnected && image.src === wanted && (image.src = wanted), 1000 * delay);
  });
  return image;
}

async function isGone(address) {
  const response = await fetchResponse(address).catch(() => null);
  await response?.body?.cancel();
  return response?.status === GONE;
}
