/** How far a batch is, and buttons to stop it and to go on. */

import { batch } from "./batch.js";
import { button, el, say } from "./dom.js";
import { count, counted } from "./words.js";

/** The box and how to bring it up to date; its buttons stay the same, so that the focus does too. */
export function progressBox() {
  const bar = el("progress", { "aria-label": "Progress of the pictures" });
  const words = el("span");
  const why = el("span", { class: "tag-line" });
  const stop = button({ onclick: () => batch.stop() }, "Stop");
  const again = button({ onclick: () => batch.again() });
  const clear = button({ onclick: () => batch.clear() }, "Clear the list");
  const node = el("div", { class: "progress" }, bar, words, why, el("span", { class: "room" }), stop, again, clear);

  function update() {
    const { items } = batch;
    const [answered, waiting, failed] = [of(items, "done", "failed"), of(items, "waiting"), of(items, "failed")];
    node.hidden = items.length < 2 && !batch.waitingFor && !failed;
    [bar.max, bar.value] = [items.length || 1, answered];
    const now = wordsOf(items.length, answered, batch.stopped && waiting > 0);
    if (now !== words.textContent && answered === items.length && answered > 1) say(now);
    words.textContent = now;
    why.textContent = batch.waitingFor;
    stop.hidden = !batch.busy || !waiting;
    again.hidden = batch.busy || (!failed && !waiting);
    again.textContent = waiting ? "Go on" : "Send the failed ones again";
    clear.hidden = batch.busy;
  }
  return { node, update };
}

function of(items, ...states) {
  return items.filter((item) => states.includes(item.state)).length;
}

function wordsOf(all, answered, stopped) {
  if (answered === all) return `${counted(all, "picture")}, all answered.`;
  return `${count(answered)} of ${counted(all, "picture")} answered.${stopped ? " Stopped." : ""}`;
}
