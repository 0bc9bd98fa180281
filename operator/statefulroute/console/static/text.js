/** Texts for values: numbers, times, and uids that may contain anything. */

const NUMBERS = new Intl.NumberFormat("en");
const TIMES = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** Characters that are not visible, or change the direction of the text around them. */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** @param {number | null | undefined} value */
export function number(value) {
  return value === null || value === undefined ? "–" : NUMBERS.format(value);
}

/**
 * Returns a text in which each character that is not visible is written as its code.
 * @param {string} text
 */
export function printable(text) {
  return text.replace(HIDDEN, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}

/**
 * @param {number} count
 * @param {string} noun
 */
export function plural(count, noun) {
  return `${number(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** @param {string} time */
export function clock(time) {
  return TIMES.format(new Date(time));
}

/**
 * Returns how long it is until a time: `34m`, or `over`.
 * @param {string} time
 * @param {string} now
 */
export function timeLeft(time, now) {
  const seconds = Math.ceil((Date.parse(time) - Date.parse(now)) / 1000);
  return seconds > 0 ? duration(seconds) : "over";
}

/** @param {number} seconds */
export function duration(seconds) {
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours}h` : `${Math.floor(hours / 24)}d`;
}

/** @param {number} load */
export function loadText(load) {
  return load >= 100 ? number(Math.round(load)) : String(Math.round(load * 10) / 10);
}
