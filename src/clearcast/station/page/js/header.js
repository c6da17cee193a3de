/** Header: tabs, station status, banners for outages and drift, and the dialog "This station". */

import { signOut } from "./api.js";
import { button, el, icon, loadPreference, savePreference } from "./dom.js";
import { formatBytes, formatInterval, formatPercent, pluralise } from "./format.js";
import { station } from "./station-status.js";

const TABS = [
  ["", "Inspect"],
  ["history", "History"],
  ["disagreements", "Disagreements"],
  ["review", "Review"],
];

/**
 * Show the header and keep it up to date; `currentView` returns the name of the view shown. Unchanged controls are never
 * replaced: they would lose the focus, or a click in progress.
 */
export function initHeader(currentView) {
  const tabs = TABS.map(([name, words]) => tab(name, words));
  document.getElementById("tabs").replaceChildren(...tabs.map(({ link }) => link));
  const update = () => {
    document.getElementById("station-name").textContent = station.status?.station ?? "";
    tabs.forEach(({ update }) => update(currentView()));
    replaceChanged(document.getElementById("state"), statusControls());
    updateBanners();
  };
  station.addEventListener("change", update);
  addEventListener("hashchange", update);
  update();
}

/** Create the link to a view; `update` sets its badge and marks it as current. */
function tab(name, words) {
  const badge = el("span", { class: "badge", hidden: true });
  const link = el("a", { href: `#/${name}` }, icon(name || "inspect"), el("span", {}, words), badge);
  const update = (shown) => {
    const here = name === shown || (name === "history" && shown === "inspection");
    link.ariaCurrent = here ? "page" : null;
    const open = name === "disagreements" ? station.disagreements : 0;
    badge.hidden = !open;
    badge.replaceChildren(open > 99 ? "99+" : String(open), el("span", { class: "visually-hidden" }, " open"));
  };
  return { link, update };
}

function replaceChanged(place, nodes) {
  const same = nodes.length === place.children.length && nodes.every((node, index) => node.isEqualNode(place.children[index]));
  if (!same) place.replaceChildren(...nodes);
}

function statusControls() {
  const { status } = station;
  return [
    status?.model && el("span", { class: "model", title: "Model" }, status.model),
    button({ class: `pill ${stationCondition()[0]}`, title: "About this station", "aria-haspopup": "dialog", onclick: showAboutDialog }, stationCondition()[1]),
    status?.role === "reader" && el("span", { class: "pill" }, "Read only"),
    themeButton(),
    loadPreference("signed-in") && button({ class: "plain", onclick: signOut }, "Sign out"),
  ].filter(Boolean);
}

function stationCondition() {
  if (station.unreachable) return ["bad", "Not responding"];
  if (!station.status) return ["", "Connecting"];
  return station.status.ready ? ["good", "Ready"] : ["bad", "Not ready"];
}

function themeButton() {
  const other = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  const change = () => {
    savePreference("theme", other);
    document.dispatchEvent(new CustomEvent("clearcast:theme", { detail: other }));
    station.dispatchEvent(new Event("change"));
    document.querySelector(".theme").focus();
  };
  return button({ class: "plain theme", "aria-label": `Switch to ${other} theme`, title: `Switch to ${other} theme`, onclick: change }, icon(other));
}

let shownBanners = "";

/** Update the banners only if their content changes, so that screen readers do not repeat them. */
function updateBanners() {
  const now = JSON.stringify([station.unreachable, station.status?.ready, station.status?.reasons, station.status?.drift]);
  if (now === shownBanners) return;
  shownBanners = now;
  document.getElementById("banners").replaceChildren(...[outageBanner(), driftBanner()].filter(Boolean));
}

function outageBanner() {
  if (station.unreachable) {
    return el(
      "div",
      { class: "banner bad", role: "alert" },
      el("strong", {}, "The station does not respond. "),
      "Reconnecting automatically. Waiting images will be sent then.",
    );
  }
  if (!station.status || station.status.ready) return null;
  const reasons = station.status.reasons.length ? station.status.reasons : ["it is starting"];
  return el(
    "div",
    { class: "banner bad", role: "alert" },
    el("strong", {}, "The station cannot inspect at the moment: "),
    `${reasons.join("; ")}. Inspection resumes automatically when this is fixed.`,
  );
}

function driftBanner() {
  const sentences = station.status?.drift ?? [];
  if (station.unreachable || !sentences.length) return null;
  return el(
    "details",
    { class: "banner warn" },
    el("summary", {}, el("strong", {}, "The images have changed. "), pluralise(sentences.length, "finding")),
    el("ul", {}, ...sentences.map((sentence) => el("li", {}, sentence))),
  );
}

const RATES = { accuracy: "Accuracy", escape: "Escape rate (defects passed as OK)", overkill: "Overkill rate (OK parts rejected)" };

/** Show the dialog with the model, its measured rates and the station's limits. */
function showAboutDialog() {
  const dialog = el("dialog", { class: "dialog", "aria-labelledby": "about", onclose: () => dialog.remove() });
  dialog.append(
    el(
      "div",
      { class: "stack" },
      el("h1", { id: "about" }, "This station"),
      station.status ? stationDetails(station.status) : el("p", {}, "No response from the station yet."),
      station.status?.measured && el("p", { class: "quiet" }, "In brackets: 95% confidence interval."),
      el("div", { class: "row" }, button({ class: "primary", autofocus: true, onclick: () => dialog.close() }, "Close"), el("a", { href: "docs" }, "API documentation")),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
}

function stationDetails({ station: name, model, threshold, measured, shadow, shadow_fault: fault, limits, repeats, version }) {
  const rates = Object.entries(RATES).filter(([key]) => measured?.[key]); // null: not measured, which is not 0%
  const pairs = [
    ["Name", name],
    ["Model", model],
    ["Defect threshold", threshold === null ? "" : formatPercent(threshold)],
    ["Measured on", measured?.images ? `${pluralise(measured.images, "held-out image")} of ${pluralise(measured.parts, "part")}` : ""],
    ...rates.map(([key, words]) => [words, formatInterval(measured[key])]),
    ["Trial model", [shadow, fault].filter(Boolean).join(": ")],
    ["Repeated images", repeats ? `${pluralise(repeats, "image")} identical to the previous image of the same station` : ""],
    ["Maximum file size", formatBytes(limits.bytes)],
    ["Clearcast", version],
  ];
  return el("dl", { class: "about" }, ...pairs.filter(([, value]) => value).map(([words, value]) => el("div", {}, el("dt", {}, words), el("dd", {}, value))));
}
