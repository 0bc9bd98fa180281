/** Icons of states: each state has a shape of its own, so that it does not depend on colour. */

import { html } from "./html.js";

/** @typedef {{shape: string, tone: string, label: string}} State */

/** The drawings, in a square of 16. */
const SHAPES = {
  disc: html`<circle cx="8" cy="8" r="5.5" fill="currentColor" />`,
  half: html`<circle cx="8" cy="8" r="5" fill="none" stroke="currentColor" stroke-width="2" />
    <path d="M8 3a5 5 0 0 0 0 10z" fill="currentColor" />`,
  square: html`<rect x="3" y="3" width="10" height="10" rx="1.5" fill="currentColor" />`,
  triangle: html`<path d="M8 2.5 14.5 13.5h-13z" fill="currentColor" />`,
  ring: html`<circle cx="8" cy="8" r="5" fill="none" stroke="currentColor" stroke-width="2" stroke-dasharray="2.6 2.6" />`,
  clock: html`<circle cx="8" cy="8" r="5.5" fill="none" stroke="currentColor" stroke-width="2" />
    <path d="M8 5v3.2l2.2 1.4" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" />`,
  swap: html`<path
    d="M2.5 6h9m0 0-2.5-2.6M11.5 6 9 8.4M13.5 11h-9m0 0L7 8.8M4.500 11 7 13.4"
    fill="none"
    stroke="currentColor"
    stroke-width="1.8"
    stroke-linecap="round"
    stroke-linejoin="round"
  />`,
  cross: html`<path d="m4 4 8 8m0-8-8 8" fill="none" stroke="currentColor" stroke-width="2.4" stroke-linecap="round" />`,
  info: html`<circle cx="8" cy="8" r="5.5" fill="none" stroke="currentColor" stroke-width="1.8" />
    <path d="M8 7.4v3.400M8 5.100v.1" fill="none" stroke="currentColor" stroke-width="1.9" stroke-linecap="round" />`,
};

/** @param {{shape: string, tone: string}} state */
export function Icon({ shape, tone }) {
  const drawing = SHAPES[/** @type {keyof typeof SHAPES} */ (shape)] ?? SHAPES.ring;
  return html`<svg class="icon tone-${tone}" viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">${drawing}</svg>`;
}

/** @type {Record<string, State>} */
const ROUTE_STATES = {
  Ready: { shape: "disc", tone: "good", label: "Ready" },
  DenyNewCall: { shape: "half", tone: "warn", label: "No new users" },
  Shutdown: { shape: "square", tone: "bad", label: "Shut down" },
  Deleting: { shape: "cross", tone: "muted", label: "Deleting" },
  Unknown: { shape: "ring", tone: "muted", label: "Not observed" },
};

/**
 * @param {string} state the state of a route, or the reason why it is not ready
 * @returns {State}
 */
export function routeState(state) {
  return ROUTE_STATES[state] ?? { shape: "triangle", tone: "bad", label: state };
}

/**
 * Returns the most important state of a pod.
 * @param {import("./types.js").PodView} pod
 * @returns {State}
 */
export function podState(pod) {
  if (pod.lost) return { shape: "cross", tone: "bad", label: `Lost (${pod.lost})` };
  if (pod.isHandingOver) return { shape: "swap", tone: "accent", label: "Handing over" };
  if (pod.closing) return { shape: "clock", tone: "warn", label: `Closing (${pod.closing.reason})` };
  if (pod.serviceState === "Unlisted") return { shape: "ring", tone: "muted", label: "Not listed" };
  if (pod.serviceState !== "Ready") return { shape: "triangle", tone: "bad", label: pod.serviceState };
  return routeState(pod.routingState);
}

/** @type {Record<string, State>} */
const PHASES = {
  Bound: { shape: "disc", tone: "good", label: "Bound" },
  HandingOver: { shape: "swap", tone: "accent", label: "Handing over" },
  Pending: { shape: "clock", tone: "warn", label: "Pending" },
  Lost: { shape: "cross", tone: "bad", label: "Lost" },
  Rejected: { shape: "triangle", tone: "bad", label: "Rejected" },
};

/**
 * @param {string} phase
 * @returns {State}
 */
export function phaseState(phase) {
  return PHASES[phase] ?? { shape: "ring", tone: "muted", label: phase };
}

/** @type {Record<string, State>} */
export const LEVELS = {
  problem: { shape: "triangle", tone: "bad", label: "Problem" },
  notice: { shape: "info", tone: "warn", label: "Notice" },
  ok: { shape: "disc", tone: "good", label: "OK" },
};
