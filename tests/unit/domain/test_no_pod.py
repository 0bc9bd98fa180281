"""Why no pod takes a new user."""

from typing import Any

import pytest

from statefulroute.api.vocabulary import LossCause, RoutingState, ServiceState
from statefulroute.domain.no_pod import explain_no_pod
from statefulroute.domain.placement import best_pod
from statefulroute.domain.route import PodLoss, RouteView
from unit.domain.builders import NOON, STALE, load, pod, route, view, workload

START = "no pod of StatefulRoute 'game' takes new users now: "
DENY, SHUTDOWN = RoutingState.DENY_NEW_CALL, RoutingState.SHUTDOWN
FULL = "at the limit of 2 links (placement.maxLinksPerPod)"
SILENT = "without a load report for more than 90 s"


def limited(*pods: Any, **fields: Any) -> RouteView:
    return view(*pods, route=route(placement={"maxLinksPerPod": 2}), **fields)


@pytest.mark.parametrize(
    ("route_view", "message"),
    [
        (limited(pod(0), pod(1), link_counts={0: 2, 1: 3}), f"every pod is {FULL}"),
        (limited(pod(0), link_counts={0: 1}, other_link_counts=[{0: 1}]), f"every pod is {FULL}"),
        (
            limited(pod(0), pod(1), link_counts={0: 2}, loads={0: load(), 1: load(age=STALE)}),
            f"game-0: {FULL}; game-1: {SILENT}",
        ),
        (
            limited(
                pod(0, reported_routing_state=DENY),
                pod(1, ServiceState.PENDING),
                pod(2, ServiceState.TERMINATING, is_ready=True),
            ),
            "game-0: in the routing state DenyNewCall; game-1: not Ready; game-2: being deleted",
        ),
        (
            view(pod(0), lost={0: PodLoss(LossCause.NODE_GONE, "is gone", is_grace_over=True)}),
            "every pod is lost (NodeGone)",
        ),
        (
            limited(
                pod(0),
                pod(1),
                link_counts={1: 2},
                withheld_losses={0: PodLoss(LossCause.NODE_NOT_READY, "has been gone", is_grace_over=True)},
            ),
            f"game-0: lost (NodeNotReady); game-1: {FULL}",
        ),
        (
            limited(pod(0), pod(1), link_counts={0: 2}, workload=workload(replicas=1)),
            f"game-0: {FULL}; game-1: beyond the workload's replicas",
        ),
        (
            limited(
                *(pod(index, ServiceState.READY if index < 4 else ServiceState.NOT_READY) for index in range(7)),
                link_counts=dict.fromkeys(range(4), 2),
                workload=workload(replicas=7),
            ),
            f"game-0, game-1, game-2 and others: {FULL}; game-4, game-5, game-6: not Ready",
        ),
        (view(pod(0), route=route(routingState="DenyNewCall")), "its routingState is DenyNewCall"),
        (view(), "its workload has no pods"),
    ],
    ids=[
        "all full",
        "full with the links of another route",
        "full and silent",
        "none available",
        "lost",
        "full and with a withheld loss",
        "beyond the replicas",
        "many pods",
        "the route denies new users",
        "no pods",
    ],
)
def test_message_names_the_reason_of_each_pod(route_view: RouteView, message: str) -> None:
    assert best_pod(route_view, NOON) is None
    assert explain_no_pod(route_view, NOON).message == START + message
