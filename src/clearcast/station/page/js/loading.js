/** Pictures that are asked for again while the station is busy. */

import { asked } from "./api.js";
import { el } from "./dom.js";

const PAUSES = [2, 4, 8]; // seconds before each further try
const GONE = 410;

/** An image element; `failed` is called when its present address gives no picture, `shown` when one gives one. */
export function loadedImage(attributes, { failed, shown = () => {} }) {
  const image = el("img", attributes);
  let address = null; // that the tries were counted for
  let tries = 0;
  image.addEventListener("load", () => {
    tries = 0;
    shown();
  });
  image.addEventListener("error", async () => {
    const wanted = image.src;
    if (wanted !== address) [address, tries] = [wanted, 0];
    const gone = await isGone(wanted);
    if (image.src !== wanted) return; // another picture is wanted by now
    if (gone || tries >= PAUSES.length) return failed();
    const pause = PAUSES[tries++];
    setTimeout(() => image.isConnected && image.src === wanted && (image.src = wanted), 1000 * pause);
  });
  return image;
}

async function isGone(address) {
  const answer = await asked(address).catch(() => null);
  await answer?.body?.cancel();
  return answer?.status === GONE;
}
