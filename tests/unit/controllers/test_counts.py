"""How many links each pod carries, after any change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statefulroute.cluster.cache import Cache
from statefulroute.controllers.links.counts import LinkCounts
from statefulroute.domain.keys import LinkKey, RouteKey
from statefulroute.domain.link import Link
from unit.controllers.environment import GAME, link, route

CHESS = RouteKey("games", "chess")
ALICE, BOB = LinkKey(GAME, "game.alice"), LinkKey(GAME, "game.bob")


@pytest.fixture
def counts() -> LinkCounts:
    return LinkCounts()


@pytest.fixture
def cache(counts: LinkCounts) -> Cache[Link]:
    cache: Cache[Link] = Cache()
    cache.listen(counts.link_changed)
    return cache


def test_route_without_links_has_no_counts(counts: LinkCounts) -> None:
    assert counts.of(GAME) == {}


def test_counts_follow_links_that_are_created_moved_and_deleted(counts: LinkCounts, cache: Cache[Link]) -> None:
    live = counts.of(GAME)
    cache.put(link(1, "alice", pod=0))
    cache.put(link(1, "bob", pod=0))
    cache.put(link(1, "carol"))
    assert live == {0: 2}
    cache.put(link(2, "carol", pod=2))
    cache.put(link(2, "alice", pod=2))
    assert live == {0: 1, 2: 2}
    cache.delete(GAME, "game.bob", 3)
    assert live == {2: 2}
    cache.put(link(3, "carol"))
    cache.delete(GAME, "game.alice", 4)
    assert live == {}
    assert counts.of(GAME) is live


def test_link_into_another_namespace_counts_for_no_pod(counts: LinkCounts, cache: Cache[Link]) -> None:
    cache.put(link(1, pod=0, foreign_namespace="other"))
    assert counts.of(GAME) == {}
    cache.put(link(2, pod=0))
    assert counts.of(GAME) == {0: 1}
    cache.put(link(3, pod=0, foreign_namespace="other"))
    assert counts.of(GAME) == {}


def test_each_route_has_its_own_counts(counts: LinkCounts, cache: Cache[Link]) -> None:
    cache.put(link(1, pod=0))
    cache.put(link(1, key=CHESS, pod=0))
    cache.put(link(1, "bob", key=CHESS, pod=1))
    assert (counts.of(GAME), counts.of(CHESS)) == ({0: 1}, {0: 1, 1: 1})


def test_assumed_link_counts_until_its_binding_does(counts: LinkCounts, cache: Cache[Link]) -> None:
    cache.put(link(1))
    with counts.assume(ALICE, 3):
        assert counts.of(GAME)[3] == 1
        cache.put(link(2, pod=3))
        assert counts.of(GAME)[3] == 1, "the watch was faster than the answer: it is one link all the same"
    assert counts.of(GAME)[3] == 1


def test_assumed_link_does_not_count_after_its_binding_failed(counts: LinkCounts, cache: Cache[Link]) -> None:
    cache.put(link(1, pod=3))

    def fail() -> None:
        with counts.assume(BOB, 3):
            assert counts.of(GAME)[3] == 2
            raise RuntimeError("no answer")

    with pytest.raises(RuntimeError):
        fail()
    assert counts.of(GAME)[3] == 1
    cache.delete(GAME, "game.alice", 2)
    assert counts.of(GAME).get(3, 0) == 0


def test_last_link_may_be_deleted_while_another_is_assumed(counts: LinkCounts, cache: Cache[Link]) -> None:
    cache.put(link(1, pod=3))
    with counts.assume(BOB, 3):
        cache.delete(GAME, "game.alice", 2)
        assert counts.of(GAME)[3] == 1
    assert counts.of(GAME).get(3, 0) == 0


USERS = st.sampled_from(["alice", "bob", "carol"])
PLACES = st.one_of(st.none(), st.integers(0, 2))


@given(st.lists(st.tuples(USERS, st.one_of(st.just("gone"), st.tuples(PLACES, st.booleans()))), max_size=30))
def test_counts_equal_those_of_the_existing_links_after_any_changes(
    changes: list[tuple[str, str | tuple[int | None, bool]]],
) -> None:
    counts, cache = LinkCounts(), Cache[Link]()
    cache.listen(counts.link_changed)
    for version, (user, change) in enumerate(changes, 1):
        if isinstance(change, str):
            cache.delete(GAME, f"game.{user}", version)
        else:
            index, foreign = change
            cache.put(link(version, user, pod=index, foreign_namespace="other" if foreign else None))
    held = [each.assigned_pod for each in cache.in_partition(GAME).values()]
    assert counts.of(GAME) == {index: held.count(index) for index in held if index is not None}


def test_counts_of_routes_that_only_links_name_are_dropped(counts: LinkCounts, cache: Cache[Link]) -> None:
    for number in range(100):
        made_up = RouteKey("games", f"made-up-{number}")
        cache.put(link(1, key=made_up, pod=0))
        cache.delete(made_up, f"{made_up.name}.alice", 2)
    assert len(counts) == 0


def test_counts_of_deleted_route_are_dropped_with_its_last_link(counts: LinkCounts, cache: Cache[Link]) -> None:
    counts.of(GAME)
    cache.put(link(1, pod=0))
    counts.route_changed(route(1), None)
    assert len(counts) == 1
    cache.delete(GAME, "game.alice", 2)
    assert len(counts) == 0
