/** The frame of all pages: the header, the address, and the keyboard. */

import { Component, html, render } from "./html.js";
import { Icon } from "./icons.js";
import { OverviewPage, routeHref } from "./overview.js";
import { applyTheme, motion, setMotion, setTheme, theme, THEMES } from "./preferences.js";
import { RouteView } from "./route.js";
import { printable } from "./text.js";

/**
 * @typedef {{namespace: string, name: string, query: Record<string, string>}} Place
 * @typedef {object} State
 * @property {Place | null} place the route that is shown; null for the overview
 * @property {import("./types.js").Connection | null} connection
 * @property {string} problem why nothing is received from the console
 * @property {string} theme
 * @property {boolean} isMotionOn
 * @property {string} done what the last act has done
 */

/** @returns {Place | null} */
function currentPlace() {
  const [path, search] = location.hash.slice(1).split("?");
  const parts = path.split("/");
  if (parts[1] !== "routes" || parts.length !== 4) return null;
  const query = Object.fromEntries(new URLSearchParams(search ?? ""));
  return { namespace: decode(parts[2]), name: decode(parts[3]), query };
}

/** @param {string} part */
function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** @extends {Component<{}, State>} */
class App extends Component {
  /** @param {{}} props */
  constructor(props) {
    super(props);
    /** @type {State} */
    this.state = { place: currentPlace(), connection: null, problem: "", theme: theme(), isMotionOn: motion(), done: "" };
    this.onConnection = this.onConnection.bind(this);
  }

  componentDidMount() {
    addEventListener("hashchange", () => this.setState({ place: currentPlace() }));
    addEventListener("keydown", pressShortcut);
  }

  /**
   * @param {import("./types.js").Connection | null} connection
   * @param {string} problem
   */
  onConnection(connection, problem) {
    this.setState(connection ? { connection, problem } : { problem });
  }

  render() {
    const { place, connection, problem } = this.state;
    return html`
      <a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
      <header class="top">
        <a class="brand" href="#/"><img src="icon.svg" alt="" width="22" height="22" /> StatefulRoute</a>
        ${place &&
        html`<nav class="crumbs" aria-label="Path">
          <a href="#/">Routes</a><span aria-hidden="true">/</span><span>${printable(place.namespace)}</span><span aria-hidden="true">/</span>
          <a href=${routeHref(place.namespace, place.name)} aria-current="page">${printable(place.name)}</a>
        </nav>`}
        <span class="space"></span>
        <${ConnectionState} connection=${connection} problem=${problem} />
        <button class="quiet" aria-pressed=${String(this.state.isMotionOn)} onClick=${() => this.toggleMotion()}>Animation</button>
        <button class="quiet" onClick=${() => this.nextTheme()}>Theme: ${this.state.theme}</button>
      </header>
      <main id="main" tabindex="-1">
        ${problem && html`<p class="banner bad" role="alert"><${Icon} shape="triangle" tone="bad" /> <span>${problem}</span></p>`}
        ${!problem && connection && !connection.isCurrent && (connection.isSynced || connection.warning) && html`<p class="banner bad" role="alert">
          <${Icon} shape="triangle" tone="bad" />
          <span>The API server does not answer; ${connection.isSynced ? "this is the last state that it has sent" : "not all routes and links have been read yet"}. ${printable(connection.warning)}</span>
        </p>`}
        ${place
          ? html`<${RouteView}
              key=${`${place.namespace}/${place.name}`}
              namespace=${place.namespace}
              name=${place.name}
              pod=${place.query.pod ?? ""}
              user=${place.query.user ?? ""}
              theme=${this.state.theme}
              select=${(/** @type {Record<string, string>} */ query) => location.replace(routeHref(place.namespace, place.name, query))}
              onConnection=${this.onConnection}
              onDone=${(/** @type {string} */ done) => this.setState({ done })}
            />`
          : html`<${OverviewPage} onConnection=${this.onConnection} />`}
      </main>
      <div class="toast" role="status">
        ${this.state.done &&
        html`<p><${Icon} shape="disc" tone="good" /> <span>${printable(this.state.done)}</span> <button class="quiet" onClick=${() => this.setState({ done: "" })}>Dismiss</button></p>`}
      </div>
    `;
  }

  nextTheme() {
    const next = THEMES[(THEMES.indexOf(this.state.theme) + 1) % THEMES.length];
    setTheme(next);
    this.setState({ theme: next });
  }

  toggleMotion() {
    setMotion(!this.state.isMotionOn);
    this.setState({ isMotionOn: motion() });
  }
}

/** @param {{connection: import("./types.js").Connection | null, problem: string}} props */
function ConnectionState({ connection, problem }) {
  const [shape, tone, label] = problem
    ? ["triangle", "bad", "Not connected"]
    : !connection
      ? ["ring", "muted", "Connecting"]
      : !connection.isSynced
        ? ["ring", "muted", "Reading"]
        : connection.isCurrent
          ? ["disc", "good", "Live"]
          : ["triangle", "bad", "API server away"];
  return html`<span class="connection" role="status">
    <${Icon} shape=${shape} tone=${tone} /> ${label}${connection && html`<span class="scope"> · ${printable(connection.scope)}</span>`}
  </span>`;
}

/** @param {Event} event */
function skip(event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

/**
 * Focuses or presses the element whose attribute `data-key` is the key that was pressed.
 * @param {KeyboardEvent} event
 */
function pressShortcut(event) {
  const isTyping = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
  if (document.querySelector("dialog[open]")) return;
  if (event.ctrlKey || event.metaKey || event.altKey || (isTyping && event.key !== "Escape")) return;
  const target = [...document.querySelectorAll("[data-key]")].find((each) => each.getAttribute("data-key") === event.key);
  if (!(target instanceof HTMLElement)) return;
  event.preventDefault();
  if (target instanceof HTMLInputElement) target.focus();
  else target.click();
}

applyTheme(theme());
const root = document.getElementById("app");
if (root) {
  root.replaceChildren();
  render(html`<${App} />`, root);
}
