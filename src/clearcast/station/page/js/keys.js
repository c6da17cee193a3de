/** Single keys, which work only while the focus is in the part of the page they belong to, and never while typing. */

const TYPING = "input:not([type=range], [type=checkbox]), textarea, select";

export function onKeys(node, keys) {
  node.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.closest(TYPING)) return;
    if (event.key.startsWith("Arrow") && event.target.type === "range") return;
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}
