/** Upload queue: sends images to the station, a few at a time, and backs off while the station is busy or does not respond. */

import { requestJson } from "./api.js";
import { formatBytes } from "./format.js";
import { station } from "./station-status.js";

const CONCURRENCY = 3;
const MAX_BACKOFF = 30; // seconds between two attempts if the station sends no Retry-After

/**
 * The images of the current batch. Dispatches "added" (detail: the new items) and "changed" (detail: an item, or null: all).
 * An item has a file, a name, a state (waiting, sending, done, failed), and an inspection or an error.
 */
class UploadQueue extends EventTarget {
  items = [];
  pauseReason = ""; // why nothing is sent at the moment
  stopped = false;
  #waiting = []; // items to send, in order
  #sending = 0;
  #attempts = 0; // consecutive ones that failed because the station was busy or did not respond
  #resumeAt = 0; // no request before this time, in milliseconds

  get busy() {
    return this.#sending > 0 || (this.#waiting.length > 0 && !this.stopped);
  }

  /** Add files to the queue. */
  add(files) {
    const items = [...files].map((file) => ({ file, name: file.name || "image", state: "waiting", inspection: null, error: "" }));
    if (!items.length) return;
    this.items.push(...items);
    this.stopped = false;
    this.#emit("added", items);
    this.#send(items);
  }

  /** Send failed items again, and resume after a stop. */
  retry() {
    const items = this.items.filter((item) => item.state === "failed");
    for (const item of items) item.state = "waiting";
    this.stopped = false;
    this.#emit("changed", null);
    this.#send(items);
  }

  /** Send no further items; requests in progress finish. */
  stop() {
    this.stopped = true;
    this.#emit("changed", null);
  }

  /** Remove all items that are not being sent. Their inspections stay in the history. */
  clear() {
    this.items = this.items.filter((item) => item.state === "sending");
    this.#waiting = [];
    this.#emit("changed", null);
  }

  replace(item, inspection) {
    item.inspection = inspection;
    this.#emit("changed", item);
  }

  #send(items) {
    this.#waiting.push(...items);
    while (this.#sending < Math.min(CONCURRENCY, this.#waiting.length + this.#sending) && !this.stopped) this.#work();
  }

  async #work() {
    this.#sending += 1;
    while (this.#waiting.length && !this.stopped) {
      const item = this.#waiting.shift();
      await this.#inspect(item);
      this.#emit("changed", item);
    }
    this.#sending -= 1;
    this.#emit("changed", null);
  }

  async #inspect(item) {
    const limit = station.status?.limits?.bytes ?? Infinity;
    if (item.file.size > limit) return markFailed(item, `This file has ${formatBytes(item.file.size)}; the limit is ${formatBytes(limit)}.`);
    item.state = "sending";
    this.#emit("changed", item);
    while (item.state === "sending") {
      await this.#waitForResume();
      try {
        markDone(item, await postImage(item.file));
        this.#resetBackoff();
      } catch (error) {
        if (error.isTransient) this.#backOff(error);
        else if (error.body?.inspections?.length) markDone(item, error.body); // no verdict, but the inspection was logged
        else markFailed(item, error.message);
      }
    }
  }

  /** Pause all requests for as long as the station asks, else with exponential back-off. */
  #backOff(error) {
    this.#attempts += 1;
    const seconds = error.retryAfter ?? Math.min(2 ** Math.floor(this.#attempts / CONCURRENCY), MAX_BACKOFF);
    this.#resumeAt = Math.max(this.#resumeAt, Date.now() + 1000 * seconds);
    this.pauseReason = error.status === 429 ? "The station is busy; the remaining images will be sent shortly." : `${error.message} The remaining images will be sent when it recovers.`;
    if (error.status === 0) station.markUnreachable();
    this.#emit("changed", null);
  }

  #resetBackoff() {
    this.#attempts = 0;
    this.pauseReason = "";
  }

  async #waitForResume() {
    while (Date.now() < this.#resumeAt) await new Promise((resolve) => setTimeout(resolve, this.#resumeAt - Date.now()));
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function postImage(file) {
  const body = new FormData();
  body.append("files", file, file.name || "image");
  return requestJson("v1/inspect", { method: "POST", body });
}

function markDone(item, answer) {
  [item.inspection] = answer.inspections;
  item.state = "done";
  item.file = null; // free its memory
}

function markFailed(item, message) {
  item.state = "failed";
  item.error = message;
}

export const uploadQueue = new UploadQueue();
