"""Tests which links are read before a user is refused."""

import json
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from statefulroute.api.route_status import PodStatus, StatefulRouteStatus
from statefulroute.api.vocabulary import RoutingState, ServiceState
from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import NotFoundError
from statefulroute.domain.errors import PodNotAvailableError
from statefulroute.domain.keys import RouteKey
from statefulroute.resolver.binder import Binder
from statefulroute.resolver.cache import ResolverCache
from statefulroute.rest.problems import ProblemError, ProblemKind
from unit.domain.builders import route

GAME = RouteKey("play", "game")


@dataclass
class LinksOfOthers:
    """An API server with the link of the user `session` to the pod 1; counts reads."""

    reads: int = 0

    async def get(self, path: str) -> bytes:
        self.reads += 1
        name = path.rpartition("/")[2]
        if name != "game.session":
            raise NotFoundError(404, "NotFound", "there is no such link")
        times = {"creationTimestamp": "2026-11-28T12:00:00Z", "resourceVersion": "7", "generation": 1}
        metadata = {"name": name, "namespace": "play", "uid": "x", **times}
        return json.dumps(
            {"metadata": metadata, "spec": {"routeName": "game", "uid": "session", "podIndex": 1}}
        ).encode()


@dataclass
class Setup:
    """A binder whose cache has no link, and no pod that takes new users."""

    server: LinksOfOthers = field(default_factory=LinksOfOthers)
    results: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        client = cast("Client", self.server)
        cache = ResolverCache(client)
        pod = PodStatus(
            index=1, name="game-1", service_state=ServiceState.READY, routing_state=RoutingState.DENY_NEW_CALL
        )
        cache.routes.cache.put(replace(route(StatefulRouteStatus(pods=(pod,))), resource_version=1))
        cache.links.reflectors[0].synced.set()
        self.binder = Binder(client, cache, 1, on_result=self.results.append)

    async def bind(self, uid: str, **options: Any) -> Any:
        return (await self.binder.bind(GAME, uid, **options)).pod


@pytest.fixture
def setup() -> Setup:
    return Setup()


async def test_user_of_another_process_is_found_while_no_pod_takes_users(setup: Setup) -> None:
    assert await setup.bind("session") == 1
    assert (setup.server.reads, setup.results) == (1, [])


async def test_user_of_another_process_is_found_above_the_rate(setup: Setup) -> None:
    assert setup.binder.take_token(GAME) == 0
    assert await setup.binder.bind_to(GAME, "session", 0) == 1
    assert (setup.server.reads, setup.results) == (1, [])


async def test_refusal_of_a_new_user_is_counted_once(setup: Setup) -> None:
    assert setup.binder.take_token(GAME) == 0
    with pytest.raises(ProblemError) as refused:
        await setup.binder.bind_to(GAME, "new", 0)
    assert refused.value.kind is ProblemKind.TOO_MANY_BINDINGS
    assert (setup.server.reads, setup.results) == (1, ["refused"])


async def test_refused_users_cost_reads_at_the_rate_of_new_links_only(setup: Setup) -> None:
    for number in range(5):
        with pytest.raises(PodNotAvailableError):
            await setup.bind(f"new-{number}")
    assert setup.server.reads == 1


async def test_request_that_is_held_reads_nothing(setup: Setup) -> None:
    with pytest.raises(PodNotAvailableError):
        await setup.bind("session", may_wait=True)
    assert setup.server.reads == 0
