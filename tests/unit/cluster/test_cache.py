"""The cache holds one version of each object, and only a list replaces a version with an older one."""

import math
from dataclasses import dataclass, replace

import pytest

from statefulroute.cluster.cache import Cache


@dataclass(frozen=True)
class Item:
    partition: str
    name: str
    resource_version: int


A1 = Item("north", "a", 1)
B2 = Item("north", "b", 2)
C3 = Item("south", "c", 3)

Changes = list[tuple[Item | None, Item | None]]


@pytest.fixture
def cache() -> Cache[Item]:
    return Cache()


@pytest.fixture
def changes(cache: Cache[Item]) -> Changes:
    changes: Changes = []
    cache.listen(lambda old, new: changes.append((old, new)))
    return changes


def test_an_empty_cache_has_no_objects(cache: Cache[Item]) -> None:
    assert (len(cache), list(cache)) == (0, [])
    assert cache.get("north", "a") is None
    assert dict(cache.in_partition("north")) == {}


def test_objects_are_found_by_partition_and_name(cache: Cache[Item]) -> None:
    for item in (A1, B2, C3):
        cache.put(item)
    assert len(cache) == 3
    assert set(cache) == {("north", "a"), ("north", "b"), ("south", "c")}
    assert (cache.get("north", "b"), cache.get("south", "b")) == (B2, None)
    assert dict(cache.in_partition("north")) == {"a": A1, "b": B2}


def test_the_same_name_in_two_partitions_is_two_objects(cache: Cache[Item]) -> None:
    cache.put(A1)
    cache.put(replace(A1, partition="south", resource_version=9))
    cache.delete("south", "a", 9)
    assert list(cache) == [("north", "a")]


def test_a_partition_is_a_live_view_and_is_read_only_if_empty(cache: Cache[Item]) -> None:
    cache.put(A1)
    view = cache.in_partition("north")
    cache.put(B2)
    assert set(view) == {"a", "b"}
    with pytest.raises(TypeError):
        cache.in_partition("south")["c"] = C3  # type: ignore[index]


def test_an_empty_partition_is_removed(cache: Cache[Item]) -> None:
    cache.put(A1)
    cache.delete("north", "a", 1)
    assert (len(cache), list(cache)) == (0, [])
    assert not cache._partitions  # noqa: SLF001 - deleted routes must not cost memory
    cache.put(replace(A1, resource_version=5))
    assert list(cache) == [("north", "a")]


@pytest.mark.parametrize(("version", "expected"), [(4, 5), (5, 5), (6, 6)])
def test_only_a_newer_version_is_stored(cache: Cache[Item], changes: Changes, version: int, expected: int) -> None:
    old, new = replace(A1, resource_version=5), replace(A1, resource_version=version)
    cache.put(old)
    cache.put(new)
    cached = cache.get("north", "a")
    assert cached is not None
    assert cached.resource_version == expected
    assert changes == [(None, old)] + ([(old, new)] if expected == version != 5 else [])


@pytest.mark.parametrize(
    ("version", "list_version", "expected"),
    [(4, 4, 5), (4, 5, 4), (4, 9, 4), (6, 9, 6), (6, 4, 5), (5, 9, 5), (4, math.inf, 4)],
)
def test_a_list_replaces_versions_up_to_its_own(
    cache: Cache[Item], changes: Changes, version: int, list_version: float, expected: int
) -> None:
    old, new = replace(A1, resource_version=5), replace(A1, resource_version=version)
    cache.put(old)
    cache.put_listed(new, list_version)
    assert cache.get("north", "a") == replace(A1, resource_version=expected)
    assert changes == [(None, old)] + ([(old, new)] if expected == version != 5 else [])


@pytest.mark.parametrize(("version", "is_kept"), [(4, True), (5, False), (6, False)])
def test_an_older_deletion_is_ignored(cache: Cache[Item], changes: Changes, version: int, *, is_kept: bool) -> None:
    item = replace(A1, resource_version=5)
    cache.put(item)
    cache.delete("north", "a", version)
    assert (cache.get("north", "a") is not None) is is_kept
    assert changes == [(None, item)] + ([] if is_kept else [(item, None)])


@pytest.mark.parametrize(("partition", "name"), [("north", "z"), ("nowhere", "a")])
def test_the_deletion_of_an_unknown_object_is_ignored(
    cache: Cache[Item], changes: Changes, partition: str, name: str
) -> None:
    cache.put(A1)
    cache.delete(partition, name, 100)
    assert (list(cache), changes) == ([("north", "a")], [(None, A1)])


def test_listeners_are_called_in_the_order_of_registration_and_see_the_change(cache: Cache[Item]) -> None:
    calls: list[tuple[str, Item | None, Item | None, Item | None]] = []
    for name in ("first", "second"):
        cache.listen(lambda old, new, name=name: calls.append((name, old, new, cache.get("north", "a"))))  # type: ignore[misc]
    later = replace(A1, resource_version=7)
    cache.put(A1)
    cache.put(later)
    cache.delete("north", "a", 7)
    assert calls == [
        ("first", None, A1, A1),
        ("second", None, A1, A1),
        ("first", A1, later, later),
        ("second", A1, later, later),
        ("first", later, None, None),
        ("second", later, None, None),
    ]


def test_a_listener_is_not_called_for_earlier_changes(cache: Cache[Item]) -> None:
    cache.put(A1)
    changes: Changes = []
    cache.listen(lambda old, new: changes.append((old, new)))
    assert changes == []
