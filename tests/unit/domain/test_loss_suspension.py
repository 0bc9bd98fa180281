"""The suspension of losses while a large part of a service looks lost at once."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from statefulroute.api.model import Condition
from statefulroute.api.route_status import StatefulRouteStatus
from statefulroute.api.vocabulary import ConditionType, LossCause, RouteReason, RoutingState, ServiceState
from statefulroute.domain.keys import PodKey
from statefulroute.domain.loss import find_losses
from statefulroute.domain.loss_suspension import LossState, evaluate_losses
from statefulroute.domain.pod import Node, Pod
from statefulroute.domain.route import LossSuspension, Route, RouteView
from statefulroute.domain.workload import MissingWorkload, Workload
from unit.domain.builders import NOON, deployment, named_pod, pod, route, view, workload

#: The present time in seconds of a monotonic clock, and the end of the grace period of a pod that is gone since then.
NOW, LATER = 1000.0, 1030.0


def seen(route_view: RouteView, linked: Iterable[PodKey], *, confirmed_before: float | None = None) -> RouteView:
    """Returns a view of pods that have been seen like this for the grace period."""
    linked = frozenset(linked)
    state = LossState(find_losses(route_view, linked, {}, NOW).absent)
    return evaluate_losses(route_view, linked, state, LATER, confirmed_before)[0]


def evaluate(
    route_view: RouteView,
    linked: Iterable[PodKey],
    previous: LossState | None,
    now: float,
    confirmed_before: float | None = None,
) -> tuple[RouteView, LossState]:
    """Evaluates the losses of a route whose workload is known."""
    route_view, state = evaluate_losses(route_view, frozenset(linked), previous, now, confirmed_before)
    assert state is not None
    return route_view, state


def on_nodes(not_ready: int, total: int, *, pods_a_node: int = 1, **fields: Any) -> RouteView:
    """Returns a route with a pod, or several, on each of its nodes, of which some are not ready."""
    nodes = {f"n{each}": Node(name=f"n{each}", resource_version=1, is_ready=each >= not_ready) for each in range(total)}
    pods = [pod(index, node_name=f"n{index // pods_a_node}") for index in range(total * pods_a_node)]
    return view(*pods, workload=workload(len(pods)), nodes=nodes, **fields)


def shut_down_by_itself(index: int) -> Pod:
    """Returns a pod that has reported Shutdown since its deletion began, and is still ready."""
    return pod(index, ServiceState.TERMINATING, RoutingState.SHUTDOWN, is_ready=True)


def without_pods(missing: int, replicas: int, **fields: Any) -> RouteView:
    """Returns a route of which the first pods do not exist."""
    return view(*map(pod, range(missing, replicas)), workload=workload(replicas), **fields)


@pytest.mark.parametrize(
    ("not_ready", "total", "is_suspended"),
    [
        (3, 3, True),
        (5, 5, True),
        (6, 10, True),
        (5, 9, True),
        (55, 100, False),
        (56, 100, True),
        (2, 2, False),
        (3, 6, False),
    ],
)
def test_losses_are_suspended_while_more_than_55_percent_of_the_nodes_and_at_least_3_are_lost(
    not_ready: int, total: int, is_suspended: bool
) -> None:
    only_nodes = route(onPodLost={"suspend": {"podsPercent": 0}})
    route_view = seen(on_nodes(not_ready, total, route=only_nodes), range(total))
    lost = set(range(not_ready))
    assert set(route_view.withheld_losses) == (lost if is_suspended else set())
    assert set(route_view.lost) == (set() if is_suspended else lost)
    expected = LossSuspension(RouteReason.NODES_LOST, not_ready, total, 55)
    assert route_view.loss_suspension == (expected if is_suspended else None)


def test_nodes_are_counted_and_not_the_pods_on_them() -> None:
    assert seen(on_nodes(2, 4, pods_a_node=10), range(20)).loss_suspension is None
    assert seen(on_nodes(3, 5, pods_a_node=10), [0]).loss_suspension == LossSuspension(RouteReason.NODES_LOST, 3, 5, 55)


@pytest.mark.parametrize(
    ("missing", "replicas", "is_suspended"),
    [(3, 3, True), (3, 5, True), (3, 6, False), (2, 2, False), (2, 3, False), (4, 7, True)],
)
def test_losses_are_suspended_while_more_than_half_of_the_pods_and_at_least_3_look_lost(
    missing: int, replicas: int, is_suspended: bool
) -> None:
    route_view = seen(without_pods(missing, replicas), range(replicas))
    expected = LossSuspension(RouteReason.PODS_LOST, missing, replicas, 50)
    assert route_view.loss_suspension == (expected if is_suspended else None)
    assert len(route_view.withheld_losses) == (missing if is_suspended else 0)


def test_pods_within_their_grace_period_look_lost_when_the_first_one_is_lost() -> None:
    first = find_losses(without_pods(1, 5), range(5), {}, NOW)
    absent = find_losses(without_pods(3, 5), range(5), first.absent, NOW + 29).absent
    route_view, _ = evaluate(without_pods(3, 5), range(5), LossState(absent), LATER)
    assert (set(route_view.withheld_losses), route_view.lost) == ({0}, {})


def test_nothing_is_suspended_before_a_pod_is_lost() -> None:
    route_view, state = evaluate(without_pods(5, 5), range(5), None, NOW)
    assert (route_view.loss_suspension, state.suspension, state.next_deadline) == (None, None, LATER)


def test_pods_that_are_not_back_when_the_suspension_ends_have_their_whole_period_again() -> None:
    _, state = evaluate(on_nodes(5, 5), range(5), None, NOW)
    route_view, state = evaluate(on_nodes(5, 5), range(5), state, LATER)
    assert (state.suspension is not None, route_view.lost) == (True, {})
    route_view, state = evaluate(on_nodes(2, 5), range(5), state, LATER + 60)
    assert (state.suspension, route_view.lost, state.next_deadline) == (None, {}, LATER + 90)
    route_view, _ = evaluate(on_nodes(2, 5), range(5), state, LATER + 90)
    assert set(route_view.lost) == {0, 1}


def suspended_route() -> Route:
    """Returns a route whose status says that losses are suspended."""
    condition = Condition(
        type=ConditionType.LOSS_SUSPENDED,
        status="True",
        reason="PodsLost",
        message="",
        observed_generation=1,
        last_transition_time=NOON,
    )
    return route(StatefulRouteStatus(conditions=(condition,)))


def test_suspension_in_the_status_goes_on_after_a_restart_that_restarts_the_grace_periods() -> None:
    for missing, is_suspended in ((3, True), (2, False)):
        route_view = without_pods(missing, 5, route=suspended_route())
        _, state = evaluate(route_view, range(5), None, NOW)
        assert (state.suspension is not None) is is_suspended


@pytest.mark.parametrize("missing", [3, 2])
def test_pods_whose_users_have_left_count_after_a_restart_while_losses_are_suspended(missing: int) -> None:
    expected = LossSuspension(RouteReason.PODS_LOST, missing, 5, 50) if missing == 3 else None
    route_view, state = evaluate(without_pods(missing, 5, route=suspended_route()), [1, 4], None, NOW)
    assert route_view.loss_suspension == expected
    route_view, state = evaluate(without_pods(missing, 5), [1, 4], state, LATER)
    assert route_view.loss_suspension == expected
    confirmed, state = evaluate(without_pods(missing, 5), [1, 4], state, LATER + 1, confirmed_before=LATER)
    assert (confirmed.loss_suspension, set(confirmed.lost), state.former) == (None, {1}, {})


def test_missing_pods_of_a_deployment_count_after_a_restart_while_losses_are_suspended() -> None:
    pods = [named_pod(f"game-{each}") for each in range(2)]
    of_suspended = {"workload": deployment(5), "route": suspended_route()}
    route_view, state = evaluate(view(*pods, **of_suspended), ["game-lost"], None, NOW)
    assert route_view.loss_suspension == LossSuspension(RouteReason.PODS_LOST, 3, 5, 50)
    replaced = view(*pods, named_pod("game-2"), workload=deployment(5))
    route_view, state = evaluate(replaced, ["game-lost"], state, LATER)
    assert (route_view.loss_suspension, set(route_view.lost)) == (None, {"game-lost"})
    _, state = evaluate(view(*pods, workload=deployment(2)), [], state, LATER)
    assert not state.former


@pytest.mark.parametrize(
    ("pods", "of"),
    [
        ([pod(index, ServiceState.TERMINATING) for index in range(1, 5)], workload(0)),
        ([], workload(0)),
        ([pod(index, ServiceState.TERMINATING) for index in range(1, 5)], workload(1)),
        (
            [pod(each, ServiceState.TERMINATING, RoutingState.SHUTDOWN, is_ready=True) for each in (1, 2, 3, 4)],
            workload(1),
        ),
        ([], deployment(0)),
        ([named_pod("game-new")], deployment(1)),
    ],
    ids=[
        "scaled to 0",
        "gone after it",
        "scaled down",
        "shut down by itself before it ends",
        "a Deployment scaled to 0",
        "a Deployment scaled down",
    ],
)
def test_scaling_of_the_workload_suspends_nothing(pods: list[Pod], of: Workload) -> None:
    linked: list[PodKey] = list(range(1, 5)) if of.is_indexed else [f"game-{index}" for index in range(5)]
    route_view = seen(view(*pods, workload=of), linked)
    assert route_view.loss_suspension is None
    assert set(route_view.lost) == set(linked)


def test_pod_that_is_scaled_down_is_lost_while_the_losses_of_others_are_suspended() -> None:
    route_view = seen(without_pods(3, 3), [0, 1, 2, 7])
    assert (set(route_view.lost), set(route_view.withheld_losses)) == ({7}, {0, 1, 2})


@pytest.mark.parametrize(
    ("ready", "is_suspended"), [(0, True), (2, True), (3, False), (5, False)], ids=["none", "some", "half", "all"]
)
def test_pods_of_a_deployment_that_were_replaced_do_not_look_lost(ready: int, is_suspended: bool) -> None:
    successors = [named_pod(f"game-new{each}", *([ServiceState.PENDING] if each >= ready else [])) for each in range(5)]
    linked = [f"game-old{each}" for each in range(5)]
    assert (seen(view(*successors, workload=deployment(5)), linked).loss_suspension is not None) is is_suspended


@pytest.mark.parametrize(("replacements", "is_suspended"), [(0, True), (1, False), (3, False)])
def test_pods_of_a_deployment_that_were_evicted_from_lost_nodes_count_until_they_are_replaced(
    replacements: int, is_suspended: bool
) -> None:
    nodes = {f"n{each}": Node(name=f"n{each}", resource_version=1, is_ready=each >= 3) for each in range(5)}
    evicted = [named_pod(f"game-old{each}", ServiceState.TERMINATING, node_name=f"n{each}") for each in range(3)]
    others = [named_pod(f"game-new{each}", node_name=f"n{3 + each % 2}") for each in range(2 + replacements)]
    route_view = view(*evicted, *others, workload=deployment(5), nodes=nodes)
    linked = [f"game-old{each}" for each in range(3)]
    assert (seen(route_view, linked).loss_suspension is not None) is is_suspended


@pytest.mark.parametrize(
    ("states", "spec", "is_suspended"),
    [
        ({"reported_routing_state": RoutingState.SHUTDOWN}, {}, True),
        ({}, {"routingState": "Shutdown"}, False),
        ({}, {"pods": [{"index": each, "routingState": "Shutdown"} for each in range(3)]}, False),
        ({}, {"namedPods": [{"name": f"game-{each}", "routingState": "Shutdown"} for each in range(3)]}, False),
    ],
    ids=["by the pods", "by the route", "by index", "by name"],
)
def test_shutdown_by_the_route_is_a_decision_and_suspends_nothing(
    states: dict[str, Any], spec: dict[str, Any], is_suspended: bool
) -> None:
    route_view = view(*(pod(each, **states) for each in range(3)), route=route(**spec))
    assert (seen(route_view, range(3)).loss_suspension is not None) is is_suspended


def test_deletion_of_the_workload_is_a_decision_and_suspends_nothing() -> None:
    route_view = seen(view(workload=None), range(3))
    assert (route_view.loss_suspension, set(route_view.lost)) == (None, {0, 1, 2})


def test_pods_that_never_served_a_user_are_not_counted() -> None:
    pending = [pod(index, ServiceState.PENDING) for index in range(5, 20)]
    route_view = view(*map(pod, range(1, 5)), *pending, workload=workload(20))
    assert set(seen(route_view, range(5)).lost) == {0}, "one of five pods with users is lost"
    assert seen(view(*pending, workload=workload(20)), range(5)).loss_suspension == LossSuspension(
        RouteReason.PODS_LOST, 5, 5, 50
    )


@pytest.mark.parametrize("after", [without_pods(5, 5), on_nodes(3, 5)], ids=["gone", "on lost nodes"])
def test_pods_without_users_count_if_they_were_seen_to_serve(after: RouteView) -> None:
    after = replace(after, route=route(onPodLost={"suspend": {"nodesPercent": 0}}))
    _, state = evaluate(view(*map(pod, range(5)), workload=workload(5)), [0], None, NOW - 1)
    _, state = evaluate(after, [0], state, NOW)
    route_view, state = evaluate(after, [0], state, LATER)
    assert set(route_view.withheld_losses) == {0}
    assert route_view.loss_suspension == LossSuspension(RouteReason.PODS_LOST, 3 if after.pods else 5, 5, 50)
    _, state = evaluate(view(*map(pod, range(1, 5)), workload=workload(5)), [0], state, LATER + 1)
    assert set(state.former) == {0}, "the others are back"


def test_pods_without_users_that_shut_themselves_down_do_not_count() -> None:
    _, state = evaluate(view(*map(pod, range(5)), workload=workload(5)), [0], None, NOW)
    closed = [pod(index, reported_routing_state=RoutingState.SHUTDOWN) for index in range(1, 5)]
    _, state = evaluate(view(pod(0), *closed, workload=workload(5)), [0], state, NOW)
    _, state = evaluate(view(*closed, workload=workload(5)), [0], state, NOW)
    route_view, _ = evaluate(view(*closed, workload=workload(5)), [0], state, LATER)
    assert (route_view.loss_suspension, set(route_view.lost)) == (None, {0, 1, 2, 3, 4})


def test_pods_without_users_that_are_scaled_down_or_replaced_do_not_count() -> None:
    _, state = evaluate(view(*map(pod, range(5)), workload=workload(5)), [0], None, NOW)
    _, state = evaluate(view(pod(0), workload=workload(1)), [0], state, NOW)
    assert not state.former
    old, new = ([named_pod(f"game-{version}{each}") for each in range(5)] for version in ("old", "new"))
    _, state = evaluate(view(*old, workload=deployment(5)), ["game-old0"], None, NOW)
    route_view, state = evaluate(view(*new, workload=deployment(5)), ["game-old0"], state, NOW)
    assert (route_view.loss_suspension, set(route_view.lost)) == (None, {"game-old0"})


def test_links_to_pods_that_cannot_exist_are_not_counted() -> None:
    route_view = view(pod(0), pod(1), pod(2))
    assert seen(route_view, [0, 1, 2, *(f"bogus-{each}" for each in range(9)), *range(50, 60)]).loss_suspension is None
    named = view(*(named_pod(f"game-{each}") for each in "abc"), workload=deployment(3))
    assert seen(named, [*(f"bogus-{each}" for each in range(9)), *range(9)]).loss_suspension is None


@pytest.mark.parametrize(
    ("suspend", "is_suspended"),
    [
        ({"podsPercent": 0}, False),
        ({"podsPercent": 60}, False),
        ({"podsPercent": 59}, True),
        ({"minimum": 4}, False),
        ({"nodesPercent": 0}, True),
    ],
    ids=str,
)
def test_thresholds_are_settings_of_the_route(suspend: dict[str, int], is_suspended: bool) -> None:
    route_view = without_pods(3, 5, route=route(onPodLost={"suspend": suspend}))
    assert (seen(route_view, range(5)).loss_suspension is not None) is is_suspended


def test_percentage_of_nodes_of_0_counts_only_pods() -> None:
    custom = route(onPodLost={"suspend": {"nodesPercent": 0}})
    assert seen(on_nodes(4, 6, route=custom), range(6)).loss_suspension == LossSuspension(
        RouteReason.PODS_LOST, 4, 6, 50
    )


@pytest.mark.parametrize(
    ("confirmed_before", "is_lost"), [(NOW - 1, False), (NOW, True)], ids=["before", "after it began"]
)
@pytest.mark.parametrize("route_view", [without_pods(5, 5), on_nodes(5, 5)], ids=["pods", "nodes"])
def test_losses_that_began_before_a_confirmation_are_confirmed(
    route_view: RouteView, confirmed_before: float, is_lost: bool
) -> None:
    confirmed = seen(route_view, range(5), confirmed_before=confirmed_before)
    assert (len(confirmed.lost) == 5, confirmed.loss_suspension is None) == (is_lost, is_lost)


def test_loss_stays_confirmed_until_the_pod_is_back_also_if_it_is_created_again_and_not_ready() -> None:
    pending = view(*(pod(index, ServiceState.PENDING) for index in range(5)), workload=workload(5))
    _, state = evaluate(without_pods(5, 5), range(5), None, NOW)
    _, state = evaluate(without_pods(5, 5), range(5), state, LATER, confirmed_before=LATER)
    _, state = evaluate(pending, range(5), state, LATER + 1, confirmed_before=LATER)
    route_view, state = evaluate(pending, range(5), state, LATER + 301, confirmed_before=LATER)
    assert (route_view.loss_suspension, set(route_view.lost)) == (None, set(range(5)))
    _, state = evaluate(view(*map(pod, range(5)), workload=workload(5)), range(5), state, LATER + 302, LATER)
    _, state = evaluate(without_pods(5, 5), range(5), state, LATER + 303, LATER)
    _, state = evaluate(without_pods(5, 5), range(5), state, LATER + 333, LATER)
    assert state.suspension is not None, "these are other losses"


@pytest.mark.parametrize("after", [without_pods(8, 10), on_nodes(8, 10)], ids=["pods", "nodes"])
@pytest.mark.parametrize("before", [without_pods(5, 10)], ids=["five pods"])
def test_later_losses_are_suspended_again_and_counted_without_the_confirmed_ones(
    before: RouteView, after: RouteView
) -> None:
    absent = find_losses(before, range(10), {}, NOW - 60).absent
    absent = find_losses(after, range(10), absent, NOW).absent
    route_view, _ = evaluate(after, range(10), LossState(absent), LATER, confirmed_before=NOW - 30)
    assert (set(route_view.lost), set(route_view.withheld_losses)) == ({0, 1, 2, 3, 4}, {5, 6, 7})
    assert route_view.loss_suspension is not None
    assert (route_view.loss_suspension.lost, route_view.loss_suspension.total) == (3, 5)


def test_workload_that_cannot_be_read_neither_suspends_losses_nor_ends_their_suspension() -> None:
    unreadable = view(workload=MissingWorkload(RouteReason.WORKLOAD_FORBIDDEN, "forbidden"))
    assert evaluate_losses(unreadable, {0}, None, NOW) == (unreadable, None)
    _, state = evaluate(on_nodes(5, 5), range(5), None, NOW)
    suspended, state = evaluate(on_nodes(5, 5), range(5), state, LATER)
    route_view, still = evaluate(unreadable, range(5), state, LATER + 1)
    assert (route_view.loss_suspension, route_view.lost, still) == (suspended.loss_suspension, {}, state)


def test_lost_pods_count_until_they_are_back_also_when_their_links_are_gone() -> None:
    route_view, state = evaluate(without_pods(2, 5), range(5), None, NOW)
    route_view, state = evaluate(without_pods(2, 5), range(5), state, LATER)
    assert set(route_view.lost) == {0, 1}
    route_view, state = evaluate(without_pods(3, 5), [2, 3, 4], state, LATER + 5)
    assert route_view.loss_suspension is None, "no further pod is lost yet"
    route_view, state = evaluate(without_pods(3, 5), [2, 3, 4], state, LATER + 35)
    assert (route_view.loss_suspension, route_view.lost) == (LossSuspension(RouteReason.PODS_LOST, 3, 5, 50), {})
    back = view(pod(0), pod(3), pod(4), workload=workload(5))
    route_view, state = evaluate(back, [2, 3, 4], state, LATER + 40)
    assert (route_view.loss_suspension, set(state.former)) == (None, {1, 2})


def test_suspension_goes_on_when_users_leave_the_lost_pods() -> None:
    _, state = evaluate(without_pods(3, 5), range(5), None, NOW)
    _, state = evaluate(without_pods(3, 5), range(5), state, LATER)
    route_view, _ = evaluate(without_pods(3, 5), [2, 3, 4], state, LATER + 1)
    assert route_view.loss_suspension == LossSuspension(RouteReason.PODS_LOST, 3, 5, 50)


@pytest.mark.parametrize(
    ("after", "confirmed_before"),
    [(view(workload=workload(0)), None), (without_pods(2, 5), NOW), (view(workload=None), None)],
    ids=["scaled down", "confirmed", "a deleted workload"],
)
def test_lost_pods_without_links_count_no_longer_once_it_is_a_decision(
    after: RouteView, confirmed_before: float | None
) -> None:
    _, state = evaluate(without_pods(2, 5), range(5), None, NOW)
    _, state = evaluate(without_pods(2, 5), range(5), state, LATER)
    assert set(state.former) == {0, 1}
    _, state = evaluate(after, [], state, LATER + 1, confirmed_before)
    assert not state.former


def test_lost_pods_of_a_deployment_count_until_they_are_replaced() -> None:
    def evaluate_with(pods: Iterable[int], linked: Iterable[PodKey], state: LossState | None) -> LossState:
        route_view = view(*(named_pod(f"game-{each}") for each in pods), workload=deployment(5))
        return evaluate(route_view, linked, state, NOW)[1]

    state = evaluate_with(range(2, 5), [f"game-{each}" for each in range(5)], None)
    state = evaluate_with(range(2, 5), ["game-4"], state)
    assert set(state.former) == {"game-0", "game-1"}
    state = evaluate_with(range(2, 6), ["game-4"], state)
    assert len(state.former) == 1, "only one is missing"


def test_cause_and_message_of_a_suspended_loss_are_kept() -> None:
    assert seen(on_nodes(3, 3), range(3)).withheld_losses[0].cause is LossCause.NODE_NOT_READY
