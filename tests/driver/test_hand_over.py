"""Server drivers hand users over, with a real API server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from driver.recording import RecordingLogger
from localcluster import LocalCluster
from statefulroute import (
    Configuration,
    LeaveReason,
    LeavingUser,
    ServerDriver,
    ServerEvent,
    UserArrived,
    UserLeaving,
    UserLeft,
    UserStaying,
)
from support.clients import closing_connections
from support.independent_client import PodLink
from support.service import Service
from support.waiting import wait_until

STEADY = Configuration(drain_seconds=0)


@pytest.fixture
def users(game: Service) -> Iterator[Service]:
    """The service, whose users may be handed over. The links are deleted after the test."""
    game.edit_route(handOver={"timeoutSeconds": 600})
    yield game
    game.client.delete_all(PodLink, game.namespace)
    game.edit_route(handOver=None)


@asynccontextmanager
async def driver_of(
    environment: pytest.MonkeyPatch, pod: int, configuration: Configuration = STEADY
) -> AsyncIterator[ServerDriver]:
    """Runs the driver of a pod."""
    environment.setenv("POD_NAME", f"game-{pod}")
    async with closing_connections():
        driver = ServerDriver.from_environment(configuration=configuration, logger=RecordingLogger(), follow_users=True)
        async with driver:
            yield driver


async def take(events: AsyncIterator[ServerEvent], number: int = 1) -> list[Any]:
    async with asyncio.timeout(20):
        return [await anext(events) for _ in range(number)]


def patch(service: Service, uid: str, **spec: Any) -> None:
    service.client.patch(PodLink, f"game.{uid}", service.namespace, {"spec": spec})


def ask(service: Service, uid: str, pod: int) -> None:
    """Asks for a hand-over."""
    patch(service, uid, handOver={"podIndex": pod, "startTime": datetime.now(UTC).isoformat()})


async def test_user_is_handed_over(in_a_pod: pytest.MonkeyPatch, cluster: LocalCluster, users: Service) -> None:
    del cluster
    saved: list[LeavingUser] = []

    async def save(user: LeavingUser) -> None:
        saved.append(user)

    await asyncio.to_thread(lambda: users.await_bound(users.link("alice", podIndex=0, ttlSeconds=600)))
    async with driver_of(in_a_pod, 0) as old, driver_of(in_a_pod, 1) as new:
        old.on_leaving(save)
        events, arrivals = old.events(), new.events()
        await take(events)
        first = old.token("alice")
        await asyncio.to_thread(ask, users, "alice", 1)
        leaving, left = await take(events, 2)
        assert leaving == UserLeaving("game", "alice", 1, leaving.deadline)
        assert left == UserLeft("game", "alice", LeaveReason.UNBOUND)
        assert saved == [LeavingUser("game", "alice", 1, leaving.deadline)]
        assert await take(arrivals) == [UserArrived("game", "alice", 0)]
        assert new.token("alice") > first
    status = await asyncio.to_thread(users.await_bound, "game.alice")
    link = await asyncio.to_thread(users.client.get, PodLink, "game.alice", users.namespace)
    spec = link["spec"]
    assert (spec["podIndex"], spec["ttlSeconds"], "handOver" in spec) == (1, 600, False)
    assert status["previous"]["reason"] == "HandedOver"


async def test_hand_over_is_withdrawn_and_asked_for_again(
    in_a_pod: pytest.MonkeyPatch, cluster: LocalCluster, users: Service
) -> None:
    del cluster
    called, cancelled, may_return = [], [], asyncio.Event()

    async def save(user: LeavingUser) -> None:
        called.append(user.to)
        try:
            await may_return.wait()
        except asyncio.CancelledError:
            cancelled.append(user.to)
            raise

    await asyncio.to_thread(users.link, "alice", podIndex=0)
    async with driver_of(in_a_pod, 0) as old:
        old.on_leaving(save)
        events = old.events()
        await take(events)
        await asyncio.to_thread(ask, users, "alice", 1)
        await take(events)
        await asyncio.to_thread(patch, users, "alice", handOver=None)
        assert await take(events) == [UserStaying("game", "alice")]
        for pod in (1, 2):
            await asyncio.to_thread(ask, users, "alice", pod)
            assert (await take(events))[0].to == pod
        await wait_until(lambda: called == [1, 1, 2], "the handler is called for the last one")
        assert cancelled == [1, 1]
        may_return.set()
        assert (await take(events))[0].reason is LeaveReason.UNBOUND
    link = await asyncio.to_thread(users.client.get, PodLink, "game.alice", users.namespace)
    assert link["spec"]["podIndex"] == 2


async def test_operator_moves_the_user_of_a_handler_that_fails(
    in_a_pod: pytest.MonkeyPatch, cluster: LocalCluster, users: Service
) -> None:
    del cluster
    failures: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))

    async def fail(_: LeavingUser) -> None:
        raise LookupError("of the application")

    users.edit_route(handOver={"timeoutSeconds": 1})
    await asyncio.to_thread(lambda: users.await_bound(users.link("alice", podIndex=0)))
    async with driver_of(in_a_pod, 0) as old:
        old.on_leaving(fail)
        events = old.events()
        await take(events)
        await asyncio.to_thread(ask, users, "alice", 1)
        assert [type(event) for event in await take(events, 2)] == [UserLeaving, UserLeft]
        assert len(failures) == 1
    link = await asyncio.to_thread(users.client.get, PodLink, "game.alice", users.namespace)
    assert (link["spec"]["podIndex"], "handOver" in link["spec"]) == (1, False)


async def test_all_users_of_a_pod_that_is_shut_down_are_handed_over(
    in_a_pod: pytest.MonkeyPatch, cluster: LocalCluster, users: Service
) -> None:
    del cluster
    saved: set[str] = set()
    uids = {f"user-{number}" for number in range(5)}

    async def save(user: LeavingUser) -> None:
        saved.add(user.uid)

    await asyncio.to_thread(lambda: users.link_all(uids, podIndex=0))
    await asyncio.to_thread(lambda: [users.await_bound(f"game.{uid}") for uid in uids])
    async with driver_of(in_a_pod, 0) as old:
        old.on_leaving(save)
        try:
            overrides = [{"index": 0, "routingState": "Shutdown"}]
            users.edit_route(pods=overrides, onPodLost={"action": "Rebind"})
            async with asyncio.timeout(60):
                while old.users():  # noqa: ASYNC110 - there is no event to wait for
                    await asyncio.sleep(0.05)
            assert saved == uids
        finally:
            users.edit_route(pods=None, onPodLost=None)
