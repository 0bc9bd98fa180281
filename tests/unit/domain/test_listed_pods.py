"""The pods that the status of a route lists, and the size of the status."""

import json
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statefulroute.api.limits import (
    CLOSING_POD_MAX_BYTES,
    LISTED_POD_MAX_BYTES,
    LISTED_PODS_MAX,
    LISTED_REVISION_MAX_BYTES,
    NOT_SERVING_REASON_MAX_BYTES,
    ROUTE_MESSAGE_MAX_BYTES,
    ROUTE_STATUS_MAX_BYTES,
    SLOTS_MAX,
)
from statefulroute.api.route_status import PodClosing, PodStatus, StatefulRouteStatus
from statefulroute.api.vocabulary import ClosingReason, RouteReason, RoutingState, ServiceState
from statefulroute.domain.assessment import Assessment
from statefulroute.domain.keys import PodKey
from statefulroute.domain.load import Load
from statefulroute.domain.route import RouteView
from statefulroute.domain.route_status import route_status
from statefulroute.domain.workload import MissingWorkload
from unit.domain.builders import NOON, STALE, load, pod, route, view, workload
from unit.domain.large_views import MANY, big_view, stored_size, worst_status

DENY, SHUTDOWN = RoutingState.DENY_NEW_CALL, RoutingState.SHUTDOWN
INT32_MAX = 2**31 - 1


def status_of(route_view: RouteView) -> StatefulRouteStatus:
    return route_status(route_view, Assessment(), NOON)


def listed(status: StatefulRouteStatus) -> set[int]:
    return {each.index for each in status.pods if each.index is not None}


def after(route_view: RouteView, status: StatefulRouteStatus) -> RouteView:
    """Returns the view after its status was written."""
    return replace(route_view, route=replace(route_view.route, status=status))


@pytest.mark.parametrize("number", [0, 1, LISTED_PODS_MAX])
def test_all_pods_are_listed_up_to_the_limit(number: int) -> None:
    status = status_of(big_view(number))
    assert [each.index for each in status.pods] == list(range(number))
    assert status.omitted_pods is None


def test_beyond_the_limit_the_others_are_counted() -> None:
    loads = {index: load(1, age=STALE if index % 4 == 0 else 0) for index in range(MANY)}
    status = status_of(big_view(link_counts=dict.fromkeys(range(MANY), 2), loads=loads))
    omitted = status.omitted_pods
    assert omitted is not None
    assert (len(status.pods), omitted.count, omitted.links) == (
        LISTED_PODS_MAX,
        MANY - LISTED_PODS_MAX,
        2 * omitted.count,
    )
    assert (omitted.ready, omitted.routable, omitted.available) == (omitted.count,) * 3
    stale = sum(each.load_stale or False for each in status.pods)
    assert (omitted.stale_load, omitted.fresh_load) == (MANY // 4 - stale, MANY * 3 // 4 - LISTED_PODS_MAX + stale)
    assert [each.index for each in status.pods] == sorted(listed(status))


def test_best_pods_for_new_users_are_listed() -> None:
    loads = {index: load((MANY - index) * 10) for index in range(MANY)}
    status = status_of(big_view(loads=loads))
    assert status.best_pod_index == MANY - 1
    assert listed(status) == set(range(MANY - LISTED_PODS_MAX, MANY))


def test_without_loads_the_pods_with_the_fewest_links_are_listed() -> None:
    status = status_of(big_view(link_counts={index: MANY - index for index in range(MANY)}))
    assert listed(status) == set(range(MANY - LISTED_PODS_MAX, MANY))


@pytest.mark.parametrize("state", [DENY, SHUTDOWN])
def test_pods_with_another_routing_state_than_the_route_are_listed(state: RoutingState) -> None:
    changed = range(700, 900)
    assert listed(status_of(big_view(MANY, *changed, state=state))) > set(changed)


@pytest.mark.parametrize("drains", ["spec", "name", "annotation", "deletion"])
@pytest.mark.parametrize("state", ["Ready", "DenyNewCall"])
def test_drained_pods_are_listed_even_if_their_route_is_drained(drains: str, state: str) -> None:
    pods = [pod(index) for index in range(MANY - 1)]
    spec: dict[str, Any] = {"routingState": state}
    match drains:
        case "spec":
            pods.append(pod(MANY - 1))
            spec["pods"] = [{"index": MANY - 1, "routingState": "DenyNewCall"}]
        case "name":
            pods.append(pod(MANY - 1))
            spec["namedPods"] = [{"name": f"game-{MANY - 1}", "routingState": "DenyNewCall"}]
        case "annotation":
            pods.append(pod(MANY - 1, reported_routing_state=DENY))
        case _:
            pods.append(pod(MANY - 1, ServiceState.TERMINATING, is_ready=True))
    crowd = view(*pods, route=route(**spec), workload=workload(MANY), link_counts={MANY - 1: 9})
    assert MANY - 1 in listed(status_of(crowd))


def test_drained_pods_without_users_come_before_those_with_users() -> None:
    crowd = big_view(MANY, *range(1_000, MANY), link_counts=dict.fromkeys(range(MANY), 5))
    first = status_of(crowd)
    empty = max(set(range(1_000, MANY)) - listed(first))
    left = {index: 0 if index == empty else 5 for index in range(MANY)}
    status = status_of(after(big_view(MANY, *range(1_000, MANY), link_counts=left), first))
    assert empty in listed(status)


def test_terminating_pods_without_users_are_listed_first() -> None:
    """Their servers wait for that, and then end."""
    loads: dict[PodKey, Load] = {index: load(1, age=STALE) for index in range(MANY)}
    last = pod(MANY - 1, ServiceState.TERMINATING)
    http = route(load={"source": "HTTP", "http": {"port": 80}})
    crowd = view(*map(pod, range(MANY - 1)), last, route=http, workload=workload(MANY), loads=loads)
    assert MANY - 1 in listed(status_of(crowd))


def test_pods_that_do_not_serve_are_listed() -> None:
    pods = (pod(index, ServiceState.NOT_READY if index % 10 == 9 else ServiceState.READY) for index in range(MANY))
    assert listed(status_of(view(*pods, workload=workload(MANY)))) > set(range(9, MANY, 10))


def test_pods_whose_answers_only_the_operator_knows_come_first() -> None:
    shut_down, silent = range(1_800, 1_840), range(1_900, 1_940)
    loads: dict[PodKey, Load] = {index: load(1) for index in range(MANY)}
    loads |= {index: load(1, routing_state=SHUTDOWN) for index in shut_down} | {
        index: load(1, age=STALE) for index in silent
    }
    http = route(load={"source": "HTTP", "http": {"port": 80}})
    crowd = big_view(MANY, *range(1_000), route=http, loads=loads)
    assert listed(status_of(crowd)) > {*shut_down, *silent}


def test_pods_beyond_the_limit_of_links_are_listed() -> None:
    limited = route(placement={"maxLinksPerPod": 5})
    status = status_of(big_view(route=limited, link_counts={index: 6 if index > 1_900 else 1 for index in range(MANY)}))
    assert listed(status) > set(range(1_901, MANY))


def test_half_of_the_places_are_left_for_new_users() -> None:
    loads = {index: load(index) for index in range(MANY)}
    status = status_of(big_view(MANY, *range(500, MANY), loads=loads))
    assert len(listed(status) & set(range(500))) == LISTED_PODS_MAX // 2


def test_all_places_are_used_if_no_pod_takes_new_users() -> None:
    status = status_of(big_view(route=route(routingState="DenyNewCall")))
    assert len(status.pods) == LISTED_PODS_MAX


def test_an_unchanged_route_keeps_its_list() -> None:
    random = Random(1)
    crowd = big_view(loads={index: load(random.randrange(50)) for index in range(MANY)})
    first = status_of(crowd)
    assert status_of(after(crowd, first)) == first


def test_loads_that_jitter_hardly_change_the_list() -> None:
    random = Random(1)
    status, left = StatefulRouteStatus(), []
    for _ in range(10):
        loads = {index: load(10 + random.randrange(3)) for index in range(MANY)}
        former, status = listed(status), status_of(after(big_view(loads=loads), status))
        left.append(len(former - listed(status)))
    assert max(left) <= 1  # the best pod, if it was not listed


def test_better_pods_replace_the_worst_ones() -> None:
    status = status_of(big_view(loads={index: load(10) for index in range(MANY)}))
    better = set(range(1_900, MANY))
    loads = {index: load(1 if index in better else 10) for index in range(MANY)}
    assert listed(status_of(after(big_view(loads=loads), status))) > better


def test_the_entry_of_a_pod_without_its_name_has_a_limit() -> None:
    pod_status = PodStatus(
        index=INT32_MAX,
        name="",
        service_state=max(ServiceState, key=len),
        routing_state=max(RoutingState, key=len),
        load_state=INT32_MAX,
        waiting_tasks=INT32_MAX,
        weighted_load_milli=INT32_MAX * 1000,
        load_stale=True,
        not_serving_reason="r" * NOT_SERVING_REASON_MAX_BYTES,
        links=INT32_MAX,
        total_links=INT32_MAX,
        new_links=-INT32_MAX,
        report_time=NOON,
        revision="r" * 63,
        closing=PodClosing(reason=max(ClosingReason, key=len), since=NOON, deadline=NOON),
        handing_over=True,
        slots=SLOTS_MAX,
    )
    assert PodStatus.model_fields.keys() == pod_status.model_fields_set
    alone, twice = (stored_size(StatefulRouteStatus(pods=(pod_status,) * number)) for number in (1, 2))
    assert twice - alone <= LISTED_POD_MAX_BYTES + LISTED_REVISION_MAX_BYTES + CLOSING_POD_MAX_BYTES
    pod_status = pod_status.model_copy(update={"closing": None, "revision": None})
    alone, twice = (stored_size(StatefulRouteStatus(pods=(pod_status,) * number)) for number in (1, 2))
    assert twice - alone <= LISTED_POD_MAX_BYTES


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from([0, 1, 320, 499, 500, 501, 2_000, 10_000]),
    st.sampled_from([6, 20, 49, 50, 63, 253]),
    st.booleans(),
)
def test_status_of_any_number_of_pods_is_small(number: int, name_length: int, has_rollout: bool) -> None:
    status = worst_status(number, name_length, has_rollout=has_rollout)
    assert stored_size(status) <= ROUTE_STATUS_MAX_BYTES
    assert len(status.pods) >= min(number, 290 if has_rollout else 320)


def test_messages_of_conditions_are_truncated() -> None:
    missing = MissingWorkload(RouteReason.WORKLOAD_FORBIDDEN, 'denied: "<\N{PILE OF POO}>"' * 10_000)
    status = status_of(view(workload=missing))
    assert all(len(json.dumps(each.message)) <= ROUTE_MESSAGE_MAX_BYTES for each in status.conditions)
    assert stored_size(status) < 8 * ROUTE_MESSAGE_MAX_BYTES


def test_report_time_of_a_listed_pod_is_kept() -> None:
    crowd = big_view(loads={index: load(1) for index in range(MANY)})
    first = status_of(crowd)
    later = big_view(loads={index: load(1, age=-20) for index in range(MANY)})
    again = route_status(after(later, first), Assessment(), NOON + timedelta(seconds=20))
    assert again.pods == first.pods
