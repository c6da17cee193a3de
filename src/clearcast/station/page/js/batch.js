/** Pictures on their way to the station: a few at a time, waiting politely, and one that fails never stops the rest. */

import { call } from "./api.js";
import { station } from "./station.js";
import { size } from "./words.js";

const AT_ONCE = 3;
const LONGEST = 30; // seconds between two attempts where the station does not say how long to wait

/**
 * Tells of news by the events "added" (detail: the new items) and "changed" (detail: an item, or null for all).
 * An item has a file, a name, a state (waiting, sending, done, failed), and an inspection or an error.
 */
class Batch extends EventTarget {
  items = [];
  waitingFor = ""; // why nothing is sent just now, in words
  stopped = false;
  #waiting = []; // items to send, in order
  #sending = 0;
  #attempts = 0; // in a row that the station was busy or away
  #resumeAt = 0;

  get busy() {
    return this.#sending > 0 || (this.#waiting.length > 0 && !this.stopped);
  }

  /** Take up pictures. */
  add(files) {
    const items = [...files].map((file) => ({ file, name: file.name || "picture", state: "waiting", inspection: null, error: "" }));
    if (!items.length) return;
    this.items.push(...items);
    this.stopped = false;
    this.#tell("added", items);
    this.#send(items);
  }

  /** Send those again that got no answer, or go on after a stop. */
  again() {
    const items = this.items.filter((item) => item.state === "failed");
    for (const item of items) item.state = "waiting";
    this.stopped = false;
    this.#tell("changed", null);
    this.#send(items);
  }

  /** Send no more for now; what is under way comes to its end. */
  stop() {
    this.stopped = true;
    this.#tell("changed", null);
  }

  /** Forget all that is not under way; it stays in the history. */
  clear() {
    this.items = this.items.filter((item) => item.state === "sending");
    this.#waiting = [];
    this.#tell("changed", null);
  }

  replace(item, inspection) {
    item.inspection = inspection;
    this.#tell("changed", item);
  }

  #send(items) {
    this.#waiting.push(...items);
    while (this.#sending < Math.min(AT_ONCE, this.#waiting.length + this.#sending) && !this.stopped) this.#work();
  }

  async #work() {
    this.#sending += 1;
    while (this.#waiting.length && !this.stopped) {
      const item = this.#waiting.shift();
      await this.#inspect(item);
      this.#tell("changed", item);
    }
    this.#sending -= 1;
    this.#tell("changed", null);
  }

  async #inspect(item) {
    const most = station.facts?.limits?.bytes ?? Infinity;
    if (item.file.size > most) return fail(item, `This file has ${size(item.file.size)}; the station takes ${size(most)} at most.`);
    item.state = "sending";
    this.#tell("changed", item);
    while (item.state === "sending") {
      await this.#patience();
      try {
        take(item, await post(item.file));
        this.#calm();
      } catch (error) {
        if (error.passing) this.#pause(error);
        else if (error.body?.inspections?.length) take(item, error.body); // it was inspected, in vain, and is logged
        else fail(item, error.message);
      }
    }
  }

  /** The station is busy or away: all wait as long as it asks for, or ever longer. */
  #pause(error) {
    this.#attempts += 1;
    const seconds = error.retryAfter ?? Math.min(2 ** Math.floor(this.#attempts / AT_ONCE), LONGEST);
    this.#resumeAt = Math.max(this.#resumeAt, Date.now() + 1000 * seconds);
    this.waitingFor = error.status === 429 ? "The station is busy; the rest follows in a moment." : `${error.message} The rest is sent once it goes on.`;
    if (error.status === 0) station.lost();
    this.#tell("changed", null);
  }

  #calm() {
    this.#attempts = 0;
    this.waitingFor = "";
  }

  async #patience() {
    while (Date.now() < this.#resumeAt) await new Promise((resolve) => setTimeout(resolve, this.#resumeAt - Date.now()));
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function post(file) {
  const body = new FormData();
  body.append("files", file, file.name || "picture");
  return call("v1/inspect", { method: "POST", body });
}

function take(item, answer) {
  [item.inspection] = answer.inspections;
  item.state = "done";
  item.file = null; // its memory is free again
}

function fail(item, message) {
  item.state = "failed";
  item.error = message;
}

export const batch = new Batch();
