"""How things are found: a route by namespace and name, a link by its route and uid."""

import re
from typing import NamedTuple

from statefulroute.api.limits import DNS_SUBDOMAIN

_ENCODED_PREFIX = "x-"
_VALID_IN_NAME = re.compile(DNS_SUBDOMAIN.removesuffix("$"))


PodKey = int | str
"""How a link names a pod of its route: by its index where the workload's pods have one, else by its name."""


class RouteKey(NamedTuple):
    """A StatefulRoute's place in the cluster; also the group that its links are cached in."""

    namespace: str
    name: str


def pod_sort_key(pod: PodKey) -> tuple[int, str]:
    """What pods are sorted by: their indexes, or their names."""
    return (pod, "") if isinstance(pod, int) else (-1, pod)


class WorkloadKey(NamedTuple):
    """A workload's place in the cluster."""

    namespace: str
    api_version: str
    kind: str
    name: str


class LinkKey(NamedTuple):
    """A PodLink's place in the cluster."""

    route: RouteKey
    name: str


def link_name(route_name: str, uid: str) -> str:
    """The name of the PodLink of a uid in a route: the uid itself, or its hex form where it cannot stand in a name.

    The same rule as the CEL rule of the PodLink's CustomResourceDefinition.
    """
    if _VALID_IN_NAME.fullmatch(uid) and not uid.startswith(_ENCODED_PREFIX):
        return f"{route_name}.{uid}"
    return f"{route_name}.{_ENCODED_PREFIX}{uid.encode().hex()}"


def uid_from_link_name(name: str) -> str:
    """The uid that a PodLink of this name binds: the inverse of `link_name`.

    Raises:
        ValueError: the name is no PodLink's.
    """
    _route_name, dot, uid = name.partition(".")
    if not dot:
        raise ValueError(f"{name!r} is not the name of a PodLink: it has no '.'")
    if uid.startswith(_ENCODED_PREFIX):
        return bytes.fromhex(uid.removeprefix(_ENCODED_PREFIX)).decode()
    return uid
