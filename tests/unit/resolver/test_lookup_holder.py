"""The order in which links are created for held requests, and which requests lose their places."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from statefulroute.api.route_status import PodStatus, StatefulRouteStatus
from statefulroute.api.vocabulary import RoutingState, ServiceState
from statefulroute.cluster.client import Client
from statefulroute.domain.errors import PodNotAvailableError, StatefulRouteError
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.pod import Endpoint
from statefulroute.resolver.cache import ResolverCache
from statefulroute.resolver.lookup_holder import LookupHolder
from statefulroute.rest.problems import ProblemError, ProblemKind
from support.waiting import wait_until
from unit.domain.builders import route

GAME = RouteKey("play", "game")


@dataclass
class StubBinder:
    """Creates links without an API server, and only with the tokens that a test provides.

    Attributes:
        cache: the cache of the resolver.
        tokens: the number of tokens left of each route.
        created: the uids whose links were created, in order.
        tried: the uids that were to be bound at once.
        creating: how many links are being created, by namespace.
        error: raised by creations if set.
        gate: creations wait for it.
    """

    cache: ResolverCache
    tokens: Counter[RouteKey] = field(default_factory=Counter)
    created: list[str] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    creating: Counter[str] = field(default_factory=Counter)
    error: StatefulRouteError | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def bind(self, key: RouteKey, uid: str, *, may_wait: bool = False, **_: Any) -> Link:
        self.tried.append(uid)
        if uid == "linked elsewhere" and not may_wait:
            return Link(route=key, name=f"{key.name}.{uid}", resource_version=1, generation=1, pod=0)
        raise PodNotAvailableError("no pod")

    def take_token(self, key: RouteKey) -> float:
        if not self.tokens[key]:
            return 0.001
        self.tokens[key] -= 1
        return 0.0

    def give_back_token(self, key: RouteKey) -> None:
        self.tokens[key] += 1

    async def create(self, key: RouteKey, uid: str, **_: Any) -> None:
        self.creating[key.namespace] += 1
        await self.gate.wait()
        self.creating[key.namespace] -= 1
        if self.error is not None:
            raise self.error
        self.created.append(uid)
        self.put(key, uid)

    def put(self, key: RouteKey, uid: str, pod: int | None = None) -> None:
        """Stores a version of a link in the cache."""
        version = len(self.created) + 1 if pod is None else 1000
        self.cache.links.cache.put(
            Link(route=key, name=f"{key.name}.{uid}", resource_version=version, generation=1, pod=pod)
        )

    def renew_if_due(self, link: Link) -> None:
        """Does nothing: the links are persistent."""

    def count_refused(self) -> None:
        """Does nothing."""


@dataclass(frozen=True)
class StubCaller:
    """A caller that stays connected."""

    name: str = "gateway"

    def hold(self, on_disconnect: Callable[[], object]) -> None:
        """Does nothing."""


class Fixture:
    """A holder with its cache and binder."""

    def __init__(self, max_held: int = 100, namespaces: Iterable[str] = ("play",)) -> None:
        self.cache = ResolverCache(cast("Client", None))
        for namespace in namespaces:
            pod = PodStatus(
                index=0, name="game-0", service_state=ServiceState.READY, routing_state=RoutingState.DENY_NEW_CALL
            )
            game = replace(route(StatefulRouteStatus(pods=(pod,))), resource_version=1, namespace=namespace)
            self.cache.routes.cache.put(game)
            endpoint = Endpoint(namespace=namespace, name="game-0", resource_version=1, ip="10.0.0.1", is_ready=True)
            self.cache.endpoints.cache.put(endpoint)
        self.binder = StubBinder(self.cache)
        self.binder.gate.set()
        self.holder = LookupHolder(self.cache, cast("Any", self.binder), 60, max_held)

    async def hold(self, uid: str, caller: str = "gateway", key: RouteKey = GAME) -> "asyncio.Task[Link]":
        """Begins to hold a request."""
        task = asyncio.create_task(self.holder.bind(key, uid, StubCaller(caller)))
        for _ in range(3):
            await asyncio.sleep(0)
        return task

    async def provide(self, number: int, key: RouteKey = GAME) -> None:
        """Provides tokens, and waits until links were created with them."""
        expected = len(self.binder.created) + number
        self.binder.tokens[key] += number
        await wait_until(lambda: len(self.binder.created) == expected, "the links are created", seconds=10)


async def test_callers_take_turns_and_each_uid_is_created_once() -> None:
    fixture = Fixture()
    requests = [await fixture.hold(uid, "busy") for uid in ("a1", "a2", "a3", "a1")]
    requests += [await fixture.hold(uid, "quiet") for uid in ("b1", "a2")]
    await fixture.provide(4)
    assert fixture.binder.created == ["a1", "b1", "a2", "a3"]
    for uid in fixture.binder.created:
        fixture.binder.put(GAME, uid, 0)
    assert [(await request).uid for request in requests] == ["a1", "a2", "a3", "a1", "b1", "a2"]
    assert len(fixture.holder) == 0


async def test_new_users_do_not_overtake_those_who_wait_for_a_token() -> None:
    fixture = Fixture()
    first = await fixture.hold("first")
    second = await fixture.hold("second")
    assert fixture.binder.tried == ["first"]
    await fixture.provide(2)
    third = await fixture.hold("third")  # nobody waits for a token now
    assert fixture.binder.tried == ["first", "third"]
    await fixture.provide(1)
    assert fixture.binder.created == ["first", "second", "third"]
    fixture.holder.end()
    await asyncio.gather(first, second, third, return_exceptions=True)


async def test_request_of_the_largest_share_loses_its_place() -> None:
    fixture = Fixture(max_held=3)
    busy = [await fixture.hold(f"user-{number}", "busy") for number in range(3)]
    quiet = await fixture.hold("alice", "quiet")
    with pytest.raises(ProblemError) as lost:
        await busy[2]
    assert lost.value.kind is ProblemKind.TOO_MANY_HELD
    assert len(fixture.holder) == 3
    await fixture.provide(3)
    assert fixture.binder.created == ["user-0", "alice", "user-1"]  # none for the request that lost its place
    fixture.holder.end()
    assert {type(end) for end in await asyncio.gather(*busy[:2], quiet, return_exceptions=True)} == {ProblemError}


async def test_namespaces_share_the_links_that_are_created_at_a_time() -> None:
    fixture = Fixture(namespaces=("busy", "quiet"))
    busy, quiet = RouteKey("busy", "game"), RouteKey("quiet", "game")
    fixture.binder.gate.clear()
    requests = [await fixture.hold(f"user-{number}", key=busy) for number in range(30)]
    fixture.binder.tokens[busy] = 30
    await wait_until(lambda: fixture.binder.creating["busy"] >= 11, "links are created", seconds=10)
    requests.append(await fixture.hold("alice", key=quiet))
    fixture.binder.tokens[quiet] = 1
    await wait_until(lambda: fixture.binder.creating["quiet"] == 1, "the other namespace has its turn", seconds=10)
    assert fixture.binder.creating["busy"] == 11
    fixture.binder.gate.set()
    await wait_until(lambda: len(fixture.binder.created) == 31, "all links are created", seconds=10)
    fixture.holder.end()
    await asyncio.gather(*requests, return_exceptions=True)


async def test_error_of_a_creation_ends_the_requests_for_this_uid_only() -> None:
    fixture = Fixture()
    alice = [await fixture.hold("alice") for _ in range(3)]
    fixture.binder.error = StatefulRouteError("the API server does not respond")
    fixture.binder.tokens[GAME] = 1
    assert {str(error) for error in await asyncio.gather(*alice, return_exceptions=True)} == {
        "the API server does not respond"
    }
    fixture.binder.error = None
    bob = await fixture.hold("bob")
    await fixture.provide(1)
    fixture.binder.put(GAME, "bob", 0)
    assert (await bob).pod == 0


async def test_user_who_is_not_held_may_be_linked_by_another_process() -> None:
    fixture = Fixture()
    closed = replace(route(routingState=RoutingState.DENY_NEW_CALL), resource_version=2)
    fixture.cache.routes.cache.put(closed)
    assert (await (await fixture.hold("linked elsewhere"))).pod == 0
    assert len(fixture.holder) == 0
