"""Which pod takes a new user: by its load where that is known, by its links where it is not."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from statefulroute.api.vocabulary import LinkReason, RoutingState, ServiceState
from statefulroute.domain.decision import Bind, LinkView, UpdateStatus, decide
from statefulroute.domain.keys import PodKey
from statefulroute.domain.load import Load
from statefulroute.domain.placement import available_pods, best_pod, expected_loads, good_set, has_room
from statefulroute.domain.pod import Pod
from statefulroute.domain.route import PodLoss, RouteView
from unit.domain.builders import NOON, STALE, deployment, link, load, named_pod, pod, route, view

THREE = (pod(0), pod(1), pod(2))


def placed(*pods: Pod, **more: Any) -> PodKey | None:
    """The pod that takes a new user at noon."""
    found = best_pod(view(*pods, **more), NOON)
    return found and found.key


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
        ({0: load(5, 5), 1: load(3, 3, **OLD), 2: load(4, 4, **OLD)}, {0: 900}, 0),
        ({0: load(5, 5)}, {0: 900}, 0),
        ({0: load(5, 5, **OLD), 1: load(3, 3, **OLD), 2: load(4, 4, **OLD)}, {0: 2, 1: 3, 2: 1}, 2),
        ({}, {0: 2, 1: 1, 2: 3}, 1),
        ({}, {}, 0),
        ({0: load(age=-60), 1: load(1, 1)}, {}, 0),
    ],
    ids=[
        "the least loaded",
        "also if it carries more links",
        "waiting tasks weigh more",
        "a stale pod takes nobody while a fresh one is there",
        "whatever that one carries",
        "a pod that says nothing takes nobody either",
        "all are stale: the fewest links",
        "all are silent: the fewest links",
        "among equals the first",
        "a load of the future counts",
    ],
)
def test_a_new_user_gets_the_pod_that_has_reported_the_least_load(
    loads: dict[PodKey, Load], counts: dict[PodKey, int], key: int
) -> None:
    assert placed(*THREE, loads=loads, counts=counts) == key


@pytest.mark.parametrize(("age", "key"), [(10, 1), (10.000001, 0)])
def test_a_load_counts_for_as_long_as_the_route_says(age: float, key: int) -> None:
    loads = {0: load(9, 9), 1: load(1, 1, age=age)}
    assert placed(pod(0), pod(1), loads=loads, of=route(load={"staleAfterSeconds": 10})) == key


def test_a_load_is_weighed_as_the_route_says() -> None:
    loads = {0: load(0, 7), 1: load(6, 0)}
    assert [
        placed(pod(0), pod(1), loads=loads, of=route(load={"cpuFactorPercent": percent})) for percent in (0, 46, 47)
    ] == [0, 0, 1]


@pytest.mark.parametrize(("width", "keys"), [(0, [1]), (1, [1]), (2, [0, 1]), (3, [0, 1, 2]), (2**31 - 1, [0, 1, 2])])
def test_the_pods_whose_load_is_within_the_range_of_the_best_share_the_new_users(width: int, keys: list[int]) -> None:
    loads = {0: load(5, 5), 1: load(3, 3), 2: load(6, 6)}
    seen = view(*THREE, loads=loads, of=placement(range=width))
    assert [each.key for each in good_set(seen, NOON)] == keys


@pytest.mark.parametrize(("load_state", "is_in"), [(6, True), (7, False)])
def test_the_range_is_of_weighted_load(load_state: int, is_in: bool) -> None:
    loads = {0: load(0, 0), 1: load(load_state, 0)}  # 1.8 or 2.1 of weighted load
    seen = view(pod(0), pod(1), loads=loads, of=placement(range=2))
    assert (len(good_set(seen, NOON)) == 2) is is_in


@pytest.mark.parametrize(
    ("counts", "key"), [({0: 10, 1: 4, 2: 7}, 0), ({0: 12, 1: 5, 2: 8}, 1), ({0: 12, 1: 6, 2: 8}, 2)]
)
def test_among_pods_of_one_load_the_next_is_the_one_with_the_fewest_links_since_its_report(
    counts: dict[PodKey, int], key: int
) -> None:
    loads = {0: load(links=10), 1: load(links=4), 2: load(links=7)}
    assert placed(*THREE, loads=loads, counts=counts) == key


def test_a_pod_that_has_got_links_since_its_report_is_expected_to_be_busier() -> None:
    loads = {0: load(5, 5, links=10), 1: load(6, 6, links=10)}
    chosen = [placed(pod(0), pod(1), loads=loads, counts={0: links, 1: 12}) for links in (10, 13, 14)]
    assert chosen == [0, 0, 1], "a link weighs 0.55: 5 + 3 * 0.55 is less than 6 + 2 * 0.55, 5 + 4 * 0.55 more"


def test_a_pod_that_has_lost_links_since_its_report_is_expected_to_be_less_busy() -> None:
    loads = {0: load(5, 5, links=10), 1: load(4, 4, links=10)}
    assert placed(pod(0), pod(1), loads=loads, counts={0: 7, 1: 10}) == 0


@pytest.mark.parametrize(
    ("links", "most", "room"), [(0, 0, True), (9, 0, True), (0, 1, True), (1, 1, False), (2, 1, False)]
)
def test_a_pod_has_room_while_it_carries_less_than_the_most(links: int, most: int, room: bool) -> None:
    seen = view(pod(0), counts={0: links}, of=placement(maxLinksPerPod=most))
    assert has_room(seen, seen.pods[0]) is room


def test_a_full_pod_is_passed_over_for_a_busier_one() -> None:
    loads = {0: load(1, 1), 1: load(9, 9)}
    assert placed(pod(0), pod(1), loads=loads, counts={0: 5}, of=placement(maxLinksPerPod=5)) == 1


def test_a_full_pod_does_not_set_the_range() -> None:
    loads = {0: load(0, 0), 1: load(8, 8), 2: load(9, 9)}
    seen = view(*THREE, loads=loads, counts={0: 5, 1: 1}, of=placement(maxLinksPerPod=5, range=1))
    assert [each.key for each in good_set(seen, NOON)] == [1, 2]


def test_a_stale_pod_takes_nobody_although_every_fresh_one_is_full() -> None:
    seen = view(pod(0), pod(1), loads={0: load(1, 1)}, counts={0: 1}, of=placement(maxLinksPerPod=1))
    assert best_pod(seen, NOON) is None
    plan = decide(LinkView(link(), seen, NOON))
    assert isinstance(plan, UpdateStatus)
    assert plan.status.reason is LinkReason.AT_CAPACITY
    a_bit_later = NOON + timedelta(seconds=STALE)
    assert decide(LinkView(link(), seen, a_bit_later)) == Bind(1), (
        "when nothing is fresh any more, the links are counted"
    )


UNAVAILABLE: dict[str, tuple[Pod, dict[PodKey, PodLoss]]] = {
    "denies": (pod(0, reported_routing_state=RoutingState.DENY_NEW_CALL), {}),
    "shut down": (pod(0, reported_routing_state=RoutingState.SHUTDOWN), {}),
    "ends, and still serves": (pod(0, ServiceState.TERMINATING, is_ready=True), {}),
    "ends": (pod(0, ServiceState.TERMINATING), {}),
    "not ready": (pod(0, ServiceState.NOT_READY), {}),
    "lost": (pod(0), {0: PodLoss("is gone", is_grace_over=False)}),
}


@pytest.mark.parametrize(("other", "lost"), UNAVAILABLE.values(), ids=UNAVAILABLE)
@pytest.mark.parametrize("loads", [{0: load(0, 0), 1: load(9, 9)}, {0: load(0, 0)}, {}], ids=["fresh", "alone", "none"])
def test_a_pod_that_takes_no_new_users_gets_none_however_idle_it_is(
    other: Pod, lost: dict[PodKey, PodLoss], loads: dict[PodKey, Load]
) -> None:
    assert placed(other, pod(1), lost=lost, loads=loads, counts={1: 900}) == 1
    assert placed(other, lost=lost, loads=loads) is None


def test_a_pod_without_an_index_is_chosen_by_the_same_rules() -> None:
    pods = [named_pod(f"game-{name}") for name in ("c", "a", "b")]
    assert placed(*pods, workload=deployment()) == "game-a"
    assert placed(*pods, workload=deployment(), counts={"game-a": 1, "game-b": 1}) == "game-c"
    loads: dict[PodKey, Load] = {"game-a": load(5, 5), "game-b": load(4, 4)}
    assert placed(*pods, workload=deployment(), loads=loads) == "game-b"


@given(st.permutations([0, 2, 10, 1]))
def test_the_first_among_equals_is_that_of_the_lowest_index_in_whatever_order_they_come(order: list[int]) -> None:
    assert placed(*map(pod, order[1:])) == min(order[1:])


keys = st.integers(0, 5)
pods = st.builds(
    lambda index, state, said, serves: pod(index, state, said, is_ready=serves and state in _MAY_BE_READY),
    keys,
    st.sampled_from(ServiceState),
    st.sampled_from(RoutingState),
    st.booleans(),
)
_MAY_BE_READY = (ServiceState.READY, ServiceState.TERMINATING)
ages = st.sampled_from([0.0, 30.0, 90.0, STALE, 1000.0, -5.0])
loads = st.builds(
    lambda load_state, tasks, links, age, said: load(load_state, tasks, links=links, age=age, routing_state=said),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 9),
    ages,
    st.sampled_from([RoutingState.UNKNOWN, RoutingState.UNKNOWN, RoutingState.DENY_NEW_CALL]),
)
views = st.builds(
    lambda some, counts, reported, lost, width, most, percent: view(
        *some,
        of=route(placement={"range": width, "maxLinksPerPod": most}, load={"cpuFactorPercent": percent}),
        counts=counts,
        loads=reported,
        lost=dict.fromkeys(lost, PodLoss("is gone", is_grace_over=True)),
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
def test_no_choice_falls_on_a_pod_that_is_unavailable_lost_full_or_stale_beside_a_fresh_one(seen: RouteView) -> None:
    chosen = best_pod(seen, NOON)
    allowed = [
        each
        for each in seen.pods.values()
        if each.pod.is_ready and each.routing_state is RoutingState.READY and each.key not in seen.lost
    ]
    assert available_pods(seen) == allowed
    fresh = [each for each in allowed if seen.fresh_load(each.key, NOON) is not None]
    most = seen.route.spec.placement.max_links_per_pod
    with_room = [each for each in fresh or allowed if not most or seen.link_count(each.key) < most]
    assert (chosen is None) == (not with_room)
    if chosen is not None:
        assert chosen in with_room


@given(views)
@settings(max_examples=500)
def test_no_other_pod_would_be_a_better_choice(seen: RouteView) -> None:
    chosen = best_pod(seen, NOON)
    if chosen is None:
        return
    rivals = [each for each in available_pods(seen) if has_room(seen, each)]
    expected = expected_loads(seen, NOON)
    known = {each.key: expected[each.key] for each in rivals if each.key in expected}
    if known:
        assert known[chosen.key] - min(known.values()) <= seen.route.spec.placement.range * 1000
    else:
        assert seen.link_count(chosen.key) == min(seen.link_count(each.key) for each in rivals)


def burst(seen: RouteView, users: int) -> Counter[PodKey]:
    """Place so many users one after the other, each counted before the next; gives how many each pod has got."""
    counts = Counter(seen.link_counts)
    seen = replace(seen, link_counts=counts)
    before = counts.copy()
    for _ in range(users):
        chosen = best_pod(seen, NOON)
        assert chosen is not None
        counts[chosen.key] += 1
    return counts - before


EQUAL: dict[str, tuple[int, dict[PodKey, Load], dict[PodKey, int]]] = {
    "nobody has reported": (0, {}, {}),
    "all are stale": (0, {key: load(key, key, links=key, age=STALE) for key in range(7)}, {}),
    "equal loads of idle pods": (0, {key: load() for key in range(7)}, {}),
    "equal loads without links": (0, {key: load(5, 5) for key in range(7)}, {}),
    "equal loads of pods of other links": (
        0,
        {key: load(5, 5, links=key) for key in range(7)},
        {key: key for key in range(7)},
    ),
    "equal loads and links": (0, {key: load(5, 5, links=3) for key in range(7)}, dict.fromkeys(range(7), 3)),
    "idle pods of other links": (0, {key: load(links=key) for key in range(7)}, {key: key for key in range(7)}),
    "loads within the range": (6, {key: load(key, key) for key in range(7)}, {}),
}


@pytest.mark.parametrize(("width", "loads", "counts"), EQUAL.values(), ids=EQUAL)
def test_of_a_burst_of_10_000_users_the_fullest_of_equal_pods_gets_at_most_a_tenth_more_than_the_mean(
    width: int, loads: dict[PodKey, Load], counts: dict[PodKey, int]
) -> None:
    got = burst(view(*map(pod, range(7)), of=placement(range=width), loads=loads, counts=counts), 10_000)
    assert max(got.values()) <= 1.1 * 10_000 / 7
    assert len(got) == 7


@given(st.integers(1, 9), st.integers(0, 100), st.integers(0, 9), st.integers(0, 9), st.integers(1, 400))
@settings(max_examples=50)
def test_equal_pods_get_equally_many_of_any_burst(
    pods: int, links: int, load_state: int, waiting_tasks: int, users: int
) -> None:
    reported: dict[PodKey, Load] = {key: load(load_state, waiting_tasks, links=links) for key in range(pods)}
    seen = view(*map(pod, range(pods)), loads=reported, counts=dict.fromkeys(range(pods), links))
    got = burst(seen, users)
    assert max(got[key] for key in range(pods)) - min(got[key] for key in range(pods)) <= 1


def test_a_burst_goes_to_busy_and_idle_pods_until_they_are_expected_to_be_equally_busy() -> None:
    loads: dict[PodKey, Load] = {0: load(1, 1, links=10), 1: load(4, 4, links=10)}
    seen = view(pod(0), pod(1), loads=loads, counts={0: 10, 1: 10})
    after = replace(seen, link_counts=Counter({0: 10, 1: 10}) + burst(seen, 1000))
    expected = expected_loads(after, NOON)
    assert abs(expected[0] - expected[1]) <= 500


@pytest.mark.parametrize(("links", "users"), [(0, 1000), (1, 1000)])
def test_a_pod_that_has_just_come_gets_its_part_of_a_burst_and_no_more(links: int, users: int) -> None:
    loads: dict[PodKey, Load] = {0: load(5, 5, links=100), 1: load(5, 5, links=100), 2: load(4, 4, links=links)}
    got = burst(view(*THREE, loads=loads, counts={0: 100, 1: 100, 2: links}), users)
    assert got[2] - got[0] in range(10, 30)
    assert abs(got[0] - got[1]) <= 1


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        ((10, 10), (10, 10), (6_000, 2_000)),
        ((10, 10), (11, 10), (6_400, 2_000)),
        ((10, 10), (10, 7), (6_000, 800)),
        ((20, 0), (20, 5), (6_000, 4_000)),
        ((0, 0), (9, 9), (6_000, 2_000)),
    ],
    ids=["none since", "one more", "three less", "one had none", "none had any"],
)
def test_each_link_since_the_reports_weighs_as_much_as_the_links_did_on_the_average(
    then: tuple[int, int], now: tuple[int, int], expected: tuple[int, int]
) -> None:
    loads: dict[PodKey, Load] = {0: load(6, 6, links=then[0]), 1: load(2, 2, links=then[1])}
    seen = view(pod(0), pod(1), loads=loads, counts=dict(enumerate(now)))
    assert tuple(expected_loads(seen, NOON).values()) == expected
