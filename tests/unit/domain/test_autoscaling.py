"""How many pods a route needs for its links, and since when fewer are enough."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from statefulroute.api.autoscaling import Autoscaling
from statefulroute.domain.disruption.autoscaling import (
    Demand,
    NeededReplicas,
    Recommendation,
    ScaleDownWindow,
    needed_replicas,
    recommend,
)


def by_links(links_per_pod: int = 50, **fields: int) -> Autoscaling:
    return Autoscaling(**{"min_replicas": 1, "max_replicas": 100, **fields}, links_per_pod=links_per_pod)


def by_room(free_links: int, **fields: int) -> Autoscaling:
    return Autoscaling(**{"min_replicas": 1, "max_replicas": 1_000_000, **fields}, free_links=free_links)


def needed(autoscaling: Autoscaling, *links: int, limit: int = 0, **demand: int) -> tuple[int, int]:
    return needed_replicas(autoscaling, limit, Demand(links=links, **demand))


@pytest.mark.parametrize(
    ("links", "expected"), [((), 1), ((1,), 1), ((50,), 1), ((51,), 2), ((30, 30), 2), ((5_000,), 100), ((9_999,), 100)]
)
def test_there_is_a_pod_for_each_number_of_links_within_the_bounds(links: Sequence[int], expected: int) -> None:
    assert needed(by_links(), *links) == (expected, expected)


def test_links_that_wait_are_demand() -> None:
    assert needed(by_links(), 50, waiting=1) == (2, 2)
    assert needed(by_room(5), 5, limit=10, waiting=1) == (2, 2)


def test_links_on_closing_pods_need_no_pod_but_keep_others_from_closing() -> None:
    assert needed(by_links(), 50, leaving=50) == (1, 2)
    assert needed(by_room(5), 5, limit=10, leaving=5) == (1, 2)


def test_closing_pods_that_come_back_are_needed_beside_the_others() -> None:
    assert needed(by_links(), 50, leaving=50, returning=1) == (2, 2)
    assert needed(by_links(), 51, leaving=50, returning=1) == (3, 3)


def test_pod_with_more_links_than_allowed_takes_no_room_from_others_until_it_closes() -> None:
    assert needed(by_room(10), 15, 0, limit=10) == (2, 3)
    assert needed(by_room(10), 0, limit=10, leaving=15) == (1, 3)


def test_limit_of_a_pod_counts_where_it_is_lower_than_the_links_per_pod() -> None:
    assert needed(by_links(50), 10, 10, limit=10, waiting=1) == (3, 3)


@pytest.mark.parametrize("autoscaling", [by_links(min_replicas=0), by_room(20, min_replicas=0)])
@pytest.mark.parametrize(
    ("demand", "is_idle"),
    [
        (Demand(), True),
        (Demand(links=(0, 0)), True),
        (Demand(links=(1,)), False),
        (Demand(waiting=1), False),
        (Demand(leaving=1), False),
    ],
)
def test_nothing_is_needed_only_without_any_link(autoscaling: Autoscaling, demand: Demand, is_idle: bool) -> None:
    assert (needed_replicas(autoscaling, 10, demand).at_most == 0) == is_idle


@given(
    links=st.lists(st.integers(0, 30), max_size=8),
    waiting=st.integers(0, 60),
    free=st.integers(1, 60),
    limit=st.integers(1, 20),
)
def test_so_many_pods_have_the_free_places_and_one_less_has_not(
    links: list[int], waiting: int, free: int, limit: int
) -> None:
    replicas, _ = needed(by_room(free), *links, limit=limit, waiting=waiting)
    present = sum(min(each, limit) for each in links)

    def has_room(pods: int) -> bool:
        """Whether these pods, with the links of all present ones, have room for those that wait and the free places."""
        return pods * limit - present >= waiting + free

    assert has_room(replicas)
    assert not has_room(replicas - 1)


@given(
    links=st.lists(st.integers(0, 30), max_size=8),
    leaving=st.integers(0, 100),
    waiting=st.integers(0, 60),
    autoscaling=st.sampled_from([by_links(7), by_room(5), by_links(7, min_replicas=0), by_room(5, min_replicas=0)]),
)
def test_pods_that_stay_are_enough_when_the_links_of_closing_pods_move_to_them(
    links: list[int], leaving: int, waiting: int, autoscaling: Autoscaling
) -> None:
    limit = 10
    kept = needed(autoscaling, *links, limit=limit, leaving=leaving, waiting=waiting)[1]
    assert needed(autoscaling, *links, limit=limit, waiting=waiting + leaving)[0] <= kept


def test_pods_are_added_at_once() -> None:
    assert recommend(by_links(), NeededReplicas(3, 3), 1, ScaleDownWindow.start(1, 0), 0)[0] == Recommendation(3, 3)


def test_pods_are_removed_when_fewer_were_enough_for_the_period() -> None:
    settings, window = by_links(scale_down_after_seconds=300), ScaleDownWindow.start(5, 0)
    _, window = recommend(settings, NeededReplicas(2, 2), 5, window, 0)
    before, window = recommend(settings, NeededReplicas(2, 2), 5, window, 299)
    assert before == Recommendation(5, 2, changes_in=1)
    assert recommend(settings, NeededReplicas(2, 2), 5, window, 300)[0] == Recommendation(2, 2)


def test_number_that_was_needed_for_a_moment_is_kept_for_the_whole_period() -> None:
    settings, window = by_links(scale_down_after_seconds=300), ScaleDownWindow.start(5, 0)
    _, window = recommend(settings, NeededReplicas(2, 2), 5, window, 0)
    _, window = recommend(settings, NeededReplicas(4, 4), 5, window, 200)
    _, window = recommend(settings, NeededReplicas(2, 2), 5, window, 201)
    assert recommend(settings, NeededReplicas(2, 2), 5, window, 300)[0] == Recommendation(4, 2, changes_in=201)
    assert recommend(settings, NeededReplicas(2, 2), 4, window, 500.5)[0].replicas == 4
    assert recommend(settings, NeededReplicas(2, 2), 4, window, 501)[0].replicas == 2


def test_bounds_apply_at_once() -> None:
    window = ScaleDownWindow.start(5, 0)
    assert recommend(by_links(max_replicas=3), NeededReplicas(1, 1), 5, window, 1)[0].replicas == 3
    edited = by_links(min_replicas=7)
    assert recommend(edited, needed_replicas(edited, 0, Demand()), 5, window, 1)[0].replicas == 7


def test_nothing_waits_without_a_period() -> None:
    window = ScaleDownWindow.start(5, 0)
    assert recommend(by_links(scale_down_after_seconds=0), NeededReplicas(2, 2), 5, window, 0)[0].replicas == 2


@given(
    steps=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 40)), min_size=1, max_size=30), start=st.integers(0, 9)
)
@example(steps=[(9, 0), (1, 100), (1, 200)], start=1)
def test_window_keeps_the_largest_number_of_the_period(steps: list[tuple[int, int]], start: int) -> None:
    seconds, now, window = 60, 0, ScaleDownWindow.start(start, 0)
    needs = [(0, start)]  # since when which number is needed
    for replicas, pause in steps:
        now += pause
        needs.append((now, replicas))
        window = window.observe(replicas, now, seconds)
        ends = [begin for begin, _ in needs[1:]] + [float("inf")]
        in_period = [number for (_, number), end in zip(needs, ends, strict=True) if end > now - seconds]
        assert window.maximum == max(in_period)
        fall = window.next_fall(seconds)
        assert (fall is None) == (window.maximum == replicas)
        if fall is not None:
            assert fall > now
            assert window.observe(replicas, fall, seconds).maximum < window.maximum
            assert window.observe(replicas, fall - 0.01, seconds).maximum == window.maximum
