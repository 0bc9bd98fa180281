"""The chat of the examples keeps its rooms when they are handed over: two servers, with a cluster in memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from statefulroute import Configuration, HandOverConfiguration, ServerDriver
from statefulroute.testing import InMemoryCluster
from support.recipes import load_example
from support.waiting import wait_until

SETTINGS = Configuration(drain_seconds=0, hand_over=HandOverConfiguration())


server = load_example("chat/server.py", "chat_server")


@dataclass
class Pod:
    """A pod of the chat.

    Attributes:
        driver: its driver.
        rooms: its rooms.
        client: a client of its HTTP server.
    """

    driver: ServerDriver
    rooms: Any
    client: TestClient[web.Request, web.Application]

    async def join(self, uid: str, name: str = "") -> aiohttp.ClientWebSocketResponse:
        return await self.client.ws_connect(f"/rooms/{uid}", params={"name": name})

    async def guests(self) -> dict[str, int]:
        return dict(await (await self.client.get("/rooms")).json())


@pytest.fixture
def cluster() -> InMemoryCluster:
    cluster = InMemoryCluster("play")
    cluster.add_service("chat", pods=2, hand_over_seconds=10)
    return cluster


@pytest.fixture
async def pods(cluster: InMemoryCluster) -> AsyncIterator[list[Pod]]:
    async with AsyncExitStack() as stack:
        made = []
        for index in range(2):
            driver = cluster.server_driver("chat", index, configuration=SETTINGS, follow_users=True)
            await stack.enter_async_context(driver)
            rooms = server.Rooms(driver, await driver.init())
            rooms.follow()
            app = web.Application()
            app.add_routes([web.get("/rooms", rooms.show), web.get("/rooms/{uid}", rooms.join)])
            made.append(Pod(driver, rooms, await stack.enter_async_context(TestClient(TestServer(app)))))
        yield made


async def test_a_room_that_is_handed_over_keeps_its_lines_and_members(
    cluster: InMemoryCluster, pods: list[Pod]
) -> None:
    guest = await pods[0].join("alice", "Bob")
    assert await guest.receive_str() == "* alice is at chat-0\n* members: Bob"
    await guest.send_str("hello")
    assert await guest.receive_str() == "hello"
    cluster.hand_over("chat", "alice", 1)
    closed = await guest.receive()
    assert (closed.data, closed.extra) == (aiohttp.WSCloseCode.SERVICE_RESTART, "the room has left this pod")
    assert cluster.links("chat") == {"alice": 1}
    refused = await (await pods[0].join("alice")).receive()
    assert (refused.data, refused.extra) == (aiohttp.WSCloseCode.TRY_AGAIN_LATER, "pod 1 holds the room")
    returned = await pods[1].join("alice", "Carol")
    assert await returned.receive_str() == "* alice is at chat-1\n* members: Bob, Carol\nhello"
    assert (await pods[0].guests(), await pods[1].guests()) == ({}, {"alice": 1})


async def test_a_room_whose_hand_over_is_withdrawn_goes_on(cluster: InMemoryCluster, pods: list[Pod]) -> None:
    pods[1].driver.on_arriving(None)  # nobody takes the room
    guest = await pods[0].join("alice")
    await guest.receive_str()
    cluster.hand_over("chat", "alice", 1)
    await wait_until(lambda: not pods[0].rooms._rooms["alice"].is_writable.is_set(), "the room waits")  # noqa: SLF001
    await guest.send_str("hello")
    refused = await (await pods[0].join("alice")).receive()
    assert refused.extra == "the room is handed over to another pod"
    cluster.withdraw_hand_over("chat", "alice")
    assert await guest.receive_str() == "hello"
    assert cluster.links("chat") == {"alice": 0}


async def test_a_closing_pod_releases_rooms_without_guests(cluster: InMemoryCluster, pods: list[Pod]) -> None:
    guest = await pods[0].join("alice")
    await guest.receive_str()
    await (await pods[0].join("bob")).close()
    cluster.set_closing("chat", 0, datetime(2030, 1, 1, tzinfo=UTC))
    await wait_until(lambda: cluster.links("chat") == {"alice": 0}, "the empty room is released")
    await guest.close()
    await wait_until(lambda: cluster.links("chat") == {}, "the other one, too, when its guest has left")


async def test_rooms_without_guests_are_released_after_a_while(cluster: InMemoryCluster, pods: list[Pod]) -> None:
    guest = await pods[0].join("alice")
    await (await pods[0].join("bob")).close()
    releasing = asyncio.create_task(pods[0].rooms.release_empty_rooms(0.01))
    await wait_until(lambda: cluster.links("chat") == {"alice": 0}, "the empty room is released")
    await guest.close()
    await wait_until(lambda: cluster.links("chat") == {}, "the other one, too, when its guest has left")
    releasing.cancel()
