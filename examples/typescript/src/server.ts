/**
 * One pod of a chat. Each room is at the pod that it is linked to; the sidecar beside the server binds it.
 *
 *     GET  /rooms/UID   joins a room: the lines so far, and each further line, until the room closes
 *     POST /rooms/UID   says a line
 *     GET  /rooms       the number of guests of each room
 *
 * A room that is at another pod is answered with 421: the client looks it up again.
 */

import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { parseArgs } from "node:util";

import { Driver } from "./driver.js";
import { reasonOf } from "./rest.js";
import { ElsewhereError, type Guest, Rooms } from "./rooms.js";
import { Folder, Memory } from "./store.js";

const MAX_LINE_BYTES = 4096;
const MAX_BUFFERED_BYTES = 1 << 20;

class TooLargeError extends Error {}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      listen: { type: "string", default: ":8080" }, // without a host, all addresses of IPv4 and IPv6
      sidecar: { type: "string", default: process.env.STATEFULROUTE_SIDECAR ?? "http://127.0.0.1:8470" },
      store: { type: "string" }, // a folder that all pods share; by default the rooms are in memory
    },
  });
  const stopped = new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, resolve);
  });
  const driver = await Promise.race([Driver.connect(values.sidecar), stopped.then(() => undefined)]);
  if (!driver) process.exit();
  const rooms = new Rooms(driver, values.store === undefined ? new Memory() : new Folder(values.store));
  void follow(driver, rooms);
  const server = createServer((request, response) => {
    serve(rooms, driver.pod.podName, request, response).catch((error: unknown) => fail(response, error));
  });
  const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(values.listen) ?? [];
  server.listen(Number(port), host || undefined);
  await once(server, "listening");
  console.error(`${driver.pod.podName} serves rooms at ${values.listen}`);
  await stopped;
  await drain(driver, rooms);
  server.closeAllConnections();
  process.exit();
}

async function follow(driver: Driver, rooms: Rooms): Promise<void> {
  for await (const event of driver.events()) await rooms.handle(event);
}

/** Moves all guests to other pods: no new ones come, the rooms are released, and the operator has seen it. */
async function drain(driver: Driver, rooms: Rooms): Promise<void> {
  await rooms.drain();
  await driver.stop().catch((error: unknown) => console.error(`the sidecar does not stop: ${reasonOf(error)}`));
}

async function serve(rooms: Rooms, pod: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [, top, quoted, ...rest] = new URL(request.url ?? "", "http://pod").pathname.split("/");
  if (top !== "rooms" || rest.length) {
    response.writeHead(404).end();
  } else if (!quoted && request.method === "GET") {
    response.setHeader("Content-Type", "application/json").end(JSON.stringify(await rooms.guests()));
  } else if (quoted && request.method === "GET") {
    await join(rooms, pod, decodeURIComponent(quoted), response);
  } else if (quoted && request.method === "POST") {
    const line = await readLine(request);
    await (await rooms.open(decodeURIComponent(quoted))).say(line);
    response.writeHead(204).end();
  } else {
    response.writeHead(405).end();
  }
}

/** Keeps a guest in a room until the guest leaves or the room closes. */
async function join(rooms: Rooms, pod: string, uid: string, response: ServerResponse): Promise<void> {
  const room = await rooms.open(uid);
  const guest: Guest = {
    line(text) {
      response.write(`${text}\n`);
      if (response.writableLength > MAX_BUFFERED_BYTES) response.destroy(); // too slow: it reads all when it joins again
    },
    close: (reason) => response.end(`* the room has closed: ${reason}\n`),
  };
  const lines = room.join(guest);
  response.once("close", () => room.leave(guest));
  response.setHeader("Content-Type", "text/plain; charset=utf-8");
  response.write([`* ${uid} is at ${pod}, token ${room.token}`, ...lines, ""].join("\n"));
}

async function readLine(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_LINE_BYTES) throw new TooLargeError(`a line has at most ${MAX_LINE_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString().trim().replaceAll(/\s+/g, " ");
}

function fail(response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  let status = 503;
  if (error instanceof ElsewhereError) status = 421;
  if (error instanceof TooLargeError) status = 413;
  if (error instanceof URIError) status = 400;
  response.writeHead(status, { "Content-Type": "text/plain; charset=utf-8" }).end(`${reasonOf(error)}\n`);
}

await main();
