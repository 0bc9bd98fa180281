from datetime import datetime, timedelta

import pytest

from statefulroute.api.vocabulary import RouteReason, RoutingState, ServiceState
from statefulroute.domain.keys import PodKey
from statefulroute.domain.loss import Absence, AbsentPod, PodLosses, find_losses
from statefulroute.domain.pod import Node
from statefulroute.domain.route import MissingWorkload, PodLoss, RouteView, build_route_view
from unit.domain.builders import NOON, deployment, named_pod, pod, route, view, workload

GRACE = timedelta(seconds=30)


def lost(seen: RouteView, *carrying: int, away: dict[int, AbsentPod] | None = None) -> dict[int, PodLoss]:
    return dict(find_losses(seen, carrying, away or {}, NOON).lost)


def gone(since: datetime) -> dict[int, AbsentPod]:
    return {1: AbsentPod(Absence.GONE, since)}


@pytest.mark.parametrize(
    "pods",
    [(), (pod(1, ServiceState.TERMINATING),), (pod(1, ServiceState.FAILED),)],
    ids=["absent", "terminating", "ended"],
)
@pytest.mark.parametrize(
    ("before", "is_lost"),
    [({}, False), (gone(NOON - GRACE + timedelta(microseconds=1)), False), (gone(NOON - GRACE), True)],
    ids=["just now", "within the grace", "for the whole grace"],
)
def test_a_pod_is_lost_when_it_has_been_gone_for_the_grace(
    pods: tuple[object, ...], before: dict[int, AbsentPod], is_lost: bool
) -> None:
    expected = {1: PodLoss("has been gone for more than 30 s", is_grace_over=True)} if is_lost else {}
    assert lost(view(*pods), 1, away=before) == expected  # type: ignore[arg-type]


def test_a_pod_that_came_back_in_time_starts_its_grace_anew() -> None:
    assert find_losses(view(pod(1)), [1], gone(NOON - GRACE), NOON).absent == {}


@pytest.mark.parametrize("state", [ServiceState.PENDING, ServiceState.NOT_READY, ServiceState.UNKNOWN])
def test_a_pod_that_is_there_and_not_ready_is_not_lost(state: ServiceState) -> None:
    assert lost(view(pod(1, state)), 1, away=gone(NOON - 2 * GRACE)) == {}


def test_a_pod_that_ends_is_not_gone_before_it_stops_serving_and_its_grace_begins_then() -> None:
    serving = find_losses(view(pod(1, ServiceState.TERMINATING, is_ready=True)), [1], {}, NOON - GRACE)
    assert (serving.absent, serving.lost, serving.next_deadline) == ({}, {}, None)
    ended = find_losses(view(pod(1, ServiceState.TERMINATING)), [1], serving.absent, NOON)
    assert (ended.absent, ended.lost, ended.next_deadline) == (gone(NOON), {}, NOON + GRACE)
    assert 1 in find_losses(view(), [1], ended.absent, NOON + GRACE).lost


@pytest.mark.parametrize(
    ("nodes", "is_away"),
    [
        ({"n": Node(name="n", resource_version=1, is_ready=True)}, False),
        ({"n": Node(name="n", resource_version=1, is_ready=False)}, True),
        ({}, True),
    ],
    ids=["ready", "not ready", "deleted"],
)
def test_a_pod_is_gone_when_its_node_is(nodes: dict[str, Node], is_away: bool) -> None:
    seen = view(pod(1, node_name="n"), nodes=nodes)
    assert (1 in find_losses(seen, [1], {}, NOON).absent) is is_away


@pytest.mark.parametrize(
    ("replicas", "first", "index", "is_lost"), [(3, 0, 2, False), (3, 0, 3, True), (3, 5, 7, False), (3, 5, 4, True)]
)
def test_a_pod_beyond_the_replicas_is_lost_at_once(replicas: int, first: int, index: int, is_lost: bool) -> None:
    seen = view(workload=workload(replicas, first_index=first))
    assert lost(seen, index) == (
        {index: PodLoss("is beyond the workload's replicas", is_grace_over=False)} if is_lost else {}
    )


def test_a_pod_that_is_shut_down_is_lost_at_once() -> None:
    assert lost(view(pod(1, reported_routing_state=RoutingState.SHUTDOWN)), 1) == {
        1: PodLoss("is shut down", is_grace_over=False)
    }
    assert lost(view(pod(1, reported_routing_state=RoutingState.DENY_NEW_CALL)), 1) == {}


@pytest.mark.parametrize(
    ("seen", "index"),
    [(view(workload=workload(1)), 2), (view(pod(2, reported_routing_state=RoutingState.SHUTDOWN)), 2)],
    ids=["beyond", "shut down"],
)
def test_the_grace_of_a_pod_that_is_lost_at_once_runs_all_the_same(seen: RouteView, index: int) -> None:
    first = find_losses(seen, [index], {}, NOON)
    assert first.next_deadline == NOON + GRACE
    later = find_losses(seen, [index], first.absent, NOON + GRACE)
    assert later.lost[index].is_grace_over
    assert later.next_deadline is None


def test_a_pod_that_is_asked_for_again_has_its_whole_grace() -> None:
    beyond = find_losses(view(workload=workload(1)), [2], {}, NOON - 2 * GRACE)
    assert lost(view(), 2, away=dict(beyond.absent)) == {}


def test_without_a_workload_its_pods_are_gone_and_lost_after_the_grace() -> None:
    before = find_losses(view(workload=None), [1], {}, NOON - GRACE)
    assert before.lost == {}
    assert 1 in lost(view(workload=None), 1, away=dict(before.absent))


@pytest.mark.parametrize(
    "reason",
    [RouteReason.WORKLOAD_FORBIDDEN, RouteReason.WORKLOAD_KIND_NOT_SUPPORTED, RouteReason.WORKLOAD_UNREADABLE],
)
def test_a_workload_that_cannot_be_read_loses_nobody(reason: RouteReason) -> None:
    unreadable = view(workload=MissingWorkload(reason, "the operator may not get it"))
    before = gone(NOON - 2 * GRACE)
    assert find_losses(unreadable, [1], before, NOON) == PodLosses(before, {}, None)


def test_a_grace_of_0_loses_a_pod_as_soon_as_it_is_gone() -> None:
    assert 1 in lost(view(of=route(onPodLost={"graceSeconds": 0})), 1)


def test_the_next_loss_is_foretold() -> None:
    losses = find_losses(view(), [0, 1], gone(NOON - timedelta(seconds=10)), NOON)
    assert losses.next_deadline == NOON + timedelta(seconds=20)
    assert find_losses(view(pod(0)), [0], {}, NOON).next_deadline is None


def test_a_pod_that_carries_nobody_and_is_not_there_concerns_nobody() -> None:
    assert find_losses(view(), [], {}, NOON).absent == {}


def test_a_workload_that_is_made_anew_has_the_whole_grace_to_take_its_pods_over() -> None:
    before = find_losses(view(workload=None), [1], {}, NOON - GRACE).absent
    assert set(find_losses(view(workload=None), [1], before, NOON).lost) == {1}
    assert set(find_losses(view(), [1], before, NOON).lost) == set()


NEVER_BACK = "is gone, and none comes back under its name"


def test_a_pod_that_is_named_by_its_name_is_lost_as_soon_as_it_does_not_exist() -> None:
    seen = view(named_pod("game-a"), workload=deployment())
    first = find_losses(seen, ["game-b"], {}, NOON)
    assert first.lost == {"game-b": PodLoss(NEVER_BACK, is_grace_over=False)}
    assert first.next_deadline == NOON + GRACE
    later = find_losses(seen, ["game-b"], first.absent, NOON + GRACE)
    assert later.lost == {"game-b": PodLoss(NEVER_BACK, is_grace_over=True)}


@pytest.mark.parametrize(
    ("state", "is_ready", "is_away"),
    [
        (ServiceState.READY, True, False),
        (ServiceState.NOT_READY, False, False),
        (ServiceState.PENDING, False, False),
        (ServiceState.TERMINATING, True, False),
        (ServiceState.TERMINATING, False, True),
        (ServiceState.FAILED, False, True),
    ],
)
def test_a_pod_that_is_named_by_its_name_has_its_grace_while_it_exists(
    state: ServiceState, is_ready: bool, is_away: bool
) -> None:
    losses = find_losses(
        view(named_pod("game-a", state, is_ready=is_ready), workload=deployment()), ["game-a"], {}, NOON
    )
    assert losses.lost == {}
    assert ("game-a" in losses.absent) is is_away


@pytest.mark.parametrize(
    ("seen", "key", "why"),
    [
        (view(pod(0)), "game-0", NEVER_BACK),
        (view(named_pod("game-0"), workload=deployment()), 0, NEVER_BACK),
        (view(pod(0)), 3, "is beyond the workload's replicas"),
    ],
    ids=["by name, and they have an index", "by index, and they have none", "beyond"],
)
def test_a_pod_that_the_workload_cannot_have_is_lost_at_once(seen: RouteView, key: PodKey, why: str) -> None:
    assert find_losses(seen, [key], {}, NOON).lost == {key: PodLoss(why, is_grace_over=False)}


def test_a_route_whose_workload_was_not_read_yet_loses_and_forgets_nothing() -> None:
    unread = build_route_view(route(), None, [], {}, {1: 1}, {}, {})
    long_gone = gone(NOON - 2 * GRACE)
    assert find_losses(unread, [1], long_gone, NOON) == PodLosses(long_gone, {}, None)
