/** The header: where one is, whether the station can work, and what it has to say. */

import { showAbout } from "./about.js";
import { button, el } from "./dom.js";
import { icon } from "./icons.js";
import { recall, remember } from "./memory.js";
import { signOut } from "./signin.js";
import { station } from "./station.js";
import { counted } from "./words.js";

const TABS = [
  ["", "Inspect"],
  ["history", "History"],
  ["disagreements", "Disagreements"],
  ["review", "Review"],
];

/**
 * Show the header, and keep it true. `view` tells the name of the view that is shown. News arrive while somebody presses
 * or has the focus, and a control that is replaced then loses both: what stays the same is left in its place.
 */
export function showHeader(view) {
  const tabs = TABS.map(([name, words]) => tab(name, words));
  document.getElementById("tabs").replaceChildren(...tabs.map(({ link }) => link));
  const update = () => {
    document.getElementById("station-name").textContent = station.facts?.station ?? "";
    tabs.forEach(({ update }) => update(view()));
    replaceChanged(document.getElementById("state"), state());
    showBanners();
  };
  station.addEventListener("change", update);
  addEventListener("hashchange", update);
  update();
}

/** A link to a view, and what keeps its badge and its mark true. */
function tab(name, words) {
  const badge = el("span", { class: "badge", hidden: true });
  const link = el("a", { href: `#/${name}` }, icon(name || "inspect"), el("span", {}, words), badge);
  const update = (shown) => {
    const here = name === shown || (name === "history" && shown === "inspection");
    link.ariaCurrent = here ? "page" : null;
    const open = name === "disagreements" ? station.disagreements : 0;
    badge.hidden = !open;
    badge.replaceChildren(open > 99 ? "99+" : String(open), el("span", { class: "unseen" }, " open"));
  };
  return { link, update };
}

function replaceChanged(place, nodes) {
  const same = nodes.length === place.children.length && nodes.every((node, index) => node.isEqualNode(place.children[index]));
  if (!same) place.replaceChildren(...nodes);
}

function state() {
  const facts = station.facts;
  return [
    facts?.model && el("span", { class: "model", title: "The model that judges" }, facts.model),
    button({ class: `pill ${condition()[0]}`, title: "About this station", "aria-haspopup": "dialog", onclick: showAbout }, condition()[1]),
    facts?.role === "reader" && el("span", { class: "pill" }, "Read only"),
    themeButton(),
    recall("signed-in") && button({ class: "plain", onclick: signOut }, "Sign out"),
  ].filter(Boolean);
}

function condition() {
  if (station.away) return ["bad", "No answer"];
  if (!station.facts) return ["", "Connecting"];
  return station.facts.ready ? ["good", "Ready"] : ["bad", "Not ready"];
}

function themeButton() {
  const other = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  const change = () => {
    remember("theme", other);
    document.dispatchEvent(new CustomEvent("clearcast:theme", { detail: other }));
    station.dispatchEvent(new Event("change"));
    document.querySelector(".theme").focus();
  };
  return button({ class: "plain theme", "aria-label": `Change to ${other} colours`, title: `Change to ${other} colours`, onclick: change }, icon(other));
}

let told = "";

/** Banners change only when their words do, so that nobody is told the same again and again. */
function showBanners() {
  const now = JSON.stringify([station.away, station.facts?.ready, station.facts?.reasons, station.facts?.drift]);
  if (now === told) return;
  told = now;
  document.getElementById("banners").replaceChildren(...[trouble(), drift()].filter(Boolean));
}

function trouble() {
  if (station.away) {
    return el(
      "div",
      { class: "banner bad", role: "alert" },
      el("strong", {}, "The station does not answer. "),
      "The page asks again every two seconds and goes on by itself. Pictures that wait here are sent then.",
    );
  }
  if (!station.facts || station.facts.ready) return null;
  const reasons = station.facts.reasons.length ? station.facts.reasons : ["it is starting"];
  return el(
    "div",
    { class: "banner bad", role: "alert" },
    el("strong", {}, "The station cannot inspect just now: "),
    `${reasons.join("; ")}. It goes on by itself once that is mended.`,
  );
}

function drift() {
  const sentences = station.facts?.drift ?? [];
  if (station.away || !sentences.length) return null;
  return el(
    "details",
    { class: "banner warn" },
    el("summary", {}, el("strong", {}, "The pictures have changed. "), counted(sentences.length, "remark")),
    el("ul", {}, ...sentences.map((sentence) => el("li", {}, sentence))),
  );
}
