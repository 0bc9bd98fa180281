/** Parts that several pages share. */

import { html } from "./html.js";
import { Icon, LEVELS } from "./icons.js";
import { number, printable } from "./text.js";

/**
 * The step of a load on the scale of colours, from 0 to 4.
 * @param {number} load
 * @param {number} overloaded
 */
export function loadStep(load, overloaded) {
  const fraction = load / Math.max(1, overloaded);
  return fraction >= 1 ? 4 : fraction >= 0.6 ? 3 : fraction >= 0.4 ? 2 : fraction >= 0.2 ? 1 : 0;
}

/**
 * A bar; it repeats a number that is beside it, so that assistive technology leaves it out.
 * @param {{fraction: number, tone?: string}} props
 */
export function Bar({ fraction, tone = "accent" }) {
  const width = `${Math.min(100, Math.max(0, fraction * 100))}%`;
  return html`<span class="bar" aria-hidden="true"><span class="bar-fill fill-${tone}" style=${{ width }} /></span>`;
}

/** @param {{uid: string}} props */
export function Uid({ uid }) {
  return html`<bdi class="uid">${printable(uid)}</bdi>`;
}

/**
 * What a link binds: a user, or a slot.
 * @param {{link: import("./types.js").LinkItem}} props
 */
export function Subject({ link }) {
  return link.isUser ? html`<${Uid} uid=${link.uid} />` : html`<span class="tag">slot</span> ${link.uid.replace("slot/", "")}`;
}

/** @param {{label: string, children?: any, title?: string}} props */
export function Figure({ label, children }) {
  return html`<div class="figure">
    <dt>${label}</dt>
    <dd>${children}</dd>
  </div>`;
}

/** @param {{rates: import("./types.js").Rates}} props */
export function RateFigures({ rates }) {
  return html`<${Figure} label="Last minute">
    <span class="rate">${number(rates.bound)} bound</span>
    <span class="rate">${number(rates.moved)} moved</span>
    <span class="rate">${number(rates.ended)} ended</span>
  <//>`;
}

/** @param {{problems: import("./types.js").Problem[], label: string}} props */
export function Problems({ problems, label }) {
  if (!problems.length) return null;
  return html`<ul class="problems" aria-label=${label}>
    ${problems.map(
      (problem) => html`<li class="problem level-${problem.level}">
        <${Icon} ...${LEVELS[problem.level]} />
        <div>
          <span class="sr-only">${LEVELS[problem.level].label}: </span>
          <span>${printable(problem.message)}</span>
          ${problem.fix && html`<p class="fix">${printable(problem.fix)}</p>`}
        </div>
      </li>`,
    )}
  </ul>`;
}
