"""The lost pods of a route that have links, from their loss until it is over."""

from dataclasses import replace
from datetime import timedelta

import pytest

from statefulroute.api.limits import LOST_PODS_MAX
from statefulroute.api.route_status import LostPodStatus, StatefulRouteStatus
from statefulroute.api.vocabulary import LossCause, RouteReason, RoutingState, ServiceState
from statefulroute.domain.assessment import Assessment
from statefulroute.domain.keys import PodKey
from statefulroute.domain.lost_pods import follow_lost_pods, lost_pod_causes, lost_pods_of
from statefulroute.domain.pod import Node
from statefulroute.domain.route import PodLoss, RouteView
from statefulroute.domain.route_status import route_status
from statefulroute.domain.workload import MissingWorkload
from unit.domain.builders import NOON, deployment, named_pod, pod, view

LATER = NOON + timedelta(seconds=30.5)
LOSS = PodLoss(LossCause.NODE_NOT_READY, "has been gone for more than 30 s", is_grace_over=True)
LOST_1 = LostPodStatus(index=1, name="game-1", cause=LossCause.NODE_NOT_READY, links=12, lost_time=NOON)
LOST_A = LostPodStatus(name="game-a", cause=LossCause.NODE_NOT_READY, links=12, lost_time=NOON)


@pytest.mark.parametrize(
    ("route_view", "expected"),
    [
        (view(pod(0), lost={1: LOSS}, link_counts={0: 3, 1: 12}), {1: LOST_1}),
        (view(lost={"game-a": LOSS}, link_counts={"game-a": 12}, workload=deployment()), {"game-a": LOST_A}),
        (view(pod(0), lost={1: LOSS}, link_counts={0: 3}), {}),
        (view(pod(0), link_counts={0: 3}), {}),
    ],
    ids=["index", "name", "no links", "no loss"],
)
def test_pods_that_are_lost_with_links_are_followed(
    route_view: RouteView, expected: dict[PodKey, LostPodStatus]
) -> None:
    assert follow_lost_pods(route_view, {}, NOON) == expected


LOST_NODE = {"n": Node(name="n", resource_version=1, is_ready=False)}
UNREADABLE = MissingWorkload(RouteReason.WORKLOAD_UNREADABLE, "the API server fails")


@pytest.mark.parametrize(
    "route_view",
    [
        view(lost={1: LOSS}, link_counts={1: 5}),
        view(link_counts={1: 5}),
        view(pod(1, ServiceState.NOT_READY), link_counts={1: 5}),
        view(pod(1, reported_routing_state=RoutingState.SHUTDOWN), link_counts={1: 5}),
        view(pod(1, node_name="n"), nodes=LOST_NODE, link_counts={1: 5}),
        view(pod(1), lost={1: LOSS}, link_counts={1: 5}),
        view(workload=None, link_counts={1: 5}),
        view(workload=UNREADABLE, link_counts={1: 5}),
        replace(view(), workload=None, missing_workload=None),
    ],
    ids=[
        "still lost",
        "absent after a restart",
        "not ready yet",
        "shut down",
        "on a lost node",
        "lost although ready",
        "workload gone",
        "workload unreadable",
        "workload not read yet",
    ],
)
def test_lost_pod_stays_as_it_was_until_it_serves_its_users(route_view: RouteView) -> None:
    assert follow_lost_pods(route_view, {1: LOST_1}, LATER) == {1: LOST_1}


@pytest.mark.parametrize(
    "route_view", [view(pod(1), link_counts={1: 12}), view(lost={1: LOSS})], ids=["back", "no links"]
)
def test_loss_is_over_when_the_pod_serves_its_users_or_has_no_links(route_view: RouteView) -> None:
    assert follow_lost_pods(route_view, {1: LOST_1}, LATER) == {}


def test_named_pod_that_serves_its_users_again_is_not_lost() -> None:
    route_view = view(named_pod("game-a"), link_counts={"game-a": 12}, workload=deployment())
    assert follow_lost_pods(route_view, {"game-a": LOST_A}, LATER) == {}


def test_new_loss_has_its_own_time_in_whole_seconds() -> None:
    route_view = view(lost={1: LOSS, 2: LOSS}, link_counts={1: 5, 2: 1})
    lost = follow_lost_pods(route_view, {1: LOST_1}, LATER)
    assert [each.lost_time for each in lost.values()] == [NOON, NOON + timedelta(seconds=30)]


def test_lost_pods_are_known_from_the_status_of_the_route() -> None:
    status = route_status(view(), Assessment(), NOON, {1: LOST_1, "game-a": LOST_A})
    assert lost_pods_of(replace(view().route, status=status)) == {1: LOST_1, "game-a": LOST_A}
    assert lost_pods_of(replace(view().route, status=StatefulRouteStatus())) == {}


def test_causes_of_another_version_are_left_out() -> None:
    status = StatefulRouteStatus(lost_pods=(LOST_1, LOST_A.model_copy(update={"cause": LossCause.UNKNOWN})))
    assert lost_pod_causes(replace(view().route, status=status)) == {1: LossCause.NODE_NOT_READY}


def test_status_contains_a_limited_number_of_lost_pods() -> None:
    lost: dict[PodKey, LostPodStatus] = dict.fromkeys(range(10 * LOST_PODS_MAX), LOST_1)
    assert len(route_status(view(), Assessment(), NOON, lost).lost_pods) == LOST_PODS_MAX
