/** The latest changes of a route, and its Kubernetes events. */

import { get, RequestError, routePath } from "./api.js";
import { Component, html } from "./html.js";
import { Uid } from "./parts.js";
import { clock, printable } from "./text.js";

const REFRESH_MILLISECONDS = 10_000;

/** @type {Record<string, string>} */
const VERBS = { bound: "bound", moved: "moved", ended: "ended", phase: "changed", state: "routing" };

/** @param {{changes: import("./types.js").NumberedChange[]}} props */
export function Changes({ changes }) {
  return html`<section class="panel" aria-labelledby="changes-title">
    <h2 id="changes-title">Latest changes</h2>
    ${changes.length
      ? html`<div class="log" tabindex="0" role="group" aria-labelledby="changes-title">
          <ol>
            ${changes.map((each) => html`<${Change} key=${each.number} numbered=${each} />`)}
          </ol>
        </div>`
      : html`<p class="empty">Nothing has changed since the console was started.</p>`}
  </section>`;
}

/** @param {{numbered: import("./types.js").NumberedChange}} props */
function Change({ numbered }) {
  const { kind, time, change } = numbered;
  const way = change.before === change.after ? change.after : `${change.before} → ${change.after}`;
  const detail = change.hand_over_to ? `to ${change.hand_over_to}` : change.cause;
  const reason = detail ? `${change.reason} (${detail})` : change.reason;
  return html`<li class=${`change kind-${kind}`}>
    <time datetime=${time}>${clock(time)}</time>
    <span class="verb">${VERBS[kind] ?? kind}</span>
    <span class="who"><${Uid} uid=${change.subject} /></span>
    <span class="way">${printable(way)}</span>
    <small>${printable(isSaid(kind, reason) ? "" : reason)}</small>
  </li>`;
}

/**
 * Whether the kind of a change already says its reason.
 * @param {string} kind
 * @param {string} reason
 */
function isSaid(kind, reason) {
  return kind === "state" || reason.toLowerCase() === kind;
}

/**
 * @typedef {{namespace: string, name: string}} Props
 * @typedef {{events: import("./types.js").RouteEvent[], problem: string}} State
 */

/** @extends {Component<Props, State>} */
export class Events extends Component {
  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {State} */
    this.state = { events: [], problem: "" };
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this.timer = undefined;
  }

  componentDidMount() {
    this.load();
    this.timer = setInterval(() => document.hidden || this.load(), REFRESH_MILLISECONDS);
  }

  componentWillUnmount() {
    clearInterval(this.timer);
  }

  async load() {
    try {
      this.setState(await get(`${routePath(this.props.namespace, this.props.name)}/events`));
    } catch (error) {
      this.setState({ problem: error instanceof RequestError ? error.message : String(error) });
    }
  }

  render() {
    const { events, problem } = this.state;
    if (!events.length && !problem) return null;
    return html`<section class="panel" aria-labelledby="events-title">
      <h2 id="events-title">Events</h2>
      ${problem && html`<p class="muted">${printable(problem)}</p>`}
      <div class="log" tabindex="0" role="group" aria-labelledby="events-title"><ol>
        ${events.map(
          (event) => html`<li class="change">
            <time datetime=${event.time}>${clock(event.time)}</time>
            <span class="verb">${printable(event.reason)}${event.count > 1 ? ` ×${event.count}` : ""}</span>
            <span class="note-text">${printable(event.note)}</span>
          </li>`,
        )}
      </ol></div>
    </section>`;
  }
}
