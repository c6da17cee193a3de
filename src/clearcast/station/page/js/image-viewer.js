/** Image viewer: the original over the denoised image or the heat map, with a comparison slider, zoom and pan. */

import { imageUrls } from "./api.js";
import { emptyState, retryingImage } from "./async-region.js";
import { button, el, icon, newId } from "./dom.js";

const HEAT_MAP_ALT = "heat map: red to yellow marks evidence of a defect";
const PIXELATED_FROM = 3; // screen pixels per image pixel from which pixels are drawn as squares
const settings = { split: 50, heat: false }; // kept from image to image

/** Create the viewer of an inspection's images; returns its node and `toggleHeat`. */
export function imageViewer(inspection) {
  const { noisy, restored, heat } = imageUrls(inspection);
  const over = restored || heat; // without a denoised image, the heat map is compared with the original
  if (!noisy) return { node: el("div", { class: "viewer" }, missingImages(inspection)), toggleHeat() {} };
  const stage = el("div", { class: "stage", tabindex: "0", role: "group", "aria-label": "Image. Plus and minus zoom, arrows pan, 0 fits the image." });
  const magnification = el("output", { class: "magnification", "aria-label": "Magnification" }, "1×");
  const layers = [imageLayer("under", noisy, `${inspection.name}, original`), over && imageLayer("over", over, `${inspection.name}, ${restored ? "denoised" : HEAT_MAP_ALT}`)].filter(Boolean);
  const zoom = new ZoomPan(stage, () => applyZoom(stage, zoom, layers, magnification));
  const slider = over && comparisonSlider(stage, restored ? "denoised" : "heat map");
  stage.append(...layers, ...(over ? [el("div", { class: "handle", "aria-hidden": "true" }), ...captions(restored ? "Denoised" : "Heat map")] : []));
  if (inspection.width) stage.style.setProperty("--aspect", inspection.width / inspection.height);
  bindPointers(stage, zoom, (x) => slider?.moveTo((100 * x) / stage.clientWidth));
  stage.addEventListener("keydown", (event) => handleZoomKey(event, zoom));
  const heatButton = heat && restored && heatMapButton(stage, layers[1], { restored, heat }, inspection.name);
  const node = el("div", { class: "viewer" }, el("div", { class: "stage-box" }, stage), toolbar(zoom, magnification, heatButton, slider?.node));
  return { node, toggleHeat: () => heatButton && heatButton.click() };
}

function missingImages(inspection) {
  const deleted = "The images of this inspection have been deleted; the verdict and feedback are kept.";
  return emptyState("No image", inspection.error ? "It could not be read." : deleted);
}

function imageLayer(name, address, alt) {
  const unavailable = el("p", { class: "unavailable", hidden: true }, "This image is not available; it may have been deleted.");
  const show = (available) => {
    image.hidden = !available;
    unavailable.hidden = available;
  };
  const image = retryingImage({ src: address, alt, draggable: "false" }, { shown: () => show(true), failed: () => show(false) });
  return el("div", { class: `layer ${name}` }, image, unavailable); // a hidden image stays: the heat map may still load
}

function captions(right) {
  return [el("span", { class: "caption left", "aria-hidden": "true" }, "Original"), el("span", { class: "caption right", "aria-hidden": "true" }, right)];
}

/** Apply zoom and pan to both images. */
function applyZoom(stage, zoom, layers, magnification) {
  for (const { firstElementChild: image } of layers) {
    image.style.transform = `translate(${zoom.x}px, ${zoom.y}px) scale(${zoom.scale})`;
    if (image.naturalWidth) {
      const pixel = (zoom.scale * stage.clientWidth) / image.naturalWidth;
      image.classList.toggle("pixels", pixel >= PIXELATED_FROM);
    }
  }
  stage.classList.toggle("enlarged", zoom.scale > 1);
  magnification.textContent = `${zoom.scale < 10 ? Number(zoom.scale.toFixed(1)) : Math.round(zoom.scale)}×`;
}

/** Create the slider between both images; returns its node and `moveTo`. */
function comparisonSlider(stage, other) {
  const id = newId("split");
  const range = el("input", { id, type: "range", min: "0", max: "100", step: "1", value: settings.split });
  const apply = () => {
    settings.split = range.valueAsNumber;
    stage.style.setProperty("--split", `${settings.split}%`);
    range.setAttribute("aria-valuetext", `${settings.split}% original, ${100 - settings.split}% ${other}`);
  };
  range.addEventListener("input", apply);
  apply();
  const moveTo = (percent) => {
    range.value = percent;
    apply();
  };
  return { node: el("div", { class: "splitter" }, el("label", { class: "visually-hidden", for: id }, `Compare original and ${other}`), range), moveTo };
}

function heatMapButton(stage, over, images, name) {
  const apply = () => {
    const image = over.querySelector("img");
    image.src = settings.heat ? images.heat : images.restored;
    image.alt = `${name}, ${settings.heat ? HEAT_MAP_ALT : "denoised"}`;
    stage.querySelector(".caption.right").textContent = settings.heat ? "Heat map" : "Denoised";
    control.setAttribute("aria-pressed", String(settings.heat));
  };
  const control = button({ class: "tool", title: "Red to yellow marks evidence of a defect (H)", onclick: () => ((settings.heat = !settings.heat), apply()) }, icon("heat"), "Heat map");
  apply();
  return control;
}

function toolbar(zoom, magnification, heatButton, slider) {
  const tool = (name, label, onclick) => button({ class: "tool", "aria-label": label, title: label, onclick }, icon(name));
  return el(
    "div",
    { class: "tools" },
    heatButton,
    slider || el("span", { class: "room" }),
    tool("minus", "Zoom out", () => zoom.zoomBy(1 / 1.5)),
    magnification,
    tool("plus", "Zoom in", () => zoom.zoomBy(1.5)),
    tool("fit", "Fit image", () => zoom.fit()),
  );
}

const MAX_SCALE = 32;

/** Scale and position of an image within its stage. */
class ZoomPan {
  scale = 1;
  x = 0; // of the image's top left corner in the stage, in pixels
  y = 0;

  /** `stage`: the element that clips the image; `changed`: called after every change. */
  constructor(stage, changed) {
    this.stage = stage;
    this.changed = changed;
  }

  /** Zoom by a factor around the point (x, y) of the stage. */
  zoomBy(factor, x = this.stage.clientWidth / 2, y = this.stage.clientHeight / 2) {
    const scale = Math.min(Math.max(this.scale * factor, 1), MAX_SCALE);
    this.#set(scale, x - ((x - this.x) * scale) / this.scale, y - ((y - this.y) * scale) / this.scale);
  }

  panBy(right, down) {
    this.#set(this.scale, this.x + right, this.y + down);
  }

  fit() {
    this.#set(1, 0, 0);
  }

  /** Set scale and position, limited so that the image always fills the stage. */
  #set(scale, x, y) {
    this.scale = scale;
    this.x = Math.min(Math.max(x, this.stage.clientWidth * (1 - scale)), 0);
    this.y = Math.min(Math.max(y, this.stage.clientHeight * (1 - scale)), 0);
    this.changed();
  }
}

const PAN_STEP = 60; // pixels per arrow key
const ZOOM_KEYS = {
  "+": (zoom) => zoom.zoomBy(1.5),
  "=": (zoom) => zoom.zoomBy(1.5),
  "-": (zoom) => zoom.zoomBy(1 / 1.5),
  0: (zoom) => zoom.fit(),
};
const PAN_KEYS = { ArrowLeft: [PAN_STEP, 0], ArrowRight: [-PAN_STEP, 0], ArrowUp: [0, PAN_STEP], ArrowDown: [0, -PAN_STEP] };

/** Handle a zoom or pan key while the stage has the focus; arrows pan only an enlarged image. */
function handleZoomKey(event, zoom) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const action = ZOOM_KEYS[event.key] ?? (zoom.scale > 1 && PAN_KEYS[event.key] && (() => zoom.panBy(...PAN_KEYS[event.key])));
  if (!action) return;
  action(zoom);
  event.preventDefault();
  event.stopPropagation();
}

/** Bind wheel, drag and pinch. A drag pans an enlarged image; otherwise, or on the handle, it moves the slider: `slide(x)`. */
function bindPointers(stage, zoom, slide) {
  const held = new Map(); // last position of each pointer that is down
  let sliding = false;
  const at = (event) => {
    const box = stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  stage.addEventListener("wheel", (event) => handleWheel(event, zoom, at(event)), { passive: false });
  stage.addEventListener("touchstart", (event) => event.touches.length > 1 && event.preventDefault(), { passive: false });
  stage.addEventListener("dblclick", (event) => (zoom.scale > 1 ? zoom.fit() : zoom.zoomBy(3, at(event).x, at(event).y)));
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    held.set(event.pointerId, at(event));
    sliding = held.size === 1 && (zoom.scale === 1 || event.target.closest(".handle") !== null);
  });
  stage.addEventListener("pointermove", (event) => {
    const before = held.get(event.pointerId);
    if (!before) return;
    const now = at(event);
    if (held.size === 2) pinch(zoom, before, now, [...held].find(([id]) => id !== event.pointerId)[1]);
    else if (sliding) slide(now.x);
    else zoom.panBy(now.x - before.x, now.y - before.y);
    held.set(event.pointerId, now);
  });
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, (event) => held.delete(event.pointerId));
}

function handleWheel(event, zoom, { x, y }) {
  if (zoom.scale === 1 && event.deltaY > 0) return; // cannot zoom out further: let the page scroll
  event.preventDefault();
  zoom.zoomBy(1.0015 ** -event.deltaY, x, y);
}

function pinch(zoom, before, now, other) {
  const apart = (point) => Math.hypot(point.x - other.x, point.y - other.y);
  if (apart(before) > 0) zoom.zoomBy(apart(now) / apart(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
  zoom.panBy((now.x - before.x) / 2, (now.y - before.y) / 2);
}
