"""Tests that a uid reaches the pod to which another resolver has linked it just now."""

from dataclasses import dataclass, field
from typing import cast

import pytest

from statefulroute.domain.address import Address
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link
from statefulroute.resolver.binder import Binder
from statefulroute.resolver.cache import ResolverCache
from statefulroute.resolver.callers import Caller
from statefulroute.resolver.endpoint_picker import EndpointPicker, Pick
from statefulroute.resolver.unlinked_uid import UnlinkedUidPolicy

GAME = RouteKey("play", "game")
CALLER = cast("Caller", None)


@dataclass
class BoundLink:
    """A link that is bound to a pod."""

    pod: int


class Cache:
    """Has no link yet."""

    def bound_link(self, key: RouteKey, uid: str) -> Link | None:
        assert (key, uid) == (GAME, "s-1")
        return None

    def address(self, link: BoundLink) -> Address:
        return Address(f"game-{link.pod}", "10.0.0.1", None, 7777)

    def route(self, key: RouteKey) -> RouteKey:
        return key

    def any_available_address(self, route: RouteKey, turn: int) -> Address:
        del route, turn
        return Address("game-9", "10.0.0.9", None, 7777)


@dataclass
class Links:
    """The API server has the link of a session."""

    reads: list[str] = field(default_factory=list)

    async def read_bound(self, key: RouteKey, uid: str) -> BoundLink:
        assert key == GAME
        self.reads.append(uid)
        return BoundLink(1)

    def renew_if_due(self, link: BoundLink) -> None:
        """Renews nothing."""


def picker_of(policy: UnlinkedUidPolicy, links: Links, *, confirms_absence: bool) -> EndpointPicker:
    cache, binder = cast("ResolverCache", Cache()), cast("Binder", links)
    return EndpointPicker(cache, binder, policy, confirms_absence=confirms_absence)


@pytest.mark.parametrize("policy", UnlinkedUidPolicy)
async def test_link_that_the_cache_does_not_have_yet_is_read(policy: UnlinkedUidPolicy) -> None:
    picker = picker_of(policy, Links(), confirms_absence=True)
    assert await picker.pick(GAME, "s-1", CALLER) == Pick("game-1", "10.0.0.1:7777", is_linked=True)


async def test_request_without_uid_reads_nothing() -> None:
    links = Links()
    picker = picker_of(UnlinkedUidPolicy.BIND, links, confirms_absence=True)
    assert (await picker.pick(GAME, None, CALLER)).pod == "game-9"
    assert links.reads == []


async def test_nothing_is_read_by_default() -> None:
    links = Links()
    picker = picker_of(UnlinkedUidPolicy.ANY, links, confirms_absence=False)
    assert (await picker.pick(GAME, "s-1", CALLER)).pod == "game-9"
    assert links.reads == []
