/** Computes the slot of a uid in a route with slots. */

import { createHash } from "node:crypto";

/**
 * Returns the slot of a uid, from 0 to slots - 1: the first 8 bytes of the SHA-256 of the uid in UTF-8, as an unsigned
 * big-endian integer, modulo the number of slots. A link of the uid's own comes first.
 */
export function slotOf(uid: string, slots: number): number {
  const hash = createHash("sha256").update(uid, "utf8").digest();
  return Number(hash.readBigUInt64BE() % BigInt(slots));
}
