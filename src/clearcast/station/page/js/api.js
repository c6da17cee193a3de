/** Client of the station's REST API, with the sign-in dialog. Addresses are relative to the page. */

import { button, el, newId, savePreference } from "./dom.js";

const TRANSIENT_STATUSES = [429, 502, 503, 504];

/** A failed request, with a message for the operator. `status` 0: the station does not respond. */
class Problem extends Error {
  constructor(message, { status = 0, retryAfter = null, body = {} } = {}) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter; // seconds to wait, or null if the station does not say
    this.body = body;
  }

  get isTransient() {
    return this.status === 0 || TRANSIENT_STATUSES.includes(this.status);
  }
}

/** Return the URLs of an inspection's images relative to the page, so that they work behind a proxy's path prefix. */
export function imageUrls({ pictures }) {
  const relative = (address) => address && address.replace(/^.*\/(?=v1\/)/, "");
  return Object.fromEntries(Object.entries(pictures).map(([kind, address]) => [kind, relative(address)]));
}

/** Send a request and return the JSON of its response. Shows the sign-in dialog if the station requires a token, then retries. */
export async function requestJson(path, { json, ...options } = {}) {
  if (json !== undefined) {
    options = { ...options, body: JSON.stringify(json), headers: { "Content-Type": "application/json" } };
  }
  const response = await fetchResponse(path, options);
  if (response.status === 401) {
    await signIn();
    return requestJson(path, { json, ...options });
  }
  if (!response.ok) throw await toProblem(response);
  return response.status === 204 ? null : response.json();
}

/** Return query parameters as text that begins with ?, from pairs; empty values are left out. */
export function queryString(pairs) {
  const text = new URLSearchParams(pairs.filter(([, value]) => value !== "" && value !== null)).toString();
  return text && `?${text}`;
}

/** Send a request and return its response; throw a Problem if there is none. */
export async function fetchResponse(path, options) {
  try {
    return await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The station does not respond.");
  }
}

async function toProblem(response) {
  const body = await response.json().catch(() => ({}));
  const wait = Number.parseFloat(response.headers.get("Retry-After"));
  const message = body.detail || body.title || `The station reported an error (${response.status}).`;
  return new Problem(String(message), { status: response.status, retryAfter: Number.isNaN(wait) ? null : wait, body });
}

let pendingSignIn = null;

/** Show the sign-in dialog until the station accepts a token. Concurrent callers share one dialog. */
function signIn() {
  pendingSignIn ??= new Promise((resolve) => showSignIn(resolve)).finally(() => (pendingSignIn = null));
  return pendingSignIn;
}

/** End the session and reload the page. */
export async function signOut() {
  await fetchResponse("v1/session", { method: "DELETE" });
  savePreference("signed-in", "");
  location.reload();
}

function showSignIn(resolve) {
  const id = newId("token");
  const fault = el("p", { class: "fault", role: "alert" });
  const token = el("input", { id, type: "password", autocomplete: "current-password", required: true, spellcheck: "false" });
  const form = el(
    "form",
    { class: "stack", onsubmit: (event) => submitToken(event, token, fault, () => (dialog.remove(), resolve())) },
    el("h1", {}, "Sign in"),
    el("p", {}, "This station requires a token. Ask the person who set it up."),
    el("label", { for: id }, "Token"),
    token,
    fault,
    button({ type: "submit", class: "primary" }, "Sign in"),
  );
  const dialog = el("dialog", { class: "dialog", "aria-label": "Sign in", oncancel: (event) => event.preventDefault() }, form);
  document.body.append(dialog);
  dialog.showModal();
}

async function submitToken(event, token, fault, done) {
  event.preventDefault();
  fault.textContent = "";
  try {
    const body = JSON.stringify({ token: token.value.trim() });
    const response = await fetchResponse("v1/session", { method: "POST", body, headers: { "Content-Type": "application/json" } });
    if (!response.ok) throw await toProblem(response);
    savePreference("signed-in", "yes");
    done();
  } catch (error) {
    fault.textContent = [401, 403].includes(error.status) ? "Token not recognised. Check that it is complete." : error.message;
    token.select();
  }
}
