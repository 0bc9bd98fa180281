"""The placement of new users: by load if it is known, otherwise by links."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statefulroute.api.vocabulary import LinkReason, LossCause, RoutingState, ServiceState
from statefulroute.domain.decision import Bind, LinkView, UpdateStatus, decide
from statefulroute.domain.keys import PodKey
from statefulroute.domain.load import Load
from statefulroute.domain.placement import available_pods, best_pod, expected_loads, good_set, has_room, silent_pods
from statefulroute.domain.pod import Pod
from statefulroute.domain.route import PodLoss, RouteView
from unit.domain.builders import NOON, STALE, deployment, link, load, named_pod, pod, route, view, workload

THREE = (pod(0), pod(1), pod(2))


def best_key(*pods: Pod, **fields: Any) -> PodKey | None:
    """Returns the key of the best pod at noon."""
    best = best_pod(view(*pods, **fields), NOON)
    return best and best.key


def placement(**settings: int) -> Any:
    return route(placement=settings)


OLD = {"age": STALE}


@pytest.mark.parametrize(
    ("loads", "counts", "key"),
    [
        ({0: load(5, 5), 1: load(3, 3), 2: load(4, 4)}, {}, 1),
        ({0: load(5, 5), 1: load(3, 3), 2: load(4, 4)}, {0: 1, 1: 900, 2: 1}, 1),
        ({0: load(7, 0), 1: load(0, 4), 2: load(6, 6)}, {}, 0),
        ({0: load(5, 5), 1: load(3, 3, **OLD), 2: load(4, 4)}, {}, 2),
        ({0: load(5, 5), 1: load(3, 3, **OLD), 2: load(4, 4, **OLD)}, {0: 900}, 1),
        ({0: load(5, 5), 1: load(4, 4), 2: load(9, 9, **OLD)}, {1: 900}, 1),
        ({0: load(5, 5)}, {0: 900}, 1),
        ({0: load(5, 5, **OLD), 1: load(3, 3, **OLD), 2: load(4, 4, **OLD)}, {0: 2, 1: 3, 2: 1}, 2),
        ({}, {0: 2, 1: 1, 2: 3}, 1),
        ({}, {}, 0),
        ({0: load(age=-60), 1: load(1, 1)}, {}, 0),
    ],
    ids=[
        "lowest load",
        "lowest load with more links",
        "waiting tasks have more weight",
        "stale pod excluded while another is fresh",
        "most stale: fewest links",
        "stale pod excluded although a fresh one has many links",
        "one report: fewest links",
        "all stale: fewest links",
        "no reports: fewest links",
        "equal: first",
        "load from the future",
    ],
)
def test_best_pod_has_the_lowest_reported_load(loads: dict[PodKey, Load], counts: dict[PodKey, int], key: int) -> None:
    assert best_key(*THREE, loads=loads, link_counts=counts) == key


@pytest.mark.parametrize(("age", "key"), [(10, 1), (10.000001, 0)])
def test_load_is_stale_after_the_time_of_the_route(age: float, key: int) -> None:
    loads = {0: load(9, 9), 1: load(1, 1, age=age)}
    assert best_key(pod(0), pod(1), loads=loads, route=route(load={"staleAfterSeconds": 10})) == key


def test_load_is_weighted_by_the_factor_of_the_route() -> None:
    loads = {0: load(0, 7), 1: load(6, 0)}
    assert [
        best_key(pod(0), pod(1), loads=loads, route=route(load={"cpuFactorPercent": percent}))
        for percent in (0, 46, 47)
    ] == [0, 0, 1]


@pytest.mark.parametrize(("width", "keys"), [(0, [1]), (1, [1]), (2, [0, 1]), (3, [0, 1, 2]), (2**31 - 1, [0, 1, 2])])
def test_good_set_contains_the_pods_within_the_range(width: int, keys: list[int]) -> None:
    loads = {0: load(5, 5), 1: load(3, 3), 2: load(6, 6)}
    route_view = view(*THREE, loads=loads, route=placement(range=width))
    assert [pod_view.key for pod_view in good_set(route_view, NOON)] == keys


@pytest.mark.parametrize(("load_state", "is_in"), [(6, True), (7, False)])
def test_range_applies_to_weighted_load(load_state: int, is_in: bool) -> None:
    loads = {0: load(0, 0), 1: load(load_state, 0)}  # 1.8 or 2.1 of weighted load
    route_view = view(pod(0), pod(1), loads=loads, route=placement(range=2))
    assert (len(good_set(route_view, NOON)) == 2) is is_in


@pytest.mark.parametrize(
    ("counts", "key"), [({0: 10, 1: 4, 2: 7}, 0), ({0: 12, 1: 5, 2: 8}, 1), ({0: 12, 1: 6, 2: 8}, 2)]
)
def test_best_of_pods_with_equal_load_has_the_fewest_new_links(counts: dict[PodKey, int], key: int) -> None:
    loads = {0: load(links=10), 1: load(links=4), 2: load(links=7)}
    assert best_key(*THREE, loads=loads, link_counts=counts) == key


def test_new_links_increase_the_expected_load() -> None:
    loads = {0: load(5, 5, links=10), 1: load(6, 6, links=10)}
    best = [best_key(pod(0), pod(1), loads=loads, link_counts={0: links, 1: 12}) for links in (10, 13, 14)]
    assert best == [0, 0, 1], "a link counts as 0.55: 5 + 3 * 0.55 is less than 6 + 2 * 0.55, 5 + 4 * 0.55 more"


def test_removed_links_decrease_the_expected_load() -> None:
    loads = {0: load(5, 5, links=10), 1: load(4, 4, links=10)}
    assert best_key(pod(0), pod(1), loads=loads, link_counts={0: 7, 1: 10}) == 0


@pytest.mark.parametrize(
    ("links", "limit", "room"), [(0, 0, True), (9, 0, True), (0, 1, True), (1, 1, False), (2, 1, False)]
)
def test_pod_has_room_below_the_maximum_number_of_links(links: int, limit: int, room: bool) -> None:
    route_view = view(pod(0), link_counts={0: links}, route=placement(maxLinksPerPod=limit))
    assert has_room(route_view, route_view.pods[0]) is room


def test_limit_counts_the_links_of_all_routes_to_the_workload() -> None:
    route_view = view(
        *THREE, link_counts={0: 1}, other_link_counts=[{0: 1, 2: 1}, {2: 1}], route=placement(maxLinksPerPod=2)
    )
    assert [has_room(route_view, pod_view) for pod_view in route_view.pods.values()] == [False, True, False]


def test_placement_counts_the_links_of_all_routes_to_the_workload() -> None:
    assert best_key(*THREE, link_counts={1: 1}, other_link_counts=[{0: 2}, {2: 3}]) == 1
    loads = {0: load(4, 4, links=10), 1: load(4, 4, links=10)}
    more = [
        best_key(*THREE[:2], loads=loads, link_counts={0: 5, 1: 5}, other_link_counts=[{0: links, 1: 5}])
        for links in (5, 6)
    ]
    assert more == [0, 1], "links that other routes have added since the report"


def test_full_pod_is_skipped_for_a_busier_one() -> None:
    loads = {0: load(1, 1), 1: load(9, 9)}
    assert best_key(pod(0), pod(1), loads=loads, link_counts={0: 5}, route=placement(maxLinksPerPod=5)) == 1


def test_full_pod_does_not_count_for_the_range() -> None:
    loads = {0: load(0, 0), 1: load(8, 8), 2: load(9, 9)}
    route_view = view(*THREE, loads=loads, link_counts={0: 5, 1: 1}, route=placement(maxLinksPerPod=5, range=1))
    assert [pod_view.key for pod_view in good_set(route_view, NOON)] == [1, 2]


def test_stale_pod_is_excluded_although_all_fresh_pods_are_full() -> None:
    loads = {0: load(1, 1), 1: load(1, 1, **OLD)}
    route_view = view(pod(0), pod(1), loads=loads, link_counts={0: 1}, route=placement(maxLinksPerPod=1))
    assert best_pod(route_view, NOON) is None
    plan = decide(LinkView(link(), route_view, NOON))
    assert isinstance(plan, UpdateStatus)
    assert plan.status.reason is LinkReason.AT_CAPACITY
    later = NOON + timedelta(seconds=STALE)
    assert decide(LinkView(link(), route_view, later)) == Bind(1), "if no load is fresh, the number of links decides"


@pytest.mark.parametrize(
    ("percent", "fresh", "stale", "is_silent"),
    [
        (50, 0, 2, False),
        (50, 1, 1, True),
        (50, 1, 2, False),
        (50, 2, 2, True),
        (51, 2, 2, False),
        (0, 1, 9, True),
        (0, 0, 9, False),
        (100, 9, 1, False),
    ],
)
def test_pods_with_stale_load_are_silent_while_enough_pods_report(
    percent: int, fresh: int, stale: int, is_silent: bool
) -> None:
    loads = {key: load(**OLD) if key >= fresh else load() for key in range(fresh + stale)}
    pods = map(pod, range(fresh + stale + 3))  # three have never reported
    denies = pod(99, reported_routing_state=RoutingState.DENY_NEW_CALL)
    route_view = view(
        *pods,
        denies,
        loads=loads | {99: load(**OLD)},
        route=route(load={"minFreshPercent": percent}),
        workload=workload(replicas=100),
    )
    assert silent_pods(route_view, NOON) == (set(range(fresh, fresh + stale)) if is_silent else set())


def test_pod_without_fresh_load_is_compared_by_its_links() -> None:
    loads = {0: load(6, 6, links=20), 1: load(2, 2, links=20)}
    route_view = view(*THREE, loads=loads, link_counts={0: 20, 1: 22, 2: 30})
    assert expected_loads(route_view, NOON) == {0: 6_000, 1: 2_400, 2: 6_000}, "an average link has a load of 0.2"
    assert best_key(*THREE, loads=loads, link_counts={0: 20, 1: 22, 2: 13}) == 1
    assert best_key(*THREE, loads=loads, link_counts={0: 20, 1: 22, 2: 12}) == 2, "of equal load, and fewer links"


@pytest.mark.parametrize("reported", [load(links=20), load(9, 9)], ids=["no load", "no links at the report"])
def test_pods_are_compared_by_links_if_the_load_of_a_link_is_not_known(reported: Load) -> None:
    route_view = view(pod(0), pod(1), loads={0: reported}, link_counts={0: 20, 1: 10})
    assert expected_loads(route_view, NOON) == {}
    assert burst(route_view, 12) == {0: 1, 1: 11}


@pytest.mark.parametrize("width", [0, 5])
def test_first_pod_that_reports_gets_no_users_while_others_carry_fewer(width: int) -> None:
    loads = {0: load(4, 4, links=20)}
    route_view = view(*THREE, loads=loads, link_counts={0: 20, 1: 10, 2: 10}, route=placement(range=width))
    assert burst(route_view, 20) == {1: 10, 2: 10}
    assert burst(route_view, 50) == {0: 10, 1: 20, 2: 20}


UNAVAILABLE: dict[str, tuple[Pod, dict[PodKey, PodLoss]]] = {
    "denies new calls": (pod(0, reported_routing_state=RoutingState.DENY_NEW_CALL), {}),
    "shut down": (pod(0, reported_routing_state=RoutingState.SHUTDOWN), {}),
    "terminating and ready": (pod(0, ServiceState.TERMINATING, is_ready=True), {}),
    "terminating": (pod(0, ServiceState.TERMINATING), {}),
    "not ready": (pod(0, ServiceState.NOT_READY), {}),
    "lost": (pod(0), {0: PodLoss(LossCause.POD_DELETED, "is gone", is_grace_over=False)}),
}


def test_pod_whose_loss_is_withheld_is_chosen_only_if_there_is_no_other() -> None:
    withheld = {0: PodLoss(LossCause.POD_DELETED, "is gone", is_grace_over=True)}
    assert best_key(pod(0), pod(1), withheld_losses=withheld, link_counts={1: 900}) == 1
    assert best_key(pod(0), withheld_losses=withheld) == 0


@pytest.mark.parametrize(("unavailable_pod", "lost"), UNAVAILABLE.values(), ids=UNAVAILABLE)
@pytest.mark.parametrize("loads", [{0: load(0, 0), 1: load(9, 9)}, {0: load(0, 0)}, {}], ids=["fresh", "alone", "none"])
def test_unavailable_pod_is_not_chosen_however_low_its_load(
    unavailable_pod: Pod, lost: dict[PodKey, PodLoss], loads: dict[PodKey, Load]
) -> None:
    assert best_key(unavailable_pod, pod(1), lost=lost, loads=loads, link_counts={1: 900}) == 1
    assert best_key(unavailable_pod, lost=lost, loads=loads) is None


def test_pods_without_an_index_are_chosen_by_the_same_rules() -> None:
    pods = [named_pod(f"game-{name}") for name in ("c", "a", "b")]
    assert best_key(*pods, workload=deployment()) == "game-a"
    assert best_key(*pods, workload=deployment(), link_counts={"game-a": 1, "game-b": 1}) == "game-c"
    loads: dict[PodKey, Load] = {"game-a": load(5, 5), "game-b": load(4, 4), "game-c": load(5, 5)}
    assert best_key(*pods, workload=deployment(), loads=loads) == "game-b"


@given(st.permutations([0, 2, 10, 1]))
def test_lowest_index_of_equal_pods_is_chosen_in_any_order(order: list[int]) -> None:
    assert best_key(*map(pod, order[1:])) == min(order[1:])


keys = st.integers(0, 5)
pods = st.builds(
    lambda index, state, routing_state, is_ready: pod(
        index, state, routing_state, is_ready=is_ready and state in _MAY_BE_READY
    ),
    keys,
    st.sampled_from(ServiceState),
    st.sampled_from(RoutingState),
    st.booleans(),
)
_MAY_BE_READY = (ServiceState.READY, ServiceState.TERMINATING)
ages = st.sampled_from([0.0, 30.0, 90.0, STALE, 1000.0, -5.0])
loads = st.builds(
    lambda load_state, tasks, links, age, routing_state: load(
        load_state, tasks, links=links, age=age, routing_state=routing_state
    ),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 9),
    ages,
    st.sampled_from([RoutingState.UNKNOWN, RoutingState.UNKNOWN, RoutingState.DENY_NEW_CALL]),
)
views = st.builds(
    lambda some_pods, counts, reported, lost, width, limit, percent: view(
        *some_pods,
        route=route(placement={"range": width, "maxLinksPerPod": limit}, load={"cpuFactorPercent": percent}),
        link_counts=counts,
        loads=reported,
        lost=dict.fromkeys(lost, PodLoss(LossCause.POD_DELETED, "is gone", is_grace_over=True)),
    ),
    st.lists(pods, max_size=6),
    st.dictionaries(keys, st.integers(0, 9)),
    st.dictionaries(keys, loads),
    st.sets(keys, max_size=2),
    st.integers(0, 3),
    st.integers(0, 9),
    st.sampled_from([0, 70, 100]),
)


@given(views)
@settings(max_examples=500)
def test_best_pod_is_available_has_room_and_is_not_silent(route_view: RouteView) -> None:
    best = best_pod(route_view, NOON)
    available = [
        pod_view
        for pod_view in route_view.pods.values()
        if pod_view.pod.is_ready
        and pod_view.routing_state is RoutingState.READY
        and pod_view.key not in route_view.lost
    ]
    assert available_pods(route_view) == available
    silent = silent_pods(route_view, NOON)
    fresh = {pod_view.key for pod_view in available if route_view.fresh_load(pod_view.key, NOON) is not None}
    stale = {pod_view.key for pod_view in available if pod_view.key in route_view.loads} - fresh
    assert silent == (stale if fresh and len(fresh) >= len(stale) else set())
    limit = route_view.route.spec.placement.max_links_per_pod
    with_room = [
        pod_view
        for pod_view in available
        if pod_view.key not in silent and (not limit or route_view.link_count(pod_view.key) < limit)
    ]
    assert (best is None) == (not with_room)
    if best is not None:
        assert best in with_room


@given(views)
@settings(max_examples=500)
def test_best_pod_is_within_the_range_or_has_the_fewest_links(route_view: RouteView) -> None:
    best = best_pod(route_view, NOON)
    if best is None:
        return
    silent = silent_pods(route_view, NOON)
    candidates = [
        pod_view
        for pod_view in available_pods(route_view)
        if pod_view.key not in silent and has_room(route_view, pod_view)
    ]
    expected = expected_loads(route_view, NOON)
    known = {pod_view.key: expected[pod_view.key] for pod_view in candidates if expected}
    if known:
        assert known[best.key] - min(known.values()) <= route_view.route.spec.placement.range * 1000
    else:
        assert route_view.link_count(best.key) == min(route_view.link_count(pod_view.key) for pod_view in candidates)


def burst(route_view: RouteView, users: int) -> Counter[PodKey]:
    """Places users one by one, each counted before the next; returns the number of users of each pod."""
    counts = Counter(route_view.link_counts)
    route_view = replace(route_view, link_counts=counts)
    before = counts.copy()
    for _ in range(users):
        best = best_pod(route_view, NOON)
        assert best is not None
        counts[best.key] += 1
    return counts - before


EQUAL: dict[str, tuple[int, dict[PodKey, Load], dict[PodKey, int]]] = {
    "no reports": (0, {}, {}),
    "all stale": (0, {key: load(key, key, links=key, age=STALE) for key in range(7)}, {}),
    "equal loads of idle pods": (0, {key: load() for key in range(7)}, {}),
    "equal loads without links": (0, {key: load(5, 5) for key in range(7)}, {}),
    "equal loads with different links": (
        0,
        {key: load(5, 5, links=key) for key in range(7)},
        {key: key for key in range(7)},
    ),
    "equal loads and links": (0, {key: load(5, 5, links=3) for key in range(7)}, dict.fromkeys(range(7), 3)),
    "idle pods with different links": (0, {key: load(links=key) for key in range(7)}, {key: key for key in range(7)}),
    "loads within the range": (6, {key: load(key, key) for key in range(7)}, {}),
}


@pytest.mark.parametrize(("width", "loads", "counts"), EQUAL.values(), ids=EQUAL)
def test_burst_of_10_000_users_is_spread_evenly_over_equal_pods(
    width: int, loads: dict[PodKey, Load], counts: dict[PodKey, int]
) -> None:
    pods, seven = map(pod, range(7)), workload(7)
    route_view = view(*pods, route=placement(range=width), workload=seven, loads=loads, link_counts=counts)
    received = burst(route_view, 10_000)
    assert max(received.values()) <= 1.1 * 10_000 / 7
    assert len(received) == 7


@given(st.integers(1, 9), st.integers(0, 100), st.integers(0, 9), st.integers(0, 9), st.integers(1, 400))
@settings(max_examples=50)
def test_equal_pods_receive_equal_parts_of_a_burst(
    pods: int, links: int, load_state: int, waiting_tasks: int, users: int
) -> None:
    reported: dict[PodKey, Load] = {key: load(load_state, waiting_tasks, links=links) for key in range(pods)}
    counts = dict.fromkeys(range(pods), links)
    route_view = view(*map(pod, range(pods)), workload=workload(pods), loads=reported, link_counts=counts)
    received = burst(route_view, users)
    assert max(received[key] for key in range(pods)) - min(received[key] for key in range(pods)) <= 1


def test_burst_equalizes_the_expected_loads() -> None:
    loads: dict[PodKey, Load] = {0: load(1, 1, links=10), 1: load(4, 4, links=10)}
    route_view = view(pod(0), pod(1), loads=loads, link_counts={0: 10, 1: 10})
    after = replace(route_view, link_counts=Counter({0: 10, 1: 10}) + burst(route_view, 1000))
    expected = expected_loads(after, NOON)
    assert abs(expected[0] - expected[1]) <= 500


@pytest.mark.parametrize(("links", "users"), [(0, 1000), (1, 1000)])
def test_new_pod_receives_only_its_part_of_a_burst(links: int, users: int) -> None:
    loads: dict[PodKey, Load] = {0: load(5, 5, links=100), 1: load(5, 5, links=100), 2: load(4, 4, links=links)}
    received = burst(view(*THREE, loads=loads, link_counts={0: 100, 1: 100, 2: links}), users)
    assert received[2] - received[0] in range(10, 30)
    assert abs(received[0] - received[1]) <= 1


@pytest.mark.parametrize(
    ("at_report", "now", "expected"),
    [
        ((10, 10), (10, 10), (6_000, 2_000)),
        ((10, 10), (11, 10), (6_400, 2_000)),
        ((10, 10), (10, 7), (6_000, 800)),
        ((20, 0), (20, 5), (6_000, 4_000)),
        ((0, 0), (9, 9), (6_000, 2_000)),
    ],
    ids=["no change", "one more", "three less", "one had no links", "none had links"],
)
def test_each_new_link_counts_as_much_as_the_average_link(
    at_report: tuple[int, int], now: tuple[int, int], expected: tuple[int, int]
) -> None:
    loads: dict[PodKey, Load] = {0: load(6, 6, links=at_report[0]), 1: load(2, 2, links=at_report[1])}
    route_view = view(pod(0), pod(1), loads=loads, link_counts=dict(enumerate(now)))
    assert tuple(expected_loads(route_view, NOON).values()) == expected
