/** DOM helpers: elements, icons, keyboard shortcuts and stored preferences. Text is always a text node, never markup. */

const SVG = "http://www.w3.org/2000/svg";

/** Create an HTML element. Attributes named on... add listeners; null, undefined and false ones are left out. */
export function el(tag, attributes = {}, ...children) {
  return fillElement(document.createElement(tag), attributes, children);
}

/** Create an SVG element; see `el`. */
export function svg(tag, attributes = {}, ...children) {
  return fillElement(document.createElementNS(SVG, tag), attributes, children);
}

/** Create a button that does not submit a form. */
export function button(attributes, ...children) {
  return el("button", { type: "button", ...attributes }, ...children);
}

/** Announce a change to screen readers. */
export function announce(text) {
  document.getElementById("live").textContent = text;
}

let lastId = 0;

/** Return a unique element id, to link a label to its control. */
export function newId(name) {
  lastId += 1;
  return `${name}-${lastId}`;
}

function fillElement(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Icons of verdicts, told apart by shape as well as colour. */
const VERDICT_ICONS = {
  ok: "M12 1a11 11 0 1 0 0 22 11 11 0 0 0 0-22zM10.4 17.2 5.6 12.4l2-2 2.8 2.8 6-6.1 2 2z",
  defect: "M7.4 1h9.2L23 7.4v9.2L16.6 23H7.4L1 16.6V7.4zM8.2 6.2l-2 2L10 12l-3.8 3.8 2 2L12 14l3.8 3.8 2-2L14 12l3.8-3.8-2-2L12 10z",
  retake: "M12 1.5 23.5 22H.5zM10.7 8.5l.4 6.5h1.8l.4-6.5zM12 16.4a1.5 1.5 0 1 0 0 3 1.5 1.5 0 0 0 0-3z",
  none: "M3 3h18v18H3zM7 10.6v2.8h10v-2.8z",
};

const LINE_ICONS = {
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

/** Create an icon, hidden from screen readers: the text beside it says the same. */
export function icon(name) {
  const solid = name in VERDICT_ICONS;
  const path = svg("path", solid ? { d: VERDICT_ICONS[name], "fill-rule": "evenodd" } : { d: LINE_ICONS[name] });
  return svg("svg", { class: solid ? "icon solid" : "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, path);
}

const TEXT_INPUTS = "input:not([type=range], [type=checkbox]), textarea, select";

/** Bind single-key shortcuts that work while the focus is within `node`, except while typing. */
export function bindKeys(node, keys) {
  node.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.closest(TEXT_INPUTS)) return;
    if (event.key.startsWith("Arrow") && event.target.type === "range") return;
    const action = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

/** Read a preference of this browser, such as the operator's name; "" if there is none or storage is blocked. */
export function loadPreference(key) {
  try {
    return localStorage.getItem(`clearcast.${key}`) ?? "";
  } catch {
    return "";
  }
}

/** Store a preference in this browser, if storage is available. */
export function savePreference(key, value) {
  try {
    localStorage.setItem(`clearcast.${key}`, value);
  } catch {
    // Storage is full or blocked: the operator enters it again next time.
  }
}
