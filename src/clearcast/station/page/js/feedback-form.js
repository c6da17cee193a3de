/** Feedback of an inspection: the list of what was given, and the form to add more. */

import { requestJson } from "./api.js";
import { announce, button, el, icon, loadPreference, newId, savePreference } from "./dom.js";
import { FEEDBACK_BUTTONS, FEEDBACK_LABELS, formatTime } from "./format.js";
import { station } from "./station-status.js";

const ICONS = { ok: "ok", defect: "defect", bad_picture: "retake" };
const KEYS = { ok: "O", defect: "D", bad_picture: "B" };

/**
 * Create the feedback section. `saved` gets the updated inspection; `settling`: whether feedback settles an open
 * disagreement by default. Returns the node, `submit` and `focusNote` (for keyboard shortcuts).
 */
export function feedbackSection(inspection, { saved, settling = false }) {
  const list = inspection.feedback.length > 0 && el("ol", { class: "feedback-list" }, ...inspection.feedback.map(feedbackItem));
  const open = inspection.disagreement === "open" && el("p", { class: "tag-line" }, el("span", { class: "tag" }, "Open disagreement"), " The latest feedback contradicts the verdict.");
  const settled = inspection.disagreement === "settled" && el("p", { class: "quiet" }, "This disagreement is settled.");
  if (!station.isOperator) {
    const node = el("section", { class: "feedback", "aria-label": "Feedback" }, el("h3", {}, "Feedback"), open, settled, list || el("p", { class: "quiet" }, "No feedback yet."));
    return { node, submit() {}, focusNote() {} };
  }
  const form = feedbackForm(inspection, { saved, settling });
  return { ...form, node: el("section", { class: "feedback", "aria-label": "Feedback" }, el("h3", {}, "Your feedback"), open, settled, list, form.node) };
}

function feedbackItem({ at, says, note, operator, settles }) {
  return el(
    "li",
    {},
    icon(ICONS[says] ?? "none"),
    el("div", {},
      el("strong", {}, operator || "Unknown"), `: ${FEEDBACK_LABELS[says] ?? says}${settles ? " (final decision)" : ""}`,
      note && el("q", {}, note),
      el("time", { datetime: at, class: "quiet" }, formatTime(at))),
  );
}

function feedbackForm(inspection, { saved, settling }) {
  const [nameId, noteId] = [newId("operator"), newId("note")];
  const name = el("input", { id: nameId, maxlength: "100", autocomplete: "name", value: loadPreference("operator") });
  const note = el("textarea", { id: noteId, maxlength: "2000", rows: "1" });
  const fault = el("p", { class: "fault", role: "alert" });
  const settles = el("input", { type: "checkbox", checked: settling });
  const buttons = Object.entries(FEEDBACK_BUTTONS).map(([says, words]) =>
    button({ class: `feedback-button ${ICONS[says]}`, "aria-keyshortcuts": KEYS[says], onclick: () => submit(says) }, icon(ICONS[says]), el("span", {}, words), el("kbd", { "aria-hidden": "true" }, KEYS[says])),
  );
  const disable = (off) => buttons.forEach((one) => (one.disabled = off));

  async function submit(says) {
    if (buttons[0].disabled) return;
    fault.textContent = name.value.trim() ? "" : "Enter your name. This browser remembers it.";
    if (fault.textContent) return name.focus();
    savePreference("operator", name.value.trim());
    disable(true);
    try {
      const json = { says, note: note.value.trim(), operator: name.value.trim(), settles: inspection.disagreement === "open" && settles.checked };
      const updated = await requestJson(`v1/inspections/${inspection.id}/feedback`, { method: "POST", json });
      announce(`Saved: ${FEEDBACK_LABELS[says]}.`);
      station.refresh();
      saved(updated);
    } catch (error) {
      fault.textContent = `Not saved: ${error.message} Try again.`;
      if (error.status === 0) station.markUnreachable();
      disable(false);
    }
  }

  const settleLine = inspection.disagreement === "open" && el("label", { class: "check" }, settles, "Final decision: settles the disagreement");
  const node = el(
    "div",
    { class: "feedback-form" },
    settleLine,
    el("div", { class: "field" }, el("label", { for: noteId }, "Note (optional)"), note),
    el("div", { class: "feedback-buttons" }, ...buttons),
    fault,
    el("div", { class: "field" }, el("label", { for: nameId }, "Your name"), name),
  );
  return { node, submit, focusNote: () => note.focus() };
}
