"""The slot of a uid. `docs/slot-vectors.json` has test vectors for implementations in other languages."""

import hashlib

#: How many of the first bytes of the hash count.
_BYTES = 8


def slot_of(uid: str, slots: int) -> int:
    """Returns the slot that a uid belongs to, from 0 to `slots` - 1.

    It is the remainder of the first 8 bytes of the SHA-256 of the uid in UTF-8, as an unsigned big-endian integer,
    divided by the number of slots. It depends on nothing else and never changes.

    Args:
        uid: the uid.
        slots: the number of slots of the route, at least 1.
    """
    return int.from_bytes(hashlib.sha256(uid.encode()).digest()[:_BYTES]) % slots
