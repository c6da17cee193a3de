/** Spans of time up to now. */

const HOUR = 3_600_000; // milliseconds

export const PERIODS = {
  "1h": { words: "Last hour", length: HOUR },
  "8h": { words: "Last 8 hours", length: 8 * HOUR },
  "24h": { words: "Last 24 hours", length: 24 * HOUR },
  "7d": { words: "Last 7 days", length: 7 * 24 * HOUR },
  "30d": { words: "Last 30 days", length: 30 * 24 * HOUR },
  any: { words: "Any time", length: 0 },
};

/** When a period began, as ISO 8601; "" where it has no beginning. */
export function since(period) {
  const length = PERIODS[period]?.length;
  return length ? new Date(Date.now() - length).toISOString() : "";
}
