/** Receives the state of a page and its changes while the page is visible. */

import { get, RequestError } from "./api.js";

const RETRY_MILLISECONDS = 1000;

/** The console sends a snapshot every ten seconds: after so long without one, it is suspended, or cut off. */
const SILENCE_MILLISECONDS = 25_000;

const HEALTH_MILLISECONDS = 5000;

/**
 * A stream of server-sent events. It is closed while the tab is hidden, and opened again afterwards and after failures.
 *
 * @typedef {object} Listener
 * @property {(page: any) => void} snapshot receives the whole page
 * @property {(changes: import("./types.js").NumberedChange[]) => void} [changes] receives changes since the last event
 * @property {(problem: string) => void} failed receives why there is no stream; empty when there is one again
 */
export class PageStream {
  /**
   * @param {string} path
   * @param {Listener} listener
   */
  constructor(path, listener) {
    this.path = path;
    this.listener = listener;
    /** @type {EventSource | null} */
    this.source = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.silence = undefined;
    this.isClosed = false;
    this.visibilityChanged = () => (document.hidden ? this.disconnect() : this.connect());
    document.addEventListener("visibilitychange", this.visibilityChanged);
    this.connect();
  }

  close() {
    this.isClosed = true;
    document.removeEventListener("visibilitychange", this.visibilityChanged);
    this.disconnect();
  }

  disconnect() {
    clearTimeout(this.timer);
    clearTimeout(this.silence);
    this.source?.close();
    this.source = null;
  }

  connect() {
    if (this.isClosed || this.source || document.hidden) return;
    const source = new EventSource(this.path);
    this.source = source;
    this.expectSnapshot();
    source.addEventListener("open", () => this.listener.failed(""));
    source.addEventListener("snapshot", (event) => {
      this.expectSnapshot();
      this.listener.snapshot(JSON.parse(event.data));
    });
    source.addEventListener("changes", (event) => this.listener.changes?.(JSON.parse(event.data)));
    source.addEventListener("error", () => this.retry());
  }

  expectSnapshot() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.retry(), SILENCE_MILLISECONDS);
  }

  async retry() {
    this.disconnect();
    this.timer = setTimeout(() => this.connect(), RETRY_MILLISECONDS);
    try {
      await get("api/health", AbortSignal.timeout(HEALTH_MILLISECONDS));
    } catch (error) {
      if (!this.isClosed) this.listener.failed(describe(error));
    }
  }
}

/** @param {unknown} error */
function describe(error) {
  if (error instanceof RequestError && error.status === 401) {
    return "This address is not valid any more: open the one that the command has printed.";
  }
  if (error instanceof RequestError && error.status) return `Nothing is received: ${error.message}.`;
  return "The console does not answer: is its command still running? It is tried again every second.";
}
