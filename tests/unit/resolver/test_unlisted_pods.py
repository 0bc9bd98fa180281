"""The work of the resolver for routes whose status does not list all pods."""

from dataclasses import replace
from typing import Any, cast

import pytest

from statefulroute.api.route_status import OmittedPods, StatefulRouteStatus
from statefulroute.api.vocabulary import RoutingState
from statefulroute.cluster.client import Client
from statefulroute.domain.errors import PodNotAvailableError
from statefulroute.domain.pod import Endpoint
from statefulroute.domain.route import Route
from statefulroute.resolver import cache as resolver_cache
from statefulroute.resolver.cache import ResolverCache
from unit.domain.builders import route

MANY = 2_000


def cache_of(big: Route, *, is_ready: bool = True, state: RoutingState = RoutingState.UNKNOWN) -> ResolverCache:
    """Returns a cache with a route, and its pods."""
    cache = ResolverCache(cast("Client", None))
    cache.routes.cache.put(big)
    for index in range(MANY):
        name = f"game-{index}"
        cache.endpoints.cache.put(
            Endpoint(
                namespace="play", name=name, resource_version=1, ip="10.0.0.1", is_ready=is_ready, routing_state=state
            )
        )
    return cache


def big_route(available: int = MANY, **spec: Any) -> Route:
    status = StatefulRouteStatus(omitted_pods=OmittedPods(count=MANY, ready=MANY, routable=MANY, available=available))
    return replace(route(status, **spec), resource_version=1)


def test_unlisted_pod_takes_a_user_if_no_listed_one_does() -> None:
    game = big_route()
    assert cache_of(game).any_available_address(game, 0).pod == "game-0"


@pytest.mark.parametrize(
    ("game", "pods"),
    [
        (big_route(routingState="DenyNewCall"), {}),
        (big_route(0), {"state": RoutingState.DENY_NEW_CALL}),
        (big_route(), {"is_ready": False}),
    ],
    ids=["drained", "drained pods", "unready pods"],
)
def test_request_looks_at_no_unlisted_pod_if_none_takes_users(
    monkeypatch: pytest.MonkeyPatch, game: Route, pods: dict[str, Any]
) -> None:
    cache, examined, original = cache_of(game, **pods), [], resolver_cache.unlisted_pods

    def spy(route: Route, endpoints: Any) -> Any:
        examined.extend(taken := list(endpoints))
        return original(route, taken)

    monkeypatch.setattr(resolver_cache, "unlisted_pods", spy)
    with pytest.raises(PodNotAvailableError):
        cache.any_available_address(game, 0)
    assert not examined
