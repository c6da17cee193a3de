/** Status of the station, polled; dispatches "change" after every poll. */

import { requestJson } from "./api.js";

const POLL_INTERVAL = 10_000; // milliseconds between two polls of a ready station
const RETRY_INTERVAL = 2_000; // and of one that is not ready or does not respond

class StationStatus extends EventTarget {
  status = null; // the response of /v1/station; null until the first one
  unreachable = false;
  disagreements = 0; // number of open ones
  #timer = 0;

  get isOperator() {
    return this.status?.role === "operator";
  }

  /** Poll now; never throws. */
  async refresh() {
    clearTimeout(this.#timer);
    try {
      this.status = await requestJson("v1/station");
      this.unreachable = false;
      this.disagreements = (await requestJson("v1/counts?disagreement=open")).inspections;
    } catch (error) {
      if (error.status === 0) this.unreachable = true;
    }
    this.dispatchEvent(new Event("change"));
    clearTimeout(this.#timer); // a concurrent poll may have set it
    this.#timer = setTimeout(() => this.refresh(), this.unreachable || !this.status?.ready ? RETRY_INTERVAL : POLL_INTERVAL);
  }

  /** Record that a request got no response, and poll again soon. */
  markUnreachable() {
    if (this.unreachable) return;
    this.unreachable = true;
    this.dispatchEvent(new Event("change"));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.refresh(), RETRY_INTERVAL);
  }
}

export const station = new StationStatus();
