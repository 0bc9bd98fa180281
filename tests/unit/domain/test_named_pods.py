"""Workloads whose pods have no index: links refer to the pods by name, and names are not reused."""

from typing import Any

import pytest

from statefulroute.api.route_status import StatefulRouteStatus
from statefulroute.api.vocabulary import (
    LinkPhase,
    LinkReason,
    LossCause,
    RemoveReason,
    RoutingState,
    ServiceState,
)
from statefulroute.domain.assessment import Assessment
from statefulroute.domain.decision import Bind, LinkView, Move, Remove, UpdateStatus, move_cause
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Link, LinkStatus
from statefulroute.domain.route import PodLoss, RouteView
from statefulroute.domain.route_status import route_status
from unit.domain.builders import NOON, deployment, link, named_pod, plan_of, pod, route, view

BOUND_TO_A = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "bound to pod 'game-a'", None, "game-a")


def deployment_view(*names: str, **fields: Any) -> RouteView:
    return view(*map(named_pod, names), workload=deployment(), **fields)


def status_of(tested_link: Link, route_view: RouteView) -> LinkStatus:
    plan = plan_of(tested_link, route_view)
    assert isinstance(plan, UpdateStatus)
    return plan.status


def test_pods_are_sorted_by_name() -> None:
    route_view = deployment_view("game-b", "game-7", "game-a")
    assert list(route_view.pods) == ["game-7", "game-a", "game-b"]
    assert {pod_status.index for pod_status in route_view.pods.values()} == {None}


def test_pod_with_other_labels_does_not_belong_to_the_workload() -> None:
    assert list(view(named_pod("game-a"), pod(0), workload=deployment()).pods) == ["game-a"]


def test_bound_link_to_a_named_pod_has_no_index_and_no_host() -> None:
    assert status_of(link("game-a"), deployment_view("game-a", "game-b")) == BOUND_TO_A


def test_link_without_a_pod_is_bound_by_name() -> None:
    assert plan_of(link(), deployment_view("game-b", "game-a", link_counts={"game-a": 1})) == Bind("game-b")


@pytest.mark.parametrize(
    ("key", "route_view", "message"),
    [
        (0, deployment_view("game-0"), "has no pod of index 0 now: its pods are named by podName"),
        ("game-b", deployment_view("game-a"), "has no pod of name 'game-b' now"),
        ("game-7", view(pod(0)), "has no pod of name 'game-7' now: write podIndex: 7"),
        ("game-07", view(pod(0)), "has no pod of name 'game-07' now: its pods are named by podIndex"),
        ("chat-0", view(pod(0)), "has no pod of name 'chat-0' now: its pods are named by podIndex"),
        (1, view(pod(0)), "has no pod of index 1 now"),
    ],
    ids=[
        "index of a named pod",
        "missing name",
        "name of an indexed pod",
        "name with a zero",
        "name of another workload",
        "missing index",
    ],
)
def test_message_for_a_missing_pod_explains_the_kind_of_key(key: PodKey, route_view: RouteView, message: str) -> None:
    assert status_of(link(key), route_view) == LinkStatus(
        LinkPhase.PENDING, LinkReason.POD_NOT_FOUND, f"StatefulRoute 'game' {message}"
    )


GONE = {"game-a": PodLoss(LossCause.POD_DELETED, "is gone, and none comes back under its name", is_grace_over=False)}
LONG_GONE = {
    "game-a": PodLoss(LossCause.POD_DELETED, "is gone, and none comes back under its name", is_grace_over=True)
}


@pytest.mark.parametrize(
    ("action", "plan"),
    [
        ("Rebind", Move("game-b", LossCause.POD_DELETED)),
        ("Release", Remove(RemoveReason.POD_LOST, LossCause.POD_DELETED)),
        (
            "Keep",
            UpdateStatus(
                LinkStatus(
                    LinkPhase.LOST,
                    LinkReason.POD_LOST,
                    "pod 'game-a' of StatefulRoute 'game' is gone, and none comes back under its name (PodDeleted)",
                    pod_name="game-a",
                )
            ),
        ),
    ],
)
def test_link_of_a_deleted_named_pod_is_lost_immediately_only_if_it_was_bound(action: str, plan: object) -> None:
    route_view = deployment_view("game-b", route=route(onPodLost={"action": action}), lost=GONE)
    assert plan_of(link("game-a", status=BOUND_TO_A), route_view) == plan
    assert status_of(link("game-a"), route_view).reason is LinkReason.POD_NOT_FOUND
    later = deployment_view("game-b", route=route(onPodLost={"action": action}), lost=LONG_GONE)
    assert plan_of(link("game-a"), later) == plan


def test_lost_link_without_another_pod_keeps_its_pod_name() -> None:
    lost = status_of(link("game-a", status=BOUND_TO_A), deployment_view(lost=GONE))
    assert (lost.phase, lost.pod, lost.message) == (
        LinkPhase.LOST,
        "game-a",
        f"pod 'game-a' of StatefulRoute 'game' {GONE['game-a'].message} (PodDeleted), and no other takes new users",
    )


@pytest.mark.parametrize(
    ("route_view", "cause"),
    [(deployment_view("game-b"), LossCause.POD_DELETED), (deployment_view("game-a", "game-b"), None)],
    ids=["gone", "present"],
)
def test_half_finished_move_from_a_gone_pod_has_the_cause_of_the_loss(
    route_view: RouteView, cause: LossCause | None
) -> None:
    assert move_cause(LinkView(link("game-b", status=BOUND_TO_A), route_view, NOON)) is cause


def test_bound_link_stays_bound_while_its_pod_is_not_ready() -> None:
    route_view = view(named_pod("game-a", ServiceState.NOT_READY), workload=deployment())
    assert status_of(link("game-a", status=BOUND_TO_A), route_view) == BOUND_TO_A


def test_override_of_a_named_pod_applies() -> None:
    route_view = deployment_view(
        "game-a", "game-b", route=route(namedPods=[{"name": "game-a", "routingState": "DenyNewCall"}])
    )
    assert route_view.pods["game-a"].routing_state is RoutingState.DENY_NEW_CALL
    assert plan_of(link(), route_view) == Bind("game-b")


def test_status_contains_the_names_of_pods_without_an_index() -> None:
    old_status = StatefulRouteStatus.model_validate({"bestPodIndex": 3, "bestPodName": "game-3"})
    route_view = deployment_view("game-b", "game-a", link_counts={"game-a": 2}, route=route(old_status))
    status = route_status(route_view, Assessment(), NOON)
    assert (status.best_pod_index, status.best_pod_name) == (None, "game-b")
    assert [(pod_status.index, pod_status.name, pod_status.links) for pod_status in status.pods] == [
        (None, "game-a", 2),
        (None, "game-b", 0),
    ]
    assert "index" not in status.pods[0].model_dump(by_alias=True, exclude_none=True)
