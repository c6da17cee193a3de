/** Thumbnails, and the thumbnail strip of the current batch. */

import { imageUrls } from "./api.js";
import { retryingImage } from "./async-region.js";
import { button, el, icon } from "./dom.js";
import { formatCount, VERDICT_LABELS, verdictKey } from "./format.js";
import { uploadQueue } from "./upload-queue.js";
import { verdictBadge } from "./verdict.js";

/** Create a button with an inspection's thumbnail, verdict and name. */
export function thumbnailButton(inspection, { done = false, onclick }) {
  const parts = [thumbnailImage(inspection), verdictBadge(inspection), done && el("span", { class: "tag" }, "reviewed"), el("span", { class: "thumbnail-name" }, inspection.name)];
  return button({ class: "thumbnail", onclick, title: inspection.name }, ...parts.filter(Boolean));
}

/** Create a thumbnail, or a placeholder if there is no image. */
export function thumbnailImage(inspection) {
  const placeholder = () => el("span", { class: "no-image" }, icon("none"));
  const address = imageUrls(inspection).thumbnail;
  if (!address) return placeholder();
  const attributes = { src: address, alt: "", loading: "lazy", width: "80", height: "80" };
  const image = retryingImage(attributes, { failed: () => image.replaceWith(placeholder()) });
  return image;
}

/** Create the strip of the batch, with counts that filter it; `select` gets the item that was clicked. */
export function thumbnailStrip(select) {
  const counts = el("div", { class: "chips", role: "group", "aria-label": "Show" });
  const list = el("ol", { class: "thumbnail-strip" });
  const node = el("section", { class: "batch", "aria-label": "Images of this batch" }, counts, list);
  const places = new Map(); // list element of each item
  let only = ""; // the status shown; "": all

  const draw = (item) => {
    const place = places.get(item) ?? el("li");
    places.set(item, place);
    place.replaceChildren(itemButton(item, () => select(item)));
    return place;
  };

  /** Redraw one item, or update the list if `item` is null. `chosen` is the item shown in the panel. */
  function update(item, chosen) {
    node.hidden = uploadQueue.items.length < 2;
    if (node.hidden) only = "";
    if (item && places.has(item)) draw(item);
    for (const [one, place] of places) if (!uploadQueue.items.includes(one)) (place.remove(), places.delete(one));
    for (const one of uploadQueue.items) if (!places.has(one)) list.append(draw(one));
    for (const [one, place] of places) {
      place.hidden = only !== "" && itemStatus(one) !== only;
      place.firstElementChild.ariaCurrent = one === chosen ? "true" : null;
    }
    updateChips(counts, only, (kind) => ((only = only === kind ? "" : kind), update(null, chosen)));
  }
  return { node, update };
}

function itemButton(item, onclick) {
  if (item.inspection) return thumbnailButton(item.inspection, { onclick });
  const words = item.state === "failed" ? "Failed" : item.state === "sending" ? "Inspecting …" : "Waiting";
  return button({ class: `thumbnail ${item.state}`, onclick, title: item.name }, el("span", { class: "no-image" }, icon(item.state === "failed" ? "none" : "upload")), el("span", { class: "verdict-badge" }, words), el("span", { class: "thumbnail-name" }, item.name));
}

function itemStatus(item) {
  return item.state === "failed" ? "failed" : item.inspection ? verdictKey(item.inspection) : "waiting";
}

/** Update the filter chips only if their text changes, so that they keep the focus. */
function updateChips(node, only, toggle) {
  const words = { "": "All", ...VERDICT_LABELS, failed: "Failed" };
  const numbers = Object.keys(words).map((kind) => [kind, kind ? uploadQueue.items.filter((item) => itemStatus(item) === kind).length : uploadQueue.items.length]);
  const visible = numbers.filter(([kind, number]) => kind === "" || kind === only || number > 0);
  const signature = JSON.stringify([only, visible]);
  if (node.dataset.shown === signature) return;
  const focused = [...node.children].indexOf(document.activeElement);
  node.dataset.shown = signature;
  node.replaceChildren(...visible.map(([kind, number]) => button({ class: "chip", "aria-pressed": String(only === kind), onclick: () => toggle(kind) }, kind in VERDICT_LABELS ? icon(kind) : null, `${words[kind]} ${formatCount(number)}`)));
  if (focused >= 0) node.children[Math.min(focused, visible.length - 1)].focus();
}
