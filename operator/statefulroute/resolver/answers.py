"""The values that the resolver answers with, as they are written in JSON."""

from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Annotated

import msgspec

from statefulroute.api.limits import INT32_MAX
from statefulroute.api.vocabulary import RoutingState, ServiceState, WorkloadState
from statefulroute.domain.address import Address
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Link
from statefulroute.domain.route import Route
from statefulroute.domain.service import is_workload_ready, pod_key
from statefulroute.resolver.problems import Problem

#: How many uids one batch may name.
MAX_BATCH = 1000


class _Answer(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """JSON's camelCase for Python's snake_case."""


class LinkAnswer(_Answer, frozen=True):
    """Which pod holds a uid, and where it is."""

    uid: str
    pod_name: str
    pod_index: int | None
    """Null where the workload's pods have none."""
    address: str
    """IP and port as a gateway dials them; the IP alone where the route has no port."""
    ip: str
    port: int | None
    host: str | None
    """The pod's stable DNS name; null until the operator has acknowledged the link."""
    expire_time: datetime | None
    """When the link ends; null is a persistent one."""


class BatchRequest(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Whom a batch is about."""

    uids: Annotated[list[str], msgspec.Meta(max_length=MAX_BATCH)]


class BatchAnswer(_Answer, frozen=True):
    """What is known of each uid of a batch: it is in one of both."""

    links: dict[str, LinkAnswer]
    problems: dict[str, Problem]


class BindRequest(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """How a uid is to be bound, if it is not."""

    ttl_seconds: Annotated[float, msgspec.Meta(ge=1, le=INT32_MAX, multiple_of=1)] | None = None  # 300.0 is 300
    """How long the link lives without being renewed; null is as the resolver was told to bind."""


class PodAnswer(_Answer, frozen=True):
    """One pod of a route."""

    name: str
    index: int | None
    service_state: ServiceState
    routing_state: RoutingState
    links: int
    address: str | None
    """Null where it cannot be reached now."""


class RouteAnswer(_Answer, frozen=True):
    """The state of a service."""

    namespace: str
    name: str
    routing_state: RoutingState | None
    workload_state: WorkloadState | None
    is_ready: bool
    """Whether a pod takes new users, and the service is neither overloaded nor shut down."""
    links: int
    best_pod: str | None
    """The name of the pod that takes the next user."""
    pods: list[PodAnswer]


class MoveAnswer(_Answer, frozen=True):
    """That a uid is held by another pod than before: its index, or its name where it has none; null is no pod."""

    uid: str
    before: int | str | None
    after: int | str | None


class LossAnswer(_Answer, frozen=True):
    """That a listener was too slow: so many moves before the next one are not told."""

    number: int


def link_answer(uid: str, link: Link, address: Address) -> LinkAnswer:
    """What is said of a link."""
    index = link.pod if isinstance(link.pod, int) else None
    return LinkAnswer(
        uid, address.pod, index, address.endpoint, address.ip, address.port, address.host, link.expire_time
    )


def route_answer(route: Route, addresses: Mapping[PodKey, Address], best: PodKey | None) -> RouteAnswer:
    """What is said of a route.

    Args:
        route: the route.
        addresses: where those of its pods are that can be reached.
        best: the pod that takes the next user.
    """
    pods = []
    best_name = None
    for said in route.status.pods:
        key = pod_key(said)
        address = addresses.get(key)
        if key == best:
            best_name = said.name
        pods.append(
            PodAnswer(
                said.name,
                said.index,
                said.service_state,
                said.routing_state,
                said.links,
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
        best_name,
        pods,
    )


def entity_tag(body: bytes) -> str:
    """What tells one state of an answer from another; weak, for its age is told beside it."""
    return f'W/"{blake2b(body, digest_size=9).hexdigest()}"'
