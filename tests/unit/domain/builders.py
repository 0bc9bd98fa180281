"""Short ways to say a link, a pod and a route in a test."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from statefulroute.api.statefulroute import StatefulRouteSpec, StatefulRouteStatus
from statefulroute.api.vocabulary import RoutingState, ServiceState
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.pod import Node, Owner, Pod
from statefulroute.domain.route import Loss, Route, RouteView, Workload, view_route

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def link(pod_index: int | None = None, **fields: Any) -> Link:
    values: dict[str, Any] = {"name": "game.alice", "resource_version": 1, "generation": 1}
    return Link(group=RouteKey("play", "game"), pod_index=pod_index, **{**values, **fields})


def pod(
    index: int,
    state: ServiceState = ServiceState.READY,
    said: RoutingState = RoutingState.UNKNOWN,
    owner: str = "set",
    node_name: str = "",
) -> Pod:
    return Pod(
        group="play",
        name=f"game-{index}",
        resource_version=1,
        service_state=state,
        said=said,
        index=index,
        owner=Owner("StatefulSet", "game", owner),
        node_name=node_name,
    )


def route(status: StatefulRouteStatus | None = None, **spec: Any) -> Route:
    return Route(
        group="play",
        name="game",
        resource_version=1,
        generation=1,
        spec=StatefulRouteSpec.model_validate(spec),
        status=status or StatefulRouteStatus(),
    )


def workload(replicas: int = 3, service_name: str = "game", first_index: int = 0) -> Workload:
    return Workload(
        group="play",
        name="game",
        resource_version=1,
        uid="set",
        replicas=replicas,
        first_index=first_index,
        service_name=service_name,
    )


def view(
    *pods: Pod,
    counts: dict[int, int] | None = None,
    of: Route | None = None,
    workload: Workload | None = workload(),  # noqa: B008 - a value
    nodes: dict[str, Node] | None = None,
    lost: dict[int, Loss] | None = None,
) -> RouteView:
    seen = view_route(of or route(), workload, {each.name: each for each in pods}, nodes or {}, counts or {})
    return replace(seen, lost=lost or {})
