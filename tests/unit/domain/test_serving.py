"""Which pods serve their users, why others do not, and how many links those have."""

import pytest

from statefulroute.api.vocabulary import RouteReason, RoutingState, ServiceState
from statefulroute.domain.pod import Node
from statefulroute.domain.route import RouteView
from statefulroute.domain.serving import not_serving_reason, unserved_links
from statefulroute.domain.workload import MissingWorkload
from unit.domain.builders import deployment, named_pod, pod, route, view

SHUTDOWN = RoutingState.SHUTDOWN
GONE_NODE = {"gone": Node(name="gone", resource_version=1, is_ready=True, is_deleted=True)}
LOST_NODE = {"lost": Node(name="lost", resource_version=1, is_ready=False)}

REASONS: dict[str, tuple[RouteView, str | None]] = {
    "ready": (view(pod(1)), None),
    "ready, for its own users only": (view(pod(1, reported_routing_state=RoutingState.DENY_NEW_CALL)), None),
    "terminating and ready": (view(pod(1, ServiceState.TERMINATING, is_ready=True)), None),
    "ready on a lost node": (view(pod(1, node_name="lost"), nodes=LOST_NODE), None),
    "terminating": (view(pod(1, ServiceState.TERMINATING, not_ready_reason="ContainersNotReady")), "Terminating"),
    "pending": (view(pod(1, ServiceState.PENDING)), "Pending"),
    "unschedulable": (view(pod(1, ServiceState.PENDING, not_ready_reason="Unschedulable")), "Unschedulable"),
    "not ready": (view(pod(1, ServiceState.NOT_READY)), "NotReady"),
    "crashing": (view(pod(1, ServiceState.NOT_READY, not_ready_reason="CrashLoopBackOff")), "CrashLoopBackOff"),
    "not ready on a lost node": (
        view(pod(1, ServiceState.NOT_READY, not_ready_reason="X", node_name="lost"), nodes=LOST_NODE),
        "NodeNotReady",
    ),
    "not ready on a deleted node": (
        view(pod(1, ServiceState.NOT_READY, node_name="gone"), nodes=GONE_NODE),
        "NodeGone",
    ),
    "failed": (view(pod(1, ServiceState.FAILED)), "Failed"),
    "evicted": (view(pod(1, ServiceState.FAILED, not_ready_reason="Evicted")), "Evicted"),
    "unknown": (view(pod(1, ServiceState.UNKNOWN)), "Unknown"),
    "shut down": (view(pod(1, reported_routing_state=SHUTDOWN)), "Shutdown"),
    "shut down and not ready": (view(pod(1, ServiceState.NOT_READY, SHUTDOWN)), "NotReady"),
    "of a route that is shut down": (view(pod(1), route=route(routingState="Shutdown")), "Shutdown"),
    "missing": (view(pod(0)), "PodNotFound"),
    "without a workload": (view(workload=None), "WorkloadNotFound"),
    "of a workload that cannot be read": (
        view(workload=MissingWorkload(RouteReason.WORKLOAD_FORBIDDEN, "no")),
        "WorkloadForbidden",
    ),
}


@pytest.mark.parametrize(("route_view", "reason"), REASONS.values(), ids=REASONS)
def test_reason_why_a_pod_does_not_serve(route_view: RouteView, reason: str | None) -> None:
    assert not_serving_reason(route_view, 1) == reason
    if 1 in route_view.pods:
        assert route_view.pods[1].is_routable is (reason is None)


def test_links_are_counted_by_pod_that_does_not_serve_them() -> None:
    pods = (pod(0), pod(1, ServiceState.PENDING), pod(2, reported_routing_state=SHUTDOWN))
    assert unserved_links(view(*pods, link_counts={0: 5, 1: 3, 2: 4, 7: 1})) == {1: 3, 2: 4, 7: 1}


def test_links_that_name_pods_by_name_are_counted_too() -> None:
    pods = (named_pod("game-a"), named_pod("game-b", ServiceState.PENDING))
    counts = {"game-a": 1, "game-b": 2, "game-c": 3}
    assert unserved_links(view(*pods, workload=deployment(), link_counts={**counts})) == {"game-b": 2, "game-c": 3}
