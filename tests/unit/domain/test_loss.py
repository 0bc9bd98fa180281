"""The loss of pods."""

import pytest

from statefulroute.api.vocabulary import LossCause, RouteReason, RoutingState, ServiceState
from statefulroute.domain.keys import PodKey
from statefulroute.domain.loss import Absence, AbsentPod, PodLosses, find_losses
from statefulroute.domain.pod import Node
from statefulroute.domain.route import PodLoss, RouteView
from statefulroute.domain.workload import MissingWorkload
from unit.domain.builders import deployment, named_pod, pod, route, view, workload
from unit.domain.route_view import build_route_view

#: The present time, and the grace period, in seconds of a monotonic clock.
NOW, GRACE = 1000.0, 30.0


def lost(route_view: RouteView, *linked_pods: int, absent: dict[int, AbsentPod] | None = None) -> dict[int, PodLoss]:
    return dict(find_losses(route_view, linked_pods, absent or {}, NOW).lost)


def gone_since(since: float) -> dict[int, AbsentPod]:
    return {1: AbsentPod(Absence.GONE, LossCause.POD_DELETED, since)}


@pytest.mark.parametrize(
    "pods",
    [(), (pod(1, ServiceState.TERMINATING),), (pod(1, ServiceState.FAILED),)],
    ids=["deleted", "terminating", "failed"],
)
@pytest.mark.parametrize(
    ("previous", "is_lost"),
    [({}, False), (gone_since(NOW - GRACE + 1e-6), False), (gone_since(NOW - GRACE), True)],
    ids=["just now", "within the grace period", "for the whole grace period"],
)
def test_gone_pod_is_lost_after_the_grace_period(
    pods: tuple[object, ...], previous: dict[int, AbsentPod], is_lost: bool
) -> None:
    expected = (
        {1: PodLoss(LossCause.POD_DELETED, "has been gone for more than 30 s", is_grace_over=True, after_seconds=30)}
        if is_lost
        else {}
    )
    assert lost(view(*pods), 1, absent=previous) == expected  # type: ignore[arg-type]


def test_grace_period_is_reset_when_the_pod_returns() -> None:
    assert find_losses(view(pod(1)), [1], gone_since(NOW - GRACE), NOW).absent == {}


NOT_READY_STATES = (ServiceState.PENDING, ServiceState.NOT_READY, ServiceState.UNKNOWN)


@pytest.mark.parametrize("state", NOT_READY_STATES)
def test_existing_pod_that_is_not_ready_is_not_gone(state: ServiceState) -> None:
    assert lost(view(pod(1, state)), 1, absent=gone_since(NOW - 2 * GRACE)) == {}


@pytest.mark.parametrize("state", NOT_READY_STATES)
def test_pod_that_is_not_ready_for_too_long_is_lost_for_that_reason(state: ServiceState) -> None:
    first = find_losses(view(pod(1, state)), [1], {}, NOW)
    assert (first.lost, first.next_deadline) == ({}, NOW + 300)
    later = find_losses(view(pod(1, state)), [1], first.absent, NOW + 300)
    message = "has not been Ready for more than 300 s"
    assert (later.lost, later.next_deadline) == (
        {1: PodLoss(LossCause.NOT_READY, message, is_grace_over=True, after_seconds=300)},
        None,
    )


def test_pod_that_is_not_ready_is_never_lost_without_a_limit() -> None:
    route_view = view(pod(1, ServiceState.PENDING), route=route(onPodLost={"notReadySeconds": 0}))
    first = find_losses(route_view, [1], {}, NOW)
    later = find_losses(route_view, [1], first.absent, NOW + 1e6)
    assert (first.next_deadline, later.lost, later.next_deadline) == (None, {}, None)


def test_pod_that_was_ready_in_between_starts_anew() -> None:
    first = find_losses(view(pod(1, ServiceState.NOT_READY)), [1], {}, NOW)
    ready = find_losses(view(pod(1)), [1], first.absent, NOW + 200)
    again = find_losses(view(pod(1, ServiceState.NOT_READY)), [1], ready.absent, NOW + 201)
    assert again.next_deadline == NOW + 501


def test_pod_that_is_created_again_and_again_and_never_ready_does_not_restart_its_period() -> None:
    absent = dict(find_losses(view(pod(1, ServiceState.PENDING)), [1], {}, NOW).absent)
    for route_view in (view(pod(1, ServiceState.FAILED)), view(), view(pod(1, ServiceState.PENDING))):
        absent = dict(find_losses(route_view, [1], absent, NOW + 299).absent)
    assert 1 in find_losses(view(pod(1, ServiceState.PENDING)), [1], absent, NOW + 300).lost


def test_pod_that_is_created_again_has_its_whole_time_to_become_ready() -> None:
    gone = find_losses(view(), [1], {}, NOW)
    assert find_losses(view(pod(1, ServiceState.PENDING)), [1], gone.absent, NOW + 20).next_deadline == NOW + 320


def test_grace_period_of_a_terminating_pod_starts_when_it_stops_serving() -> None:
    serving = find_losses(view(pod(1, ServiceState.TERMINATING, is_ready=True)), [1], {}, NOW - GRACE)
    assert (serving.absent, serving.lost, serving.next_deadline) == ({}, {}, None)
    stopped = find_losses(view(pod(1, ServiceState.TERMINATING)), [1], serving.absent, NOW)
    assert (stopped.absent, stopped.lost, stopped.next_deadline) == (gone_since(NOW), {}, NOW + GRACE)
    assert 1 in find_losses(view(), [1], stopped.absent, NOW + GRACE).lost


@pytest.mark.parametrize(
    ("nodes", "is_absent"),
    [
        ({"n": Node(name="n", resource_version=1, is_ready=True)}, False),
        ({"n": Node(name="n", resource_version=1, is_ready=False)}, True),
        ({"n": Node(name="n", resource_version=1, is_ready=True, is_deleted=True)}, True),
        ({"other": Node(name="other", resource_version=1, is_ready=False)}, False),
    ],
    ids=["ready", "not ready", "deleted", "not seen yet"],
)
def test_pod_is_gone_if_its_node_is_lost(nodes: dict[str, Node], is_absent: bool) -> None:
    route_view = view(pod(1, node_name="n"), nodes=nodes)
    assert (1 in find_losses(route_view, [1], {}, NOW).absent) is is_absent


@pytest.mark.parametrize(
    ("is_deleted", "cause"),
    [(False, LossCause.NODE_NOT_READY), (True, LossCause.NODE_GONE)],
    ids=["not ready", "deleted"],
)
def test_loss_of_a_node_is_the_cause_of_the_loss_of_its_pods(is_deleted: bool, cause: LossCause) -> None:
    node = Node(name="n", resource_version=1, is_ready=False, is_deleted=is_deleted)
    route_view = view(pod(1, node_name="n"), route=route(onPodLost={"graceSeconds": 0}), nodes={"n": node})
    assert lost(route_view, 1)[1].cause is cause


@pytest.mark.parametrize(
    ("replicas", "first", "index", "is_lost"), [(3, 0, 2, False), (3, 0, 3, True), (3, 5, 7, False), (3, 5, 4, True)]
)
def test_pod_beyond_the_replicas_is_lost_immediately(replicas: int, first: int, index: int, is_lost: bool) -> None:
    route_view = view(workload=workload(replicas, first_index=first))
    assert lost(route_view, index) == (
        {index: PodLoss(LossCause.SCALED_DOWN, "is beyond the workload's replicas", is_grace_over=False)}
        if is_lost
        else {}
    )


@pytest.mark.parametrize(
    ("state", "is_ready", "is_lost"),
    [
        (ServiceState.READY, True, False),
        (ServiceState.NOT_READY, False, True),
        (ServiceState.PENDING, False, True),
        (ServiceState.TERMINATING, True, False),
        (ServiceState.TERMINATING, False, True),
        (ServiceState.FAILED, False, True),
    ],
)
def test_existing_pod_beyond_the_replicas_is_lost_when_it_is_no_longer_ready(
    state: ServiceState, is_ready: bool, is_lost: bool
) -> None:
    route_view = view(pod(2, state, is_ready=is_ready), workload=workload(2))
    assert (2 in lost(route_view, 2)) is is_lost


def test_pod_beyond_the_replicas_on_a_lost_node_has_the_grace_period() -> None:
    nodes = {"n": Node(name="n", resource_version=1, is_ready=False)}
    losses = find_losses(view(pod(2, node_name="n"), workload=workload(2), nodes=nodes), [2], {}, NOW)
    assert (losses.lost, losses.next_deadline) == ({}, NOW + GRACE)


def test_shut_down_pod_is_lost_immediately() -> None:
    assert lost(view(pod(1, reported_routing_state=RoutingState.SHUTDOWN)), 1) == {
        1: PodLoss(LossCause.SHUTDOWN, "is shut down", is_grace_over=False)
    }
    assert lost(view(pod(1, reported_routing_state=RoutingState.DENY_NEW_CALL)), 1) == {}


@pytest.mark.parametrize(
    ("route_view", "index"),
    [(view(workload=workload(1)), 2), (view(pod(2, reported_routing_state=RoutingState.SHUTDOWN)), 2)],
    ids=["beyond the replicas", "shut down"],
)
def test_grace_period_of_an_immediately_lost_pod_still_runs(route_view: RouteView, index: int) -> None:
    first = find_losses(route_view, [index], {}, NOW)
    assert first.next_deadline == NOW + GRACE
    later = find_losses(route_view, [index], first.absent, NOW + GRACE)
    assert later.lost[index].is_grace_over
    assert later.next_deadline is None


def test_pod_within_the_replicas_again_has_the_full_grace_period() -> None:
    first_losses = find_losses(view(workload=workload(1)), [2], {}, NOW - 2 * GRACE)
    assert lost(view(), 2, absent=dict(first_losses.absent)) == {}


def test_pods_of_a_missing_workload_are_lost_after_the_grace_period() -> None:
    previous = find_losses(view(workload=None), [1], {}, NOW - GRACE)
    assert previous.lost == {}
    assert 1 in lost(view(workload=None), 1, absent=dict(previous.absent))


@pytest.mark.parametrize(
    "reason",
    [RouteReason.WORKLOAD_FORBIDDEN, RouteReason.WORKLOAD_KIND_NOT_SUPPORTED, RouteReason.WORKLOAD_UNREADABLE],
)
def test_pods_of_an_unreadable_workload_are_not_lost(reason: RouteReason) -> None:
    unreadable = view(workload=MissingWorkload(reason, "the operator may not get it"))
    previous = gone_since(NOW - 2 * GRACE)
    assert find_losses(unreadable, [1], previous, NOW) == PodLosses(previous, {}, None)


def test_gone_pod_is_lost_immediately_with_a_grace_period_of_0() -> None:
    assert 1 in lost(view(route=route(onPodLost={"graceSeconds": 0})), 1)


def test_next_deadline_is_the_end_of_the_next_grace_period() -> None:
    losses = find_losses(view(), [0, 1], gone_since(NOW - 10), NOW)
    assert losses.next_deadline == NOW + 20
    assert find_losses(view(pod(0)), [0], {}, NOW).next_deadline is None


def test_missing_pod_without_links_is_ignored() -> None:
    assert find_losses(view(), [], {}, NOW).absent == {}


def test_recreated_workload_has_the_full_grace_period_to_adopt_its_pods() -> None:
    previous = find_losses(view(workload=None), [1], {}, NOW - GRACE).absent
    assert set(find_losses(view(workload=None), [1], previous, NOW).lost) == {1}
    assert set(find_losses(view(), [1], previous, NOW).lost) == set()


PERMANENTLY_GONE = "is gone, and none comes back under its name"


def test_named_pod_is_lost_as_soon_as_it_does_not_exist() -> None:
    route_view = view(named_pod("game-a"), workload=deployment())
    first = find_losses(route_view, ["game-b"], {}, NOW)
    assert first.lost == {"game-b": PodLoss(LossCause.POD_DELETED, PERMANENTLY_GONE, is_grace_over=False)}
    assert first.next_deadline == NOW + GRACE
    later = find_losses(route_view, ["game-b"], first.absent, NOW + GRACE)
    assert later.lost == {"game-b": PodLoss(LossCause.POD_DELETED, PERMANENTLY_GONE, is_grace_over=True)}


@pytest.mark.parametrize(
    ("state", "is_ready", "is_gone"),
    [
        (ServiceState.READY, True, False),
        (ServiceState.NOT_READY, False, False),
        (ServiceState.PENDING, False, False),
        (ServiceState.TERMINATING, True, False),
        (ServiceState.TERMINATING, False, True),
        (ServiceState.FAILED, False, True),
    ],
)
def test_named_pod_has_the_grace_period_while_it_exists(state: ServiceState, is_ready: bool, is_gone: bool) -> None:
    losses = find_losses(
        view(named_pod("game-a", state, is_ready=is_ready), workload=deployment()), ["game-a"], {}, NOW
    )
    assert losses.lost == {}
    absence = losses.absent["game-a"].absence if "game-a" in losses.absent else None
    assert (absence is Absence.GONE) is is_gone


@pytest.mark.parametrize(
    ("route_view", "key", "cause", "message"),
    [
        (view(pod(0)), "game-0", LossCause.POD_DELETED, PERMANENTLY_GONE),
        (view(named_pod("game-0"), workload=deployment()), 0, LossCause.POD_DELETED, PERMANENTLY_GONE),
        (view(pod(0)), 3, LossCause.SCALED_DOWN, "is beyond the workload's replicas"),
    ],
    ids=["name of an indexed pod", "index of a named pod", "beyond the replicas"],
)
def test_pod_with_an_impossible_key_is_lost_immediately(
    route_view: RouteView, key: PodKey, cause: LossCause, message: str
) -> None:
    assert find_losses(route_view, [key], {}, NOW).lost == {key: PodLoss(cause, message, is_grace_over=False)}


def test_losses_are_unchanged_before_the_workload_was_read() -> None:
    unread_view = build_route_view(route(), None, [], {}, {1: 1}, {}, {})
    long_gone = gone_since(NOW - 2 * GRACE)
    assert find_losses(unread_view, [1], long_gone, NOW) == PodLosses(long_gone, {}, None)
