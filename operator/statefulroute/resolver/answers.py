"""The JSON bodies of the resolver's HTTP API."""

from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Annotated

import msgspec

from statefulroute.api.limits import DNS_SUBDOMAIN, DNS_SUBDOMAIN_MAX_LENGTH, INT32_MAX
from statefulroute.api.vocabulary import BoundBy, RoutingState, ServiceState, WorkloadState
from statefulroute.domain.address import Address
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Link
from statefulroute.domain.route import Route
from statefulroute.domain.service import is_workload_ready, pod_key
from statefulroute.rest.problems import Problem

#: The maximal number of uids in a batch request.
MAX_BATCH = 1000


class _Answer(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A response body; its fields are camelCase in JSON."""


class LinkAnswer(_Answer, frozen=True):
    """The pod that holds a uid, and its address."""

    uid: str
    pod_name: str
    pod_index: int | None
    """Null if the workload's pods have no index."""
    address: str
    """IP and port; only the IP if the route has no port."""
    ip: str
    port: int | None
    host: str | None
    """The pod's stable DNS name; null until the operator has bound the link."""
    expire_time: datetime | None
    """When the link expires; null for a persistent link."""
    bound_by: BoundBy
    """Whether the uid has a link of its own, or is bound by the link of its slot."""
    slot: int | None
    """The slot by whose link the uid is bound; null if it has a link of its own."""


class BatchRequest(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The uids to look up."""

    uids: Annotated[list[str], msgspec.Meta(max_length=MAX_BATCH)]


class BatchAnswer(_Answer, frozen=True):
    """The link or the problem of each uid of a batch."""

    links: dict[str, LinkAnswer]
    problems: dict[str, Problem]


class BindRequest(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """How to bind a uid that is not linked."""

    ttl_seconds: Annotated[float, msgspec.Meta(ge=1, le=INT32_MAX, multiple_of=1)] | None = None  # 300.0 is 300
    """The TTL of the link; null uses the resolver's default."""


class ClaimRequest(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """The pod to bind a uid to, unless it has a persistent link to another pod."""

    pod_name: Annotated[str, msgspec.Meta(pattern=DNS_SUBDOMAIN, max_length=DNS_SUBDOMAIN_MAX_LENGTH)]
    """The name of the pod, which must exist."""
    ttl_seconds: Annotated[float, msgspec.Meta(ge=1, le=INT32_MAX, multiple_of=1)] | None = None
    """The TTL of the link; null uses the resolver's default."""
    persistent: bool = False
    """Whether the link stays until it is removed, and no other claim can take the uid; not with ttlSeconds."""


class HolderAnswer(_Answer, frozen=True):
    """The pod that a uid is bound to, reachable or not."""

    uid: str
    pod_name: str | None
    """Null if the link waits for a pod, or the name is not known."""
    pod_index: int | None
    """Null if the workload's pods have no index."""
    expire_time: datetime | None
    """When the link expires; null for a persistent link."""


class ClaimAnswer(HolderAnswer, frozen=True):
    """Whether a claim has won, and the pod that the uid is bound to after it."""

    won: bool


class PodAnswer(_Answer, frozen=True):
    """One pod of a route."""

    name: str
    index: int | None
    service_state: ServiceState
    routing_state: RoutingState
    links: int
    slots: int | None
    """The number of slots that are bound to the pod; null if the route has none."""
    address: str | None
    """Null if the pod cannot be reached at present."""


class RouteAnswer(_Answer, frozen=True):
    """The state of a service."""

    namespace: str
    name: str
    routing_state: RoutingState | None
    workload_state: WorkloadState | None
    is_ready: bool
    """Whether a pod accepts new users, and the service is neither overloaded nor shut down."""
    links: int
    slots: int | None
    """The number of slots of the route, by which a caller computes that of a uid; null if it has none."""
    best_pod: str | None
    """The name of the pod for the next user."""
    pods: list[PodAnswer]
    """At most 500 pods: those that the status of the route lists."""
    omitted_pods: int
    """The number of pods that are not listed."""


class MoveAnswer(_Answer, frozen=True):
    """A uid's pods before and after a change: the index, or the name of a pod without one; null is no pod."""

    uid: str
    before: int | str | None
    after: int | str | None


class SlotMoveAnswer(_Answer, frozen=True):
    """A slot's pods before and after a change, as in `MoveAnswer`. All uids of the slot without a link move with it."""

    slot: int
    before: int | str | None
    after: int | str | None


class LossAnswer(_Answer, frozen=True):
    """The number of moves that were dropped before the next one, because the client was too slow."""

    number: int


def link_answer(uid: str, link: Link, address: Address) -> LinkAnswer:
    """Returns the body for a link."""
    index = link.pod if isinstance(link.pod, int) else None
    slot = link.slot
    return LinkAnswer(
        uid,
        address.pod,
        index,
        address.endpoint,
        address.ip,
        address.port,
        address.host,
        link.expire_time,
        BoundBy.LINK if slot is None else BoundBy.SLOT,
        slot,
    )


def holder_answer(uid: str, link: Link, pod_name: str | None) -> HolderAnswer:
    """Returns the body for a link whose pod may be unreachable.

    Args:
        uid: the user.
        link: the link.
        pod_name: the name of its pod; None if it has none, or the name is not known.
    """
    return HolderAnswer(uid, pod_name, link.pod if isinstance(link.pod, int) else None, link.expire_time)


def route_answer(route: Route, addresses: Mapping[PodKey, Address], best: PodKey | None) -> RouteAnswer:
    """Returns the body for a route.

    Args:
        route: the route.
        addresses: the addresses of its reachable pods.
        best: the pod for the next user.
    """
    pods = []
    best_name = None
    for pod_status in route.status.pods:
        key = pod_key(pod_status)
        address = addresses.get(key)
        if key == best:
            best_name = pod_status.name
        pods.append(
            PodAnswer(
                pod_status.name,
                pod_status.index,
                pod_status.service_state,
                pod_status.routing_state,
                pod_status.links,
                None if route.spec.slots is None else pod_status.slots or 0,
                None if address is None else address.endpoint,
            )
        )
    status = route.status
    return RouteAnswer(
        route.namespace,
        route.name,
        status.routing_state,
        status.workload_state,
        is_workload_ready(route),
        status.links or 0,
        route.spec.slots,
        best_name,
        pods,
        status.omitted_pods.count if status.omitted_pods else 0,
    )


def entity_tag(body: bytes) -> str:
    """Returns the ETag of a body. It is weak, because the `Age` header differs between responses with the same body."""
    return f'W/"{blake2b(body, digest_size=9).hexdigest()}"'
