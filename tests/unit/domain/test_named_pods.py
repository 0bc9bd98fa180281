"""Workloads whose pods have no index: their links name a pod by its name, and none ever comes back under it."""

from typing import Any

import pytest

from statefulroute.api.statefulroute import StatefulRouteStatus
from statefulroute.api.vocabulary import LinkPhase, LinkReason, MoveReason, RemoveReason, RoutingState, ServiceState
from statefulroute.domain.assessment import Assessment
from statefulroute.domain.decision import Bind, LinkView, Move, Remove, UpdateStatus, decide, move_reason
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Link, LinkStatus
from statefulroute.domain.route import PodLoss, RouteView
from statefulroute.domain.route_status import route_status
from unit.domain.builders import NOON, deployment, link, named_pod, pod, route, view

BOUND_TO_A = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "bound to pod 'game-a'", None, "game-a")


def of_deployment(*names: str, **more: Any) -> RouteView:
    return view(*map(named_pod, names), workload=deployment(), **more)


def said(one: Link, of: RouteView) -> LinkStatus:
    plan = decide(LinkView(one, of, NOON))
    assert isinstance(plan, UpdateStatus)
    return plan.status


def test_pods_are_known_by_their_names_in_their_order() -> None:
    seen = of_deployment("game-b", "game-7", "game-a")
    assert list(seen.pods) == ["game-7", "game-a", "game-b"]
    assert {each.index for each in seen.pods.values()} == {None}


def test_a_pod_of_other_labels_is_no_pod_of_the_workload() -> None:
    assert list(view(named_pod("game-a"), pod(0), workload=deployment()).pods) == ["game-a"]


def test_a_link_that_names_its_pod_by_name_is_bound_and_has_neither_index_nor_host() -> None:
    assert said(link("game-a"), of_deployment("game-a", "game-b")) == BOUND_TO_A


def test_a_link_that_leaves_the_choice_gets_a_pods_name() -> None:
    assert decide(LinkView(link(), of_deployment("game-b", "game-a", counts={"game-a": 1}), NOON)) == Bind("game-b")


@pytest.mark.parametrize(
    ("named_pod", "of", "message"),
    [
        (0, of_deployment("game-0"), "has no pod of index 0 now: its pods are named by podName"),
        ("game-b", of_deployment("game-a"), "has no pod of name 'game-b' now"),
        ("game-0", view(pod(0)), "has no pod of name 'game-0' now: its pods are named by podIndex"),
        (1, view(pod(0)), "has no pod of index 1 now"),
    ],
    ids=["an index for a name", "no such name", "a name for an index", "no such index"],
)
def test_a_link_to_a_pod_that_is_not_there_is_told_how_the_pods_are_named(
    named_pod: PodKey, of: RouteView, message: str
) -> None:
    assert said(link(named_pod), of) == LinkStatus(
        LinkPhase.PENDING, LinkReason.POD_NOT_FOUND, f"StatefulRoute 'game' {message}"
    )


GONE = {"game-a": PodLoss("is gone, and none comes back under its name", is_grace_over=False)}
LONG_GONE = {"game-a": PodLoss("is gone, and none comes back under its name", is_grace_over=True)}


@pytest.mark.parametrize(
    ("action", "plan"),
    [
        ("Rebind", Move("game-b", MoveReason.POD_LOST)),
        ("Release", Remove(RemoveReason.POD_LOST)),
        (
            "Keep",
            UpdateStatus(
                LinkStatus(
                    LinkPhase.LOST,
                    LinkReason.POD_LOST,
                    "pod 'game-a' of StatefulRoute 'game' is gone, and none comes back under its name",
                    pod_name="game-a",
                )
            ),
        ),
    ],
)
def test_a_bound_link_whose_named_pod_does_not_exist_goes_at_once_and_a_never_bound_one_waits_for_the_grace(
    action: str, plan: object
) -> None:
    of = of_deployment("game-b", of=route(onPodLost={"action": action}), lost=GONE)
    assert decide(LinkView(link("game-a", status=BOUND_TO_A), of, NOON)) == plan
    assert said(link("game-a"), of).reason is LinkReason.POD_NOT_FOUND
    later = of_deployment("game-b", of=route(onPodLost={"action": action}), lost=LONG_GONE)
    assert decide(LinkView(link("game-a"), later, NOON)) == plan


def test_a_lost_link_without_another_pod_still_names_its_own() -> None:
    lost = said(link("game-a", status=BOUND_TO_A), of_deployment(lost=GONE))
    assert (lost.phase, lost.pod, lost.message) == (
        LinkPhase.LOST,
        "game-a",
        f"pod 'game-a' of StatefulRoute 'game' {GONE['game-a'].message}, and no other takes new users",
    )


@pytest.mark.parametrize(
    ("of", "reason"),
    [(of_deployment("game-b"), MoveReason.POD_LOST), (of_deployment("game-a", "game-b"), MoveReason.MOVED)],
    ids=["gone", "there"],
)
def test_a_move_of_which_only_the_half_is_seen_is_put_down_to_a_pod_that_is_gone(
    of: RouteView, reason: MoveReason
) -> None:
    assert move_reason(LinkView(link("game-b", status=BOUND_TO_A), of, NOON)) is reason


def test_a_bound_link_stays_while_its_pod_is_there_and_not_ready() -> None:
    of = view(named_pod("game-a", ServiceState.NOT_READY), workload=deployment())
    assert said(link("game-a", status=BOUND_TO_A), of) == BOUND_TO_A


def test_a_word_on_a_named_pod_counts() -> None:
    of = of_deployment("game-a", "game-b", of=route(namedPods=[{"name": "game-a", "routingState": "DenyNewCall"}]))
    assert of.pods["game-a"].routing_state is RoutingState.DENY_NEW_CALL
    assert decide(LinkView(link(), of, NOON)) == Bind("game-b")


def test_a_status_names_pods_that_have_no_index_by_their_names() -> None:
    before = StatefulRouteStatus.model_validate({"bestPodIndex": 3, "bestPodName": "game-3"})
    of = of_deployment("game-b", "game-a", counts={"game-a": 2}, of=route(before))
    status = route_status(of, Assessment(), NOON)
    assert (status.best_pod_index, status.best_pod_name) == (None, "game-b")
    assert [(each.index, each.name, each.links) for each in status.pods] == [(None, "game-a", 2), (None, "game-b", 0)]
    assert "index" not in status.pods[0].model_dump(by_alias=True, exclude_none=True)
