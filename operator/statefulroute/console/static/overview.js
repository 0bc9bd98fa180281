/** The first page: all routes, problems first. */

import { get, withQuery } from "./api.js";
import { Component, html } from "./html.js";
import { Icon, LEVELS, routeState } from "./icons.js";
import { Bar, Figure, loadStep, Problems, RateFigures, Subject, Uid } from "./parts.js";
import { PageStream } from "./stream.js";
import { number, plural, printable } from "./text.js";

const PAGE = 60;
const TYPING_MILLISECONDS = 200;

/**
 * @typedef {{onConnection: (connection: import("./types.js").Connection | null, problem: string) => void}} Props
 * @typedef {object} State
 * @property {import("./types.js").Overview | null} page
 * @property {import("./types.js").Problem[]} checks
 * @property {string} search
 * @property {number} offset
 * @property {string} uid
 * @property {import("./types.js").FoundLinks | null} found
 */

/** @extends {Component<Props, State>} */
export class OverviewPage extends Component {
  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {State} */
    this.state = { page: null, checks: [], search: "", offset: 0, uid: "", found: null };
    /** @type {PageStream | null} */
    this.stream = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.finding = undefined;
  }

  componentDidMount() {
    document.title = "Routes · StatefulRoute";
    this.open();
    get("api/checks").then(
      (checks) => this.setState({ checks }),
      () => {}, // the stream reports what is wrong
    );
  }

  componentWillUnmount() {
    clearTimeout(this.timer);
    clearTimeout(this.finding);
    this.stream?.close();
  }

  open() {
    this.stream?.close();
    const { search, offset } = this.state;
    this.stream = new PageStream(withQuery("api/stream", { search, offset, limit: PAGE }), {
      snapshot: (page) => {
        this.setState({ page });
        this.props.onConnection(page.connection, "");
      },
      failed: (problem) => this.props.onConnection(null, problem),
    });
  }

  /** @param {string} search */
  search(search) {
    this.setState({ search, offset: 0 });
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(), TYPING_MILLISECONDS);
  }

  /** @param {number} offset */
  turn(offset) {
    this.setState({ offset }, () => this.open());
    document.getElementById("main")?.focus();
  }

  /** @param {string} uid */
  findUser(uid) {
    this.setState({ uid });
    clearTimeout(this.finding);
    this.finding = setTimeout(async () => {
      const found = uid ? await get(withQuery("api/links", { uid })).catch(() => null) : null;
      if (this.state.uid === uid) this.setState({ found });
    }, TYPING_MILLISECONDS);
  }

  render() {
    const { page, checks, search, uid, found } = this.state;
    if (!page) return html`<p class="boot" role="status">Reading routes and links…</p>`;
    return html`
      <div class="head">
        <h1>Routes</h1>
        <div class="fields">
          <label class="field">
            <span>Search routes</span>
            <input
              type="search"
              data-key="/"
              value=${search}
              onInput=${(/** @type {any} */ event) => this.search(event.target.value)}
            />
          </label>
          <label class="field">
            <span>Find a user</span>
            <input type="search" value=${uid} onInput=${(/** @type {any} */ event) => this.findUser(event.target.value)} />
          </label>
        </div>
      </div>
      ${found && html`<${FoundLinks} found=${found} uid=${uid} />`}
      <dl class="figures">
        <${Figure} label="Routes">${number(page.total)}<//>
        <${Figure} label="Ready">${number(page.ready)}<//>
        <${Figure} label="With problems">${number(page.withProblems)}<//>
        <${Figure} label="Links">${number(page.links)}<//>
        <${RateFigures} rates=${page.rates} />
      </dl>
      <${Problems} problems=${[...page.problems, ...checks]} label="Problems of the installation" />
      ${page.routes.length
        ? html`<ul class="cards">
            ${page.routes.map(
              (item) => html`<${RouteCard} key=${`${item.card.namespace}/${item.card.name}`} item=${item} />`,
            )}
          </ul>`
        : html`<p class="empty">${emptyText(page, search)}</p>`}
      <${Pager} page=${page} turn=${(/** @type {number} */ offset) => this.turn(offset)} />
    `;
  }
}

/**
 * @param {import("./types.js").Overview} page
 * @param {string} search
 */
function emptyText(page, search) {
  if (!page.connection.isSynced) return "Reading routes and links…";
  return search ? `No route matches “${printable(search)}”.` : "There are no routes.";
}

/** @param {{page: import("./types.js").Overview, turn: (offset: number) => void}} props */
function Pager({ page, turn }) {
  if (page.matching <= PAGE) return null;
  const last = page.offset + page.routes.length;
  return html`<nav class="pager" aria-label="Pages of routes">
    <button disabled=${page.offset === 0} onClick=${() => turn(Math.max(0, page.offset - PAGE))}>Previous</button>
    <span>${number(page.offset + 1)}–${number(last)} of ${number(page.matching)}</span>
    <button disabled=${last >= page.matching} onClick=${() => turn(page.offset + PAGE)}>Next</button>
  </nav>`;
}

/** @param {{found: import("./types.js").FoundLinks, uid: string}} props */
function FoundLinks({ found, uid }) {
  return html`<section class="panel found" aria-label="Links of users" aria-live="polite">
    ${found.links.length || found.slots.length
      ? html`<ul>
          ${found.links.map(
            (link) => html`<li>
              <a href=${routeHref(link.namespace, link.route, { user: link.uid })}>
                <${Subject} link=${link} />
                <span class="muted">${link.namespace}/${link.route}</span>
                <span>${printable(link.pod)}</span>
              </a>
            </li>`,
          )}
          ${found.slots.map(
            (each) => html`<li>
              <a href=${routeHref(each.namespace, each.route, { user: uid })}>
                <span><${Uid} uid=${uid} /> <small>slot ${each.slot}</small></span>
                <span class="muted">${each.namespace}/${each.route}</span>
                <span>${each.pod === "-" ? "not bound" : printable(each.pod)}</span>
              </a>
            </li>`,
          )}
        </ul>`
      : html`<p class="muted">No link of a user that matches “${printable(uid)}”.</p>`}
  </section>`;
}

/**
 * @param {string} namespace
 * @param {string} name
 * @param {Record<string, string>} [query]
 */
export function routeHref(namespace, name, query = {}) {
  return withQuery(`#/routes/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`, query);
}

/**
 * Says which pod gets the next user: with slots, any pod may.
 * @param {import("./types.js").RouteItem["card"]} card
 */
function nextUser(card) {
  if (card.slots) return "New users go to the pods of their slots";
  return card.bestPod ? html`Next user to <b>${card.bestPod}</b>` : "No pod for new users";
}

/** @param {{item: import("./types.js").RouteItem}} props */
function RouteCard({ item }) {
  const { card, links, problems } = item;
  const state = routeState(card.state);
  const limit = card.maxLinks * (card.replicas ?? 0);
  const worst = problems[0];
  return html`<li class="card level-${worst?.level ?? "ok"}">
    <h2>
      <${Icon} ...${state} />
      <a href=${routeHref(card.namespace, card.name)}>${card.name}</a>
      <span class="state tone-${state.tone}">${state.label}</span>
    </h2>
    <p class="muted">${card.namespace} · ${card.workload}</p>
    <dl class="rows">
      <${Row}
        label="Pods"
        value=${html`${number(card.routablePods)}<small> of ${number(card.replicas)}</small>`}
        fraction=${card.replicas ? (card.routablePods ?? 0) / card.replicas : null}
        tone=${card.routablePods === card.replicas ? "good" : "warn"}
      />
      <${Row}
        label="Links"
        value=${html`${number(links)}${limit ? html`<small> of ${number(limit)}</small>` : ""}`}
        fraction=${limit ? links / limit : null}
        tone="accent"
      />
      <${Row}
        label="Load"
        value=${card.load === null ? "–" : html`${number(card.load)}<small> ${card.workloadState ?? ""}</small>`}
        fraction=${card.load === null ? null : card.load / card.overloaded}
        tone=${`load-${loadStep(card.load ?? 0, card.overloaded)}`}
      />
    </dl>
    <p class="next">${nextUser(card)}</p>
    ${card.closing > 0 &&
    html`<p class="note"><${Icon} shape="clock" tone="warn" /> ${plural(card.closing, "pod")} closing with ${plural(card.closingLinks, "link")}</p>`}
    ${worst &&
    html`<p class="note" title=${worst.fix}>
      <${Icon} ...${LEVELS[worst.level]} />
      <span>${printable(worst.message)}${problems.length > 1 ? ` (and ${plural(problems.length - 1, "other")})` : ""}</span>
    </p>`}
  </li>`;
}

/** @param {{label: string, value: any, fraction: number | null, tone: string}} props */
function Row({ label, value, fraction, tone }) {
  return html`<div class="row">
    <dt>${label}</dt>
    <dd><span class="value">${value}</span>${fraction !== null && html`<${Bar} fraction=${fraction} tone=${tone} />`}</dd>
  </div>`;
}
