/** The view "Disagreements": where people contradict the verdict, until somebody has the final word. */

import { el } from "./dom.js";
import { empty } from "./region.js";
import { worklist } from "./worklist.js";

export function disagreementsView(_, signal) {
  const nothing = empty("No open disagreements", "When somebody contradicts a verdict, the inspection appears here until it is settled.");
  const finished = empty("That was the last one", "Settled disagreements are kept in the history. New ones appear here when you come back.");
  const about = "Somebody contradicted these verdicts. Look at the part or the picture, and give the final word. The corrected labels teach the next model.";
  const list = worklist([["disagreement", "open"]], { signal, settling: true, nothing, finished });
  return { heading: "Open disagreements", content: [el("p", { class: "lead" }, about), list] };
}
