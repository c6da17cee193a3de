/** The view "Inspect": upload controls, progress, thumbnails and the selected inspection. */

import { emptyState } from "./async-region.js";
import { openCamera } from "./camera.js";
import { announce, button, el, icon } from "./dom.js";
import { chooseFiles } from "./drop-zone.js";
import { formatBytes, formatCount, pluralise, VERDICT_LABELS, verdictKey } from "./format.js";
import { inspectionPanel } from "./inspection-panel.js";
import { station } from "./station-status.js";
import { thumbnailStrip } from "./thumbnails.js";
import { uploadQueue } from "./upload-queue.js";

let chosen = null; // the item shown; kept when the operator switches views

/** The view "Inspect". */
export function inspectView(_, signal) {
  if (station.status?.role === "reader") {
    const hint = "You can read the history. To inspect images, sign in with an operator's token.";
    return { heading: "Inspect", content: emptyState("You are signed in as a reader", hint) };
  }
  const upload = el("section", { class: "upload", "aria-label": "Upload images" });
  const progress = progressBox();
  const shown = el("div", { class: "shown" });
  const select = (item) => ((chosen = item), update(null), showItem(shown));
  const strip = thumbnailStrip(select);

  function update(item) {
    upload.classList.toggle("small", uploadQueue.items.length > 0);
    progress.update();
    strip.update(item, chosen);
    if (item && item === chosen) showItem(shown);
  }
  uploadQueue.addEventListener("added", ({ detail }) => select(detail[0]), { signal });
  uploadQueue.addEventListener("changed", ({ detail }) => update(detail), { signal });
  uploadQueue.addEventListener("changed", () => uploadQueue.items.includes(chosen) || ((chosen = null), showItem(shown)), { signal });
  upload.append(...uploadControls());
  update(null);
  showItem(shown);
  return { heading: "Inspect", content: [upload, progress.node, el("div", { class: "workspace" }, strip.node, shown)] };
}

function uploadControls() {
  const limit = station.status?.limits?.bytes;
  return [
    el("p", { class: "upload-title" }, icon("upload"), "Drop images here"),
    el(
      "div",
      { class: "row" },
      button({ class: "primary", onclick: () => chooseFiles() }, icon("upload"), "Choose images"),
      button({ onclick: openCamera }, icon("camera"), "Camera"),
    ),
    el("p", { class: "quiet upload-hint" }, `Or paste an image with Ctrl + V. JPEG, PNG, BMP, TIFF or WebP${limit ? `, up to ${formatBytes(limit)} each` : ""}. You can also drop folders.`),
  ];
}

/** Show the chosen item: in progress, failed or inspected. */
function showItem(node) {
  if (!chosen) return node.replaceChildren();
  if (chosen.state === "done") {
    const item = chosen; // another may be chosen before the response arrives
    const saved = (inspection) => uploadQueue.replace(item, inspection);
    const { name } = chosen.inspection;
    if (uploadQueue.items.length === 1) announce(`${name}: ${VERDICT_LABELS[verdictKey(chosen.inspection)]}`);
    return node.replaceChildren(inspectionPanel(chosen.inspection, { saved }));
  }
  const message = chosen.state === "failed" ? emptyState(`${chosen.name}: no verdict`, chosen.error) : el("p", { class: "working", "aria-busy": "true" }, `Inspecting ${chosen.name} …`);
  return node.replaceChildren(message);
}

/** Create the progress of the batch, with buttons to stop and retry; `update` keeps the buttons, so that they keep the focus. */
function progressBox() {
  const bar = el("progress", { "aria-label": "Upload progress" });
  const words = el("span");
  const why = el("span", { class: "tag-line" });
  const stop = button({ onclick: () => uploadQueue.stop() }, "Stop");
  const retry = button({ onclick: () => uploadQueue.retry() });
  const clear = button({ onclick: () => uploadQueue.clear() }, "Clear list");
  const node = el("div", { class: "progress" }, bar, words, why, el("span", { class: "room" }), stop, retry, clear);

  function update() {
    const { items } = uploadQueue;
    const [done, waiting, failed] = [countStates(items, "done", "failed"), countStates(items, "waiting"), countStates(items, "failed")];
    node.hidden = items.length < 2 && !uploadQueue.pauseReason && !failed;
    [bar.max, bar.value] = [items.length || 1, done];
    const now = progressText(items.length, done, uploadQueue.stopped && waiting > 0);
    if (now !== words.textContent && done === items.length && done > 1) announce(now);
    words.textContent = now;
    why.textContent = uploadQueue.pauseReason;
    stop.hidden = !uploadQueue.busy || !waiting;
    retry.hidden = uploadQueue.busy || (!failed && !waiting);
    retry.textContent = waiting ? "Resume" : "Retry failed";
    clear.hidden = uploadQueue.busy;
  }
  return { node, update };
}

function countStates(items, ...states) {
  return items.filter((item) => states.includes(item.state)).length;
}

function progressText(all, done, stopped) {
  if (done === all) return `All done: ${pluralise(all, "image")}.`;
  return `${formatCount(done)} of ${pluralise(all, "image")} done.${stopped ? " Stopped." : ""}`;
}
