"""Room that a link does not take is left to others, however its write ends."""

import asyncio

import pytest

from statefulroute.api.vocabulary import ServiceState
from statefulroute.cluster.errors import APIError, ConflictError, UnreachableError
from statefulroute.controllers.links import route_queue
from statefulroute.controllers.work_queue.worker_pool import WorkerPool
from statefulroute.domain.keys import LinkKey, RouteKey
from statefulroute.domain.link import Link
from unit.controllers.environment import GAME, Environment, eventually, idle, link, pod, route, running_route, workload

LOBBY = RouteKey("games", "lobby")
ONE = {"placement": {"maxLinksPerPod": 1}}


def limited(*indices: int, concurrency: int = 4) -> Environment:
    """Creates a route with these pods, each with room for one link."""
    environment = Environment(concurrency)
    environment.routes.put(route(10, spec=ONE))
    environment.workloads.put(workload(11))
    for index in indices:
        environment.pods.put(pod(12 + index, index))
    return environment


class FailingBindings:
    """Lets the bindings of some users fail: at once, or when `unblocked` is set."""

    def __init__(self, environment: Environment, *users: str, error: Exception) -> None:
        self.unblocked = asyncio.Event()
        self.number = 0
        self._names = {f"game.{user}" for user in users}
        self._error = error
        self._bind = environment.writer.bind
        environment.writer.bind = self.bind  # type: ignore[method-assign]

    async def bind(self, link: Link, pod: int) -> None:
        """Fails, or binds a link of another user."""
        if link.name not in self._names:
            return await self._bind(link, pod)
        await self.unblocked.wait()
        self.number += 1
        raise self._error


async def take_last_place(environment: Environment) -> None:
    """Lets bob be bound to the last place, which has not succeeded yet, and carol wait behind him."""
    environment.links.put(link(31, "bob"))
    await idle()
    environment.links.put(link(32, "carol"))
    await idle()
    assert environment.reason_of("carol") == "AtCapacity"


async def test_room_of_a_link_that_a_client_binds_meanwhile_is_offered_to_others() -> None:
    environment = limited(0, 1)
    environment.links.put(link(30, "alice", pod=1))
    bindings = FailingBindings(environment, "bob", error=ConflictError(409, "Conflict", "it has changed"))
    async with running_route(environment):
        await take_last_place(environment)
        environment.links.put(link(40, "bob", pod=1))
        await idle()
        bindings.unblocked.set()
        await eventually(lambda: environment.reason_of("bob") == "Bound")
        await eventually(lambda: environment.reason_of("carol") == "Bound")


async def test_room_of_a_link_that_is_rejected_after_an_outage_is_offered_to_others() -> None:
    environment = limited(0)
    bindings = FailingBindings(environment, "bob", error=UnreachableError("no response"))
    async with running_route(environment):
        await take_last_place(environment)
        bindings.unblocked.set()
        await idle()
        assert environment.reason_of("carol") == "AtCapacity", "the link may be bound, although nothing has arrived"
        environment.links.put(link(40, "bob", foreign_namespace="elsewhere"))
        await eventually(lambda: environment.reason_of("carol") == "Bound")


async def test_link_whose_write_is_refused_leaves_the_room_to_others() -> None:
    environment = limited(0)
    bindings = FailingBindings(environment, "bob", error=APIError(403, "Forbidden", "a policy refuses it"))
    async with running_route(environment):
        await take_last_place(environment)
        bindings.unblocked.set()
        await eventually(lambda: environment.reason_of("carol") == "Bound")


async def test_links_whose_writes_are_refused_do_not_hold_up_those_behind_them() -> None:
    environment = limited()
    environment.pods.put(pod(12, 0, service_state=ServiceState.NOT_READY))
    refused = [f"refused-{number}" for number in range(8)]
    bindings = FailingBindings(environment, *refused, error=APIError(403, "Forbidden", "a policy refuses it"))
    bindings.unblocked.set()
    for number, user in enumerate((*refused, "carol")):
        environment.links.put(link(30, user, creation_timestamp=number))
    async with running_route(environment):
        assert environment.reason_of("carol") == "NoAvailablePod"
        environment.pods.put(pod(50, 0))
        await eventually(lambda: environment.reason_of("carol") == "Bound")
        await idle()
        assert bindings.number < 100, "they are tried again with growing delays"


@pytest.mark.parametrize("number", [6, 50])
async def test_links_that_got_no_room_state_the_present_reason(number: int) -> None:
    environment = limited()
    environment.pods.put(pod(12, 0, service_state=ServiceState.NOT_READY))
    for each in range(number):
        environment.links.put(link(30, f"user-{each}", creation_timestamp=each))
    async with running_route(environment):
        await eventually(
            lambda: {environment.reason_of(f"user-{each}") for each in range(number)} == {"NoAvailablePod"}
        )
        environment.pods.put(pod(50, 0))
        await eventually(lambda: environment.reason_of("user-0") == "Bound")
        await eventually(lambda: {environment.reason_of(f"user-{each}") for each in range(1, number)} == {"AtCapacity"})
        environment.links.delete(GAME, "game.user-0", 1000)
        await eventually(lambda: environment.reason_of("user-1") == "Bound")


async def test_links_state_the_present_reason_after_another_route_has_taken_the_room() -> None:
    environment, users = limited(0, concurrency=1), ("bob", "carol", "dave")
    environment.pods.put(pod(13, 1, service_state=ServiceState.NOT_READY))
    environment.routes.put(route(20, LOBBY, spec={"workloadRef": {"name": "game"}}))
    environment.links.put(link(30, "alice", pod=0))
    for user in users:
        environment.links.put(link(31, user))

    def messages() -> list[str]:
        links = [environment.links.get(GAME, f"game.{user}") for user in users]
        return [each.status.message.partition("now: ")[2] for each in links if each and each.status]

    async with running_route(environment), running_route(environment, LOBBY):
        full, not_ready = "game-0: at the limit of 1 links (placement.maxLinksPerPod)", "game-1: not Ready"
        await eventually(lambda: messages() == [f"{full}; {not_ready}"] * 3)
        environment.pods.put(pod(50, 1))
        environment.links.put(link(51, "visitor", LOBBY))
        await eventually(lambda: environment.reason_of("visitor", LOBBY) == "Bound")
        await eventually(lambda: messages() == ["every pod is at the limit of 1 links (placement.maxLinksPerPod)"] * 3)


async def test_links_whose_reason_changes_are_added_once_however_many_pods_change_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment, number = limited(0), 500
    environment.links.put(link(30, "alice", pod=0))
    for each in range(number):
        environment.links.put(link(30, f"user-{each}", creation_timestamp=each))
    async with running_route(environment):
        await eventually(lambda: {environment.reason_of(f"user-{each}") for each in range(number)} == {"AtCapacity"})
        await eventually(lambda: not environment.controller.backlog().depth)
        environment.writer.unblocked.clear()
        added, add = list[LinkKey](), WorkerPool.add
        monkeypatch.setattr(WorkerPool, "add", lambda pool, key, *args: added.append(key) or add(pool, key, *args))
        for version in range(20):
            environment.pods.put(pod(50 + version, 0, service_state=ServiceState.NOT_READY, node_name=f"{version}"))
            await idle()
        assert number <= len(added) < 2 * number
        environment.writer.unblocked.set()
        await eventually(
            lambda: {environment.reason_of(f"user-{each}") for each in range(number)} == {"NoAvailablePod"}
        )


async def test_link_whose_status_is_refused_is_tried_again_with_growing_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(route_queue, "_STATUS_CHECK_SECONDS", 0.001)
    environment, attempts = limited(0, 1), list[str]()

    async def refuse(link: Link, *_: object) -> str:
        attempts.append(link.name)
        raise APIError(403, "Forbidden", "a policy refuses it")

    environment.links.put(link(30, "alice", pod=0))
    environment.links.put(link(31, "bob", pod=1))
    environment.links.put(link(32, "carol"))
    async with running_route(environment):
        assert environment.reason_of("carol") == "AtCapacity"
        monkeypatch.setattr(environment.writer, "update_status", refuse)
        environment.pods.put(pod(50, 1, service_state=ServiceState.NOT_READY))
        await asyncio.sleep(0.1)
        assert 0 < len(attempts) < 10


async def test_queue_that_has_stopped_checks_its_route_no_more() -> None:
    environment = limited(0, concurrency=2)
    bindings = FailingBindings(environment, "bob", "carol", error=APIError(403, "Forbidden", "a policy refuses it"))
    async with running_route(environment):
        for user in ("bob", "carol", "dave", "erin"):
            environment.links.put(link(31, user))
            await idle()
        environment.pods.put(pod(50, 1))
        await idle()
        queue = environment.controller._queues[GAME]  # noqa: SLF001 - no event tells
        stopping = asyncio.create_task(queue.stop())
        await idle()
        for index in (0, 1):
            environment.pods.put(pod(51, index, service_state=ServiceState.NOT_READY))
        bindings.unblocked.set()
        await stopping
        await idle()
        assert bindings.number == 2
        assert queue._status_check is None or queue._status_check.cancelled()  # noqa: SLF001
