"""A cache of links above its limit: reads that a list overtakes, and when it reads all links again."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from statefulroute.cluster.codec import LINKS
from statefulroute.domain.keys import RouteKey
from statefulroute.driver.link_cache import LinkCache
from statefulroute.testing.in_memory_client import InMemoryClient

PATH = "/apis/statefulroute.io/v1alpha1/namespaces/play/podlinks"
UIDS = ("alice", "bob", "carol")
ROUTE = RouteKey("play", "game")


@pytest.fixture
def client() -> InMemoryClient:
    client = InMemoryClient(lambda _: None)
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
    with cache.reading("game", f"game.{uid}") as keep:
        late = LINKS.decode(await client.get(f"{PATH}/game.{uid}"))
        await watch.stop()
        client.remove(PATH, f"game.{uid}")
        watch.reflector.require_list()
        watch.start()
        await watch.reflector.synced.wait()
        keep(late)
    assert cache.get(ROUTE, f"game.{uid}") is None


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
