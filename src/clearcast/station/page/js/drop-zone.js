/** Drop zone: accepts images that are dropped or pasted anywhere on the page, or chosen from files. */

import { announce, el } from "./dom.js";
import { station } from "./station-status.js";
import { uploadQueue } from "./upload-queue.js";

const ACCEPTED_TYPES = ".jpg,.jpeg,.png,.bmp,.tif,.tiff,.webp";
const IMAGE_NAME = /\.(jpe?g|png|bmp|tiff?|webp)$/i;

/** Inspect files, and show the view "Inspect". */
export function submitFiles(files) {
  if (!station.isOperator) return announce("Readers cannot inspect images.");
  if (location.hash.replace(/^#\/?/, "")) location.hash = "#/";
  uploadQueue.add(files);
}

/** Open the file chooser; `camera`: take a photo with the device's camera app, if it has one. */
export function chooseFiles({ camera = false } = {}) {
  const input = el("input", { type: "file", accept: camera ? "image/*" : ACCEPTED_TYPES, multiple: !camera, capture: camera && "environment" });
  input.addEventListener("change", () => submitFiles(input.files));
  input.click();
}

/** Accept drops and pastes on the whole page, and warn before the page is left while uploads are pending. */
export function initDropZone() {
  const overlay = document.getElementById("drop-overlay");
  let depth = 0; // of nested elements under the dragged files
  const updateOverlay = (change) => {
    depth = Math.max(0, depth + change);
    overlay.hidden = depth === 0 || !station.isOperator;
  };
  addEventListener("dragenter", (event) => holdsFiles(event) && updateOverlay(1));
  addEventListener("dragleave", (event) => holdsFiles(event) && updateOverlay(-1));
  addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
  addEventListener("drop", async (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    updateOverlay(-depth);
    const files = await droppedFiles(event.dataTransfer);
    if (files.length) submitFiles(files);
    else announce("This folder contains no images.");
  });
  addEventListener("paste", (event) => event.clipboardData?.files.length && submitFiles(event.clipboardData.files));
  addEventListener("beforeunload", (event) => uploadQueue.busy && event.preventDefault());
}

function holdsFiles(event) {
  return event.dataTransfer?.types.includes("Files");
}

/** Return all dropped files; from folders only the images. */
async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const found = await Promise.all(entries.map((entry) => (entry.isDirectory ? filesInFolder(entry) : [entry])));
  return Promise.all(found.flat().map((entry) => new Promise((resolve, reject) => entry.file(resolve, reject))));
}

async function filesInFolder(folder) {
  const reader = folder.createReader();
  const entries = [];
  for (let read = [null]; read.length; entries.push(...read)) {
    read = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // browsers return at most 100 at a time
  }
  const found = entries.map((entry) => (entry.isDirectory ? filesInFolder(entry) : IMAGE_NAME.test(entry.name) ? [entry] : []));
  return (await Promise.all(found)).flat();
}
