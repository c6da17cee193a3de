/** Entry point and router: the address after # selects the view. */

import { emptyState } from "./async-region.js";
import { announce, el } from "./dom.js";
import { initDropZone } from "./drop-zone.js";
import { initHeader } from "./header.js";
import { historyView } from "./history-view.js";
import { inspectView } from "./inspect-view.js";
import { inspectionView } from "./inspection-panel.js";
import { station } from "./station-status.js";
import { disagreementsView, reviewView } from "./worklist.js";

const VIEWS = {
  "": inspectView,
  history: historyView,
  inspection: inspectionView,
  disagreements: disagreementsView,
  review: reviewView,
};

let current = new AbortController(); // of the view shown; aborted when another replaces it

/** Parse the address after #, such as "/inspection/17" or "/history?verdict=defect". */
function parseRoute() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, id = ""] = path.split("/");
  return { name, id, query: new URLSearchParams(query) };
}

/** Render the view of the current address and abort the requests of the previous one. */
function render({ moveFocus }) {
  current.abort();
  current = new AbortController();
  const route = parseRoute();
  const view = VIEWS[route.name] ?? notFoundView;
  const title = el("h1", { tabindex: "-1" });
  const main = document.getElementById("main");
  const { heading, content } = view(route, current.signal);
  title.textContent = heading;
  document.title = `${heading} – Clearcast`;
  main.className = `view view-${view === notFoundView ? "not-found" : route.name || "inspect"}`;
  main.replaceChildren(title, ...[content].flat());
  scrollTo(0, 0);
  if (moveFocus) title.focus({ preventScroll: true });
  announce(heading);
}

function notFoundView() {
  return { heading: "Not found", content: emptyState("This view does not exist.", "Choose a tab.") };
}

initHeader(() => parseRoute().name);
initDropZone();
addEventListener("hashchange", () => render({ moveFocus: true }));
await station.refresh();
render({ moveFocus: false });
