/** Makes elements. Every text becomes a text node, so that a hostile name can never become markup. */

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element; attributes named on... are listeners, and those that are null or false are left out. */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** An SVG element, in the same way. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** A button that never sends a form by itself. */
export function button(attributes, ...children) {
  return el("button", { type: "button", ...attributes }, ...children);
}

/** Tells people who listen to the page what has changed. */
export function say(text) {
  document.getElementById("live").textContent = text;
}

let counted = 0;

/** An id that no other element has, to tie a label to its control. */
export function newId(name) {
  counted += 1;
  return `${name}-${counted}`;
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}
