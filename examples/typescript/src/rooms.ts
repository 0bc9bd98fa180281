/** The rooms of one pod. */

import { setTimeout as pause } from "node:timers/promises";

import type { components } from "./api/sidecar.js";
import type { Driver, Events, ServerEvent } from "./driver.js";
import { ProblemError, reasonOf } from "./rest.js";
import { FencedError, Memory, type Store } from "./store.js";

const MAX_LINES = 1000;
const RETRY_MS = 500;

/** The room is at another pod: the guest has to look it up again. */
export class ElsewhereError extends Error {
  constructor(reason: string) {
    super(`the room is not here: ${reason}`);
  }
}

/** A guest receives the lines of a room, until the room closes. */
export interface Guest {
  line(text: string): void;
  close(reason: string): void;
}

/** A room has lines and guests. */
export class Room {
  private readonly guests = new Set<Guest>();
  private saving: Promise<void> = Promise.resolve();
  private closing: string | undefined;
  /** Takes the lines that wait; undefined if none have to wait. */
  private release: (() => void) | undefined;

  constructor(
    private readonly store: Store,
    readonly uid: string,
    readonly token: number,
    public lines: readonly string[],
  ) {}

  get size(): number {
    return this.guests.size;
  }

  /** Adds a guest; returns the lines so far. */
  join(guest: Guest): readonly string[] {
    this.requireOpen();
    this.guests.add(guest);
    return this.lines;
  }

  leave(guest: Guest): void {
    this.guests.delete(guest);
  }

  /** Stores a line, and then sends it to all guests. A line waits while the room is handed over. */
  say(line: string): Promise<void> {
    const saved = this.saving.then(() => this.add(line)); // one after another
    this.saving = saved.catch(() => {});
    return saved;
  }

  /** Lets lines wait; the promise is fulfilled once none is being stored. */
  pause(): Promise<void> {
    if (this.release) return Promise.resolve();
    const saved = this.saving;
    this.saving = Promise.all([saved, new Promise<void>((resolve) => (this.release = resolve))]).then(() => {});
    return saved;
  }

  /** Takes the lines that wait, and further ones. */
  resume(): void {
    this.release?.();
    this.release = undefined;
  }

  close(reason: string): void {
    this.closing = reason;
    this.resume();
    for (const guest of this.guests) guest.close(reason);
    this.guests.clear();
  }

  private async add(line: string): Promise<void> {
    this.requireOpen();
    const lines = [...this.lines, line].slice(-MAX_LINES);
    try {
      await this.store.save(this.uid, this.token, lines);
    } catch (error) {
      throw error instanceof FencedError ? new ElsewhereError(error.message) : error;
    }
    this.lines = lines;
    for (const guest of this.guests) guest.line(line);
  }

  private requireOpen(): void {
    if (this.closing !== undefined) throw new ElsewhereError(this.closing);
  }
}

/** Each room is linked to this pod as long as it is open. */
export class Rooms {
  private readonly rooms = new Map<string, Promise<Room>>();
  private refusal: string | undefined;
  private isDraining = false;
  private readonly handingOver = new Set<string>();
  private published: string | undefined;

  constructor(
    private readonly driver: Driver,
    private readonly store: Store,
  ) {}

  /** Returns a room of this pod. If it is not open, it is first claimed and read from the store. */
  open(uid: string): Promise<Room> {
    const present = this.rooms.get(uid);
    if (present) return present;
    if (this.refusal !== undefined) return Promise.reject(new Error(this.refusal));
    const room = this.claim(uid);
    this.rooms.set(uid, room);
    room.catch(() => this.rooms.delete(uid)).finally(() => this.publish());
    return room;
  }

  /** Returns a room, or undefined if it is not open. A room that is being opened opens first. */
  private async get(uid: string): Promise<Room | undefined> {
    return this.rooms.get(uid)?.catch(() => undefined);
  }

  /** Closes a room, if it is open, and sends its guests away. */
  async close(uid: string, reason: string): Promise<void> {
    const room = await this.get(uid);
    if (!room) return;
    console.error(`room ${uid} closes: ${reason}`);
    this.rooms.delete(uid);
    room.close(reason);
    await this.publish();
  }

  /** Returns the number of guests of each room. */
  async guests(): Promise<Record<string, number>> {
    const rooms = await Promise.allSettled(this.rooms.values());
    return Object.fromEntries(rooms.flatMap((each) => (each.status === "fulfilled" ? [[each.value.uid, each.value.size]] : [])));
  }

  /** Releases all rooms, and opens no more. Their lines are in the store. */
  async drain(): Promise<void> {
    const reason = "this pod is about to end";
    this.isDraining = true;
    this.refusal = reason;
    await this.publish();
    const bound = await this.driver.users().catch((error: unknown) => {
      console.error(`only open rooms are released: ${reasonOf(error)}`);
      return [];
    });
    for (const uid of new Set([...bound, ...this.rooms.keys()])) {
      await this.release(uid);
      await this.close(uid, reason);
    }
  }

  /** Handles an event of the sidecar. */
  async handle(event: ServerEvent): Promise<void> {
    switch (event.name) {
      case "state": // the first event, and after an interruption
        return this.keep(event.data);
      case "arrived":
        // A room that was bound to this pod just before the pod denied new ones has to leave.
        if (this.isDraining && event.data.route === this.driver.pod.route) await this.release(event.data.uid);
        return;
      case "hand-over":
        return this.handOver(event.data);
      case "arriving":
        void this.take(event.data);
        return;
      case "arrival-cancelled":
        if (event.data.route === this.driver.pod.route) this.forget(event.data.uid);
        return;
      case "staying": // the hand-over was withdrawn
        if (event.data.route === this.driver.pod.route) (await this.get(event.data.uid))?.resume();
        return;
      case "left":
        if (event.data.route !== this.driver.pod.route) return;
        await this.close(event.data.uid, "it has moved");
        this.forget(event.data.uid);
        return;
      case "cut-off": // the rooms may have been moved, and other pods may serve them
        return this.cutOff();
      case "reconnected":
        return this.accept();
    }
  }

  /** Publishes the number of rooms, and whether this pod accepts new ones. */
  private async publish(): Promise<void> {
    const state = this.isDraining ? "DenyNewCall" : "Ready";
    const isNew = state !== this.published;
    this.published = state;
    try {
      await this.driver.setLoad(this.rooms.size);
      if (isNew) await this.driver.setRoutingState(state);
    } catch (error) {
      console.error(`the state of this pod is not published: ${reasonOf(error)}`);
    }
  }

  private async release(uid: string): Promise<void> {
    try {
      await this.driver.release(uid);
    } catch (error) {
      console.error(`room ${uid} is not released: ${reasonOf(error)}`); // the guests wait until this pod comes back
    }
  }

  private async claim(uid: string): Promise<Room> {
    const { won, holder } = await this.driver.claim(uid);
    if (!won) throw new ElsewhereError(`${nameOf(holder)} holds it`);
    const token = await this.driver.token(uid); // before the lines are read
    try {
      return new Room(this.store, uid, token, await this.store.open(uid, token));
    } catch (error) {
      throw error instanceof FencedError ? new ElsewhereError(error.message) : error;
    }
  }

  /** Lets a room move. From now on it takes no lines: they wait for the new pod. */
  private async handOver({ id, route, uid }: Events["hand-over"]): Promise<void> {
    if (route !== this.driver.pod.route) return;
    const room = await this.get(uid);
    await room?.pause(); // a line that was being stored is stored now
    if (this.handingOver.has(id)) return; // a "state" repeats it
    this.handingOver.add(id);
    void this.leave(id, uid, room).finally(() => this.handingOver.delete(id)); // two pods may hand over to each other
  }

  /** Tries to move a room, until it has moved or stays. */
  private async leave(id: string, uid: string, room: Room | undefined): Promise<void> {
    for (;;) {
      try {
        if (this.store instanceof Memory) {
          await this.driver.send(id, room?.lines ?? this.store.arrived.get(uid) ?? []);
        } else {
          await this.driver.confirm(id); // the new pod reads the lines from the store
        }
        return;
      } catch (error) {
        if (error instanceof ProblemError && error.kind === "no-such-hand-over") return;
        console.error(`room ${uid} is not handed over yet: ${reasonOf(error)}`);
        await pause(RETRY_MS);
      }
    }
  }

  /** Takes the lines of a room that another pod hands over to this one. */
  private async take({ id, route, uid }: Events["arriving"]): Promise<void> {
    try {
      if (!(this.store instanceof Memory) || route !== this.driver.pod.route) return await this.driver.answer(id, "refuse");
      this.store.arrived.set(uid, await this.driver.receive(id));
      await this.driver.answer(id, "confirm");
    } catch (error) {
      this.forget(uid); // the other pod sends them again
      console.error(`the lines of room ${uid} are not taken: ${reasonOf(error)}`);
    }
  }

  /** Removes the lines of a room that does not arrive, or that has left before it was opened. */
  private forget(uid: string): void {
    if (this.store instanceof Memory) this.store.arrived.delete(uid);
  }

  /** Closes the rooms that are no longer linked to this pod, and confirms the hand-overs that wait. */
  private async keep(state: Events["state"]): Promise<void> {
    const held = new Set(state.users.filter((user) => user.route === this.driver.pod.route).map((user) => user.uid));
    for (const uid of [...this.rooms.keys()]) {
      if (!held.has(uid)) await this.close(uid, "it has moved");
    }
    for (const uid of this.rooms.keys()) (await this.get(uid))?.resume();
    for (const handOver of state.handOvers) await this.handOver(handOver);
    if (this.store instanceof Memory) {
      // An "arrival-cancelled" may have been missed.
      for (const uid of this.store.arrived.keys()) if (!held.has(uid)) this.forget(uid);
    }
    for (const arriving of state.arrivals) void this.take(arriving);
    this.published = undefined; // the sidecar may have been restarted
    await this.publish();
    await (state.isCutOff ? this.cutOff() : this.accept());
  }

  private async cutOff(): Promise<void> {
    if (!this.isDraining) this.refusal = "this pod does not reach the API server";
    for (const uid of [...this.rooms.keys()]) await this.close(uid, "this pod does not reach the API server");
  }

  private accept(): void {
    if (!this.isDraining) this.refusal = undefined;
  }
}

function nameOf(pod: components["schemas"]["PodReference"]): string {
  return pod.podIndex === null ? (pod.podName ?? "another pod") : `pod ${pod.podIndex}`;
}
