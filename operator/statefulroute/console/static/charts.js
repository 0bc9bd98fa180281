/** The last hour of a route as charts, drawn by uPlot. */

import { get, routePath } from "./api.js";
import { Component, createRef, html } from "./html.js";
import { clock, number } from "./text.js";
import uPlot from "./vendor/uplot.mjs";

const REFRESH_MILLISECONDS = 15_000;
const FIRST_MILLISECONDS = 3000;
const HOUR_SECONDS = 3600;
const HEIGHT = 120;

/** @typedef {{label: string, color: string, values: (number | null)[], dash?: number[]}} Line */

/**
 * @typedef {{namespace: string, name: string, theme: string}} Props
 * @typedef {{history: import("./types.js").History | null}} State
 */

/** @extends {Component<Props, State>} */
export class Charts extends Component {
  /** @param {Props} props */
  constructor(props) {
    super(props);
    /** @type {State} */
    this.state = { history: null };
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
  }

  componentDidMount() {
    this.load();
    this.refresh();
  }

  componentWillUnmount() {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  /** Until there is something to show, it is looked for more often. */
  refresh() {
    const isEmpty = !this.state.history || this.state.history.times.length < 2;
    this.timer = setTimeout(
      async () => {
        if (!document.hidden) await this.load();
        if (this.timer !== undefined) this.refresh();
      },
      isEmpty ? FIRST_MILLISECONDS : REFRESH_MILLISECONDS,
    );
  }

  async load() {
    const path = `${routePath(this.props.namespace, this.props.name)}/history`;
    const history = await get(path).catch(() => null); // the stream reports what is wrong
    if (history) this.setState({ history });
  }

  render() {
    const { history } = this.state;
    if (!history || history.times.length < 2) return null;
    const { times, links, load, bound, moved } = history;
    const theme = this.props.theme;
    return html`<section class="panel" aria-labelledby="charts-title">
      <h2 id="charts-title">Last hour <small>since the console was started</small></h2>
      <div class="charts">
        <${Chart} title="Links" times=${times} theme=${theme} lines=${[{ label: "links", color: "--accent", values: links }]} />
        <${Chart} title="Load" times=${times} theme=${theme} lines=${[{ label: "load", color: "--warn", values: load }]} />
        <${Chart}
          title="Bound and moved per minute"
          times=${times}
          theme=${theme}
          lines=${[
            { label: "bound", color: "--good", values: bound },
            { label: "moved", color: "--accent", values: moved, dash: [5, 3] },
          ]}
        />
      </div>
    </section>`;
  }
}

/** @extends {Component<{title: string, times: number[], lines: Line[], theme: string}>} */
class Chart extends Component {
  /** @param {{title: string, times: number[], lines: Line[], theme: string}} props */
  constructor(props) {
    super(props);
    /** @type {import("./vendor/preact.mjs").RefObject<HTMLDivElement | null>} */
    this.box = createRef();
    /** @type {uPlot | null} */
    this.plot = null;
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.redraw = this.redraw.bind(this);
    this.observer = new ResizeObserver(() => {
      if (this.box.current) this.plot?.setSize({ width: this.box.current.clientWidth, height: HEIGHT });
    });
  }

  componentDidMount() {
    this.redraw();
    this.scheme.addEventListener("change", this.redraw);
    if (this.box.current) this.observer.observe(this.box.current);
  }

  componentWillUnmount() {
    this.scheme.removeEventListener("change", this.redraw);
    this.observer.disconnect();
    this.plot?.destroy();
  }

  /** @param {{theme: string}} before */
  componentDidUpdate(before) {
    if (before.theme !== this.props.theme) this.redraw();
    else this.plot?.setData(this.data());
  }

  /** @returns {import("./vendor/uplot.mjs").default.AlignedData} */
  data() {
    return [this.props.times, ...this.props.lines.map((line) => line.values)];
  }

  redraw() {
    const box = this.box.current;
    if (!box) return;
    this.plot?.destroy();
    const axis = { stroke: resolved(box, "--muted"), grid: { stroke: resolved(box, "--line"), width: 1 }, ticks: { show: false } };
    this.plot = new uPlot(
      {
        width: box.clientWidth,
        height: HEIGHT,
        padding: [10, 28, 0, 0],
        legend: { show: false },
        cursor: { y: false, sync: { key: "last-hour" }, drag: { x: false, y: false } },
        scales: { x: { range: hour }, y: { range: fromZero } },
        axes: [
          { ...axis, space: 80, size: 24, values: (plot, ticks) => ticks.map((tick) => timeOfDay(tick, plot)) },
          { ...axis, space: 30, size: 44, values: (_, ticks) => ticks.map((tick) => number(tick)) },
        ],
        series: [{}, ...this.props.lines.map((line) => series(box, line))],
      },
      this.data(),
      box,
    );
  }

  render() {
    const { title, lines } = this.props;
    return html`<figure class="chart">
      <figcaption>
        ${title}
        ${lines.map((line) => html` <span class="last">${lines.length > 1 ? `${line.label} ` : ""}<b>${number(line.values.at(-1))}</b></span>`)}
      </figcaption>
      <div ref=${this.box} role="img" aria-label=${`${title}: ${lines.map(inWords).join("; ")}`}></div>
    </figure>`;
  }
}

/**
 * @param {Element} box
 * @param {Line} line
 */
function series(box, line) {
  return { stroke: resolved(box, line.color), width: 1.6, dash: line.dash, points: { show: false }, spanGaps: false };
}

/**
 * Shows the hour up to the last sample.
 * @param {unknown} _
 * @param {number} first
 * @param {number} last
 * @returns {[number, number]}
 */
function hour(_, first, last) {
  return [Math.max(first, last - HOUR_SECONDS), last];
}

/**
 * @param {unknown} _
 * @param {number | null} least
 * @param {number | null} most
 * @returns {[number, number]}
 */
function fromZero(_, least, most) {
  return [0, Math.max(1, (most ?? 0) * 1.1)];
}

/**
 * @param {number} seconds Unix time
 * @param {uPlot} plot
 */
function timeOfDay(seconds, plot) {
  const isShort = (plot.scales.x.max ?? 0) - (plot.scales.x.min ?? 0) < 600;
  return clock(new Date(seconds * 1000).toISOString()).slice(0, isShort ? 8 : 5);
}

/**
 * Returns the colour of a custom property in the present theme.
 * @param {Element} box
 * @param {string} property
 */
function resolved(box, property) {
  const probe = document.createElement("span");
  probe.style.color = `var(${property})`;
  box.append(probe);
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}

/** @param {Line} line */
function inWords({ label, values }) {
  const known = values.filter((value) => value !== null);
  if (!known.length) return `${label} not reported`;
  return `${label} now ${number(values.at(-1))}, between ${number(Math.min(...known))} and ${number(Math.max(...known))}`;
}
