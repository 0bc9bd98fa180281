/** Calls the sidecar. */

import { setTimeout as pause } from "node:timers/promises";

import type { components } from "./api/sidecar.js";
import { call, check, ProblemError, reasonOf } from "./rest.js";

type Schemas = components["schemas"];

/** The events of the users of this pod, by their names. */
export interface Events {
  state: Schemas["StateEvent"];
  arrived: Schemas["ArrivedEvent"];
  leaving: Schemas["LeavingEvent"];
  "hand-over": Schemas["HandOverEvent"];
  arriving: Schemas["ArrivingEvent"];
  "arrival-cancelled": Schemas["ArrivalCancelledEvent"];
  staying: Schemas["StayingEvent"];
  left: Schemas["LeftEvent"];
  "cut-off": Schemas["CutOffEvent"];
  reconnected: Schemas["ReconnectedEvent"];
  lost: Schemas["LostEvent"];
}

export type ServerEvent = { [Name in keyof Events]: { name: Name; data: Events[Name] } }[keyof Events];

const RETRY_MS = 500;

/** After this time without a byte a stream of events is dead: the sidecar sends something each 15 seconds. */
const SILENCE_MS = 30_000;

export class Driver {
  private constructor(
    private readonly url: string,
    readonly pod: Schemas["ServerAnswer"],
  ) {}

  /** Waits until the sidecar knows the pod. Starts a driver that an earlier process of the server has stopped. */
  static async connect(url: string): Promise<Driver> {
    for (;;) {
      try {
        const pod = await call<Schemas["ServerAnswer"]>("GET", `${url}/v1/server`);
        if (!pod.isRunning) await call("POST", `${url}/v1/server/start`);
        return new Driver(url, pod);
      } catch (error) {
        console.error(`the sidecar is not ready: ${reasonOf(error)}`);
        await pause(RETRY_MS);
      }
    }
  }

  /** Binds a room to this pod, unless another pod holds it; returns the holder. */
  claim(uid: string): Promise<Schemas["ClaimAnswer"]> {
    return call("POST", `${this.link(uid)}/claim`, {} satisfies Schemas["BindRequest"]);
  }

  /** Removes the link of a room, so that the next guest binds it to another pod. */
  async release(uid: string): Promise<void> {
    const { podIndex, podName } = this.pod;
    const condition = podIndex === null ? `ifPodName=${podName}` : `ifPodIndex=${podIndex}`;
    await call("DELETE", `${this.link(uid)}?${condition}`);
  }

  /** Returns the rooms that are bound to this pod, open or not. */
  async users(): Promise<string[]> {
    return (await call<Schemas["UsersAnswer"]>("GET", `${this.url}/v1/users`)).users;
  }

  /** Lets a room move to its new pod, now that its lines are stored and cannot change. */
  async confirm(id: string): Promise<void> {
    await call("POST", `${this.url}/v1/hand-overs/${id}/confirm`);
  }

  /** Sends the lines of a room to its new pod. When the server there has them, the room moves. */
  async send(id: string, lines: readonly string[]): Promise<void> {
    await call("PUT", `${this.url}/v1/hand-overs/${id}/state`, lines);
  }

  /** Returns the lines of a room that another pod sends. The other pod waits for an answer. */
  receive(id: string): Promise<string[]> {
    return call("GET", `${this.url}/v1/arrivals/${id}/state`);
  }

  /** Tells the other pod whether the lines of a room are taken. */
  async answer(id: string, answer: "confirm" | "refuse"): Promise<void> {
    await call("POST", `${this.url}/v1/arrivals/${id}/${answer}`);
  }

  /** Returns the fencing token of a room. The token of any later holder is greater. */
  async token(uid: string): Promise<number> {
    for (let tries = 0; ; tries++) {
      try {
        const answer = await call<Schemas["TokenAnswer"]>("GET", `${this.url}/v1/users/${encodeURIComponent(uid)}/token`);
        return answer.token;
      } catch (error) {
        const isEarly = error instanceof ProblemError && error.kind === "user-not-held";
        if (!isEarly || tries === 100) throw error;
        await pause(RETRY_MS / 10); // the sidecar has not seen the link yet
      }
    }
  }

  /** Publishes the number of rooms. */
  async setLoad(rooms: number): Promise<void> {
    await call("PUT", `${this.url}/v1/load-state`, { loadState: rooms } satisfies Schemas["LoadState"]);
  }

  /** Publishes which users the pod accepts. */
  async setRoutingState(routingState: Schemas["RoutingStateBody"]["routingState"]): Promise<void> {
    await call("PUT", `${this.url}/v1/routing-state`, { routingState } satisfies Schemas["RoutingStateBody"]);
  }

  /** Waits until the operator counts no user on this pod, and stops the reports. */
  async stop(): Promise<void> {
    await call("POST", `${this.url}/v1/server/stop`);
  }

  /** Yields the events. After an interruption it continues with the next event, or with a "state". */
  async *events(): AsyncGenerator<ServerEvent> {
    let lastId = "";
    for (;;) {
      const silence = new AbortController();
      const watchdog = setTimeout(() => silence.abort(new Error("nothing was received")), SILENCE_MS);
      try {
        const headers: HeadersInit = lastId ? { "Last-Event-ID": lastId } : {};
        const response = await fetch(`${this.url}/v1/events?handOver=true`, { headers, signal: silence.signal });
        await check(response);
        for await (const { id, ...event } of readEvents(response, () => watchdog.refresh())) {
          yield event;
          lastId = id || lastId;
        }
      } catch (error) {
        console.error(`the events are interrupted: ${reasonOf(error)}`);
      } finally {
        clearTimeout(watchdog);
      }
      await pause(RETRY_MS);
    }
  }

  private link(uid: string): string {
    return `${this.url}/v1/routes/${this.pod.route}/links/${encodeURIComponent(uid)}`;
  }
}

/** Reads server-sent events. The data of each is one line; a line without a name is a sign of life. */
async function* readEvents(response: Response, onAlive: () => void): AsyncGenerator<ServerEvent & { id: string }> {
  let fields: Record<string, string> = {};
  for await (const line of readLines(response)) {
    onAlive();
    const [field = "", ...rest] = line.split(": ");
    if (field) {
      fields[field] = rest.join(": ");
      continue;
    }
    if (fields.event && fields.data) {
      yield { id: fields.id ?? "", name: fields.event, data: JSON.parse(fields.data) } as ServerEvent & { id: string };
    }
    fields = {};
  }
}

async function* readLines(response: Response): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let last = "";
  for await (const chunk of response.body ?? []) {
    const lines = (last + decoder.decode(chunk, { stream: true })).split("\n");
    last = lines.pop() ?? "";
    yield* lines;
  }
}
