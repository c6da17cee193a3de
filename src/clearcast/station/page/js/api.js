/** The station's REST API, at addresses relative to the page. Errors are Problems; those that pass by themselves are `passing`. */

import { signIn } from "./signin.js";

const BUSY = [429, 502, 503, 504];

/** What went wrong, in words for the operator. `status` 0: the station does not answer at all. */
class Problem extends Error {
  constructor(message, { status = 0, retryAfter = null, body = {} } = {}) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter; // seconds that the station asks to wait, or null
    this.body = body;
  }

  get passing() {
    return this.status === 0 || BUSY.includes(this.status);
  }
}

/** The addresses of an inspection's pictures, as this page reaches them, also below the path of a proxy. */
export function picturesOf({ pictures }) {
  const here = (address) => address && address.replace(/^.*\/(?=v1\/)/, "");
  return Object.fromEntries(Object.entries(pictures).map(([kind, address]) => [kind, here(address)]));
}

/** Ask the API; gives the JSON of the answer. Asks for a token where the station wants one, and goes on. */
export async function call(path, { json, ...options } = {}) {
  if (json !== undefined) {
    options = { ...options, body: JSON.stringify(json), headers: { "Content-Type": "application/json" } };
  }
  const answer = await asked(path, options);
  if (answer.status === 401) {
    await signIn();
    return call(path, { json, ...options });
  }
  if (!answer.ok) throw await problemOf(answer);
  return answer.status === 204 ? null : answer.json();
}

/** Search parameters as text, with ? in front, from a list of pairs; empty values are left out. */
export function search(pairs) {
  const text = new URLSearchParams(pairs.filter(([, value]) => value !== "" && value !== null)).toString();
  return text && `?${text}`;
}

export async function asked(path, options) {
  try {
    return await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The station does not answer.");
  }
}

export async function problemOf(answer) {
  const body = await answer.json().catch(() => ({}));
  const wait = Number.parseFloat(answer.headers.get("Retry-After"));
  const message = body.detail || body.title || `The station answered with an error (${answer.status}).`;
  return new Problem(String(message), { status: answer.status, retryAfter: Number.isNaN(wait) ? null : wait, body });
}
