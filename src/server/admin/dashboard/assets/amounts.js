// Amounts as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

/** Jobs: 512,300. */
export const jobs = (count) => (known(count) ? whole.format(count) : "–");

/** Jobs per second; one decimal below ten. */
export const rate = (perSecond) => (known(perSecond) ? `${number(perSecond)}/s` : "–");

/** A sentence in which no line ends between a number and its unit. */
export const unbroken = (text) => text.replace(/(\d) (?=(?:ms|s|min|h|d)\b|%)/g, "$1\u00a0");

/** A number; one decimal below ten. */
export const number = (value) => (known(value) ? (Math.abs(value) < 10 ? tenths : whole).format(value) : "–");

/** A part of one: 33 %. Neither nothing nor all by rounding. */
export function percent(part) {
  if (!known(part)) return "–";
  const hundredths = part * 100;
  if (hundredths > 0 && hundredths < 1) return "< 1 %";
  if (hundredths > 99 && hundredths < 100) return "99 %";
  return `${Math.round(hundredths)} %`;
}

/** A time span: 3.2 ms, 0.4 s, 45 s, 3 min, 2 h 5 min, 4 d. */
export function seconds(span) {
  if (!known(span)) return "–";
  if (span === 0) return "0 s";
  if (span < 0.0995) return `${number(span * 1000)} ms`;
  if (span < 9.95) return `${tenths.format(span)} s`;
  if (span < 119.5) return `${Math.round(span)} s`;
  if (span < 7170) return `${Math.round(span / 60)} min`;
  if (span >= 2 * 86400) return `${Math.floor(span / 86400)} d`;
  const minutes = Math.round(span / 60);
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
}

/** A short number for an axis: 1.5k, 2M. */
export function short(value) {
  for (const [size, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (Math.abs(value) >= size) return `${tenths.format(value / size)}${letter}`;
  }
  return tenths.format(value);
}

/** The time of day here. */
export const clock = (time) => new Date(time).toLocaleTimeString("en-GB");

const known = (value) => typeof value === "number" && Number.isFinite(value);
