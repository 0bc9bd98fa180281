"""Which link binds a uid: its own, or that of its slot."""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from statefulroute.api.vocabulary import BoundBy
from statefulroute.domain.keys import link_name, slot_link_name
from statefulroute.domain.link import Link
from statefulroute.domain.operations import active_link
from statefulroute.domain.slots.hashing import slot_of

#: Returns the link of a name; None if it does not exist.
ReadLink = Callable[[str], Link | None]


def describe_unbound_slot(route: str, slot: int) -> str:
    """Returns the message for a uid whose slot has no pod yet."""
    return f"the uid belongs to slot {slot} of {route!r}, which is not bound to a pod yet"


class BoundLink(NamedTuple):
    """The link that binds a uid.

    Attributes:
        link: the link.
        bound_by: whether it is the link of the uid, or that of its slot.
    """

    link: Link
    bound_by: BoundBy


def find_bound_link(route: str, slots: int | None, uid: str, read: ReadLink, now: datetime) -> BoundLink | None:
    """Returns the link that binds a uid: its own if it has one, otherwise that of its slot; None if there is neither.

    An expired or invalid link counts as absent. A link of the uid that names no pod yet counts.

    Args:
        route: the name of the StatefulRoute.
        slots: its number of slots; None if it has none.
        uid: the uid.
        read: returns the link of a name, for example from a cache.
        now: the earliest possible time, which tells whether a link has expired.
    """
    if (link := active_link(read(link_name(route, uid)), now)) is not None:
        return BoundLink(link, BoundBy.LINK)
    if slots is None:
        return None
    link = active_link(read(slot_link_name(route, slot_of(uid, slots))), now)
    return None if link is None else BoundLink(link, BoundBy.SLOT)
