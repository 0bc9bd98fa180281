"""Keys: a route is found by namespace and name, a link by route and uid, or by route and slot."""

import re
from typing import NamedTuple

from statefulroute.api.limits import DNS_SUBDOMAIN, ENCODED_UID_PREFIX, SLOT_PREFIX

#: Follows the name of the route in the name of a slot's link, and may be part of other names.
_SLOT_INFIX = f".{SLOT_PREFIX}"

_dns_subdomain = re.compile(DNS_SUBDOMAIN.removesuffix("$"))


PodKey = int | str
"""The key of a pod within its route: its index if the workload's pods have indexes, otherwise its name."""

NO_POD: PodKey = "-"
"""Stands for the pod of a link that waits for one, where a pod is compared: no pod can have this name."""


UidOrSlot = str | int
"""What a link binds: the uid of a user, or the number of a slot."""


class RouteKey(NamedTuple):
    """The key of a StatefulRoute. Caches of links use it as the partition."""

    namespace: str
    name: str


def pod_sort_key(pod: PodKey) -> tuple[int, str]:
    """Returns the key that sorts pods by their index or name."""
    return (pod, "") if isinstance(pod, int) else (-1, pod)


#: The API version and the kind of workloads whose pods have an index.
STATEFUL_SET = ("apps/v1", "StatefulSet")


class WorkloadKey(NamedTuple):
    """The key of a workload."""

    namespace: str
    api_version: str
    kind: str
    name: str

    @property
    def is_stateful_set(self) -> bool:
        """Whether the workload is a StatefulSet: its pods have an index."""
        return (self.api_version, self.kind) == STATEFUL_SET


class LinkKey(NamedTuple):
    """The key of a PodLink."""

    route: RouteKey
    name: str


def link_name(route_name: str, uid: str) -> str:
    """Returns the name of the PodLink of a uid: `<route>.<uid>`, or `<route>.x-<hex>` if a name cannot contain the uid.

    The CustomResourceDefinition of the PodLink has the same rule in CEL.
    """
    if _dns_subdomain.fullmatch(uid) and not uid.startswith(ENCODED_UID_PREFIX):
        return f"{route_name}.{uid}"
    return f"{route_name}.{ENCODED_UID_PREFIX}{uid.encode().hex()}"


def slot_link_name(route_name: str, slot: int) -> str:
    """Returns the name of the PodLink of a slot: `<route>.x-slot-<slot>`. No uid has a link of this name."""
    return f"{route_name}.{SLOT_PREFIX}{slot}"


def bound_link_name(route_name: str, bound: UidOrSlot) -> str:
    """Returns the name of the PodLink of a uid or of a slot."""
    return link_name(route_name, bound) if isinstance(bound, str) else slot_link_name(route_name, bound)


def is_slot_link_name(name: str) -> bool:
    """Returns whether the PodLink of this name binds a slot."""
    # Most names do not contain it, and this is asked at each change of each link.
    return _SLOT_INFIX in name and name.startswith(_SLOT_INFIX, name.find("."))


def slot_from_link_name(name: str) -> int:
    """Returns the slot that the PodLink of this name binds: the inverse of `slot_link_name`.

    Raises:
        ValueError: a PodLink of a slot cannot have this name.
    """
    route_name, _dot, rest = name.partition(".")
    slot = int(rest.removeprefix(SLOT_PREFIX))
    if name != slot_link_name(route_name, slot):
        raise ValueError(f"{name!r} is not the name of a slot's PodLink")
    return slot


def uid_from_link_name(name: str) -> str:
    """Returns the uid that the PodLink of this name binds: the inverse of `link_name`.

    Raises:
        ValueError: a PodLink of a uid cannot have this name.
    """
    _route_name, dot, uid = name.partition(".")
    if not dot:
        raise ValueError(f"{name!r} is not the name of a PodLink: it has no '.'")
    if uid.startswith(ENCODED_UID_PREFIX):
        return bytes.fromhex(uid.removeprefix(ENCODED_UID_PREFIX)).decode()
    return uid
