/** Starts the page, and shows the view that the address names. */

import { disagreementsView } from "./disagreements.js";
import { el, say } from "./dom.js";
import { showHeader } from "./header.js";
import { historyView } from "./history.js";
import { inspectionView } from "./detail.js";
import { inspectView } from "./inspect.js";
import { listen } from "./receiving.js";
import { empty } from "./region.js";
import { reviewView } from "./review.js";
import { station } from "./station.js";

const VIEWS = {
  "": inspectView,
  history: historyView,
  inspection: inspectionView,
  disagreements: disagreementsView,
  review: reviewView,
};

let shown = new AbortController();

/** The address after #, such as "/inspection/17" or "/history?verdict=defect", as its pieces. */
function place() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, id = ""] = path.split("/");
  return { name, id, query: new URLSearchParams(query) };
}

/** Show the view of the address; what the last one had under way ends. */
function show(moved) {
  shown.abort();
  shown = new AbortController();
  const at = place();
  const view = VIEWS[at.name] ?? nowhere;
  const title = el("h1", { tabindex: "-1" });
  const main = document.getElementById("main");
  const { heading, content } = view(at, shown.signal);
  title.textContent = heading;
  document.title = `${heading} – Clearcast`;
  main.className = `view view-${view === nowhere ? "nowhere" : at.name || "inspect"}`;
  main.replaceChildren(title, ...[content].flat());
  scrollTo(0, 0);
  if (moved) title.focus({ preventScroll: true });
  say(heading);
}

function nowhere() {
  return { heading: "Not found", content: empty("There is no such view.", "Choose one above.") };
}

showHeader(() => place().name);
listen();
addEventListener("hashchange", () => show(true));
await station.look();
show(false);
