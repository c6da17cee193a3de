/** Takes pictures that are dropped, pasted, chosen or photographed, anywhere on the page. */

import { batch } from "./batch.js";
import { el, say } from "./dom.js";
import { station } from "./station.js";

const TYPES = ".jpg,.jpeg,.png,.bmp,.tif,.tiff,.webp";
const PICTURE = /\.(jpe?g|png|bmp|tiff?|webp)$/i;

/** Inspect pictures, and show them. */
export function receive(files) {
  if (!station.operator) return say("Readers cannot inspect pictures here.");
  if (location.hash.replace(/^#\/?/, "")) location.hash = "#/";
  batch.add(files);
}

/** Let people choose files; `camera`: with the device's own camera, where it has one. */
export function choose({ camera = false } = {}) {
  const input = el("input", { type: "file", accept: camera ? "image/*" : TYPES, multiple: !camera, capture: camera && "environment" });
  input.addEventListener("change", () => receive(input.files));
  input.click();
}

/** Listen for drops and pastes on the whole page, and keep people from leaving while pictures wait. */
export function listen() {
  const here = document.getElementById("drop-here");
  let depth = 0; // of elements that something is dragged over
  const cover = (change) => {
    depth = Math.max(0, depth + change);
    here.hidden = depth === 0 || !station.operator;
  };
  addEventListener("dragenter", (event) => holdsFiles(event) && cover(1));
  addEventListener("dragleave", (event) => holdsFiles(event) && cover(-1));
  addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
  addEventListener("drop", async (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    cover(-depth);
    const files = await dropped(event.dataTransfer);
    if (files.length) receive(files);
    else say("There are no pictures in this folder.");
  });
  addEventListener("paste", (event) => event.clipboardData?.files.length && receive(event.clipboardData.files));
  addEventListener("beforeunload", (event) => batch.busy && event.preventDefault());
}

function holdsFiles(event) {
  return event.dataTransfer?.types.includes("Files");
}

/** All files that were dropped; of folders the pictures only. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return [...transfer.files];
  const found = await Promise.all(entries.map((entry) => (entry.isDirectory ? within(entry) : [entry])));
  return Promise.all(found.flat().map((entry) => new Promise((resolve, reject) => entry.file(resolve, reject))));
}

async function within(folder) {
  const reader = folder.createReader();
  const entries = [];
  for (let some = [null]; some.length; entries.push(...some)) {
    some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject)); // a browser gives 100 at a time
  }
  const found = entries.map((entry) => (entry.isDirectory ? within(entry) : PICTURE.test(entry.name) ? [entry] : []));
  return (await Promise.all(found)).flat();
}
