/** What people say of an inspection: what was said, and a form to say more. */

import { call } from "./api.js";
import { button, el, newId, say } from "./dom.js";
import { icon } from "./icons.js";
import { recall, remember } from "./memory.js";
import { station } from "./station.js";
import { moment, SAID, SAYS } from "./words.js";

const SIGNS = { ok: "ok", defect: "defect", bad_picture: "retake" };
const KEYS = { ok: "O", defect: "D", bad_picture: "B" };

/**
 * The feedback of an inspection. `saved` gets the inspection as it is after an answer; `settling`: whether an answer
 * settles an open disagreement unless the operator says otherwise. Gives the node, and what keys may do.
 */
export function feedback(inspection, { saved, settling = false }) {
  const said = inspection.feedback.length > 0 && el("ol", { class: "said" }, ...inspection.feedback.map(spoken));
  const open = inspection.disagreement === "open" && el("p", { class: "tag-line" }, el("span", { class: "tag" }, "Open disagreement"), " The last answer contradicts the verdict.");
  const settled = inspection.disagreement === "settled" && el("p", { class: "quiet" }, "This disagreement is settled.");
  if (!station.operator) {
    const node = el("section", { class: "feedback", "aria-label": "Feedback" }, el("h3", {}, "What people said"), open, settled, said || el("p", { class: "quiet" }, "Nothing yet."));
    return { node, answer() {}, note() {} };
  }
  const form = answering(inspection, { saved, settling });
  return { ...form, node: el("section", { class: "feedback", "aria-label": "Feedback" }, el("h3", {}, "What do you say?"), open, settled, said, form.node) };
}

function spoken({ at, says, note, operator, settles }) {
  return el(
    "li",
    {},
    icon(SIGNS[says] ?? "none"),
    el("div", {},
      el("strong", {}, operator || "Somebody"), ` said: ${SAID[says] ?? says}${settles ? " – the final word" : ""}`,
      note && el("q", {}, note),
      el("time", { datetime: at, class: "quiet" }, moment(at))),
  );
}

function answering(inspection, { saved, settling }) {
  const [nameId, noteId] = [newId("operator"), newId("note")];
  const name = el("input", { id: nameId, maxlength: "100", autocomplete: "name", value: recall("operator") });
  const note = el("textarea", { id: noteId, maxlength: "2000", rows: "1" });
  const fault = el("p", { class: "fault", role: "alert" });
  const settles = el("input", { type: "checkbox", checked: settling });
  const buttons = Object.entries(SAYS).map(([says, words]) =>
    button({ class: `answer ${SIGNS[says]}`, "aria-keyshortcuts": KEYS[says], onclick: () => answer(says) }, icon(SIGNS[says]), el("span", {}, words), el("kbd", { "aria-hidden": "true" }, KEYS[says])),
  );
  const disable = (off) => buttons.forEach((one) => (one.disabled = off));

  async function answer(says) {
    if (buttons[0].disabled) return;
    fault.textContent = name.value.trim() ? "" : "Who says so? Type your name once; this browser remembers it.";
    if (fault.textContent) return name.focus();
    remember("operator", name.value.trim());
    disable(true);
    try {
      const json = { says, note: note.value.trim(), operator: name.value.trim(), settles: inspection.disagreement === "open" && settles.checked };
      const now = await call(`v1/inspections/${inspection.id}/feedback`, { method: "POST", json });
      say(`Noted: ${SAID[says]}.`);
      station.look();
      saved(now);
    } catch (error) {
      fault.textContent = `Not noted: ${error.message} Please press again.`;
      if (error.status === 0) station.lost();
      disable(false);
    }
  }

  const settleLine = inspection.disagreement === "open" && el("label", { class: "check" }, settles, "This is the final word; it settles the disagreement");
  const node = el(
    "div",
    { class: "answering" },
    settleLine,
    el("div", { class: "field" }, el("label", { for: noteId }, "Note, if there is something to add"), note),
    el("div", { class: "answers" }, ...buttons),
    fault,
    el("div", { class: "field" }, el("label", { for: nameId }, "Your name"), name),
  );
  return { node, answer, note: () => note.focus() };
}
