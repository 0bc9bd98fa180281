/** The page of a route: its pods, its links, and what changes. */

import { ActButtons, ActDialog, podActs, routeActs } from "./acts.js";
import { get, routePath } from "./api.js";
import { Changes, Events } from "./changes.js";
import { Charts } from "./charts.js";
import { fly } from "./flights.js";
import { Component, html } from "./html.js";
import { Icon, podState, routeState } from "./icons.js";
import { LinkTable } from "./links.js";
import { Figure, Problems, RateFigures } from "./parts.js";
import { PageStream } from "./stream.js";
import { Legend, Tiles } from "./tiles.js";
import { loadText, number, plural, printable, timeLeft } from "./text.js";

const RETRY_MILLISECONDS = 5000;

/**
 * @typedef {object} Props
 * @property {string} namespace
 * @property {string} name
 * @property {string} pod the name of the selected pod
 * @property {string} user the uid that is searched at first
 * @property {(query: Record<string, string>) => void} select changes the query of the address
 * @property {(connection: import("./types.js").Connection | null, problem: string) => void} onConnection
 *
 * @property {string} theme
 * @property {(message: string) => void} onDone receives what an act has done
 *
 * @typedef {object} State
 * @property {import("./types.js").RoutePage | null} page
 * @property {boolean} isMissing
 * @property {import("./types.js").Rights | null} rights
 * @property {import("./acts.js").Act | null} act the act that the viewer has chosen
 */

/** @extends {Component<Props, State>} */
export class RouteView extends Component {
  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {State} */
    this.state = { page: null, isMissing: false, rights: null, act: null };
    /** @type {PageStream | null} */
    this.stream = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  componentDidMount() {
    const { namespace, name } = this.props;
    document.title = `${name} · StatefulRoute`;
    this.stream = new PageStream(`${routePath(namespace, name)}/stream`, {
      snapshot: (/** @type {import("./types.js").RoutePage | import("./types.js").AbsentRoute} */ page) => {
        if (page.card) this.setState({ page, isMissing: false });
        else if (page.connection.isSynced) this.setState({ isMissing: true });
        this.props.onConnection(page.connection, "");
      },
      changes: (changes) => fly(changes),
      failed: (problem) => this.props.onConnection(null, problem),
    });
    this.loadRights();
  }

  /** Without an answer, no act is offered. */
  async loadRights() {
    try {
      this.setState({ rights: await get(`${routePath(this.props.namespace, this.props.name)}/rights`) });
    } catch {
      this.timer = setTimeout(() => this.loadRights(), RETRY_MILLISECONDS);
    }
  }

  /** @param {string} message */
  closeAct(message) {
    this.setState({ act: null });
    if (message) this.props.onDone(message);
  }

  /**
   * Selects no pod; the focus returns to the tile, unless it is elsewhere.
   * @param {string} name
   */
  deselect(name) {
    const isInPanel = document.activeElement?.closest(".details");
    this.props.select({ pod: "", user: "" });
    if (isInPanel) /** @type {HTMLElement | null} */ (document.querySelector(`[data-pod="${CSS.escape(name)}"]`) ?? document.querySelector("[data-pod]"))?.focus();
  }

  componentWillUnmount() {
    clearTimeout(this.timer);
    this.stream?.close();
  }

  render() {
    const { namespace, name, pod: podName, user, select } = this.props;
    const { page, isMissing, rights, act } = this.state;
    if (isMissing) {
      return html`<h1>${printable(name)}</h1>
        <p class="empty">The route ${printable(`${namespace}/${name}`)} does not exist. <a href="#/">All routes</a></p>`;
    }
    if (!page) return html`<p class="boot" role="status">Reading ${printable(name)}…</p>`;
    const pod = page.pods.find((each) => each.name === podName) ?? null;
    const choose = (/** @type {import("./acts.js").Act} */ chosen) => this.setState({ act: chosen });
    return html`
      <${Head} page=${page} rights=${rights} choose=${choose} />
      <${Problems} problems=${page.problems} label="Problems of this route" />
      <${Closing} page=${page} />
      <section class="panel" aria-labelledby="pods-title">
        <div class="head">
          <h2 id="pods-title">Pods <small>${number(page.pods.length + page.omittedPods)}</small></h2>
          <${Legend} />
        </div>
        ${page.slots?.notes.map((note) => html`<p class="note"><${Icon} shape="clock" tone="warn" /> ${printable(note)}</p>`)}
        ${page.waitingLinks > 0 && html`<p class="note"><${Icon} shape="clock" tone="warn" /> ${plural(page.waitingLinks, "link")} ${page.waitingLinks === 1 ? "waits" : "wait"} for a pod</p>`}
        ${page.pods.length
          ? html`<${Tiles} page=${page} selected=${pod?.name ?? ""} select=${(/** @type {string} */ each) => select({ pod: each, user: "" })} />`
          : html`<p class="empty">There are no pods.</p>`}
        ${page.omittedPods > 0 && html`<p class="muted">The status does not list ${plural(page.omittedPods, "other pod")}: the route has too many.</p>`}
        ${podName && !pod && html`<${GonePod} name=${podName} close=${() => this.deselect(podName)} />`}
        ${pod && html`<${PodDetails} pod=${pod} now=${page.now} rights=${rights} choose=${choose} close=${() => this.deselect(podName)} />`}
      </section>
      <${Charts} namespace=${namespace} name=${name} theme=${this.props.theme} />
      <div class="columns">
        <${LinkTable} page=${page} pod=${pod} search=${user} rights=${rights} choose=${choose} />
        <div>
          <${Changes} changes=${page.changes} />
          <${Events} namespace=${namespace} name=${name} />
        </div>
      </div>
      ${act && html`<${ActDialog} namespace=${namespace} name=${name} act=${act} close=${(/** @type {string} */ message) => this.closeAct(message)} />`}
    `;
  }
}

/** @param {{page: import("./types.js").RoutePage, rights: import("./types.js").Rights | null, choose: (act: import("./acts.js").Act) => void}} props */
function Head({ page, rights, choose }) {
  const { card } = page;
  const state = routeState(card.state);
  return html`
    <div class="head">
      <div>
        <h1><${Icon} ...${state} /> ${card.name} <span class="state tone-${state.tone}">${state.label}</span></h1>
        <p class="muted">${card.namespace} · ${card.workload}${card.isPaused ? " · rollout paused" : ""}</p>
      </div>
      ${rights?.patchRoutes && html`<${ActButtons} acts=${routeActs(page)} choose=${choose} />`}
    </div>
    <dl class="figures">
      <${Figure} label="Pods">${number(card.routablePods)}<small> of ${number(card.replicas)} serve</small><//>
      ${card.desiredReplicas !== null && card.desiredReplicas !== card.replicas && html`<${Figure} label="Desired">${number(card.desiredReplicas)}<//>`}
      <${Figure} label="Links">${number(page.links)}${card.unservedLinks > 0 && html`<small class="tone-bad"> ${number(card.unservedLinks)} not served</small>`}<//>
      ${page.slots && html`<${Figure} label="Slots">${number(page.slots.bound)}<small> of ${number(page.slots.total)} bound</small><//>`}
      <${Figure} label="Load">${number(card.load)}<small> of ${number(card.overloaded)}${card.workloadState ? `, ${card.workloadState}` : ""}</small><//>
      ${!page.slots && html`<${Figure} label="Next user to">${card.bestPod ?? "–"}<//>`}
      <${RateFigures} rates=${page.rates} />
    </dl>
  `;
}

/** @param {{page: import("./types.js").RoutePage}} props */
function Closing({ page }) {
  const closing = page.pods.filter((pod) => pod.closing);
  if (!closing.length) return null;
  const links = closing.reduce((sum, pod) => sum + pod.totalLinks, 0);
  const last = closing.filter((pod) => pod.totalLinks).map((pod) => pod.closing?.deadline ?? "").sort().at(-1);
  const left = last ? timeLeft(last, page.now) : "";
  return html`<p class="banner">
    <${Icon} shape="clock" tone="warn" />
    <span>
      ${plural(closing.length, "pod")} ${closing.length === 1 ? "closes" : "close"} with ${plural(links, "link")}
      ${left ? (left === "over" ? " whose time is over" : `; the last one keeps its users for ${left}`) : ""}
    </span>
  </p>`;
}

/** @param {{name: string, close: () => void}} props */
function GonePod({ name, close }) {
  return html`<section class="details" aria-label=${`Pod ${printable(name)}`}>
    <div class="head">
      <p role="status">${printable(name)} is not a pod of this route now, and has no links in it. The links of all pods are below.</p>
      <button class="quiet" onClick=${close} data-key="Escape">Close</button>
    </div>
  </section>`;
}

/** @param {{pod: import("./types.js").PodView, now: string, rights: import("./types.js").Rights | null, choose: (act: import("./acts.js").Act) => void, close: () => void}} props */
function PodDetails({ pod, now, rights, choose, close }) {
  const state = podState(pod);
  const elsewhere = pod.totalLinks - pod.links;
  return html`<section class="details" aria-label=${`Pod ${printable(pod.name)}`}>
    <div class="head">
      <h3><${Icon} ...${state} /> ${printable(pod.name)} <span class="state tone-${state.tone}">${state.label}</span></h3>
      <div class="acts">
        ${rights?.patchRoutes && html`<${ActButtons} acts=${podActs(pod)} choose=${choose} />`}
        <button class="quiet" onClick=${close} data-key="Escape">Close</button>
      </div>
    </div>
    <dl class="figures small">
      <${Figure} label="In Kubernetes">${pod.serviceState}<//>
      <${Figure} label="Routing state">${pod.routingState}<//>
      ${pod.slots > 0 && html`<${Figure} label="Slots">${number(pod.slots)}<//>`}
      <${Figure} label="Links">${number(pod.links)}${elsewhere > 0 && html`<small> and ${number(elsewhere)} in other routes</small>`}<//>
      <${Figure} label="Load">${pod.load === null ? "not reported" : loadText(pod.load)}${pod.isStale ? " (stale)" : ""}<//>
      ${pod.reason && html`<${Figure} label="Does not serve">${printable(pod.reason)}<//>`}
      ${pod.lost && html`<${Figure} label="Lost">${pod.lost}<//>`}
      ${pod.closing && html`<${Figure} label="Closes">${pod.closing.reason}<small> ${timeLeft(pod.closing.deadline, now)}</small><//>`}
      ${pod.revision && html`<${Figure} label="Revision"><code>${pod.revision}</code><//>`}
    </dl>
  </section>`;
}
