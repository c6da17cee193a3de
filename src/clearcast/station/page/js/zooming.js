/** Where a picture is looked at: how much it is enlarged and how far it is moved. */

const MOST = 32;

export class Zoom {
  scale = 1;
  x = 0; // of the picture's left upper corner in the stage, in pixels
  y = 0;

  /** `stage` is what the picture is seen through; `changed` is called after every change. */
  constructor(stage, changed) {
    this.stage = stage;
    this.changed = changed;
  }

  /** Enlarge by a factor, with the point at (x, y) of the stage staying where it is. */
  by(factor, x = this.stage.clientWidth / 2, y = this.stage.clientHeight / 2) {
    const scale = Math.min(Math.max(this.scale * factor, 1), MOST);
    this.#put(scale, x - ((x - this.x) * scale) / this.scale, y - ((y - this.y) * scale) / this.scale);
  }

  move(right, down) {
    this.#put(this.scale, this.x + right, this.y + down);
  }

  fit() {
    this.#put(1, 0, 0);
  }

  /** The picture always fills the stage. */
  #put(scale, x, y) {
    this.scale = scale;
    this.x = Math.min(Math.max(x, this.stage.clientWidth * (1 - scale)), 0);
    this.y = Math.min(Math.max(y, this.stage.clientHeight * (1 - scale)), 0);
    this.changed();
  }
}

const STEP = 60; // pixels that an arrow key moves the picture by
const KEYS = {
  "+": (zoom) => zoom.by(1.5),
  "=": (zoom) => zoom.by(1.5),
  "-": (zoom) => zoom.by(1 / 1.5),
  0: (zoom) => zoom.fit(),
};
const MOVES = { ArrowLeft: [STEP, 0], ArrowRight: [-STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] };

/** Keys while the stage has the focus; arrows only where there is something to move. */
export function onKey(event, zoom) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const act = KEYS[event.key] ?? (zoom.scale > 1 && MOVES[event.key] && (() => zoom.move(...MOVES[event.key])));
  if (!act) return;
  act(zoom);
  event.preventDefault();
  event.stopPropagation();
}

/** Wheel, drag and pinch. A drag moves an enlarged picture; else, or at the handle, it moves the slider to `slide(x)`. */
export function followPointers(stage, zoom, slide) {
  const held = new Map(); // pointers that are down, with where they were last
  let sliding = false;
  const at = (event) => {
    const box = stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  stage.addEventListener("wheel", (event) => onWheel(event, zoom, at(event)), { passive: false });
  stage.addEventListener("touchstart", (event) => event.touches.length > 1 && event.preventDefault(), { passive: false });
  stage.addEventListener("dblclick", (event) => (zoom.scale > 1 ? zoom.fit() : zoom.by(3, at(event).x, at(event).y)));
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
    else zoom.move(now.x - before.x, now.y - before.y);
    held.set(event.pointerId, now);
  });
  for (const end of ["pointerup", "pointercancel"]) stage.addEventListener(end, (event) => held.delete(event.pointerId));
}

function onWheel(event, zoom, { x, y }) {
  if (zoom.scale === 1 && event.deltaY > 0) return; // nothing to make smaller: the page scrolls
  event.preventDefault();
  zoom.by(1.0015 ** -event.deltaY, x, y);
}

function pinch(zoom, before, now, other) {
  const apart = (point) => Math.hypot(point.x - other.x, point.y - other.y);
  if (apart(before) > 0) zoom.by(apart(now) / apart(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
  zoom.move((now.x - before.x) / 2, (now.y - before.y) / 2);
}
