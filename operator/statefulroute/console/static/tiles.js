/** The pods of a route as tiles: the fill is the number of links, the colour the load, the icon the state. */

import { Component, html } from "./html.js";
import { Icon, podState } from "./icons.js";
import { loadStep } from "./parts.js";
import { loadText, number, plural, printable, timeLeft } from "./text.js";

/** With more pods than this, tiles are smaller. */
const MANY = 60;

/**
 * @typedef {object} Props
 * @property {import("./types.js").RoutePage} page
 * @property {string} selected the name of the selected pod; empty if there is none
 * @property {(name: string) => void} select
 *
 * @typedef {{focused: string}} State
 */

/** @extends {Component<Props, State>} */
export class Tiles extends Component {
  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {State} */
    this.state = { focused: "" };
  }

  /** @param {KeyboardEvent} event */
  onKeyDown(event) {
    const list = /** @type {HTMLElement} */ (event.currentTarget);
    const tiles = /** @type {HTMLElement[]} */ ([...list.children]);
    const index = tiles.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const target = tiles[nextIndex(event.key, index, tiles)];
    if (target && index >= 0) {
      event.preventDefault();
      target.focus();
    } else if ((event.key === "Enter" || event.key === " ") && index >= 0) {
      event.preventDefault();
      tiles[index].click();
    }
  }

  render() {
    const { page, selected, select } = this.props;
    const names = page.pods.map((pod) => pod.name);
    const isVarious = new Set(page.pods.map((pod) => pod.revision).filter(Boolean)).size > 1;
    const inTabOrder = [this.state.focused, selected].find((name) => names.includes(name)) ?? names[0];
    return html`<div
      class=${`tiles ${names.length > MANY ? "many" : ""}`}
      role="listbox"
      aria-label="Pods"
      onKeyDown=${(/** @type {KeyboardEvent} */ event) => this.onKeyDown(event)}
    >
      ${page.pods.map(
        (pod) => html`<${Tile}
          key=${pod.name}
          pod=${pod}
          capacity=${page.capacity}
          isLimited=${page.isLimited}
          overloaded=${page.card.overloaded}
          isNext=${!page.slots && pod.name === page.card.bestPod}
          left=${pod.closing ? timeLeft(pod.closing.deadline, page.now) : ""}
          hasRevision=${isVarious}
          isSelected=${pod.name === selected}
          isInTabOrder=${pod.name === inTabOrder}
          select=${select}
          focus=${(/** @type {string} */ name) => this.setState({ focused: name })}
        />`,
      )}
    </div>`;
  }
}

/**
 * Returns the index of the tile to which a key leads; -1 if the key leads nowhere.
 * @param {string} key
 * @param {number} index
 * @param {HTMLElement[]} tiles
 */
function nextIndex(key, index, tiles) {
  const columns = Math.max(1, tiles.findIndex((tile) => tile.offsetTop > tiles[0].offsetTop));
  /** @type {Record<string, number>} */
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
  if (key === "Home") return 0;
  if (key === "End") return tiles.length - 1;
  return key in steps ? index + steps[key] : -1;
}

/**
 * @typedef {object} TileProps
 * @property {import("./types.js").PodView} pod
 * @property {number} capacity
 * @property {boolean} isLimited
 * @property {number} overloaded
 * @property {boolean} isNext
 * @property {string} left
 * @property {boolean} hasRevision
 * @property {boolean} isSelected
 * @property {boolean} isInTabOrder
 * @property {(name: string) => void} select
 * @property {(name: string) => void} focus
 */

/** @extends {Component<TileProps>} */
class Tile extends Component {
  /** @param {TileProps} next */
  shouldComponentUpdate(next) {
    const now = this.props;
    return (
      JSON.stringify(next.pod) !== JSON.stringify(now.pod) ||
      next.capacity !== now.capacity ||
      next.left !== now.left ||
      next.isNext !== now.isNext ||
      next.isSelected !== now.isSelected ||
      next.isInTabOrder !== now.isInTabOrder ||
      next.hasRevision !== now.hasRevision ||
      next.overloaded !== now.overloaded
    );
  }

  render() {
    const { pod, capacity, isLimited, overloaded, isNext, left, hasRevision, isSelected, isInTabOrder } = this.props;
    const state = podState(pod);
    const height = `${Math.min(100, (100 * pod.totalLinks) / capacity)}%`;
    const links = isLimited ? `${number(pod.totalLinks)}/${number(capacity)}` : number(pod.totalLinks);
    const details = detail(pod, state, left);
    return html`<div
      class=${`tile ${pod.load === null ? "load-none" : `load-${loadStep(pod.load, overloaded)}`} ${pod.isStale ? "stale" : ""}`}
      role="option"
      aria-selected=${isSelected ? "true" : "false"}
      aria-label=${describe(this.props, state)}
      data-pod=${pod.name}
      tabindex=${isInTabOrder ? 0 : -1}
      onClick=${() => this.props.select(isSelected ? "" : pod.name)}
      onFocus=${() => this.props.focus(pod.name)}
    >
      ${pod.totalLinks > 0 && html`<span class="tile-fill" style=${{ height }}></span>`}
      <span class="tile-name"><${Icon} ...${state} /><b>${printable(pod.name)}</b>${isNext && html`<span class="tag">next</span>`}</span>
      <span class="tile-figures">
        <span>${links}</span>
        ${pod.slots > 0 && html`<span><small>slots</small> ${number(pod.slots)}</span>`}
        ${pod.load !== null && html`<span><small>${pod.isStale ? "stale" : "load"}</small> ${loadText(pod.load)}</span>`}
      </span>
      <span class="tile-detail">${details}${hasRevision && pod.revision ? html` <code>${shortRevision(pod.revision)}</code>` : ""}</span>
    </div>`;
  }
}

/** @param {string} revision */
function shortRevision(revision) {
  return revision.slice(revision.lastIndexOf("-") + 1).slice(0, 10);
}

/**
 * Returns why a pod is not as usual, in a few words.
 * @param {import("./types.js").PodView} pod
 * @param {import("./icons.js").State} state
 * @param {string} left
 */
function detail(pod, state, left) {
  if (pod.closing && !pod.lost) {
    const time = left === "over" ? "time is over" : `${left} left`;
    return `${pod.isHandingOver ? "Handing over" : pod.closing.reason} · ${time}`;
  }
  return state.label === "Ready" ? "" : pod.reason || state.label;
}

/**
 * Returns the tile in words.
 * @param {TileProps} props
 * @param {import("./icons.js").State} state
 */
function describe({ pod, capacity, isLimited, isNext, left }, state) {
  const parts = [printable(pod.name), state.label];
  if (pod.reason) parts.push(pod.reason);
  parts.push(isLimited ? `${number(pod.totalLinks)} of ${plural(capacity, "link")}` : plural(pod.totalLinks, "link"));
  if (pod.slots) parts.push(`${number(pod.slots)} of them slots`);
  parts.push(pod.load === null ? "no load reported" : `load ${loadText(pod.load)}${pod.isStale ? ", stale" : ""}`);
  if (left) parts.push(left === "over" ? "its time is over" : `${left} left`);
  if (isNext) parts.push("gets the next user");
  return parts.join(", ");
}

/** What the marks on tiles mean. */
export function Legend() {
  return html`<p class="legend">
    <span>Fill: links</span>
    <span class="scale">Load <i class="load-0"></i><i class="load-1"></i><i class="load-2"></i><i class="load-3"></i><i class="load-4"></i> overloaded</span>
    <span><i class="load-none"></i> no report</span>
    <span><${Icon} shape="disc" tone="plain" /> ready</span>
    <span><${Icon} shape="half" tone="plain" /> no new users</span>
    <span><${Icon} shape="clock" tone="plain" /> closing</span>
    <span><${Icon} shape="swap" tone="plain" /> handing over</span>
    <span><${Icon} shape="square" tone="plain" /> shut down</span>
    <span><${Icon} shape="triangle" tone="plain" /> not ready</span>
    <span><${Icon} shape="cross" tone="plain" /> lost</span>
  </p>`;
}
