/** Labels and formatting of verdicts, noise types, numbers, times and periods. */

export const VERDICT_LABELS = { ok: "OK", defect: "DEFECT", retake: "RETAKE", none: "No verdict" };
const NOISE_LABELS = {
  gaussian: "Gaussian noise",
  salt_and_pepper: "Salt-and-pepper noise",
  periodic: "Periodic noise",
  none: "No noise",
};
export const FEEDBACK_BUTTONS = { ok: "Part is OK", defect: "Part is defective", bad_picture: "Bad image" };
export const FEEDBACK_LABELS = { ok: "OK", defect: "defective", bad_picture: "bad image" };

const DATE_TIME = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });
const TIME = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const INTEGER = new Intl.NumberFormat("en-GB");

/** Return the verdict as a key of VERDICT_LABELS. */
export function verdictKey(inspection) {
  return inspection.verdict ?? "none";
}

/** Format a time in the browser's time zone, without the date if it is today. */
export function formatTime(at) {
  const time = new Date(at);
  return (time.toDateString() === new Date().toDateString() ? TIME : DATE_TIME).format(time);
}

/** Format 1234 as 1,234. */
export function formatCount(number) {
  return INTEGER.format(number);
}

/** Return "1 image" or "2 images". */
export function pluralise(number, one, many = `${one}s`) {
  return `${formatCount(number)} ${number === 1 ? one : many}`;
}

/** Format a probability as a percentage, never as 0% or 100%. */
export function formatPercent(share) {
  if (share < 0.005) return "under 1%";
  return share > 0.995 ? "over 99%" : `${Math.round(100 * share)}%`;
}

/** Format probability and threshold as percentages, with a decimal if they would look equal without. */
export function formatPercentPair(p, threshold) {
  const [one, other] = [formatPercent(p), formatPercent(threshold)];
  return one === other ? [p, threshold].map((share) => `${(100 * share).toFixed(1)}%`) : [one, other];
}

/** Explain the verdict in a sentence. */
export function explainVerdict(inspection) {
  const { verdict, p_defect: p, threshold } = inspection;
  if (inspection.error) return inspection.error;
  if (p === null || threshold === null) return "This model gives no verdict; it denoises images and reports the noise type.";
  const [chance, bar] = formatPercentPair(p, threshold);
  if (verdict === "retake") return `Too uncertain: probability of a defect ${chance}, threshold ${bar}. Retake the image or check the part by eye.`;
  return `Probability of a defect ${chance}, ${p > threshold ? "above" : "not above"} the threshold of ${bar}.`;
}

/** Return the labels of the station's noise types, by name; a type without a label is shown by its name. */
export function noiseLabels(types = Object.keys(NOISE_LABELS)) {
  return Object.fromEntries(types.map((type) => [type, NOISE_LABELS[type] ?? type.replaceAll("_", " ")]));
}

/** Describe the noise type and its level; "" if unknown. */
export function describeNoise(inspection) {
  if (!inspection.noise_type) return "";
  const level = inspection.noise_level ? `, ${inspection.noise_level}` : "";
  return `${noiseLabels([inspection.noise_type])[inspection.noise_type]}${level}`;
}

/** Format a rate with its 95% interval, if it has one; a dash if the rate is undefined. */
export function formatInterval({ value, low, high }) {
  if (value === null) return "–";
  const [middle, ...ends] = [value, low, high].map((share) => `${Math.round(100 * share)}%`);
  return low === null || high === null ? middle : `${middle} (${ends.join(" to ")})`;
}

/** Format a number of bytes. */
export function formatBytes(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  return bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

const HOUR = 3_600_000; // milliseconds

/** Periods that end now; length in milliseconds, 0: unlimited. */
export const PERIODS = {
  "1h": { label: "Last hour", length: HOUR },
  "8h": { label: "Last 8 hours", length: 8 * HOUR },
  "24h": { label: "Last 24 hours", length: 24 * HOUR },
  "7d": { label: "Last 7 days", length: 7 * 24 * HOUR },
  "30d": { label: "Last 30 days", length: 30 * 24 * HOUR },
  any: { label: "Any time", length: 0 },
};

/** Return the start of a period in ISO 8601; "" if it is unlimited. */
export function periodStart(period) {
  const length = PERIODS[period]?.length;
  return length ? new Date(Date.now() - length).toISOString() : "";
}
