/** The sign-in dialog, shown when the station wants a token. */

import { asked, problemOf } from "./api.js";
import { button, el, newId } from "./dom.js";
import { remember } from "./memory.js";

let asking = null;

/** Ask for a token until the station takes one; whoever asks meanwhile waits for the same dialog. */
export function signIn() {
  asking ??= new Promise((resolve) => show(resolve)).finally(() => (asking = null));
  return asking;
}

/** Give the token back; the page then asks for one anew. */
export async function signOut() {
  await asked("v1/session", { method: "DELETE" });
  remember("signed-in", "");
  location.reload();
}

function show(resolve) {
  const id = newId("token");
  const fault = el("p", { class: "fault", role: "alert" });
  const token = el("input", { id, type: "password", autocomplete: "current-password", required: true, spellcheck: "false" });
  const form = el(
    "form",
    { class: "stack", onsubmit: (event) => send(event, token, fault, () => (dialog.remove(), resolve())) },
    el("h1", {}, "Sign in"),
    el("p", {}, "This station is open to people who have its token. Ask whoever set it up."),
    el("label", { for: id }, "Token"),
    token,
    fault,
    button({ type: "submit", class: "primary" }, "Sign in"),
  );
  const dialog = el("dialog", { class: "dialog", "aria-label": "Sign in", oncancel: (event) => event.preventDefault() }, form);
  document.body.append(dialog);
  dialog.showModal();
}

async function send(event, token, fault, done) {
  event.preventDefault();
  fault.textContent = "";
  try {
    const body = JSON.stringify({ token: token.value.trim() });
    const answer = await asked("v1/session", { method: "POST", body, headers: { "Content-Type": "application/json" } });
    if (!answer.ok) throw await problemOf(answer);
    remember("signed-in", "yes");
    done();
  } catch (error) {
    fault.textContent = [401, 403].includes(error.status) ? "The station does not know this token. Is it complete?" : error.message;
    token.select();
  }
}
