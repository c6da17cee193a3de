/** Strips of thumbnails: the pictures of a batch, or of a list to work through. */

import { picturesOf } from "./api.js";
import { batch } from "./batch.js";
import { button, el } from "./dom.js";
import { icon } from "./icons.js";
import { loadedImage } from "./loading.js";
import { verdictSign } from "./verdict.js";
import { count, VERDICTS, verdictOf } from "./words.js";

/** One picture of a strip: thumbnail, verdict and name. */
export function thumbButton(inspection, { done = false, onclick }) {
  const parts = [thumbnail(inspection), verdictSign(inspection), done && el("span", { class: "tag" }, "answered"), el("span", { class: "thumb-name" }, inspection.name)];
  return button({ class: "thumb", onclick, title: inspection.name }, ...parts.filter(Boolean));
}

/** A small picture, or a sign where there is none. */
export function thumbnail(inspection) {
  const nothing = () => el("span", { class: "no-picture" }, icon("none"));
  const address = picturesOf(inspection).thumbnail;
  if (!address) return nothing();
  const attributes = { src: address, alt: "", loading: "lazy", width: "80", height: "80" };
  const picture = loadedImage(attributes, { failed: () => picture.replaceWith(nothing()) });
  return picture;
}

/** The strip of the batch, with counts that are filters; `choose` gets the item that was pressed. */
export function batchStrip(choose) {
  const counts = el("div", { class: "chips", role: "group", "aria-label": "Show" });
  const list = el("ol", { class: "strip" });
  const node = el("section", { class: "strip-box", "aria-label": "Pictures of this batch" }, counts, list);
  const places = new Map(); // of items in the list
  let only = "";

  const draw = (item) => {
    const place = places.get(item) ?? el("li");
    places.set(item, place);
    place.replaceChildren(itemButton(item, () => choose(item)));
    return place;
  };

  /** Draw one item anew; null: some came or went. `chosen` is the one that is shown. */
  function update(item, chosen) {
    node.hidden = batch.items.length < 2;
    if (node.hidden) only = "";
    if (item && places.has(item)) draw(item);
    for (const [one, place] of places) if (!batch.items.includes(one)) (place.remove(), places.delete(one));
    for (const one of batch.items) if (!places.has(one)) list.append(draw(one));
    for (const [one, place] of places) {
      place.hidden = only !== "" && kindOf(one) !== only;
      place.firstElementChild.ariaCurrent = one === chosen ? "true" : null;
    }
    showChips(counts, only, (kind) => ((only = only === kind ? "" : kind), update(null, chosen)));
  }
  return { node, update };
}

function itemButton(item, onclick) {
  if (item.inspection) return thumbButton(item.inspection, { onclick });
  const words = item.state === "failed" ? "FAILED" : item.state === "sending" ? "Inspecting …" : "Waiting";
  return button({ class: `thumb ${item.state}`, onclick, title: item.name }, el("span", { class: "no-picture" }, icon(item.state === "failed" ? "none" : "upload")), el("span", { class: "sign" }, words), el("span", { class: "thumb-name" }, item.name));
}

function kindOf(item) {
  return item.state === "failed" ? "failed" : item.inspection ? verdictOf(item.inspection) : "waiting";
}

/** Chips change only when their words do, so that the focus stays where it is. */
function showChips(node, only, show) {
  const words = { "": "All", ...VERDICTS, failed: "FAILED" };
  const numbers = Object.keys(words).map((kind) => [kind, kind ? batch.items.filter((item) => kindOf(item) === kind).length : batch.items.length]);
  const wanted = numbers.filter(([kind, number]) => kind === "" || kind === only || number > 0);
  const signature = JSON.stringify([only, wanted]);
  if (node.dataset.shown === signature) return;
  const focused = [...node.children].indexOf(document.activeElement);
  node.dataset.shown = signature;
  node.replaceChildren(...wanted.map(([kind, number]) => button({ class: "chip", "aria-pressed": String(only === kind), onclick: () => show(kind) }, kind in VERDICTS ? icon(kind) : null, `${words[kind]} ${count(number)}`)));
  if (focused >= 0) node.children[Math.min(focused, wanted.length - 1)].focus();
}
