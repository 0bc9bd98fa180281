"""A cache of links above its limit: requests that events and lists overtake, and when it reads all links again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from statefulroute.cluster.codec import LINKS
from statefulroute.cluster.link_store import LinkStore
from statefulroute.domain.keys import RouteKey
from statefulroute.driver.link_cache import LinkCache
from statefulroute.testing.in_memory_client import InMemoryClient

PATH = "/apis/statefulroute.io/v1alpha1/namespaces/play/podlinks"
UIDS = ("alice", "bob", "carol")
ROUTE = RouteKey("play", "game")


async def nothing() -> None:
    """Delays no response."""


class LateClient(InMemoryClient):
    """A client whose responses to writes may be late."""

    before_response: Callable[[], Awaitable[None]] = staticmethod(nothing)
    after_write: Callable[[], None] = staticmethod(lambda: None)

    @property
    def version(self) -> int:
        return self._version

    async def post(self, path: str, body: bytes) -> bytes:
        return await self._late(await super().post(path, body))

    async def merge_patch(self, path: str, body: bytes) -> bytes:
        return await self._late(await super().merge_patch(path, body))

    async def _late(self, response: bytes) -> bytes:
        self.after_write()
        await self.before_response()
        return response


@pytest.fixture
def client() -> LateClient:
    client = LateClient(lambda _: None)
    for uid in UIDS:
        spec = {"routeName": "game", "uid": uid, "podIndex": 0}
        client.create(PATH, {"metadata": {"name": f"game.{uid}"}, "spec": spec})
    return client


@pytest.fixture(params=[None, ["game", "chat"]], ids=["all services", "two services"])
async def cache(client: InMemoryClient, request: pytest.FixtureRequest) -> AsyncIterator[LinkCache]:
    async with LinkCache(client, "play", request.param, max_links=2) as cache:
        for reflector in cache.reflectors:
            await reflector.synced.wait()
        assert not cache.is_complete
        yield cache


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


async def test_response_that_a_list_has_overtaken_is_not_cached(client: InMemoryClient, cache: LinkCache) -> None:
    uid = next(uid for uid in UIDS if cache.get(ROUTE, f"game.{uid}") is None)
    watch = cache._watch_of("game")  # noqa: SLF001 - as after a watch that is too far behind
    assert watch is not None
    with cache.requesting("game", f"game.{uid}") as keep:
        late = LINKS.decode(await client.get(f"{PATH}/game.{uid}"))
        await watch.stop()
        client.remove(PATH, f"game.{uid}")
        watch.reflector.require_list()
        watch.start()
        await watch.reflector.synced.wait()
        keep(late)
    assert cache.get(ROUTE, f"game.{uid}") is None


async def test_holds_the_drivers_own_writes_also_if_their_events_come_first(
    client: LateClient, cache: LinkCache
) -> None:
    store = LinkStore(client, "play", links=cache)

    async def after_events() -> None:
        watch = cache._watch_of("game")  # noqa: SLF001 - no other sign that an event of a link that is not held has come
        assert watch is not None
        await until(lambda: watch.reflector._resource_version == client.version)  # noqa: SLF001

    client.before_response = after_events
    assert await store.set_if_absent("game", "dave", 1) == 1
    created = cache.get(ROUTE, "game.dave")
    assert created is not None
    assert created.pod == 1
    for uid in UIDS:  # at least one of them was not held
        assert await store.set("game", uid, 2) == 0
        written = cache.get(ROUTE, f"game.{uid}")
        assert written is not None
        assert written.pod == 2
    client.after_write = lambda: client.remove(PATH, "game.erin")
    assert await store.set_if_absent("game", "erin", 1) == 1  # so it was when it was written
    assert cache.get(ROUTE, "game.erin") is None


async def test_reads_all_links_again_without_any_read_of_the_application(
    client: InMemoryClient, cache: LinkCache
) -> None:
    changes: list[bool] = []
    cache.on_completeness(changes.append)
    client.remove(PATH, "game.alice")
    client.remove(PATH, "game.bob")
    await until(lambda: cache.is_complete)
    assert changes == [True]
    assert cache.get(ROUTE, "game.carol") is not None
