/** The links of a route or of one of its pods, a page at a time, with a search by uid. */

import { handOverAct, moveAct, unlinkAct } from "./acts.js";
import { get, RequestError, routePath, withQuery } from "./api.js";
import { Component, html } from "./html.js";
import { Icon, phaseState } from "./icons.js";
import { Subject, Uid } from "./parts.js";
import { number, printable, timeLeft } from "./text.js";

const PAGE = 50;
const TYPING_MILLISECONDS = 200;
const REFRESH_MILLISECONDS = 1500;

/**
 * @typedef {object} Props
 * @property {import("./types.js").RoutePage} page
 * @property {import("./types.js").PodView | null} pod only the links of this pod
 * @property {string} search the uid that is searched at first
 * @property {import("./types.js").Rights | null} rights
 * @property {(act: import("./acts.js").Act) => void} choose
 *
 * @typedef {object} State
 * @property {import("./types.js").LinkPage | null} list
 * @property {string} search
 * @property {string[]} cursors where the pages before this one and this one begin
 * @property {string} problem
 */

/** @extends {Component<Props, State>} */
export class LinkTable extends Component {
  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {State} */
    this.state = { list: null, search: props.search, cursors: [""], problem: "" };
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.request = new AbortController();
    this.loadedAt = 0;
    this.isLoading = false;
  }

  componentDidMount() {
    this.load();
  }

  componentWillUnmount() {
    clearTimeout(this.timer);
    this.request.abort();
  }

  /** @param {Props} before */
  componentDidUpdate(before) {
    const { page, pod, search } = this.props;
    if (before.pod?.name !== pod?.name) {
      this.setState({ cursors: [""] }, () => this.load());
    } else if (before.search !== search) {
      this.search(search);
    } else if (before.page !== page && !this.isLoading) {
      this.loadSoon(Math.max(0, this.loadedAt + REFRESH_MILLISECONDS - Date.now()));
    }
  }

  /** @param {number} milliseconds */
  loadSoon(milliseconds) {
    if (this.timer !== undefined) return;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.load();
    }, milliseconds);
  }

  async load() {
    this.request.abort();
    const request = (this.request = new AbortController());
    const { page, pod } = this.props;
    const { search, cursors } = this.state;
    const selected = typeof pod?.key === "number" ? { podIndex: pod.key } : { podName: pod?.key };
    const query = { ...selected, search, after: cursors[cursors.length - 1], limit: PAGE };
    this.loadedAt = Date.now();
    this.isLoading = true;
    try {
      const path = `${routePath(page.card.namespace, page.card.name)}/links`;
      const list = await get(withQuery(path, query), request.signal);
      this.setState({ list, problem: "" });
    } catch (error) {
      if (!request.signal.aborted) this.setState({ problem: error instanceof RequestError ? error.message : String(error) });
    } finally {
      if (request === this.request) this.isLoading = false;
    }
  }

  /** @param {string} search */
  search(search) {
    this.setState({ search, cursors: [""] });
    clearTimeout(this.timer);
    this.timer = undefined;
    this.loadSoon(TYPING_MILLISECONDS);
  }

  /** @param {string[]} cursors */
  turn(cursors) {
    this.setState({ cursors }, () => this.load());
  }

  render() {
    const { page, pod, rights, choose } = this.props;
    const { list, search, cursors, problem } = this.state;
    const canAct = Boolean(rights?.patchLinks || rights?.deleteLinks);
    const label = pod ? `Links of ${printable(pod.name)}` : "Links";
    return html`<section class="panel" aria-labelledby="links-title">
      <div class="head">
        <h2 id="links-title">${label} <small>${list ? number(list.total) : ""}</small></h2>
        <label class="field">
          <span>Search by uid</span>
          <input type="search" data-key="f" value=${search} onInput=${(/** @type {any} */ event) => this.search(event.target.value)} />
        </label>
      </div>
      ${problem && html`<p class="error" role="alert">${printable(problem)}</p>`}
      ${search && list?.slot && html`<${SlotNote} uid=${search} slot=${list.slot} />`}
      ${list?.links.length
        ? html`<div class="scroll" tabindex="0" role="group" aria-labelledby="links-title"><table>
            <thead>
              <tr>
                <th scope="col">User</th>
                <th scope="col">Pod</th>
                <th scope="col">Phase</th>
                <th scope="col" class="secondary">Expires</th>
                ${canAct && html`<th scope="col"><span class="sr-only">Acts</span></th>`}
              </tr>
            </thead>
            <tbody>
              ${list.links.map((link) => html`<${LinkRow} key=${`${link.isUser}/${link.uid}`} link=${link} page=${page} rights=${canAct ? rights : null} choose=${choose} />`)}
            </tbody>
          </table></div>`
        : list && html`<p class="empty">${search ? `No uid contains “${printable(search)}”.` : "No links."}</p>`}
      <${Pager} list=${list} cursors=${cursors} turn=${(/** @type {string[]} */ next) => this.turn(next)} />
    </section>`;
  }
}

/**
 * Where a user is who has no link.
 * @param {{uid: string, slot: import("./types.js").UserSlot}} props
 */
function SlotNote({ uid, slot }) {
  const place = slot.pod === "-" ? "which is not bound to a pod yet" : `at ${printable(slot.pod)}`;
  return html`<p class="note" role="status"><span>The user <${Uid} uid=${uid} /> has no link: slot ${slot.slot}, ${place}.</span></p>`;
}

/** @param {{list: import("./types.js").LinkPage | null, cursors: string[], turn: (cursors: string[]) => void}} props */
function Pager({ list, cursors, turn }) {
  if (!list || (cursors.length === 1 && !list.next)) return null;
  return html`<nav class="pager" aria-label="Pages of links">
    <button disabled=${cursors.length === 1} onClick=${() => turn(cursors.slice(0, -1))}>Previous</button>
    <span>Page ${number(cursors.length)} of ${number(Math.max(cursors.length, Math.ceil(list.total / PAGE)))}</span>
    <button disabled=${!list.next} onClick=${() => turn([...cursors, list.next])}>Next</button>
  </nav>`;
}

/** @param {{link: import("./types.js").LinkItem, page: import("./types.js").RoutePage, rights: import("./types.js").Rights | null, choose: (act: import("./acts.js").Act) => void}} props */
function LinkRow({ link, page, rights, choose }) {
  const phase = phaseState(link.phase);
  const isUsual = link.reason === link.phase || !link.reason;
  return html`<tr>
    <td><${Subject} link=${link} /></td>
    <td>${printable(link.nextPod ? `${link.pod} → ${link.nextPod}` : link.pod)}</td>
    <td><${Icon} ...${phase} /> ${phase.label}${isUsual ? "" : html` <small>${link.reason}</small>`}</td>
    <td class="secondary">${link.expires ? html`<span title=${link.expires}>${timeLeft(link.expires, page.now)}</span>` : html`<span class="muted">never</span>`}</td>
    ${rights &&
    html`<td class="row-acts">
      ${link.isUser && rights.patchLinks && html`<button class="quiet" aria-label=${`Move ${printable(link.uid)}`} onClick=${() => choose(moveAct(link, page.pods))}>Move…</button>`}
      ${link.isUser && rights.patchLinks && page.spec.hasHandOver && link.pod !== "-" && html`<button class="quiet" aria-label=${`Hand over ${printable(link.uid)}`} onClick=${() => choose(handOverAct(link, page.pods))}>Hand over…</button>`}
      ${link.isUser && rights.deleteLinks && html`<button class="quiet" aria-label=${`Unlink ${printable(link.uid)}`} onClick=${() => choose(unlinkAct(link))}>Unlink…</button>`}
    </td>`}
  </tr>`;
}
