"""When temporary links expire, by a clock that the tests move."""

from datetime import datetime, timedelta

from statefulroute.cluster.cache import Cache
from statefulroute.controllers.links.expiry import ExpiryController
from statefulroute.domain.link import Link
from unit.domain.builders import NOON, link


class ExpiringLinks:
    """A cache of links and their expiry controller, with a clock that a test moves."""

    def __init__(self) -> None:
        self.now = NOON
        self.expired: list[str] = []
        self.cache: Cache[Link] = Cache()
        self.expiry = ExpiryController(self.cache, lambda link: self.expired.append(link.name), lambda: self.now)
        self.expiry.start()
        self._version = 0

    def put(self, name: str, expire_time: datetime | None) -> None:
        self._version += 1
        self.cache.put(link(0, name=name, resource_version=self._version, expire_time=expire_time))

    def at(self, seconds: float) -> list[str]:
        self.now = NOON + timedelta(seconds=seconds)
        self.expired.clear()
        self.expiry.notify_expired()
        return self.expired


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def test_links_expire_in_the_order_of_their_expire_times() -> None:
    links = ExpiringLinks()
    for name, seconds in (("game.c", 30), ("game.a", 10), ("game.b", 20)):
        links.put(name, after(seconds))
    assert links.at(9.999) == []
    assert links.at(10) == ["game.a"]
    assert links.at(60) == ["game.b", "game.c"]
    assert links.at(90) == []


def test_renewed_link_expires_at_its_new_time_only() -> None:
    links = ExpiringLinks()
    links.put("game.a", after(10))
    links.put("game.a", after(20))
    assert links.at(15) == []
    assert links.at(20) == ["game.a"]


def test_link_whose_time_was_shortened_expires_once() -> None:
    links = ExpiringLinks()
    links.put("game.a", after(20))
    links.put("game.a", after(10))
    assert links.at(10) == ["game.a"]


def test_link_that_became_persistent_or_was_deleted_does_not_expire() -> None:
    links = ExpiringLinks()
    links.put("game.a", after(10))
    links.put("game.b", after(10))
    links.put("game.a", None)
    links.cache.delete(link().route, "game.b", 99)
    assert links.at(60) == []


def test_clock_that_jumps_ahead_expires_links_and_one_that_jumps_back_expires_none_early() -> None:
    links = ExpiringLinks()
    links.put("game.a", after(10))
    links.put("game.b", after(7200))
    assert links.at(3600) == ["game.a"]
    assert links.at(-3600) == []
    assert links.at(7200) == ["game.b"]


def test_link_that_is_created_again_after_it_expired_expires_again() -> None:
    links = ExpiringLinks()
    links.put("game.a", after(10))
    assert links.at(10) == ["game.a"]
    links.cache.delete(link().route, "game.a", 1)
    links.put("game.a", after(20))
    assert links.at(20) == ["game.a"]


def test_heap_does_not_grow_with_links_that_are_renewed_or_deleted_early() -> None:
    links = ExpiringLinks()
    for number in range(20_000):
        links.put("game.a", after(86_400 + number))
        links.put("game.b", after(86_400))
        links.cache.delete(link().route, "game.b", 10**9)
        assert len(links.expiry) <= 2 * 2 + 1024
    links.put("game.b", after(10))
    assert links.at(10) == ["game.b"]
    assert links.at(86_400 + 19_999) == ["game.a"]
