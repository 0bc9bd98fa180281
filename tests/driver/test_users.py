"""Server drivers know the users of their pods, also after they were cut off from a real API server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pykube.objects import Pod

from chaos.proxy import FaultProxy
from driver.recording import RecordingLogger
from localcluster import LocalCluster
from statefulroute import (
    Configuration,
    CutOff,
    LeaveReason,
    Reconnected,
    ServerDriver,
    ServerEvent,
    UserArrived,
    UserLeft,
    UserNotHeldError,
    UserStaying,
    sync,
)
from support.clients import closing_connections
from support.independent_client import PodLink
from support.recipes import load_recipe
from support.service import Service
from support.waiting import eventually, wait_until

STEADY = Configuration(drain_seconds=0)
FENCED = Configuration(drain_seconds=0, fence_after_seconds=5.0)


@pytest.fixture
def users(game: Service) -> Iterator[Service]:
    """The service, whose links are deleted after the test."""
    yield game
    game.client.delete_all(PodLink, game.namespace)


@asynccontextmanager
async def driver_of(
    environment: pytest.MonkeyPatch,
    pod: str,
    kubeconfig: Path,
    configuration: Configuration = STEADY,
    *,
    follow_links: bool = False,
) -> AsyncIterator[ServerDriver]:
    """Runs the driver of a pod that reaches the API server by a kubeconfig."""
    environment.setenv("POD_NAME", pod)
    environment.setenv("KUBECONFIG", str(kubeconfig))
    async with closing_connections():
        driver = ServerDriver.from_environment(
            configuration=configuration, logger=RecordingLogger(), follow_links=follow_links, follow_users=True
        )
        async with driver:
            yield driver


async def take(events: AsyncIterator[ServerEvent], number: int = 1) -> list[Any]:
    async with asyncio.timeout(20):
        return [await anext(events) for _ in range(number)]


def bind(service: Service, uid: str, pod: int) -> None:
    service.client.patch(PodLink, f"game.{uid}", service.namespace, {"spec": {"podIndex": pod}})


@pytest.mark.parametrize("follow_links", [False, True], ids=["its users", "all links, too"])
async def test_users_of_a_pod_of_a_stateful_set(
    in_a_pod: pytest.MonkeyPatch, cluster: LocalCluster, users: Service, *, follow_links: bool
) -> None:
    here = users.namespace
    await asyncio.to_thread(lambda: users.await_bound(users.link("alice", podIndex=0)))
    async with driver_of(in_a_pod, "game-0", cluster.kubeconfig, follow_links=follow_links) as driver:
        events = driver.events()
        assert await take(events) == [UserArrived("game", "alice", None)]
        first = driver.token("alice")
        await asyncio.to_thread(bind, users, "alice", 1)
        assert await take(events) == [UserLeft("game", "alice", LeaveReason.UNBOUND)]
        with pytest.raises(UserNotHeldError):
            driver.token("alice")
        await asyncio.to_thread(lambda: users.await_bound("game.alice"))
        await asyncio.to_thread(bind, users, "alice", 0)
        assert await take(events) == [UserArrived("game", "alice", 1)]
        second = driver.token("alice")
        await driver.remove_linked_pod(here, "alice", "game")
        await take(events)
        await driver.set_linked_pod(here, "alice", "game", 0)
        assert first < second < driver.token("alice")
        assert driver.users() == {"alice"}


async def test_users_of_a_pod_that_is_to_be_removed(
    in_a_pod: pytest.MonkeyPatch, cluster: LocalCluster, users: Service
) -> None:
    await asyncio.to_thread(users.link, "alice", podIndex=2)
    async with driver_of(in_a_pod, "game-2", cluster.kubeconfig) as driver:
        events = driver.events()
        await take(events)
        try:
            await asyncio.to_thread(users.edit_route, replicas=2)
            [leaving] = await take(events)
            assert (leaving.uid, leaving.to) == ("alice", None)
            assert leaving.deadline > datetime.now(UTC)
        finally:
            await asyncio.to_thread(users.edit_route, replicas=3)
        assert await take(events) == [UserStaying("game", "alice")]
        await asyncio.to_thread(users.edit_route, replicas=None)


async def test_users_of_a_pod_with_a_name(in_a_pod: pytest.MonkeyPatch, cluster: LocalCluster, users: Service) -> None:
    """A pod of a Deployment has no index; here it is a pod without an owner."""
    here, pod = users.namespace, "game-7d9f-x2x4c"
    in_a_pod.setenv("STATEFULROUTE_NAME", "game")
    item = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": pod},
        "spec": {"schedulerName": "none", "containers": [{"name": "room", "image": "room.invalid/room"}]},
    }
    await asyncio.to_thread(users.client.create, item, here)
    try:
        async with driver_of(in_a_pod, pod, cluster.kubeconfig) as driver:
            events = driver.events()
            await driver.set_linked_pod(here, "bob", "game", "another")
            await driver.set_linked_pod(here, "alice", "game", pod)
            assert driver.users() == {"alice"}
            await asyncio.to_thread(users.client.delete, PodLink, "game.alice", here)
            assert await take(events, 2) == [
                UserArrived("game", "alice", None),
                UserLeft("game", "alice", LeaveReason.UNBOUND),
            ]
    finally:
        await asyncio.to_thread(users.client.delete, Pod, pod, here)


async def test_writes_of_a_pod_that_is_cut_off_are_refused(
    in_a_pod: pytest.MonkeyPatch, cluster: LocalCluster, users: Service, tmp_path: Path
) -> None:
    recipe = load_recipe("fenced_store")
    with (
        closing(recipe.Store(str(tmp_path / "notebooks.db"))) as store,
        FaultProxy(cluster.kubeconfig, tmp_path / "proxy") as proxy,
    ):
        async with (
            driver_of(in_a_pod, "game-0", proxy.kubeconfig, FENCED) as cut_off,
            driver_of(in_a_pod, "game-1", cluster.kubeconfig) as other,
        ):
            seen: list[Any] = []
            cut_off.listen(seen.append)
            before, after = recipe.Notebooks(cut_off, store), recipe.Notebooks(other, store)
            await asyncio.to_thread(lambda: users.link_all(["alice", "bob", "carol"], podIndex=0))
            await wait_until(lambda: len(before.opened) == 3 and not cut_off.is_cut_off, "the notebooks are opened")
            before.add("alice", "one")
            arrived = len(seen)
            proxy.half_open()
            await asyncio.to_thread(bind, users, "alice", 1)
            await asyncio.to_thread(bind, users, "bob", 1)
            await asyncio.to_thread(users.client.delete, PodLink, "game.carol", users.namespace)
            await wait_until(lambda: after.opened.keys() == {"alice", "bob"}, "the other pod has opened them")
            assert cut_off.users() == {"alice", "bob", "carol"}
            with pytest.raises((recipe.StaleTokenError, UserNotHeldError)):  # the former, unless the machine is slow
                before.add("bob", "late")
            with pytest.raises(recipe.StaleTokenError):  # whatever the pod believes
                store.write("alice", "stale", before.opened["alice"].token)
            after.add("alice", "two")
            assert after.opened["alice"].text == "one\ntwo\n"
            await wait_until(lambda: isinstance(seen[-1], CutOff), "the pod knows that it is cut off", seconds=60)
            with pytest.raises(UserNotHeldError):
                before.add("carol", "late")
            # One comes back in the meantime: the pod must read again what the other one has written.
            after.add("bob", "three")
            await asyncio.to_thread(bind, users, "bob", 0)
            proxy.heal()
            await wait_until(lambda: isinstance(seen[-1], Reconnected), "the pod has read its users again", seconds=60)
            assert not cut_off.is_cut_off
            changes = [event for event in seen[arrived:] if isinstance(event, UserArrived | UserLeft)]
            of_bob = [change for change in changes if change.uid == "bob"]  # by a list or by events: both are right
            assert [type(change) for change in of_bob] == [UserLeft, UserArrived]
            assert {change for change in changes if change.uid != "bob"} == {
                UserLeft("game", "alice", LeaveReason.UNBOUND),
                UserLeft("game", "carol", LeaveReason.UNBOUND),
            }
            await wait_until(lambda: before.opened.keys() == {"bob"}, "the events are handled")
            assert before.opened["bob"].text == "three\n"
            before.add("bob", "four")


def test_blocking_driver_knows_its_users(in_a_pod: pytest.MonkeyPatch, users: Service) -> None:
    del in_a_pod
    received: list[ServerEvent] = []
    with sync.ServerDriver.from_environment(
        configuration=STEADY, logger=RecordingLogger(), follow_users=["other"]
    ) as driver:
        driver.listen(received.append)
        events = driver.events()
        driver.set_linked_pod(users.namespace, "alice", "game", 0)
        assert (driver.users(), driver.users("other")) == ({"alice"}, set())
        assert driver.token("alice") > 0
        assert next(events) == UserArrived("game", "alice", None)
        eventually(lambda: received == [UserArrived("game", "alice", None)], "the callback was called")
        assert not driver.is_cut_off
    assert list(events) == []
