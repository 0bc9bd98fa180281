"""A cache of links with a limit: which links it holds, and what its listeners hear."""

import pytest

from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link
from statefulroute.driver.bounded_cache import BoundedCache, Extent, LinkLimit

ROUTE = RouteKey("play", "game")


def link(uid: str, version: int = 1, pod: int = 0, route: str = "game") -> Link:
    return Link(name=f"{route}.{uid}", route=RouteKey("play", route), resource_version=version, generation=1, pod=pod)


class Observed:
    """A cache, and the changes that it reports."""

    def __init__(self, limit: LinkLimit) -> None:
        self.changes: list[tuple[str, bool, bool]] = []
        self.cache = BoundedCache(limit)
        self.cache.listen(self._changed)

    def _changed(self, old: Link | None, new: Link | None) -> None:
        self.changes.append(((new or old).uid, old is not None, new is not None))  # type: ignore[union-attr]

    @property
    def uids(self) -> set[str]:
        return {name.partition(".")[2] for _, name in self.cache}

    def use(self, *uids: str) -> None:
        for uid in uids:
            self.cache.get(ROUTE, f"game.{uid}")


@pytest.fixture
def overflows() -> list[None]:
    return []


@pytest.fixture
def limit(overflows: list[None]) -> LinkLimit:
    return LinkLimit(3, lambda: overflows.append(None))


@pytest.fixture
def full(limit: LinkLimit) -> Observed:
    """A cache with as many links as it may hold, and one more at the API server."""
    observed = Observed(limit)
    for uid in "abcd":
        observed.cache.put(link(uid))
    observed.changes.clear()
    return observed


def test_further_link_is_not_held_and_evicts_none(full: Observed, limit: LinkLimit, overflows: list[None]) -> None:
    assert (limit.extent, len(overflows), full.uids) == (Extent.ASKED, 1, {"a", "b", "c"})
    full.cache.put(link("e"))
    assert not full.cache.put_listed(link("f"), 9)
    assert full.cache.put_listed(link("a", 5), 9)
    assert (len(overflows), full.uids) == (1, {"a", "b", "c"})
    assert full.changes == [("a", True, True)]


def test_link_that_is_asked_for_replaces_the_one_whose_use_is_the_longest_ago(full: Observed) -> None:
    full.use("a", "c")
    full.cache.admit(link("d"))
    assert full.uids == {"a", "c", "d"}
    full.cache.admit(link("e"))
    assert full.uids == {"c", "d", "e"}
    assert full.changes == []  # none of these links has changed


def test_events_update_held_links_and_count_as_no_use(full: Observed) -> None:
    full.use("b", "c")
    full.cache.put(link("a", 7, pod=2))
    held = full.cache.get(ROUTE, "game.a")
    assert held is not None
    assert held.pod == 2
    full.use("b", "c")
    full.cache.put(link("a", 8))
    full.cache.admit(link("d"))
    assert full.uids == {"b", "c", "d"}


def test_own_write_is_admitted(full: Observed) -> None:
    with full.cache.admitting():
        full.cache.put(link("e", 5))
    assert full.uids == {"b", "c", "e"}


def test_deletion_makes_room(full: Observed, limit: LinkLimit) -> None:
    full.cache.delete(ROUTE, "game.b", 5)
    full.cache.delete(ROUTE, "game.z", 5)  # is not held
    assert (full.uids, limit.free) == ({"a", "c"}, 1)
    assert full.changes == [("b", True, False)]
    full.cache.admit(link("d"))
    assert (full.uids, limit.free) == ({"a", "c", "d"}, 0)


@pytest.mark.parametrize("event", ["put", "delete"])
def test_request_knows_newer_events(full: Observed, event: str) -> None:
    with full.cache.requesting("game.d") as first:
        if event == "put":
            full.cache.put(link("d", 8))
            assert "d" in full.uids  # it is asked for
        else:
            full.cache.delete(ROUTE, "game.d", 8)
        with full.cache.requesting("game.d") as second:
            assert second.newest_version == 8
        assert first.newest_version == 8
    with full.cache.requesting("game.d") as later:
        assert later.newest_version == 0


def test_filling_holds_all_without_a_sign_and_then_reports_new_links(full: Observed, limit: LinkLimit) -> None:
    full.cache.delete(ROUTE, "game.a", 5)
    full.cache.delete(ROUTE, "game.b", 5)
    full.changes.clear()
    limit.start_filling()
    assert full.cache.put_listed(link("d", 4), 9)
    limit.end_filling()
    assert (limit.extent, full.uids, full.changes) == (Extent.ALL, {"c", "d"}, [])
    full.cache.put(link("e", 10))
    assert (full.changes, limit.free) == ([("e", False, True)], 0)


def test_filling_that_finds_too_many_links_holds_those_that_were_asked_for_again(
    full: Observed, limit: LinkLimit
) -> None:
    limit.start_filling()
    assert not full.cache.put_listed(link("d", 4), 9)
    limit.end_filling()
    assert (limit.extent, full.uids) == (Extent.ASKED, {"a", "b", "c"})


def test_caches_share_their_limit_and_the_order_of_use(limit: LinkLimit) -> None:
    one, two = Observed(limit), Observed(limit)
    one.cache.put(link("a"))
    one.cache.put(link("b"))
    one.cache.put(link("c"))
    two.cache.put(link("a", route="chat"))
    assert limit.extent is Extent.ASKED
    two.cache.admit(link("b", route="chat"))
    two.cache.admit(link("c", route="chat"))
    assert (one.uids, two.uids) == ({"c"}, {"b", "c"})
    one.use("c")
    one.cache.admit(link("d"))
    assert (one.uids, two.uids) == ({"c", "d"}, {"c"})
