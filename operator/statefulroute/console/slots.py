"""What the pages show of slots: how many are bound, and where a user is who has no link."""

from datetime import datetime
from itertools import islice

import msgspec

from statefulroute.api.vocabulary import ConditionType, RouteReason
from statefulroute.cli.cluster import Object
from statefulroute.cli.objects import condition
from statefulroute.console.links import RouteLinks
from statefulroute.console.watcher import Watcher
from statefulroute.domain.errors import InvalidParameterError
from statefulroute.domain.keys import RouteKey, link_name, slot_link_name
from statefulroute.domain.slots.hashing import slot_of
from statefulroute.domain.validation import validate_uid

#: What the problems of the route state already.
_PROBLEMS = frozenset({RouteReason.SLOTS_REFUSED, RouteReason.SLOTS_UNEVEN})


class SlotsView(msgspec.Struct, frozen=True):
    """The slots of a route.

    Attributes:
        total: how many it has.
        bound: how many of them are bound to a pod.
        notes: why they are not bound or balanced, unless that is a problem of the route.
    """

    total: int
    bound: int
    notes: list[str]


class UserSlot(msgspec.Struct, frozen=True):
    """Where a user is who has no link, in a route with slots.

    Attributes:
        namespace: the namespace of the route.
        route: the name of the route.
        slot: the slot of the user.
        pod: the pod of the slot; `-` if it is not bound to a pod yet.
    """

    namespace: str
    route: str
    slot: int
    pod: str


def slots_view(route: Object, links: RouteLinks) -> SlotsView | None:
    """Returns the slots of a route; None if it has none."""
    total = route["spec"].get("slots")
    if total is None:
        return None
    found = (condition(route, each) for each in (ConditionType.SLOTS_BOUND, ConditionType.SLOTS_BALANCED))
    notes = [
        each["message"] for each in found if each.get("status", "True") != "True" and each["reason"] not in _PROBLEMS
    ]
    return SlotsView(total, links.slots.total() - links.slots[None], notes)


def slots_of_user(watcher: Watcher, uid: str, limit: int, now: datetime) -> list[UserSlot]:
    """Returns where a user is in the routes with slots in which the user has no link, at most `limit` of them."""
    routes = sorted(record.key for record in watcher.routes() if record.card.slots is not None)
    found = (slot_of_user(watcher, key, uid, now) for key in routes)
    return [*islice(filter(None, found), limit)]


def slot_of_user(watcher: Watcher, key: RouteKey, uid: str, now: datetime) -> UserSlot | None:
    """Returns where a user is in a route; None if it has no slots, the user has a link, or the uid is not valid."""
    record = watcher.route(key)
    if record is None or record.card.slots is None or not _is_valid(uid):
        return None
    own = watcher.link(key.namespace, link_name(key.name, uid))
    if own is not None and (own.expire_time is None or own.expire_time > now):
        return None
    slot = slot_of(uid, record.card.slots)
    link = watcher.link(key.namespace, slot_link_name(key.name, slot))
    return UserSlot(key.namespace, key.name, slot, "-" if link is None else link.pod_label)


def _is_valid(uid: str) -> bool:
    try:
        validate_uid(uid)
    except InvalidParameterError:
        return False
    return True
