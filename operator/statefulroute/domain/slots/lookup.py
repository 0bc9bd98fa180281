"""Which link binds a uid: its own, or that of its slot."""

from statefulroute.domain.link import Link
from statefulroute.domain.slots.hashing import slot_of


def describe_unbound_slot(route: str, slot: int) -> str:
    """Returns the message for a uid whose slot has no pod yet."""
    return f"the uid belongs to slot {slot} of {route!r}, which is not bound to a pod yet"


def binding_slot(uid: str, own: Link | None, slots: int | None) -> int | None:
    """Returns the slot whose link binds a uid: that of the uid, unless it has a link of its own.

    Args:
        uid: the uid.
        own: the active link of the uid; None if there is none. A link that names no pod yet counts.
        slots: the number of slots of the route; None if it has none.

    Returns:
        The slot; None if the uid's own link binds it, or no link does.
    """
    return None if own is not None or slots is None else slot_of(uid, slots)
