from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statefulroute.api.vocabulary import (
    LinkPhase,
    LinkReason,
    MoveReason,
    RemoveReason,
    RouteReason,
    RoutingState,
    ServiceState,
)
from statefulroute.domain.decision import (
    Bind,
    LinkView,
    Move,
    Remove,
    UpdateStatus,
    decide,
    is_status_current,
    move_reason,
)
from statefulroute.domain.link import Link, LinkStatus
from statefulroute.domain.pod import Pod
from statefulroute.domain.route import MissingWorkload, PodLoss, RouteView
from unit.domain.builders import NOON, link, pod, route, view, workload

BOUND_TO_2 = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "bound to pod 'game-2'", 2, "game-2", "game-2.game.play.svc")


def said(one: Link, of: RouteView | None) -> LinkStatus:
    plan = decide(LinkView(one, of, NOON))
    assert isinstance(plan, UpdateStatus)
    return plan.status


def test_a_link_to_a_ready_pod_is_bound_to_it() -> None:
    assert said(link(2), view(pod(0), pod(2))) == BOUND_TO_2


def test_pod_0_is_a_pod_and_not_none() -> None:
    assert said(link(0), view(pod(0), pod(1))).pod == 0


def test_a_link_to_a_pod_without_a_headless_service_has_no_host() -> None:
    assert said(link(0), view(pod(0), workload=workload(service_name=""))).host is None


@pytest.mark.parametrize("index", [None, 2])
def test_a_link_that_names_another_namespace_is_rejected_and_binds_nothing(index: int | None) -> None:
    foreign = link(index, foreign_namespace="other")
    assert said(foreign, view(pod(2))) == LinkStatus(
        LinkPhase.REJECTED, LinkReason.NOT_LOCAL_NAMESPACE, "only local namespace is supported"
    )
    assert foreign.assigned_pod is None


@pytest.mark.parametrize(
    ("one", "of", "reason", "message"),
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
            id="no route any more",
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
            view(workload=None, of=route(workloadRef={"kind": "Deployment", "name": "lobby"})),
            LinkReason.WORKLOAD_NOT_FOUND,
            "Deployment 'lobby' does not exist in namespace 'play'",
            id="no workload of another kind",
        ),
        pytest.param(
            link(2),
            view(workload=MissingWorkload(RouteReason.WORKLOAD_KIND_NOT_SUPPORTED, "Kind DaemonSet has no scale")),
            LinkReason.WORKLOAD_NOT_FOUND,
            "Kind DaemonSet has no scale",
            id="a workload that cannot be routed to",
        ),
        pytest.param(
            link(7),
            view(pod(0)),
            LinkReason.POD_NOT_FOUND,
            "StatefulRoute 'game' has no pod of index 7 now",
            id="no such pod",
        ),
        pytest.param(
            link(0),
            view(pod(0, owner="an earlier set")),
            LinkReason.POD_NOT_FOUND,
            "StatefulRoute 'game' has no pod of index 0 now",
            id="a pod of an earlier workload",
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
            "no pod of StatefulRoute 'game' takes new users now",
            id="nobody takes new users",
        ),
    ],
)
def test_a_link_that_cannot_be_bound_yet_waits_and_says_for_what(
    one: Link, of: RouteView | None, reason: LinkReason, message: str
) -> None:
    assert said(one, of) == LinkStatus(LinkPhase.PENDING, reason, message)


def test_a_bind_to_a_named_pod_is_a_statement_that_denying_new_calls_does_not_refuse() -> None:
    assert said(link(2), view(pod(2, reported_routing_state=RoutingState.DENY_NEW_CALL))) == BOUND_TO_2


@pytest.mark.parametrize(
    "pods",
    [
        pytest.param((), id="gone"),
        pytest.param((pod(2, ServiceState.TERMINATING),), id="terminating"),
        pytest.param((pod(2, ServiceState.PENDING),), id="coming back"),
    ],
)
def test_a_bound_link_stays_as_it_is_while_its_pod_restarts(pods: tuple[object, ...]) -> None:
    bound = link(2, status=BOUND_TO_2, observed_generation=1)
    assert is_status_current(bound, said(bound, view(*pods)))  # type: ignore[arg-type]


def test_a_link_that_was_moved_in_its_spec_is_checked_anew() -> None:
    assert said(link(1, status=BOUND_TO_2), view(pod(2))).reason is LinkReason.POD_NOT_FOUND


def test_a_link_that_leaves_the_choice_gets_the_available_pod_with_the_fewest_links() -> None:
    of = view(pod(0), pod(1), pod(2, reported_routing_state=RoutingState.DENY_NEW_CALL), counts={0: 5, 1: 4})
    assert decide(LinkView(link(), of, NOON)) == Bind(1)


def test_among_equals_the_lowest_index_is_chosen() -> None:
    assert decide(LinkView(link(), view(pod(2), pod(1)), NOON)) == Bind(1)


@pytest.mark.parametrize(
    ("change", "settled"),
    [
        ({}, True),
        ({"generation": 2}, False),
        ({"expire_time": NOON}, False),
        ({"expire_time": NOON, "status_expire_time": NOON}, True),
        ({"status": None}, False),
    ],
)
def test_a_link_is_settled_when_its_status_says_it_all(change: dict[str, object], settled: bool) -> None:
    one = link(2, **{"status": BOUND_TO_2, "observed_generation": 1, **change})
    assert is_status_current(one, BOUND_TO_2) is settled


@pytest.mark.parametrize(
    ("ends", "expired"),
    [
        (None, False),
        (NOON + timedelta(microseconds=1), False),
        (NOON, True),
        (NOON - timedelta(days=1), True),
    ],
)
@pytest.mark.parametrize(
    "matter", [{}, {"foreign_namespace": "other"}, {"status": BOUND_TO_2}], ids=["plain", "foreign", "bound"]
)
@pytest.mark.parametrize("of", [None, view(pod(2))], ids=["no route", "route"])
def test_a_temporary_link_ends_when_its_time_is_over_whatever_else_is_the_matter(
    ends: datetime | None, expired: bool, matter: dict[str, object], of: RouteView | None
) -> None:
    plan = decide(LinkView(link(2, expire_time=ends, **matter), of, NOON))
    assert (plan == Remove(RemoveReason.EXPIRED)) is expired


LOST = {2: PodLoss("is beyond the workload's replicas", is_grace_over=True)}
LOST_AT_ONCE = {2: PodLoss("is beyond the workload's replicas", is_grace_over=False)}


def on_lost(action: str, *pods: Pod, **fields: Any) -> RouteView:
    return view(*pods, of=route(onPodLost={"action": action}), lost=LOST, **fields)


@pytest.mark.parametrize("was", [None, BOUND_TO_2], ids=["never bound", "bound"])
def test_the_links_of_a_lost_pod_go_where_the_route_says(was: LinkStatus | None) -> None:
    one = link(2, status=was)
    kept = LinkStatus(
        LinkPhase.LOST,
        LinkReason.POD_LOST,
        "pod 2 of StatefulRoute 'game' is beyond the workload's replicas",
        pod_index=2,
    )
    assert decide(LinkView(one, on_lost("Rebind", pod(0), pod(1), counts={0: 1}), NOON)) == Move(1, MoveReason.POD_LOST)
    assert decide(LinkView(one, on_lost("Release", pod(0)), NOON)) == Remove(RemoveReason.POD_LOST)
    assert said(one, on_lost("Keep", pod(0))) == kept


@pytest.mark.parametrize(
    ("was", "plan"),
    [
        (BOUND_TO_2, Move(0, MoveReason.POD_LOST)),
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
    ids=["bound", "never bound"],
)
def test_within_the_grace_a_pod_is_lost_only_to_links_that_were_bound_to_it(
    was: LinkStatus | None, plan: object
) -> None:
    assert decide(LinkView(link(2, status=was), view(pod(0), lost=LOST_AT_ONCE), NOON)) == plan


def test_a_lost_link_that_finds_no_other_pod_stays_lost_and_says_so() -> None:
    assert said(link(2), on_lost("Rebind", pod(2))).message == (
        "pod 2 of StatefulRoute 'game' is beyond the workload's replicas, and no other takes new users"
    )


def test_a_lost_link_is_bound_again_when_its_pod_comes_back() -> None:
    lost = LinkStatus(LinkPhase.LOST, LinkReason.POD_LOST, "gone", pod_index=2)
    assert said(link(2, status=lost), view(pod(2))) == BOUND_TO_2


def test_the_links_of_other_pods_do_not_move() -> None:
    assert said(link(0), on_lost("Rebind", pod(0), pod(1))).phase is LinkPhase.BOUND


@pytest.mark.parametrize(
    ("action", "left", "reason"),
    [
        ("Rebind", 2, MoveReason.POD_LOST),
        ("Rebind", 7, MoveReason.POD_LOST),
        ("Rebind", 1, MoveReason.MOVED),
        ("Rebind", None, MoveReason.MOVED),
        ("Keep", 2, MoveReason.MOVED),
    ],
    ids=["lost", "lost long ago", "there", "nowhere", "the route moves nobody"],
)
def test_a_move_of_which_only_the_half_is_seen_is_put_down_to_the_lost_pod(
    action: str, left: int | None, reason: MoveReason
) -> None:
    was = LinkStatus(LinkPhase.BOUND, LinkReason.BOUND, "as it was", pod_index=left)
    seen = on_lost(action, pod(0), pod(1))
    assert move_reason(LinkView(link(pod=0, status=was), seen, NOON)) is reason


def test_without_a_route_a_move_is_somebodys() -> None:
    assert move_reason(LinkView(link(pod=0), None, NOON)) is MoveReason.MOVED


def at_most(most: int, *pods: Pod, counts: dict[int, int]) -> RouteView:
    return view(*pods, of=route(placement={"maxLinksPerPod": most}), counts=counts)


def test_a_full_pod_is_not_chosen() -> None:
    assert decide(LinkView(link(), at_most(5, pod(0), pod(1), counts={0: 4, 1: 5}), NOON)) == Bind(0)


def test_a_link_that_finds_every_pod_full_waits_for_room() -> None:
    assert said(link(), at_most(5, pod(0), pod(1), counts={0: 5, 1: 7})) == LinkStatus(
        LinkPhase.PENDING, LinkReason.AT_CAPACITY, "every available pod of StatefulRoute 'game' carries 5 links"
    )


def test_a_bind_to_a_named_pod_is_not_refused_for_want_of_room() -> None:
    assert said(link(2), at_most(1, pod(2), counts={2: 9})) == BOUND_TO_2


def test_a_link_that_breaks_a_rule_of_its_kind_is_rejected() -> None:
    broken = link(2, violation="metadata.name must be game.bob")
    assert said(broken, view(pod(2))) == LinkStatus(
        LinkPhase.REJECTED, LinkReason.INVALID, "metadata.name must be game.bob"
    )
    assert broken.assigned_pod is None


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
def test_every_link_has_an_answer_and_no_choice_falls_on_a_pod_that_takes_nobody(
    one: Link, some: list[object], whole: RoutingState, counts: dict[int, int]
) -> None:
    of = view(*some, of=route(routingState=whole), counts=counts)  # type: ignore[arg-type]
    plan = decide(LinkView(one, of, NOON))
    if isinstance(plan, Bind):
        assert of.pods[plan.pod].is_available
        fewest = min(of.link_count(each.index) for each in of.pods.values() if each.is_available)
        assert of.link_count(plan.pod) == fewest
    elif isinstance(plan, UpdateStatus) and plan.status.phase is LinkPhase.BOUND:
        assert plan.status.pod == one.pod
