/** Tests the slots of uids by the vectors for all languages; SLOT_VECTORS is their file if it is elsewhere. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { slotOf } from "./slot.js";

interface Vector {
  uid: string;
  slots: number;
  slot: number;
}

const file = process.env["SLOT_VECTORS"] ?? new URL("../../../docs/slot-vectors.json", import.meta.url);

test("slots are those of the vectors", () => {
  const vectors = JSON.parse(readFileSync(file, "utf8")) as Vector[];
  assert.notEqual(vectors.length, 0);
  for (const { uid, slots, slot } of vectors) assert.equal(slotOf(uid, slots), slot, `${uid} among ${slots}`);
});
