"""Decisions about links."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from statefulroute.api.vocabulary import (
    LinkPhase,
    LinkReason,
    LossCause,
    RemoveReason,
    RouteReason,
    RoutingState,
    ServiceState,
)
from statefulroute.domain.decision import (
    Bind,
    LinkView,
    Move,
    Plan,
    Remove,
    UpdateStatus,
    is_status_current,
    is_waiting_for_room,
    move_cause,
)
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Link, LinkStatus
from statefulroute.domain.pacing import needs_turn
from statefulroute.domain.pod import Pod
from statefulroute.domain.route import PodLoss, RouteView
from statefulroute.domain.workload import MissingWorkload
from unit.domain.builders import NOON, link, plan_of, pod, route, view, workload

BOUND_TO_2 = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "bound to pod 'game-2'", 2, "game-2", "game-2.game.play.svc")
BOUND_BY_NEWER_VERSION = msgspec.structs.replace(BOUND_TO_2, phase=LinkPhase.UNKNOWN, reason=LinkReason.UNKNOWN)


def status_of(tested_link: Link, route_view: RouteView | None) -> LinkStatus:
    plan = plan_of(tested_link, route_view)
    assert isinstance(plan, UpdateStatus)
    return plan.status


def test_link_to_a_ready_pod_is_bound() -> None:
    assert status_of(link(2), view(pod(0), pod(2))) == BOUND_TO_2


def test_link_to_pod_0_is_bound() -> None:
    assert status_of(link(0), view(pod(0), pod(1))).pod == 0


def test_link_has_no_host_without_a_headless_service() -> None:
    assert status_of(link(0), view(pod(0), workload=workload(service_name=""))).host is None


@pytest.mark.parametrize("index", [None, 2])
def test_link_with_a_foreign_namespace_is_rejected_and_assigned_to_no_pod(index: int | None) -> None:
    foreign = link(index, foreign_namespace="other")
    assert status_of(foreign, view(pod(2))) == LinkStatus(
        LinkPhase.REJECTED, LinkReason.NOT_LOCAL_NAMESPACE, "only local namespace is supported"
    )
    assert foreign.assigned_pod is None


@pytest.mark.parametrize(
    ("tested_link", "route_view", "reason", "message"),
    [
        pytest.param(
            link(2),
            None,
            LinkReason.ROUTE_NOT_FOUND,
            "StatefulRoute 'game' does not exist in namespace 'play'",
            id="no route",
        ),
        pytest.param(
            link(2, status=BOUND_TO_2),
            None,
            LinkReason.ROUTE_NOT_FOUND,
            "StatefulRoute 'game' does not exist in namespace 'play'",
            id="deleted route",
        ),
        pytest.param(
            link(2),
            view(workload=None),
            LinkReason.WORKLOAD_NOT_FOUND,
            "StatefulSet 'game' does not exist in namespace 'play'",
            id="no workload",
        ),
        pytest.param(
            link(2),
            view(workload=None, route=route(workloadRef={"kind": "Deployment", "name": "lobby"})),
            LinkReason.WORKLOAD_NOT_FOUND,
            "Deployment 'lobby' does not exist in namespace 'play'",
            id="missing workload of another kind",
        ),
        pytest.param(
            link(2),
            view(workload=MissingWorkload(RouteReason.WORKLOAD_KIND_NOT_SUPPORTED, "Kind DaemonSet has no scale")),
            LinkReason.WORKLOAD_NOT_FOUND,
            "Kind DaemonSet has no scale",
            id="unsupported workload",
        ),
        pytest.param(
            link(7),
            view(pod(0)),
            LinkReason.POD_NOT_FOUND,
            "StatefulRoute 'game' has no pod of index 7 now",
            id="missing pod",
        ),
        pytest.param(
            link(0),
            view(pod(0, owner="an earlier set")),
            LinkReason.POD_NOT_FOUND,
            "StatefulRoute 'game' has no pod of index 0 now",
            id="pod of an earlier workload",
        ),
        pytest.param(
            link(0),
            view(pod(0, ServiceState.NOT_READY)),
            LinkReason.POD_NOT_ROUTABLE,
            "pod 'game-0' is not ready",
            id="not ready",
        ),
        pytest.param(
            link(0),
            view(pod(0, reported_routing_state=RoutingState.SHUTDOWN)),
            LinkReason.POD_NOT_ROUTABLE,
            "pod 'game-0' is shut down",
            id="shut down",
        ),
        pytest.param(
            link(),
            view(pod(0, reported_routing_state=RoutingState.DENY_NEW_CALL), pod(1, ServiceState.PENDING)),
            LinkReason.NO_AVAILABLE_POD,
            "no pod of StatefulRoute 'game' takes new users now: game-0: in the routing state DenyNewCall; "
            "game-1: not Ready",
            id="no available pod",
        ),
    ],
)
def test_link_that_cannot_be_bound_is_pending_with_a_reason(
    tested_link: Link, route_view: RouteView | None, reason: LinkReason, message: str
) -> None:
    assert status_of(tested_link, route_view) == LinkStatus(LinkPhase.PENDING, reason, message)


def test_link_that_names_a_pod_is_bound_although_the_pod_denies_new_calls() -> None:
    assert status_of(link(2), view(pod(2, reported_routing_state=RoutingState.DENY_NEW_CALL))) == BOUND_TO_2


@pytest.mark.parametrize(
    "pods",
    [
        pytest.param((), id="gone"),
        pytest.param((pod(2, ServiceState.TERMINATING),), id="terminating"),
        pytest.param((pod(2, ServiceState.PENDING),), id="starting again"),
    ],
)
def test_bound_link_keeps_its_status_while_its_pod_restarts(pods: tuple[object, ...]) -> None:
    bound = link(2, status=BOUND_TO_2, observed_generation=1)
    assert is_status_current(bound, status_of(bound, view(*pods)))  # type: ignore[arg-type]


@pytest.mark.parametrize("pods", [(), (pod(2, ServiceState.PENDING),)], ids=["gone", "starting again"])
def test_link_that_a_newer_version_has_bound_stays_with_its_pod_while_it_restarts(pods: tuple[Pod, ...]) -> None:
    for generation in (1, 2):
        bound = link(2, status=BOUND_BY_NEWER_VERSION, observed_generation=1, generation=generation)
        assert status_of(bound, view(*pods)) == BOUND_TO_2
        assert status_of(bound, view(*pods, withheld_losses=LOST)) == BOUND_TO_2


def test_link_that_waits_with_a_phase_of_a_newer_version_is_decided_again() -> None:
    waits = LinkStatus(LinkPhase.UNKNOWN, LinkReason.UNKNOWN, "")
    assert plan_of(link(None, status=waits), view(pod(2))) == Bind(2)
    assert status_of(link(2, status=waits), view(pod(2))) == BOUND_TO_2


def test_link_with_another_pod_in_its_spec_is_checked_again() -> None:
    assert status_of(link(1, status=BOUND_TO_2), view(pod(2))).reason is LinkReason.POD_NOT_FOUND


def test_link_without_a_pod_is_bound_to_the_available_pod_with_the_fewest_links() -> None:
    route_view = view(
        pod(0), pod(1), pod(2, reported_routing_state=RoutingState.DENY_NEW_CALL), link_counts={0: 5, 1: 4}
    )
    assert plan_of(link(), route_view) == Bind(1)


def test_lowest_index_of_equal_pods_is_chosen() -> None:
    assert plan_of(link(), view(pod(2), pod(1))) == Bind(1)


@pytest.mark.parametrize(
    ("fields", "is_current"),
    [
        ({}, True),
        ({"generation": 2}, False),
        ({"expire_time": NOON}, False),
        ({"expire_time": NOON, "status_expire_time": NOON}, True),
        ({"status": None}, False),
    ],
)
def test_status_is_current_for_the_same_generation_and_expiry(fields: dict[str, object], is_current: bool) -> None:
    tested_link = link(2, **{"status": BOUND_TO_2, "observed_generation": 1, **fields})
    assert is_status_current(tested_link, BOUND_TO_2) is is_current


@pytest.mark.parametrize(
    ("expire_time", "expired"),
    [
        (None, False),
        (NOON + timedelta(microseconds=1), False),
        (NOON, True),
        (NOON - timedelta(days=1), True),
    ],
)
@pytest.mark.parametrize(
    "fields", [{}, {"foreign_namespace": "other"}, {"status": BOUND_TO_2}], ids=["plain", "foreign", "bound"]
)
@pytest.mark.parametrize("route_view", [None, view(pod(2))], ids=["no route", "route"])
def test_expired_link_is_removed_whatever_its_state(
    expire_time: datetime | None, expired: bool, fields: dict[str, object], route_view: RouteView | None
) -> None:
    plan = plan_of(link(2, expire_time=expire_time, **fields), route_view)
    assert (plan == Remove(RemoveReason.EXPIRED)) is expired


LOST = {2: PodLoss(LossCause.SCALED_DOWN, "is beyond the workload's replicas", is_grace_over=True)}
LOST_WITHIN_GRACE_PERIOD = {2: PodLoss(LossCause.SCALED_DOWN, "is beyond the workload's replicas", is_grace_over=False)}


def with_lost_pod(action: str, *pods: Pod, **fields: Any) -> RouteView:
    return view(*pods, route=route(onPodLost={"action": action}), lost=LOST, **fields)


@pytest.mark.parametrize("old_status", [None, BOUND_TO_2], ids=["never bound", "bound"])
def test_links_of_a_lost_pod_follow_on_pod_lost(old_status: LinkStatus | None) -> None:
    tested_link = link(2, status=old_status)
    lost_status = LinkStatus(
        LinkPhase.LOST,
        LinkReason.POD_LOST,
        "pod 'game-2' of StatefulRoute 'game' is beyond the workload's replicas (ScaledDown)",
        2,
        "game-2",
    )
    assert plan_of(tested_link, with_lost_pod("Rebind", pod(0), pod(1), link_counts={0: 1})) == Move(
        1, LossCause.SCALED_DOWN
    )
    assert plan_of(tested_link, with_lost_pod("Release", pod(0))) == Remove(
        RemoveReason.POD_LOST, LossCause.SCALED_DOWN
    )
    assert status_of(tested_link, with_lost_pod("Keep", pod(0))) == lost_status
    assert status_of(tested_link, with_lost_pod("OfAnotherVersion", pod(0))) == lost_status


@pytest.mark.parametrize(
    ("old_status", "plan"),
    [
        (BOUND_TO_2, Move(0, LossCause.SCALED_DOWN)),
        (BOUND_BY_NEWER_VERSION, Move(0, LossCause.SCALED_DOWN)),
        (
            None,
            UpdateStatus(
                LinkStatus(
                    LinkPhase.PENDING,
                    LinkReason.POD_NOT_FOUND,
                    "StatefulRoute 'game' has no pod of index 2 now",
                )
            ),
        ),
    ],
    ids=["bound", "bound by a newer version", "never bound"],
)
def test_pod_is_lost_only_for_bound_links_within_the_grace_period(old_status: LinkStatus | None, plan: object) -> None:
    assert plan_of(link(2, status=old_status), view(pod(0), lost=LOST_WITHIN_GRACE_PERIOD)) == plan


@pytest.mark.parametrize("action", ["Rebind", "Release", "Keep"])
@pytest.mark.parametrize(
    "old_status",
    [BOUND_TO_2, LinkStatus(LinkPhase.LOST, LinkReason.POD_LOST, "gone", pod_index=2, pod_name="game-2")],
    ids=["bound", "lost"],
)
def test_link_whose_loss_is_withheld_keeps_its_status(old_status: LinkStatus, action: str) -> None:
    route_view = view(pod(0), route=route(onPodLost={"action": action}), withheld_losses=LOST)
    assert status_of(link(2, status=old_status), route_view) == old_status


def test_new_link_to_a_pod_whose_loss_is_withheld_waits_for_it() -> None:
    assert status_of(link(2), view(pod(0), withheld_losses=LOST)).reason is LinkReason.POD_NOT_FOUND


def test_lost_link_without_another_available_pod_stays_lost() -> None:
    assert status_of(link(2), with_lost_pod("Rebind", pod(2))).message == (
        "pod 'game-2' of StatefulRoute 'game' is beyond the workload's replicas (ScaledDown), "
        "and no other takes new users"
    )


def test_links_of_a_pod_that_is_not_ready_have_their_own_reason_and_message() -> None:
    losses: dict[PodKey, PodLoss] = {
        2: PodLoss(LossCause.NOT_READY, "has not been Ready for more than 300 s", is_grace_over=True)
    }
    route_view = view(pod(2, ServiceState.PENDING), route=route(onPodLost={"action": "Keep"}), lost=losses)
    message = "pod 'game-2' of StatefulRoute 'game' has not been Ready for more than 300 s (NotReady)"
    expected = LinkStatus(LinkPhase.LOST, LinkReason.POD_NOT_READY, message, 2, "game-2")
    assert status_of(link(2, status=BOUND_TO_2), route_view) == expected
    assert is_waiting_for_room(view(pod(2), lost=losses), expected), "it takes the next room, unless its pod is back"
    assert not is_waiting_for_room(view(pod(2)), expected), "it cannot move now, so others take the next room"


def test_lost_link_is_bound_again_when_its_pod_returns() -> None:
    lost = LinkStatus(LinkPhase.LOST, LinkReason.POD_LOST, "gone", pod_index=2)
    assert status_of(link(2, status=lost), view(pod(2))) == BOUND_TO_2


@pytest.mark.parametrize("pods", [[], [pod(2, ServiceState.PENDING)]], ids=["gone", "starting"])
@pytest.mark.parametrize("generation", [1, 2])
def test_lost_link_stays_lost_while_the_period_of_its_pod_runs_again(pods: list[Pod], generation: int) -> None:
    lost = LinkStatus(LinkPhase.LOST, LinkReason.POD_LOST, "gone", pod_index=2, pod_name="game-2")
    assert status_of(link(2, status=lost, generation=generation), view(pod(0), *pods)) == lost


def test_lost_link_that_names_another_pod_now_is_decided_anew() -> None:
    lost = LinkStatus(LinkPhase.LOST, LinkReason.POD_LOST, "gone", pod_index=2, pod_name="game-2")
    assert status_of(link(1, status=lost), view(pod(0))).reason is LinkReason.POD_NOT_FOUND


def test_links_of_other_pods_do_not_move() -> None:
    assert status_of(link(0), with_lost_pod("Rebind", pod(0), pod(1))).phase is LinkPhase.BOUND


@pytest.mark.parametrize(
    ("action", "old_pod", "cause"),
    [
        ("Rebind", 2, LossCause.SHUTDOWN),
        ("Rebind", 7, LossCause.SCALED_DOWN),
        ("Rebind", 1, None),
        ("Rebind", None, None),
        ("Keep", 2, None),
    ],
    ids=["lost", "lost long ago", "present", "no pod", "Keep"],
)
def test_half_finished_move_from_a_lost_pod_has_the_cause_of_the_loss(
    action: str, old_pod: int | None, cause: LossCause | None
) -> None:
    old_status = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "as it was", pod_index=old_pod)
    lost: dict[PodKey, PodLoss] = {2: PodLoss(LossCause.SHUTDOWN, "is shut down", is_grace_over=False)}
    route_view = replace(with_lost_pod(action, pod(0), pod(1)), lost=lost)
    assert move_cause(LinkView(link(pod=0, status=old_status), route_view, NOON)) is cause


def test_half_finished_move_from_a_pod_whose_loss_is_withheld_has_its_cause() -> None:
    old_status = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "as it was", pod_index=2)
    withheld: dict[PodKey, PodLoss] = {2: PodLoss(LossCause.NODE_NOT_READY, "has been gone", is_grace_over=True)}
    route_view = view(pod(0), withheld_losses=withheld)
    assert move_cause(LinkView(link(pod=0, status=old_status), route_view, NOON)) is LossCause.NODE_NOT_READY


def test_move_without_a_route_has_no_cause() -> None:
    assert move_cause(LinkView(link(pod=0), None, NOON)) is None


@pytest.mark.parametrize(
    ("plan", "is_paced"),
    [
        (Bind(1), False),
        (Move(1, LossCause.POD_DELETED), True),
        (Remove(RemoveReason.EXPIRED), False),
        (Remove(RemoveReason.POD_LOST, LossCause.POD_DELETED), True),
        (UpdateStatus(BOUND_TO_2), False),
        (UpdateStatus(LinkStatus(LinkPhase.LOST, LinkReason.POD_LOST, "gone", 2)), True),
    ],
)
def test_writes_for_links_of_lost_pods_are_paced(plan: Plan, is_paced: bool) -> None:
    assert needs_turn(link(2, status=BOUND_TO_2), plan) is is_paced


def test_status_that_is_lost_already_is_not_paced() -> None:
    lost = LinkStatus(LinkPhase.LOST, LinkReason.POD_LOST, "gone", 2)
    assert not needs_turn(link(2, status=lost, observed_generation=1), UpdateStatus(lost))


def with_limit(limit: int, *pods: Pod, link_counts: dict[int, int]) -> RouteView:
    return view(*pods, route=route(placement={"maxLinksPerPod": limit}), link_counts=link_counts)


def test_full_pod_is_not_chosen() -> None:
    assert plan_of(link(), with_limit(5, pod(0), pod(1), link_counts={0: 4, 1: 5})) == Bind(0)


def test_link_is_pending_while_all_pods_are_full() -> None:
    assert status_of(link(), with_limit(5, pod(0), pod(1), link_counts={0: 5, 1: 7})) == LinkStatus(
        LinkPhase.PENDING,
        LinkReason.AT_CAPACITY,
        "no pod of StatefulRoute 'game' takes new users now: every pod is at the limit of 5 links "
        "(placement.maxLinksPerPod)",
    )


def test_link_that_names_a_full_pod_is_bound() -> None:
    assert status_of(link(2), with_limit(1, pod(2), link_counts={2: 9})) == BOUND_TO_2


def test_link_that_violates_a_rule_is_rejected() -> None:
    invalid_link = link(2, violation="metadata.name must be game.bob")
    assert status_of(invalid_link, view(pod(2))) == LinkStatus(
        LinkPhase.REJECTED, LinkReason.INVALID, "metadata.name must be game.bob"
    )
    assert invalid_link.assigned_pod is None


indexes = st.integers(0, 4)
pods = st.builds(pod, indexes, st.sampled_from(ServiceState), st.sampled_from(RoutingState))
links = st.builds(
    link,
    st.none() | indexes,
    foreign_namespace=st.none() | st.just("other"),
    status=st.none() | st.just(BOUND_TO_2),
)
states = st.sampled_from([RoutingState.READY, RoutingState.DENY_NEW_CALL, RoutingState.SHUTDOWN])


@given(links, st.lists(pods), states, st.dictionaries(indexes, st.integers(0, 9)))
def test_each_link_has_a_plan_and_only_available_pods_are_chosen(
    tested_link: Link, some_pods: list[object], routing_state: RoutingState, counts: dict[int, int]
) -> None:
    route_view = view(*some_pods, route=route(routingState=routing_state), link_counts=counts)  # type: ignore[arg-type]
    plan = plan_of(tested_link, route_view)
    if isinstance(plan, Bind):
        assert route_view.pods[plan.pod].is_available
        fewest = min(
            route_view.link_count(pod_view.index) for pod_view in route_view.pods.values() if pod_view.is_available
        )
        assert route_view.link_count(plan.pod) == fewest
    elif isinstance(plan, UpdateStatus) and plan.status.phase is LinkPhase.BOUND:
        assert plan.status.pod == tested_link.pod
