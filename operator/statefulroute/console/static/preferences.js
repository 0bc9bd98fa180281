/** What the viewer has chosen, kept by the browser: the theme, and whether moves are animated. */

const PREFIX = "statefulroute.";

/** @type {readonly string[]} */
export const THEMES = ["auto", "light", "dark"];

/** @param {string} name */
function load(name) {
  try {
    return localStorage.getItem(PREFIX + name) ?? "";
  } catch {
    return ""; // the browser keeps nothing
  }
}

/**
 * @param {string} name
 * @param {string} value
 */
function save(name, value) {
  try {
    localStorage.setItem(PREFIX + name, value);
  } catch {
    // the choice is for this page only
  }
}

export function theme() {
  const saved = load("theme");
  return THEMES.includes(saved) ? saved : "auto";
}

/** @param {string} value */
export function setTheme(value) {
  save("theme", value);
  applyTheme(value);
}

/** @param {string} value */
export function applyTheme(value) {
  if (value === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = value;
}

let isMotionOn = load("motion") ? load("motion") === "on" : !matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Whether moves are animated: as chosen, or by default unless the system asks for reduced motion. */
export function motion() {
  return isMotionOn;
}

/** @param {boolean} isOn */
export function setMotion(isOn) {
  isMotionOn = isOn;
  save("motion", isOn ? "on" : "off");
}
