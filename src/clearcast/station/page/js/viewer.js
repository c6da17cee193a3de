/** The picture as it came and restored, one over the other, with a slider between them. */

import { picturesOf } from "./api.js";
import { button, el, newId } from "./dom.js";
import { icon } from "./icons.js";
import { loadedImage } from "./loading.js";
import { empty } from "./region.js";
import { followPointers, onKey, Zoom } from "./zooming.js";

const HEAT = "heat map: red to yellow where it speaks for a defect";
const MAGNIFIED = 3; // from so many screen pixels a picture's pixel on, each is shown as a square
const kept = { split: 50, heat: false }; // as the operator left them, for the next picture

/** A viewer of an inspection's pictures: its node, and what keys may do to it. */
export function viewer(inspection) {
  const { noisy, restored, heat } = picturesOf(inspection);
  const over = restored || heat; // where nothing restores it, the heat map is all that there is to compare with
  if (!noisy) return { node: el("div", { class: "viewer" }, absent(inspection)), toggleHeat() {} };
  const stage = el("div", { class: "stage", tabindex: "0", role: "group", "aria-label": "Picture. Plus and minus zoom, arrows move, 0 shows all of it." });
  const size = el("output", { class: "times", "aria-label": "Enlarged" }, "1×");
  const layers = [layer("under", noisy, `${inspection.name}, as it came`), over && layer("over", over, `${inspection.name}, ${restored ? "restored" : HEAT}`)].filter(Boolean);
  const zoom = new Zoom(stage, () => show(stage, zoom, layers, size));
  const slider = over && splitter(stage, restored ? "restored" : "heat map");
  stage.append(...layers, ...(over ? [el("div", { class: "handle", "aria-hidden": "true" }), ...captions(restored ? "Restored" : "Heat map")] : []));
  if (inspection.width) stage.style.setProperty("--aspect", inspection.width / inspection.height);
  followPointers(stage, zoom, (x) => slider?.move((100 * x) / stage.clientWidth));
  stage.addEventListener("keydown", (event) => onKey(event, zoom));
  const heatSwitch = heat && restored && heatButton(stage, layers[1], { restored, heat }, inspection.name);
  const node = el("div", { class: "viewer" }, el("div", { class: "stage-box" }, stage), tools(zoom, size, heatSwitch, slider?.node));
  return { node, toggleHeat: () => heatSwitch && heatSwitch.click() };
}

function absent(inspection) {
  const gone = "The pictures of this inspection are no longer kept; what was said of them is.";
  return empty("No picture to show", inspection.error ? "It could not be read." : gone);
}

function layer(name, address, words) {
  const gone = el("p", { class: "gone", hidden: true }, "This picture cannot be shown; it may no longer be kept.");
  const show = (there) => {
    picture.hidden = !there;
    gone.hidden = there;
  };
  const picture = loadedImage({ src: address, alt: words, draggable: "false" }, { shown: () => show(true), failed: () => show(false) });
  return el("div", { class: `layer ${name}` }, picture, gone); // the image stays, for the heat map may be there
}

function captions(right) {
  return [el("span", { class: "caption left", "aria-hidden": "true" }, "As it came"), el("span", { class: "caption right", "aria-hidden": "true" }, right)];
}

/** Move both pictures together. */
function show(stage, zoom, layers, size) {
  for (const { firstElementChild: picture } of layers) {
    picture.style.transform = `translate(${zoom.x}px, ${zoom.y}px) scale(${zoom.scale})`;
    if (picture.naturalWidth) {
      const pixel = (zoom.scale * stage.clientWidth) / picture.naturalWidth;
      picture.classList.toggle("pixels", pixel >= MAGNIFIED);
    }
  }
  stage.classList.toggle("enlarged", zoom.scale > 1);
  size.textContent = `${zoom.scale < 10 ? Number(zoom.scale.toFixed(1)) : Math.round(zoom.scale)}×`;
}

/** The slider between both pictures: a control for keys and touch, and a way to move it. */
function splitter(stage, other) {
  const id = newId("split");
  const range = el("input", { id, type: "range", min: "0", max: "100", step: "1", value: kept.split });
  const apply = () => {
    kept.split = range.valueAsNumber;
    stage.style.setProperty("--split", `${kept.split}%`);
    range.setAttribute("aria-valuetext", `${kept.split}% as it came, ${100 - kept.split}% ${other}`);
  };
  range.addEventListener("input", apply);
  apply();
  const move = (percent) => {
    range.value = percent;
    apply();
  };
  return { node: el("div", { class: "splitter" }, el("label", { class: "unseen", for: id }, `Slide between as it came and ${other}`), range), move };
}

function heatButton(stage, over, pictures, name) {
  const apply = () => {
    const picture = over.querySelector("img");
    picture.src = kept.heat ? pictures.heat : pictures.restored;
    picture.alt = `${name}, ${kept.heat ? HEAT : "restored"}`;
    stage.querySelector(".caption.right").textContent = kept.heat ? "Heat map" : "Restored";
    control.setAttribute("aria-pressed", String(kept.heat));
  };
  const control = button({ class: "tool", title: "Red to yellow where the picture speaks for a defect (H)", onclick: () => ((kept.heat = !kept.heat), apply()) }, icon("heat"), "Heat map");
  apply();
  return control;
}

function tools(zoom, size, heatSwitch, slider) {
  const tool = (name, words, act) => button({ class: "tool", "aria-label": words, title: words, onclick: act }, icon(name));
  return el(
    "div",
    { class: "tools" },
    heatSwitch,
    slider || el("span", { class: "room" }),
    tool("minus", "Smaller", () => zoom.by(1 / 1.5)),
    size,
    tool("plus", "Larger", () => zoom.by(1.5)),
    tool("fit", "Show all of it", () => zoom.fit()),
  );
}
