"""The number of slots of a route, as the resolver and the drivers cache it."""

from dataclasses import replace
from typing import cast

import pytest

from statefulroute.cluster.cache import Cache
from statefulroute.cluster.client import Client
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.route import Route
from statefulroute.driver.routes import RouteCache
from statefulroute.resolver.cache import ResolverCache
from unit.domain.builders import route


@pytest.mark.parametrize("kind", ["resolver", "driver"])
def test_number_of_slots_is_that_of_the_present_route(kind: str) -> None:
    in_resolver, in_driver = ResolverCache(cast("Client", None)), RouteCache(cast("Client", None), "play")
    cache: Cache[Route] = in_resolver.routes.cache if kind == "resolver" else in_driver.reflector.cache

    def number() -> int | None:
        return in_resolver.slots_of(RouteKey("play", "game")) if kind == "resolver" else in_driver.slots_of("game")

    cache.put(route(slots=8))
    assert number() == 8
    cache.put_listed(replace(route(), resource_version=3), 4)  # deleted and created again between two lists
    assert number() is None
    cache.put_listed(replace(route(slots=16), resource_version=5), 6)
    assert number() == 16
    cache.delete("play", "game", 7)
    assert number() is None
