/** How the station speaks of what it knows. */

export const VERDICTS = { ok: "OK", defect: "DEFECT", retake: "RETAKE", none: "NO VERDICT" };
export const NOISES = {
  gaussian: "Gaussian noise",
  salt_and_pepper: "Salt-and-pepper noise",
  periodic: "Periodic noise",
  none: "No noise",
};
export const SAYS = { ok: "It is OK", defect: "It is a defect", bad_picture: "Bad picture" };
export const SAID = { ok: "OK", defect: "a defect", bad_picture: "a bad picture" };

const MOMENT = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const TODAY = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const COUNT = new Intl.NumberFormat("en-GB");

/** The verdict as a key of VERDICTS. */
export function verdictOf(inspection) {
  return inspection.verdict ?? "none";
}

/** A time in the browser's time zone; today's without the date. */
export function moment(at) {
  const time = new Date(at);
  return (time.toDateString() === new Date().toDateString() ? TODAY : MOMENT).format(time);
}

/** 1234 as 1,234. */
export function count(number) {
  return COUNT.format(number);
}

/** "1 picture", "2 pictures". */
export function counted(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** A probability as a percentage that never claims to be certain. */
export function percent(share) {
  if (share < 0.005) return "under 1%";
  return share > 0.995 ? "over 99%" : `${Math.round(100 * share)}%`;
}

/** Probability and threshold as percentages, with a decimal where whole ones would look the same. */
export function percents(p, threshold) {
  const [one, other] = [percent(p), percent(threshold)];
  return one === other ? [p, threshold].map((share) => `${(100 * share).toFixed(1)}%`) : [one, other];
}

/** Why the verdict is what it is, in a sentence. */
export function reason(inspection) {
  const { verdict, p_defect: p, threshold } = inspection;
  if (inspection.error) return inspection.error;
  if (p === null || threshold === null) return "The model judges no parts; it restores pictures and names their noise.";
  const [chance, bar] = percents(p, threshold);
  if (verdict === "retake") return `Too uncertain: probability of a defect ${chance}, threshold ${bar}. Photograph the part again, or look at it yourself.`;
  return `Probability of a defect ${chance}, ${p > threshold ? "above" : "not above"} the threshold of ${bar}.`;
}

/** The noise and how much there is of it. */
export function noise(inspection) {
  if (!inspection.noise_type) return "";
  const level = inspection.noise_level ? `, ${inspection.noise_level}` : "";
  return `${NOISES[inspection.noise_type] ?? inspection.noise_type}${level}`;
}

/** A share with its 95% interval, where it has one; a dash where it is not defined, as a rate of no images. */
export function interval({ value, low, high }) {
  if (value === null) return "–";
  const [middle, ...ends] = [value, low, high].map((share) => `${Math.round(100 * share)}%`);
  return low === null || high === null ? middle : `${middle} (${ends.join(" to ")})`;
}

/** Bytes as people read them. */
export function size(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  return bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
