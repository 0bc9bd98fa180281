"""The cache: one version of each object, and never an older one after a newer one."""

from dataclasses import dataclass, replace

import pytest

from statefulroute.cluster.cache import Cache


@dataclass(frozen=True)
class Thing:
    partition: str
    name: str
    resource_version: int


A1 = Thing("north", "a", 1)
B2 = Thing("north", "b", 2)
C3 = Thing("south", "c", 3)

Told = list[tuple[Thing | None, Thing | None]]


@pytest.fixture
def cache() -> Cache[Thing]:
    return Cache()


@pytest.fixture
def told(cache: Cache[Thing]) -> Told:
    told: Told = []
    cache.listen(lambda old, new: told.append((old, new)))
    return told


def test_an_empty_cache_holds_nothing(cache: Cache[Thing]) -> None:
    assert (len(cache), list(cache)) == (0, [])
    assert cache.get("north", "a") is None
    assert dict(cache.in_partition("north")) == {}


def test_objects_are_found_by_group_and_name(cache: Cache[Thing]) -> None:
    for thing in (A1, B2, C3):
        cache.put(thing)
    assert len(cache) == 3
    assert set(cache) == {("north", "a"), ("north", "b"), ("south", "c")}
    assert (cache.get("north", "b"), cache.get("south", "b")) == (B2, None)
    assert dict(cache.in_partition("north")) == {"a": A1, "b": B2}


def test_the_same_name_in_two_groups_is_two_objects(cache: Cache[Thing]) -> None:
    cache.put(A1)
    cache.put(replace(A1, partition="south", resource_version=9))
    cache.delete("south", "a", 9)
    assert list(cache) == [("north", "a")]


def test_a_group_is_a_live_view_and_cannot_be_changed_where_it_is_empty(cache: Cache[Thing]) -> None:
    cache.put(A1)
    view = cache.in_partition("north")
    cache.put(B2)
    assert set(view) == {"a", "b"}
    with pytest.raises(TypeError):
        cache.in_partition("south")["c"] = C3  # type: ignore[index]


def test_a_group_without_objects_vanishes(cache: Cache[Thing]) -> None:
    cache.put(A1)
    cache.delete("north", "a", 1)
    assert (len(cache), list(cache)) == (0, [])
    assert not cache._partitions  # noqa: SLF001 - a hundred thousand routes that came and went must cost nothing
    cache.put(replace(A1, resource_version=5))
    assert list(cache) == [("north", "a")]


@pytest.mark.parametrize(("version", "held"), [(4, 5), (5, 5), (6, 6)])
def test_only_a_newer_version_is_taken_in(cache: Cache[Thing], told: Told, version: int, held: int) -> None:
    old, new = replace(A1, resource_version=5), replace(A1, resource_version=version)
    cache.put(old)
    cache.put(new)
    found = cache.get("north", "a")
    assert found is not None
    assert found.resource_version == held
    assert told == [(None, old)] + ([(old, new)] if held == version != 5 else [])


@pytest.mark.parametrize(("version", "remains"), [(4, True), (5, False), (6, False)])
def test_only_a_deletion_that_is_no_older_is_believed(
    cache: Cache[Thing], told: Told, version: int, *, remains: bool
) -> None:
    thing = replace(A1, resource_version=5)
    cache.put(thing)
    cache.delete("north", "a", version)
    assert (cache.get("north", "a") is not None) is remains
    assert told == [(None, thing)] + ([] if remains else [(thing, None)])


@pytest.mark.parametrize(("partition", "name"), [("north", "z"), ("nowhere", "a")])
def test_the_deletion_of_an_unknown_object_is_nothing(
    cache: Cache[Thing], told: Told, partition: str, name: str
) -> None:
    cache.put(A1)
    cache.delete(partition, name, 100)
    assert (list(cache), told) == ([("north", "a")], [(None, A1)])


def test_listeners_are_called_in_the_order_in_which_they_came_and_see_the_change(cache: Cache[Thing]) -> None:
    seen: list[tuple[str, Thing | None, Thing | None, Thing | None]] = []
    for name in ("first", "second"):
        cache.listen(lambda old, new, name=name: seen.append((name, old, new, cache.get("north", "a"))))  # type: ignore[misc]
    later = replace(A1, resource_version=7)
    cache.put(A1)
    cache.put(later)
    cache.delete("north", "a", 7)
    assert seen == [
        ("first", None, A1, A1),
        ("second", None, A1, A1),
        ("first", A1, later, later),
        ("second", A1, later, later),
        ("first", later, None, None),
        ("second", later, None, None),
    ]


def test_a_listener_is_not_told_of_what_was_before_it_came(cache: Cache[Thing]) -> None:
    cache.put(A1)
    told: Told = []
    cache.listen(lambda old, new: told.append((old, new)))
    assert told == []
