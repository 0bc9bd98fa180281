/** Shows links that move: a dot flies from the tile of one pod to that of another. */

import { motion } from "./preferences.js";

/** At most so many dots are in the air at the same time; further moves change the tiles only. */
const MAX_FLIGHTS = 40;

const MILLISECONDS = 700;

let flights = 0;

/**
 * Shows the changes of links that were bound, moved or ended.
 * @param {import("./types.js").NumberedChange[]} changes
 */
export function fly(changes) {
  if (!motion() || document.hidden) return;
  /** @type {Map<string, {from: string, to: string, count: number}>} */
  const ways = new Map();
  for (const { kind, change } of changes) {
    if (kind !== "moved" && kind !== "bound" && kind !== "ended") continue;
    const key = `${change.before}\n${change.after}`;
    const way = ways.get(key) ?? { from: change.before, to: change.after, count: 0 };
    way.count += 1;
    ways.set(key, way);
  }
  if (!ways.size) return;
  const centers = tileCenters();
  for (const { from, to, count } of ways.values()) {
    if (flights >= MAX_FLIGHTS) return;
    const start = centers.get(from);
    const end = centers.get(to);
    if (start && end) launch(start, end, count);
    else if (end) launch({ x: end.x, y: end.y - 36 }, end, count);
    else if (start) launch(start, { x: start.x, y: start.y + 36 }, count);
  }
}

/** @typedef {{x: number, y: number}} Point */

/** Returns the centers of the visible tiles by the names of their pods, in pixels from the top left of the window. */
function tileCenters() {
  /** @type {Map<string, Point>} */
  const centers = new Map();
  for (const tile of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-pod]"))) {
    const box = tile.getBoundingClientRect();
    if (box.bottom < 0 || box.top > innerHeight) continue;
    centers.set(tile.dataset.pod ?? "", { x: box.left + box.width / 2, y: box.top + box.height / 2 });
  }
  return centers;
}

/**
 * @param {Point} start
 * @param {Point} end
 * @param {number} count how many links move
 */
function launch(start, end, count) {
  const dot = document.createElement("div");
  dot.className = "flight";
  dot.setAttribute("aria-hidden", "true");
  if (count > 1) dot.textContent = String(count);
  document.body.append(dot);
  flights += 1;
  const lift = Math.min(60, Math.hypot(end.x - start.x, end.y - start.y) / 4);
  const at = (/** @type {number} */ x, /** @type {number} */ y) => `translate(${x}px, ${y}px) translate(-50%, -50%)`;
  const animation = dot.animate(
    [
      { transform: at(start.x, start.y), opacity: 0.2 },
      { transform: at((start.x + end.x) / 2, (start.y + end.y) / 2 - lift), opacity: 1, offset: 0.5 },
      { transform: at(end.x, end.y), opacity: 0.4 },
    ],
    { duration: MILLISECONDS, easing: "ease-in-out" },
  );
  animation.onfinish = animation.oncancel = () => {
    dot.remove();
    flights -= 1;
  };
}
