/** Keeps the lines of rooms: in a folder that all pods share, or in memory. */

import { access, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** A later holder has opened the room: the write does not count. */
export class FencedError extends Error {
  constructor() {
    super("a later holder has opened the room");
  }
}

export interface Store {
  /** Claims a room for a token, and returns its lines. */
  open(uid: string, token: number): Promise<string[]>;
  /** Writes the lines of a room, unless a later holder has opened it. */
  save(uid: string, token: number, lines: string[]): Promise<void>;
}

/**
 * Holds the lines of rooms that other pods have handed over, until they are opened. The lines of open rooms are with the
 * rooms, and are lost with the pod.
 */
export class Memory implements Store {
  readonly arrived = new Map<string, string[]>();

  async open(uid: string): Promise<string[]> {
    const lines = this.arrived.get(uid) ?? [];
    this.arrived.delete(uid);
    return lines;
  }

  async save(): Promise<void> {}
}

/**
 * Each holder of a room writes a file of its own, named by its fencing token. The file with the greatest token counts,
 * so a pod that was cut off, and still writes, changes nothing that a later holder reads. No locks are needed: a holder
 * creates its file before it reads those of earlier ones, and looks for later ones after each write. A write that
 * succeeded was therefore read by every later holder.
 */
export class Folder implements Store {
  constructor(private readonly path: string) {}

  async open(uid: string, token: number): Promise<string[]> {
    await mkdir(this.room(uid), { recursive: true, mode: 0o700 });
    try {
      await access(join(this.room(uid), fileName(token)));
    } catch {
      await this.write(uid, token, null); // a file without lines: opened, and not yet written
    }
    let lines: string[] | null = null;
    for (const name of (await this.files(uid)).reverse()) {
      lines ??= await this.read(uid, name);
    }
    await this.save(uid, token, lines ?? []);
    return lines ?? [];
  }

  async save(uid: string, token: number, lines: string[]): Promise<void> {
    await this.write(uid, token, lines);
    const names = await this.files(uid);
    const own = fileName(token);
    if ((names.at(-1) ?? own) > own) throw new FencedError();
    for (const name of names) {
      if (name < own) await rm(join(this.room(uid), name), { force: true });
    }
  }

  private async read(uid: string, name: string): Promise<string[] | null> {
    try {
      return JSON.parse(await readFile(join(this.room(uid), name), "utf-8")) as string[] | null;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null; // removed by a later holder
      throw error;
    }
  }

  /** Replaces the file of a token at once: a reader sees the lines before or after. */
  private async write(uid: string, token: number, lines: string[] | null): Promise<void> {
    const path = join(this.room(uid), fileName(token));
    await writeFile(`${path}.new`, JSON.stringify(lines), { mode: 0o600 });
    await rename(`${path}.new`, path);
  }

  /** Returns the names of a room's files, that of the greatest token last. */
  private async files(uid: string): Promise<string[]> {
    return (await readdir(this.room(uid))).filter((name) => name.endsWith(".json")).sort();
  }

  private room(uid: string): string {
    return join(this.path, `room-${encodeURIComponent(uid)}`);
  }
}

function fileName(token: number): string {
  return `${String(token).padStart(20, "0")}.json`;
}
