/** What is known of the station, asked for again and again: "change" tells of news. */

import { call } from "./api.js";

const EVERY = 10_000; // milliseconds between two looks at a station that answers
const AWAY = 2_000; // and at one that does not

class Station extends EventTarget {
  facts = null; // the answer of /v1/station, null until there is one
  away = false;
  disagreements = 0; // open ones
  #timer = 0;

  get operator() {
    return this.facts?.role === "operator";
  }

  /** Look now; never fails. */
  async look() {
    clearTimeout(this.#timer);
    try {
      this.facts = await call("v1/station");
      this.away = false;
      this.disagreements = (await call("v1/counts?disagreement=open")).inspections;
    } catch (error) {
      if (error.status === 0) this.away = true;
    }
    this.dispatchEvent(new Event("change"));
    clearTimeout(this.#timer); // another look may have begun meanwhile
    this.#timer = setTimeout(() => this.look(), this.away || !this.facts?.ready ? AWAY : EVERY);
  }

  /** Somebody got no answer: show it now, and look again soon. */
  lost() {
    if (this.away) return;
    this.away = true;
    this.dispatchEvent(new Event("change"));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.look(), AWAY);
  }
}

export const station = new Station();
