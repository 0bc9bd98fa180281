/** What the viewer can do: each act with a dialog that says what it will do, and asks the API server beforehand. */

import { act as send, RequestError } from "./api.js";
import { Component, createRef, html } from "./html.js";
import { Icon } from "./icons.js";
import { Uid } from "./parts.js";
import { plural, printable } from "./text.js";

const TYPING_MILLISECONDS = 250;

/**
 * An act that the viewer may choose.
 *
 * @typedef {object} Act
 * @property {string} title
 * @property {any} text what it will do
 * @property {string} verb the label of the button that does it
 * @property {boolean} [isSevere] whether users lose their pod
 * @property {Field} [field] what the viewer chooses
 * @property {(value: string) => import("./types.js").ActRequest | null} request the request; null if the value is not complete
 *
 * @typedef {{label: string, value: string, options?: string[], type?: string}} Field
 */

/**
 * @typedef {object} Props
 * @property {string} namespace
 * @property {string} name
 * @property {Act} act
 * @property {(message: string) => void} close is called when the dialog is closed, with what was done; empty if nothing
 *
 * @typedef {{value: string, preview: string, error: string, isRunning: boolean}} State
 */

/** @extends {Component<Props, State>} */
export class ActDialog extends Component {
  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {State} */
    this.state = { value: props.act.field?.value ?? "", preview: "", error: "", isRunning: false };
    /** @type {import("./vendor/preact.mjs").RefObject<HTMLDialogElement | null>} */
    this.dialog = createRef();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.previews = 0;
  }

  componentDidMount() {
    this.dialog.current?.showModal();
    this.preview();
  }

  componentWillUnmount() {
    clearTimeout(this.timer);
    this.previews = -1;
    this.dialog.current?.close(); // the focus returns to where it was
  }

  /** @param {string} value */
  choose(value) {
    this.previews += 1; // an answer to the dry run of another value is not shown
    this.setState({ value, preview: "", error: "" });
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.preview(), TYPING_MILLISECONDS);
  }

  async preview() {
    const request = this.props.act.request(this.state.value);
    if (!request) return;
    const number = (this.previews += 1);
    const { text, error } = await this.send({ ...request, dryRun: true });
    if (number === this.previews) this.setState({ preview: text, error });
  }

  async confirm() {
    const request = this.props.act.request(this.state.value);
    if (!request || this.state.isRunning) return;
    clearTimeout(this.timer);
    this.previews += 1;
    this.setState({ isRunning: true, error: "" });
    const { text, error } = await this.send(request);
    if (error) this.setState({ isRunning: false, error, preview: "" });
    else this.props.close(text);
  }

  /** @param {import("./types.js").ActRequest} request */
  async send(request) {
    try {
      const { messages } = await send(this.props.namespace, this.props.name, request);
      return { text: messages.join("; "), error: "" };
    } catch (error) {
      return { text: "", error: error instanceof RequestError ? error.message : String(error) };
    }
  }

  render() {
    const { act, close } = this.props;
    const { value, preview, error, isRunning } = this.state;
    const isComplete = act.request(value) !== null;
    return html`<dialog
      ref=${this.dialog}
      aria-labelledby="act-title"
      onCancel=${(/** @type {Event} */ event) => {
        event.preventDefault();
        close("");
      }}
    >
      <h2 id="act-title">${act.title}</h2>
      <div class="act-text">${act.text}</div>
      ${act.field && html`<${FieldInput} field=${act.field} value=${value} choose=${(/** @type {string} */ each) => this.choose(each)} confirm=${() => this.confirm()} />`}
      <p class="preview" aria-live="polite">
        ${error
          ? html`<span class="error"><${Icon} shape="triangle" tone="bad" /> ${printable(error)}</span>`
          : preview
            ? html`<${Icon} shape="info" tone="muted" /> ${printable(preview)}`
            : isComplete
              ? "Asking the API server…"
              : "Choose a value."}
      </p>
      <div class="buttons">
        <button onClick=${() => close("")}>Cancel</button>
        <button class=${act.isSevere ? "severe" : "primary"} disabled=${!isComplete || isRunning} onClick=${() => this.confirm()}>
          ${isRunning ? "Working…" : act.verb}
        </button>
      </div>
    </dialog>`;
  }
}

/** @param {{field: Field, value: string, choose: (value: string) => void, confirm: () => void}} props */
function FieldInput({ field, value, choose, confirm }) {
  const onInput = (/** @type {any} */ event) => choose(event.target.value);
  return html`<label class="field">
    <span>${field.label}</span>
    ${field.options
      ? html`<select value=${value} onInput=${onInput}>
          ${field.options.map((each) => html`<option value=${each} selected=${each === value}>${printable(each || "–")}</option>`)}
        </select>`
      : html`<input
          type=${field.type ?? "text"}
          min="0"
          step="1"
          value=${value}
          onInput=${onInput}
          onKeyDown=${(/** @type {KeyboardEvent} */ event) => event.key === "Enter" && confirm()}
        />`}
  </label>`;
}

/**
 * The acts on a route.
 * @param {import("./types.js").RoutePage} page
 * @returns {Act[]}
 */
export function routeActs(page) {
  const { card, spec, loss } = page;
  /** @type {Act[]} */
  const acts = [];
  if (loss) {
    acts.push({
      title: `Confirm the loss of pods of ${card.name}`,
      text: html`<p>${printable(loss.message)}</p>
        <p>The operator then moves, deletes or marks the links of these pods, as <code>onPodLost</code> of the route specifies.</p>`,
      verb: "Confirm loss",
      isSevere: true,
      request: () => ({ act: "confirm-loss", loss }),
    });
  }
  acts.push({
    title: `Set the state of ${card.name}`,
    text: html`<p><b>Ready</b>: it takes all users. <b>DenyNewCall</b>: only those that it has. <b>Shutdown</b>: no users at all; its links stay.</p>`,
    verb: "Set state",
    field: { label: "Routing state", value: card.routingState, options: ["Ready", "DenyNewCall", "Shutdown"] },
    request: (state) => ({ act: "set-state", state }),
  });
  if (!spec.isAutoscaled) {
    acts.push({
      title: `Scale ${card.name}`,
      text: html`<p>Pods with users are removed when these have left, or their time is over.</p>
        ${spec.replicas === null && html`<p>From then on, the route sets the number of pods of ${card.workload}: scale the route, not the workload.</p>`}`,
      verb: "Scale",
      field: { label: "Number of pods", value: String(spec.replicas ?? card.replicas ?? ""), type: "number" },
      request: (value) => (/^\d{1,9}$/.test(value) ? { act: "scale", replicas: Number(value) } : null),
    });
  }
  if (spec.hasRollout) {
    const act = card.isPaused ? "resume" : "pause";
    acts.push({
      title: card.isPaused ? `Resume the rollout of ${card.name}` : `Pause the rollout of ${card.name}`,
      text: card.isPaused
        ? html`<p>Pods of an older revision close again, one after the other.</p>`
        : html`<p>No pod closes for the rollout, and those that are closing for it take new users again.</p>`,
      verb: card.isPaused ? "Resume rollout" : "Pause rollout",
      request: () => ({ act }),
    });
  }
  return acts;
}

/**
 * The acts on a pod.
 * @param {import("./types.js").PodView} pod
 * @returns {Act[]}
 */
export function podActs(pod) {
  const name = printable(pod.name);
  const key = String(pod.key);
  const number = pod.links - pod.slots;
  const users = number ? `its ${plural(number, "user")}` : "its users";
  const held = [pod.slots && plural(pod.slots, "slot"), number && plural(number, "user")].filter(Boolean).join(" and ") || "users";
  /** @type {Act[]} */
  const acts = [];
  if (pod.specState) {
    acts.push({
      title: `Undrain ${name}`,
      text: html`<p>The route no longer sets <b>${pod.specState}</b> for it, so that it takes new users again unless something else forbids it.</p>`,
      verb: "Undrain",
      request: () => ({ act: "undrain", pod: key }),
    });
  }
  if (pod.specState !== "DenyNewCall") {
    acts.push({
      title: `Drain ${name}`,
      text: html`<p>It takes no new users, and keeps ${users}.${pod.slots > 0 && html` Its ${plural(pod.slots, "slot")} move to other pods, with all users of these slots.`}</p>`,
      verb: "Drain",
      request: () => ({ act: "drain", pod: key }),
    });
  }
  if (pod.specState !== "Shutdown") {
    acts.push({
      title: `Shut down ${name}`,
      text: html`<p>It takes no users at all. Its ${held} move, are released or wait at once, as <code>onPodLost</code> of the route specifies.</p>`,
      verb: "Shut down",
      isSevere: true,
      request: () => ({ act: "shutdown", pod: key }),
    });
  }
  return acts;
}

/**
 * The act that moves a user.
 * @param {import("./types.js").LinkItem} link
 * @param {import("./types.js").PodView[]} pods
 * @returns {Act}
 */
export function moveAct(link, pods) {
  const others = pods.map((pod) => pod.name).filter((name) => name !== link.pod);
  const onlyFrom = origin(link);
  return {
    title: "Move a user",
    text: html`<p><${Uid} uid=${link.uid} /> ${link.pod === "-" ? "waits for a pod," : `leaves ${printable(link.pod)}`} and is bound to the pod that you choose. A temporary link keeps its time to live and is renewed.</p>`,
    verb: "Move",
    field: { label: "To", value: "", options: ["", ...others] },
    request: (pod) => (pod ? { act: "move", uid: link.uid, pod, onlyFrom } : null),
  };
}

/**
 * The act by which the pod of a user hands the user over to another pod.
 * @param {import("./types.js").LinkItem} link
 * @param {import("./types.js").PodView[]} pods
 * @returns {Act}
 */
export function handOverAct(link, pods) {
  return {
    ...moveAct(link, pods),
    title: "Hand a user over",
    text: html`<p>${printable(link.pod)} is asked to hand <${Uid} uid=${link.uid} /> over to the pod that you choose, with the state of the user. The link moves when it has done so, or when its time is over.</p>`,
    verb: "Hand over",
    request: (pod) => (pod ? { act: "hand-over", uid: link.uid, pod, onlyFrom: origin(link) } : null),
  };
}

/**
 * The act that removes the link of a user.
 * @param {import("./types.js").LinkItem} link
 * @returns {Act}
 */
export function unlinkAct(link) {
  return {
    title: "Unlink a user",
    text: html`<p>The link of <${Uid} uid=${link.uid} />${link.pod === "-" ? ", which waits for a pod," : ` to ${printable(link.pod)}`} is removed. The user may be bound to another pod next time.</p>`,
    verb: "Unlink",
    isSevere: true,
    request: () => ({ act: "unlink", uid: link.uid, onlyFrom: origin(link) }),
  };
}

/**
 * The pod that a link must still be to when something is done to it; `-` if it waits for one.
 * @param {import("./types.js").LinkItem} link
 */
function origin(link) {
  return link.pod.replace(/^#/, "");
}

/** @param {{acts: Act[], choose: (act: Act) => void}} props */
export function ActButtons({ acts, choose }) {
  return html`<div class="acts">
    ${acts.map((act) => html`<button class=${act.isSevere ? "severe-outline" : ""} onClick=${() => choose(act)}>${act.verb}…</button>`)}
  </div>`;
}
