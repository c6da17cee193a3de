/** Icons as SVG: shapes for verdicts, so that colour is never alone, and signs for buttons. */

import { svg } from "./dom.js";

const SOLID = {
  ok: "M12 1a11 11 0 1 0 0 22 11 11 0 0 0 0-22zM10.4 17.2 5.6 12.4l2-2 2.8 2.8 6-6.1 2 2z",
  defect: "M7.4 1h9.2L23 7.4v9.2L16.6 23H7.4L1 16.6V7.4zM8.2 6.2l-2 2L10 12l-3.8 3.8 2 2L12 14l3.8 3.8 2-2L14 12l3.8-3.8-2-2L12 10z",
  retake: "M12 1.5 23.5 22H.5zM10.7 8.5l.4 6.5h1.8l.4-6.5zM12 16.4a1.5 1.5 0 1 0 0 3 1.5 1.5 0 0 0 0-3z",
  none: "M3 3h18v18H3zM7 10.6v2.8h10v-2.8z",
};

const DRAWN = {
  upload: "M12 16V4M7 9l5-5 5 5M4 16v4h16v-4",
  camera: "M3 8h4l2-3h6l2 3h4v11H3zM12 10.5a3.2 3.2 0 1 0 0 6.4 3.2 3.2 0 0 0 0-6.4z",
  heat: "M12 3c1 4 5 5.5 5 10.5a5 5 0 0 1-10 0c0-2 1-3 2-4 .3 1.5 1 2 1.7 2C11.5 9 11 6 12 3z",
  plus: "M5 12h14M12 5v14",
  minus: "M5 12h14",
  fit: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
  back: "M15 5l-7 7 7 7",
  next: "M9 5l7 7-7 7",
  download: "M12 4v12M7 11l5 5 5-5M4 20h16",
  light: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2.5M12 19.5V22M2 12h2.5M19.5 12H22M5 5l1.7 1.7M17.3 17.3 19 19M5 19l1.7-1.7M17.3 6.7 19 5",
  dark: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z",
  inspect: "M4 8V4h4M16 4h4v4M20 16v4h-4M8 20H4v-4M8.5 12.200l2.5 2.5 4.5-5",
  history: "M4 6h16M4 12h16M4 18h16",
  disagreements: "M4 5h11v8H9l-3 3v-3H4zM9 16v2h6l3 3v-3h2v-8h-2",
  review: "M2 12c3-5 6.5-7 10-7s7 2 10 7c-3 5-6.5 7-10 7s-7-2-10-7zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
};

/** An icon that is seen and not read out; the words beside it say the same. */
export function icon(name) {
  const solid = name in SOLID;
  const path = svg("path", solid ? { d: SOLID[name], "fill-rule": "evenodd" } : { d: DRAWN[name] });
  return svg("svg", { class: solid ? "icon solid" : "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, path);
}
