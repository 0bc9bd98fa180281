"""Tests a client driver in a namespace with more links than it may cache."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from driver.recording import RecordingClient, RecordingLogger
from statefulroute import ClientDriver, LinkChanged, LinksFollowed, LinksNotFollowed
from statefulroute.driver.events import Change, Subscription
from support.independent_client import PodLink
from support.service import Service
from support.waiting import wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: The links that exist, and how many of them the driver may cache.
LINKS, MAX_LINKS = 12, 8


@dataclass(frozen=True, slots=True)
class Limited:
    """A driver that may cache some of the links of its namespace.

    Attributes:
        driver: the driver.
        client: its client.
        game: the service.
        pods: the pod of each uid.
        events: the events since the driver was opened.
    """

    driver: ClientDriver
    client: RecordingClient
    game: Service
    pods: dict[str, int]
    events: Subscription[Change]

    @property
    def uids(self) -> list[str]:
        return list(self.pods)

    async def requests(self, *uids: str) -> int:
        """Reads links, and returns how many requests that took."""
        self.client.requests.clear()
        assert [await self.driver.get_linked_pod(uid, "game") for uid in uids] == [self.pods[uid] for uid in uids]
        return len(self.client.recorded("GET"))

    async def event(self, expected: object) -> None:
        """Waits for an event."""
        async with asyncio.timeout(30):
            while await anext(self.events) != expected:
                pass

    async def holds(self, uid: str, pod: int | None) -> None:
        """Waits until the cache has the link of a uid to a pod."""

        def held() -> int | str | None:
            link = self.driver._cached_link(uid, "game")  # noqa: SLF001 - the public method may send a request
            return link.pod if link else None

        await wait_until(lambda: held() == pod, f"the cache has the link of {uid} to {pod}")


@pytest.fixture
def game(shared_service: Service) -> Iterator[Service]:
    """The service; its links are deleted after each test."""
    yield shared_service
    shared_service.client.delete_all(PodLink, shared_service.namespace)


@pytest_asyncio.fixture(loop_scope="module", params=[None, ["game", "chat"]], ids=["all services", "two services"])
async def limited(
    client: RecordingClient, game: Service, uid: str, request: pytest.FixtureRequest
) -> AsyncIterator[Limited]:
    pods = {f"{uid}-{number}": number % 3 for number in range(LINKS)}
    await asyncio.to_thread(game.link_each, {name: {"podIndex": pod} for name, pod in pods.items()})
    driver = ClientDriver(client, game.namespace, services=request.param, max_links=MAX_LINKS, logger=RecordingLogger())
    events = driver.events()
    async with driver:
        yield Limited(driver, client, game, pods, events)


async def test_caches_the_links_that_were_used_last(limited: Limited) -> None:
    await limited.event(LinksNotFollowed())
    assert await anext(limited.driver.events()) == LinksNotFollowed()
    uids = limited.uids
    hot = uids[:6]
    await limited.requests(*uids)
    await limited.requests(*hot)
    assert await limited.requests(*hot) == 0
    await limited.requests(*hot, *uids[6:8])
    assert await limited.requests(*hot, *uids[6:8]) == 0
    assert await limited.requests(*hot, uids[8]) == 1  # it replaces the link whose use is the longest ago
    assert await limited.requests(*hot, uids[7], uids[8]) == 0
    assert await limited.requests(uids[6]) == 1


async def test_cached_links_follow_changes_and_own_writes(limited: Limited, uid: str) -> None:
    first, second = limited.uids[:2]
    await limited.requests(first, second)
    game, driver = limited.game, limited.driver
    await asyncio.to_thread(game.client.patch, PodLink, f"game.{first}", game.namespace, {"spec": {"podIndex": 2}})
    await limited.holds(first, 2)
    await asyncio.to_thread(game.client.delete, PodLink, f"game.{second}", game.namespace)
    await limited.holds(second, None)
    assert await driver.get_linked_pod(second, "game") is None
    limited.pods[f"{uid}-own"] = await driver.link_if_absent(f"{uid}-own", "game", 1)
    assert await limited.requests(f"{uid}-own") == 0
    assert await driver.compute_link_if_absent(limited.uids[10], "game") == 1
    assert await driver.get_linked_pod(f"{uid}-nobody", "game") is None


async def test_crosses_the_limit_while_it_runs_and_keeps_what_it_has(
    client: RecordingClient, game: Service, uid: str
) -> None:
    pods = {f"{uid}-{number}": number % 3 for number in range(MAX_LINKS)}
    await asyncio.to_thread(game.link_each, {name: {"podIndex": pod} for name, pod in pods.items()})
    driver = ClientDriver(client, game.namespace, max_links=MAX_LINKS, logger=RecordingLogger())
    async with driver:
        limited = Limited(driver, client, game, pods, driver.events())
        assert await limited.requests(*pods) == 0
        await asyncio.to_thread(game.link, f"{uid}-more", podIndex=1)
        await limited.event(LinksNotFollowed())
        assert await limited.requests(*pods) == 0  # no cliff: only the new link is not cached
        pods[f"{uid}-more"] = 1
        assert await limited.requests(f"{uid}-more") == 1
        assert await limited.requests(f"{uid}-more") == 0


async def test_caches_all_links_again_when_there_are_fewer(limited: Limited, uid: str) -> None:
    game, driver, uids = limited.game, limited.driver, limited.uids
    await limited.event(LinksNotFollowed())
    for name in uids[6:]:
        await asyncio.to_thread(game.client.delete, PodLink, f"game.{name}", game.namespace)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 30
    while not driver._cache.is_complete and loop.time() < deadline:  # noqa: SLF001 - a read starts it
        await driver.get_linked_pod(f"{uid}-nobody", "game")
        await asyncio.sleep(0.02)
    await limited.event(LinksFollowed())
    assert await limited.requests(*uids[:6]) == 0
    limited.client.requests.clear()
    assert await driver.get_linked_pod(f"{uid}-nobody", "game") is None
    assert limited.client.requests == []
    await asyncio.to_thread(game.link, f"{uid}-new", podIndex=1)
    await limited.event(LinkChanged("game", f"{uid}-new", None, 1))


async def test_link_that_is_deleted_while_it_is_read_is_not_cached(
    limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, game = limited.driver, limited.game
    uid = next(uid for uid in limited.uids if driver._cached_link(uid, "game") is None)  # noqa: SLF001
    reflector = driver._cache.reflectors[0]  # noqa: SLF001
    version, original = reflector._resource_version, RecordingClient.get  # noqa: SLF001

    async def late_get(self: RecordingClient, path: str, *arguments: Any) -> bytes:
        """Returns a response that is late: the link is deleted, and the watch has passed that."""
        response = await original(self, path, *arguments)
        if path.endswith(uid):
            await asyncio.to_thread(game.client.delete, PodLink, f"game.{uid}", game.namespace)
            await wait_until(lambda: reflector._resource_version > version, "the deletion has arrived")  # noqa: SLF001
        return response

    with monkeypatch.context() as patched:
        patched.setattr(RecordingClient, "get", late_get)
        assert await driver.get_linked_pod(uid, "game") == limited.pods[uid]  # so it was when it was read
    assert await driver.get_linked_pod(uid, "game") is None
