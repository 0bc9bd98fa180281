/**
 * Joins a room of the chat by its uid, and follows it from pod to pod: the resolver says where it is.
 *
 *     node dist/client.js --resolver http://statefulroute-resolver.statefulroute-system.svc:8080 --namespace play alice
 */

import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";

import type { components } from "./api/resolver.js";
import { call, check, reasonOf } from "./rest.js";

const PAUSE_MS = 500;

/** A killed pod does not refuse connections: after this time the room is looked up again. */
const CONNECT_MS = 3000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    resolver: { type: "string", default: "http://127.0.0.1:8080" },
    namespace: { type: "string", default: "play" },
    route: { type: "string", default: "rooms" },
  },
});

/** Typed lines. A line is kept until a pod has stored it. */
class TypedLines {
  private readonly lines: string[] = [];
  private hasEnded = false;
  private notify = (): void => {};

  constructor() {
    createInterface({ input: process.stdin })
      .on("line", (line) => this.change(() => line.trim() && this.lines.push(line.trim())))
      .on("close", () => this.change(() => (this.hasEnded = true)));
  }

  get isDone(): boolean {
    return this.hasEnded && !this.lines.length;
  }

  /** Sends lines to a room until the signal aborts, the input ends, or a line is not stored. */
  async send(room: string, signal: AbortSignal): Promise<void> {
    while (!signal.aborted && !this.isDone) {
      const [line] = this.lines;
      if (line === undefined) {
        await new Promise<void>((resolve) => {
          this.notify = resolve;
          signal.addEventListener("abort", () => resolve(), { once: true });
        });
        continue;
      }
      await check(await fetch(room, { method: "POST", body: line, signal }));
      this.lines.shift();
    }
  }

  private change(add: () => unknown): void {
    add();
    this.notify();
  }
}

/** Binds the room to the best pod, unless it is bound, and returns its URL at its pod. */
async function bind(uid: string): Promise<string> {
  const link = `${values.resolver}/v1/namespaces/${values.namespace}/routes/${values.route}/links/${encodeURIComponent(uid)}`;
  const { address } = await call<components["schemas"]["LinkAnswer"]>("POST", link);
  return `http://${address}/rooms/${encodeURIComponent(uid)}`;
}

/** Joins the room, prints its lines and sends the typed ones, until the room closes or the input ends. */
async function visit(room: string, lines: TypedLines): Promise<void> {
  const leaving = new AbortController();
  const connecting = setTimeout(() => leaving.abort(), CONNECT_MS);
  try {
    const response = await fetch(room, { signal: leaving.signal });
    clearTimeout(connecting);
    await check(response);
    const printing = print(response).finally(() => leaving.abort());
    try {
      await lines.send(room, leaving.signal);
    } finally {
      leaving.abort();
      await printing.catch(() => {});
    }
  } finally {
    clearTimeout(connecting);
  }
}

async function print(response: Response): Promise<void> {
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) process.stdout.write(decoder.decode(chunk, { stream: true }));
}

const [uid] = positionals;
if (uid === undefined) throw new Error("which room? Give its uid");
const lines = new TypedLines();
while (!lines.isDone) {
  try {
    await visit(await bind(uid), lines);
  } catch (error) {
    console.log(`* not now: ${reasonOf(error)}`);
  }
  if (!lines.isDone) await pause(PAUSE_MS);
}
