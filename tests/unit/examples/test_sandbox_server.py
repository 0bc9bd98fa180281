"""The server of the sandbox example lets one user into its pod, with a cluster in memory; its tools have limits."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from statefulroute import Configuration, EventsLost, LeaveReason, RoutingState, ServerDriver, UserArrived, UserLeft
from statefulroute.testing import InMemoryCluster
from support.recipes import load_example
from support.waiting import wait_until

SETTINGS = Configuration(drain_seconds=0)


server, tools = (load_example(f"sandbox/{name}.py", f"sandbox_{name}") for name in ("server", "tools"))


@dataclass
class Pod:
    """A pod of the sandbox.

    Attributes:
        driver: its driver.
        sandbox: its session.
        client: a client of its HTTP server.
        owner_file: the file with its user.
    """

    driver: ServerDriver
    sandbox: Any
    client: TestClient[web.Request, web.Application]
    owner_file: Path

    async def link(self, uid: str) -> None:
        await self.driver.set_linked_pod("play", uid, "sandbox", 0)

    async def run(self, uid: str, command: str) -> tuple[int, str]:
        answer = await self.client.post("/run", data=command, headers={"x-user-id": uid})
        return answer.status, await answer.text()

    async def end(self, uid: str) -> int:
        return (await self.client.delete("/session", headers={"x-user-id": uid})).status

    async def health(self) -> int:
        return (await self.client.get("/healthz")).status


@pytest.fixture
def cluster() -> InMemoryCluster:
    cluster = InMemoryCluster("play")
    cluster.add_service("sandbox", pods=2)
    return cluster


@pytest.fixture
async def pod(cluster: InMemoryCluster, tmp_path: Path) -> AsyncIterator[Pod]:
    workspace, socket, owner_file = tmp_path / "workspace", tmp_path / "socket", tmp_path / "owner"
    workspace.mkdir()
    runner = web.AppRunner(tools.application(workspace))
    await runner.setup()
    await web.UnixSite(runner, str(socket)).start()
    driver = cluster.server_driver("sandbox", 0, configuration=SETTINGS, follow_users=True)
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session, driver:
        sandbox = server.Sandbox(driver, server.Owner(owner_file), session)
        driver.listen(sandbox.handle)
        async with TestClient(TestServer(sandbox.application())) as client:
            yield Pod(driver, sandbox, client, owner_file)
    await runner.cleanup()


async def test_the_first_user_owns_the_pod(cluster: InMemoryCluster, pod: Pod) -> None:
    await pod.link("alice")
    assert await pod.run("alice", "echo hello > file; cat file") == (200, "hello\n")
    assert pod.owner_file.read_text(encoding="utf-8") == "alice"
    await pod.link("bob")  # as a caller does who has chosen the pod at the same moment
    assert (await pod.run("bob", "cat file"))[0] == 503
    await wait_until(lambda: cluster.links("sandbox") == {"alice": 0}, "the other user is sent away")
    assert await pod.run("alice", "cat file") == (200, "hello\n")


async def test_a_request_that_is_ahead_of_the_link_waits_for_it(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "ARRIVAL_SECONDS", 30)
    request = asyncio.create_task(pod.run("alice", "echo hello"))
    await asyncio.sleep(0.05)
    await pod.link("alice")
    assert await request == (200, "hello\n")


async def test_a_request_without_a_link_is_refused(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "ARRIVAL_SECONDS", 0.01)
    answer = await pod.client.post("/run", data="true", headers={"x-user-id": "alice"})
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert (await pod.client.post("/run", data="true")).status == 503  # and one without a user


async def test_the_user_ends_the_session(cluster: InMemoryCluster, pod: Pod) -> None:
    await pod.link("alice")
    session = asyncio.create_task(pod.sandbox.run_until_over(600))
    assert await pod.end("bob") == 503
    assert await pod.health() == 200
    assert await pod.end("alice") == 204
    assert cluster.links("sandbox") == {}
    assert pod.driver.get_routing_state() is RoutingState.DENY_NEW_CALL
    assert (await pod.run("alice", "true"))[0] == 503
    assert await pod.health() == 503
    await session


async def test_a_user_who_arrives_after_the_end_is_sent_away(cluster: InMemoryCluster, pod: Pod) -> None:
    await pod.link("alice")
    assert (await pod.run("alice", "true"))[0] == 200
    pod.sandbox.end("of this test")
    for uid in ("bob", "alice"):
        await pod.link(uid)
        assert (await pod.run(uid, "true"))[0] == 503
    await wait_until(lambda: "bob" not in cluster.links("sandbox"), "the other user is sent away")
    assert pod.owner_file.read_text(encoding="utf-8") == "alice"


async def test_the_session_is_over_when_the_link_is_gone(pod: Pod) -> None:
    await pod.link("alice")
    assert (await pod.run("alice", "true"))[0] == 200
    await pod.driver.remove_linked_pod("play", "alice", "sandbox")  # as the operator does when it has expired
    await wait_until(pod.sandbox.is_over.is_set, "the session is over")


async def test_the_session_goes_on_after_a_link_whose_changes_were_missed(cluster: InMemoryCluster, pod: Pod) -> None:
    await pod.link("alice")
    assert (await pod.run("alice", "true"))[0] == 200
    pod.sandbox.handle(UserLeft("sandbox", "alice", LeaveReason.MISSED))
    pod.sandbox.handle(UserArrived("sandbox", "alice", None))
    assert (await pod.run("alice", "true"))[0] == 200
    assert cluster.links("sandbox") == {"alice": 0}


async def test_lost_events_are_made_up_for(cluster: InMemoryCluster, pod: Pod) -> None:
    pod.driver.listen(lambda _: None)  # no event arrives
    for uid in ("alice", "bob"):
        await pod.link(uid)
    pod.sandbox.handle(EventsLost(2))
    owner = pod.owner_file.read_text(encoding="utf-8")
    await wait_until(lambda: [*cluster.links("sandbox")] == [owner], "one of them has the pod")
    await pod.driver.remove_linked_pod("play", owner, "sandbox")
    await wait_until(lambda: not pod.driver.users(), "the driver knows it")
    pod.sandbox.handle(EventsLost(1))
    assert pod.sandbox.is_over.is_set()


async def test_an_idle_session_is_over_and_one_with_a_command_is_not(cluster: InMemoryCluster, pod: Pod) -> None:
    session = asyncio.create_task(pod.sandbox.run_until_over(0.05))
    await asyncio.sleep(0.2)
    assert not session.done()  # nobody has the pod
    await pod.link("alice")
    assert (await pod.run("alice", "sleep 0.3; echo done")) == (200, "done\n")
    await session
    assert cluster.links("sandbox") == {}


async def test_a_pod_that_cannot_store_its_user_takes_none(cluster: InMemoryCluster, pod: Pod) -> None:
    pod.owner_file.mkdir()
    session = asyncio.create_task(pod.sandbox.run_until_over(600))
    await pod.link("alice")
    await session
    assert (await pod.run("alice", "true"))[0] == 503
    assert cluster.links("sandbox") == {}


async def test_a_user_who_was_linked_before_the_start_owns_the_pod(cluster: InMemoryCluster, tmp_path: Path) -> None:
    first = cluster.server_driver("sandbox", 1, configuration=SETTINGS)
    async with first:
        await first.set_linked_pod("play", "alice", "sandbox", 0)
    driver = cluster.server_driver("sandbox", 0, configuration=SETTINGS, follow_users=True)
    async with aiohttp.ClientSession() as session, driver:
        owner = server.Owner(tmp_path / "owner")
        driver.listen(server.Sandbox(driver, owner, session).handle)
        await wait_until(lambda: owner.uid == "alice", "the user owns the pod")


async def test_a_container_that_starts_again_takes_no_user(tmp_path: Path) -> None:
    owner_file = tmp_path / "owner"
    server.Owner(owner_file).set("alice")
    with pytest.raises(SystemExit, match="this pod has had a user"):
        await server.main(None, 0, tmp_path / "socket", owner_file, 600)


async def test_commands_have_limits(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    await pod.link("alice")
    answer = await pod.client.post("/run", data="exit 3", headers={"x-user-id": "alice"})
    assert (answer.status, answer.headers["x-exit-code"]) == (200, "3")
    monkeypatch.setattr(tools, "MAX_OUTPUT_BYTES", 1000)
    for command in ("yes", "setsid yes"):  # the second leaves the group of processes that is killed
        assert len((await pod.run("alice", command))[1]) == 1000
    monkeypatch.setattr(tools, "COMMAND_SECONDS", 0.1)
    answer = await pod.client.post("/run", data="echo before; sleep 600", headers={"x-user-id": "alice"})
    assert (await answer.text(), answer.headers["x-exit-code"]) == ("before\n", "124")
