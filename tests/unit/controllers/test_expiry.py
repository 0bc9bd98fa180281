from datetime import datetime, timedelta

from statefulroute.cluster.cache import Cache
from statefulroute.controllers.links.expiry import ExpiryController
from statefulroute.domain.link import Link
from unit.domain.builders import NOON, link


class Watched:
    """A cache of links whose expiry is watched by a clock that the test moves."""

    def __init__(self) -> None:
        self.now = NOON
        self.told: list[str] = []
        self.cache: Cache[Link] = Cache()
        self.expiry = ExpiryController(self.cache, lambda each: self.told.append(each.name), lambda: self.now)
        self.expiry.start()
        self._version = 0

    def put(self, name: str, ends: datetime | None) -> None:
        self._version += 1
        self.cache.put(link(0, name=name, resource_version=self._version, expire_time=ends))

    def at(self, seconds: float) -> list[str]:
        self.now = NOON + timedelta(seconds=seconds)
        self.told.clear()
        self.expiry.notify_expired()
        return self.told


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_links_are_told_of_when_their_time_is_over_the_earliest_first() -> None:
    links = Watched()
    for name, seconds in (("game.c", 30), ("game.a", 10), ("game.b", 20)):
        links.put(name, after(seconds))
    assert links.at(9.999) == []
    assert links.at(10) == ["game.a"]
    assert links.at(60) == ["game.b", "game.c"]
    assert links.at(90) == []


def test_a_renewed_link_is_told_of_at_its_new_time_only() -> None:
    links = Watched()
    links.put("game.a", after(10))
    links.put("game.a", after(20))
    assert links.at(15) == []
    assert links.at(20) == ["game.a"]


def test_a_link_whose_time_was_shortened_is_told_of_once() -> None:
    links = Watched()
    links.put("game.a", after(20))
    links.put("game.a", after(10))
    assert links.at(10) == ["game.a"]


def test_a_link_that_became_persistent_or_was_deleted_is_not_told_of() -> None:
    links = Watched()
    links.put("game.a", after(10))
    links.put("game.b", after(10))
    links.put("game.a", None)
    links.cache.delete(link().route, "game.b", 99)
    assert links.at(60) == []


def test_a_clock_that_jumps_ahead_ends_links_and_one_that_jumps_back_ends_none_early() -> None:
    links = Watched()
    links.put("game.a", after(10))
    links.put("game.b", after(7200))
    assert links.at(3600) == ["game.a"]
    assert links.at(-3600) == []
    assert links.at(7200) == ["game.b"]


def test_a_link_created_anew_after_its_end_is_told_of_again() -> None:
    links = Watched()
    links.put("game.a", after(10))
    assert links.at(10) == ["game.a"]
    links.cache.delete(link().route, "game.a", 1)
    links.put("game.a", after(20))
    assert links.at(20) == ["game.a"]


def test_links_that_are_renewed_or_end_early_leave_nothing_that_grows() -> None:
    links = Watched()
    for number in range(20_000):
        links.put("game.a", after(86_400 + number))
        links.put("game.b", after(86_400))
        links.cache.delete(link().route, "game.b", 10**9)
        assert len(links.expiry) <= 2 * 2 + 1024
    links.put("game.b", after(10))
    assert links.at(10) == ["game.b"]
    assert links.at(86_400 + 19_999) == ["game.a"]
