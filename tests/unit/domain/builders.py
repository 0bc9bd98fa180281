"""Builders of links, pods, routes and views for tests."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from statefulroute.api.route_status import StatefulRouteStatus
from statefulroute.api.statefulroute import StatefulRouteSpec
from statefulroute.api.vocabulary import LossCause, RoutingState, ServiceState
from statefulroute.domain.decision import LinkView, Plan, UpdateStatus, decide
from statefulroute.domain.keys import PodKey, RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.load import Load, LoadReport
from statefulroute.domain.pod import Node, Owner, Pod, ordinal
from statefulroute.domain.route import PodLoss, Route, RouteView
from statefulroute.domain.selector import Selector
from statefulroute.domain.workload import MissingWorkload, Workload
from unit.domain.route_view import build_route_view

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def link(pod: PodKey | None = None, **fields: Any) -> Link:
    values: dict[str, Any] = {"name": "game.alice", "resource_version": 1, "generation": 1}
    return Link(route=RouteKey("play", "game"), pod=pod, **{**values, **fields})


def pod(  # noqa: PLR0913 - the fields that most tests set
    index: int | None,
    state: ServiceState = ServiceState.READY,
    reported_routing_state: RoutingState = RoutingState.UNKNOWN,
    owner: str = "set",
    node_name: str = "",
    *,
    is_ready: bool | None = None,
    **more: Any,
) -> Pod:
    """Returns a pod of the StatefulSet `game`. It is ready if its state is Ready, unless `is_ready` is set."""
    fields: dict[str, Any] = {"name": f"game-{index}", "owner": Owner("StatefulSet", "game", owner)}
    return Pod(
        namespace="play",
        resource_version=1,
        service_state=state,
        is_ready=state is ServiceState.READY if is_ready is None else is_ready,
        reported_routing_state=reported_routing_state,
        index=index,
        node_name=node_name,
        **fields | more,
    )


def plan_of(link: Link, route_view: RouteView | None) -> Plan:
    """Returns the plan for a link at noon, without the hash of facts, which test_explanation.py tests."""
    plan = decide(LinkView(link, route_view, NOON))
    return (
        UpdateStatus(msgspec.structs.replace(plan.status, facts_hash=None)) if isinstance(plan, UpdateStatus) else plan
    )


def named_pod(name: str, state: ServiceState = ServiceState.READY, **more: Any) -> Pod:
    """Returns a pod of the Deployment `game`."""
    return pod(ordinal(name), state, **{"name": name, "labels": {"app": "game"}, **more})


def route(status: StatefulRouteStatus | None = None, **spec: Any) -> Route:
    return Route(
        namespace="play",
        name="game",
        resource_version=1,
        generation=1,
        spec=StatefulRouteSpec.model_validate(spec),
        status=status or StatefulRouteStatus(),
    )


def workload(replicas: int = 3, service_name: str = "game", first_index: int = 0) -> Workload:
    return Workload(
        namespace="play",
        name="game",
        resource_version=1,
        uid="set",
        replicas=replicas,
        first_index=first_index,
        service_name=service_name,
    )


def deployment(replicas: int = 3) -> Workload:
    """Returns a workload whose pods have no index and are selected by label."""
    return Workload(
        namespace="play",
        name="game",
        resource_version=1,
        uid="deployment",
        replicas=replicas,
        selector=Selector.parse("app=game"),
    )


def load(  # noqa: PLR0913 - a report and its context
    load_state: int = 0,
    waiting_tasks: int = 0,
    *,
    links: int = 0,
    age: float = 0,
    routing_state: RoutingState = RoutingState.UNKNOWN,
    now: datetime = NOON,
) -> Load:
    """Returns a load that was reported `age` seconds before `now`."""
    report = LoadReport(load_state, waiting_tasks, now - timedelta(seconds=age))
    return Load(report, links, routing_state)


STALE = 90.000001
"""An age in seconds at which a load is stale by default."""


def view(  # noqa: PLR0913 - the parts of a view
    *pods: Pod,
    link_counts: dict[PodKey, int] | None = None,
    route: Route = route(),  # noqa: B008 - a value
    workload: Workload | MissingWorkload | None = workload(),  # noqa: B008 - a value
    nodes: dict[str, Node] | None = None,
    lost: dict[PodKey, PodLoss] | None = None,
    loads: dict[PodKey, Load] | None = None,
    load_errors: dict[PodKey, str] | None = None,
    other_link_counts: Sequence[Mapping[PodKey, int]] = (),
    end_causes: dict[PodKey, LossCause] | None = None,
    **fields: Any,
) -> RouteView:
    """Returns the view of a route; a workload of None does not exist."""
    workload = workload or route.workload_not_found()
    owned = [pod for pod in pods if isinstance(workload, Workload) and workload.owns(pod)]
    route_view = build_route_view(
        route, workload, owned, nodes or {}, link_counts or {}, loads or {}, load_errors or {}, other_link_counts
    )
    return replace(route_view, lost=lost or {}, end_causes=end_causes or {}, **fields)
