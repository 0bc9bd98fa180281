"""The places of held look-ups: a caller alone may have all of them, and several have equal shares."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from statefulroute.domain.held_places import HeldPlaces
from statefulroute.domain.keys import RouteKey

A, B, OTHER = RouteKey("a", "x"), RouteKey("a", "y"), RouteKey("b", "x")


def fill(places: HeldPlaces[str], route: RouteKey, caller: str, number: int) -> list[str | None]:
    """Takes a number of places; returns what has no place afterwards, each time."""
    return [places.take(route, caller, f"{route.namespace}/{route.name}/{caller}/{each}") for each in range(number)]


def test_one_caller_may_have_all_places_and_then_gets_no_more() -> None:
    places = HeldPlaces[str](5)
    assert fill(places, A, "gateway", 6) == [None] * 5 + ["a/x/gateway/5"]
    assert len(places) == 5


def test_new_item_takes_the_place_of_the_latest_item_of_the_largest_namespace() -> None:
    places = HeldPlaces[str](4)
    fill(places, A, "gateway", 4)
    assert fill(places, OTHER, "gateway", 3) == ["a/x/gateway/3", "a/x/gateway/2", "b/x/gateway/2"]


def test_routes_of_a_namespace_and_callers_of_a_route_have_equal_shares() -> None:
    places = HeldPlaces[str](6)
    fill(places, A, "gateway", 6)
    assert fill(places, B, "gateway", 4)[-1] == "a/y/gateway/3"
    assert fill(places, A, "other", 2) == ["a/x/gateway/2", "a/x/other/1"]


def test_released_place_is_free() -> None:
    places = HeldPlaces[str](1)
    assert places.take(A, "gateway", "first") is None
    assert places.release(A, "gateway", "first")
    assert not places.release(A, "gateway", "first")
    assert not places.release(OTHER, "gateway", "first")
    assert places.take(OTHER, "gateway", "second") is None


_STEPS = st.lists(st.tuples(st.sampled_from((A, B, OTHER)), st.sampled_from("pq"), st.booleans()), max_size=60)


@given(total=st.integers(1, 8), steps=_STEPS)
def test_places_are_limited_and_only_larger_shares_lose_one(
    total: int, steps: list[tuple[RouteKey, str, bool]]
) -> None:
    places, held = HeldPlaces[int](total), dict[int, tuple[RouteKey, str]]()
    for item, (route, caller, arrives) in enumerate(steps):
        if arrives:
            lost = places.take(route, caller, item)
            if lost is None:
                assert len(held) < total
            else:
                assert len(held) == total
            if lost is not None and lost != item:
                _assert_larger(held, held[lost], (route, caller))
                del held[lost]
            if lost != item:
                held[item] = (route, caller)
        elif held:
            oldest = next(iter(held))
            assert places.release(*held.pop(oldest), oldest)
        assert len(places) == len(held) <= total
    for item, owner in held.items():
        assert places.release(*owner, item)
    assert len(places) == 0


def _assert_larger(
    held: dict[int, tuple[RouteKey, str]], loser: tuple[RouteKey, str], newcomer: tuple[RouteKey, str]
) -> None:
    """Checks that the loser had more than the newcomer then has, at the level where the two differ."""
    for level in (lambda owner: owner[0].namespace, lambda owner: owner[0], lambda owner: owner):
        if level(loser) != level(newcomer):
            counts = Counter(map(level, held.values()))
            assert counts[level(loser)] > counts[level(newcomer)] + 1
            return
    raise AssertionError("an item of the newcomer's own caller lost its place")


@given(st.integers(2, 5), st.integers(5, 40))
def test_each_of_several_busy_namespaces_gets_its_part(namespaces: int, total: int) -> None:
    places, held = HeldPlaces[tuple[int, int]](total), set[tuple[int, int]]()
    for namespace in range(namespaces):
        for number in range(total):
            item = (namespace, number)
            held.add(item)
            if (lost := places.take(RouteKey(str(namespace), "x"), "gateway", item)) is not None:
                held.discard(lost)
    counts = Counter(namespace for namespace, _ in held)
    assert max(counts.values()) - min(counts[each] for each in range(namespaces)) <= 1
