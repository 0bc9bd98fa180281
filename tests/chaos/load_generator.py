"""Clients that bind, move, release and look up users at a steady rate, and record the results."""

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import structlog

from chaos.hand_over_clients import PodDrivers
from chaos.link_clients import (
    AcknowledgedWrites,
    LinkClients,
    OperationResult,
    ResolverError,
    WriteObserver,
    acknowledged_writes,
)
from chaos.record import SLOT_KEY, Operation, RecordWriter
from chaos.record import Link as LinkRow
from statefulroute import ClientDriver
from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from statefulroute.cluster.errors import ClusterError
from statefulroute.cluster.link_requests import LinkRequests
from statefulroute.cluster.link_store import LinkStore
from statefulroute.domain.errors import StatefulRouteError
from statefulroute.domain.keys import slot_link_name
from statefulroute.domain.link import HandOver

_CONNECTIONS = 64
_RESOLVER_SECONDS = 10.0

#: A TLS connection that is closed during a response is closed a moment later, while its loop still runs.
_CLOSING_SECONDS = 0.25

#: The maximum number of operations in flight: those of ten seconds, the timeout of each.
_MAX_IN_FLIGHT = 1000

#: How often the cache of the driver is asked for how many users of slots, and of how many others they are chosen.
_ASK_SECONDS, _ASKED, _ASKED_USERS = 0.25, 6, 100


#: The operations and their weights; the names are those of `record.Operation`.
MIX: dict[str, tuple[Callable[[LinkClients, str, str, int], Awaitable[OperationResult]], int]] = {
    "set": (LinkClients.set, 10),
    "try_set": (LinkClients.try_set, 14),
    "compute": (LinkClients.compute, 14),
    "compute_temporary": (LinkClients.compute_temporary, 12),
    "set_if_absent": (LinkClients.set_if_absent, 6),
    "leave_the_choice": (LinkClients.leave_the_choice, 14),
    "remove": (LinkClients.remove, 12),
    "remove_if_linked_to": (LinkClients.remove_if_linked_to, 3),
    "read": (LinkClients.read, 2),
    "post": (LinkClients.post, 8),
    "look_up": (LinkClients.look_up, 5),
    "renew": (LinkClients.renew, 5),
    "hand_over": (LinkClients.hand_over, 16),
    "old_set": (LinkClients.old_set, 3),
}

#: The operations on the link of a slot, of routes with slots, and how often one replaces an operation on a user.
SLOT_MIX: dict[str, Callable[[LinkClients, str, int, int], Awaitable[OperationResult]]] = {
    "move_slot": LinkClients.move_slot,
    "remove_slot": LinkClients.remove_slot,
}
_SLOT_PART = 0.05

#: How often an operation is on a link that is being handed over; others choose any link.
_DURING_HAND_OVERS = {"renew": 0.6, "old_set": 0.5, "set": 0.1, "hand_over": 0.1}

#: The operations that name a pod to bind to.
_NAME_A_POD = frozenset(
    {"set", "try_set", "set_if_absent", "remove_if_linked_to", "hand_over", "commit", "old_set", "move_slot"}
)


@dataclass(frozen=True, slots=True)
class LoadTarget:
    """A service with users.

    Attributes:
        route: the name of its route.
        pods: the number of its pods without faults.
        users: the number of its users.
        hand_over_seconds: the time-out of its hand-overs; None if users move at once.
        slots: the number of its slots; None for none.
    """

    route: str
    pods: int
    users: int
    hand_over_seconds: float | None = None
    slots: int | None = None


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """The targets of the load.

    Attributes:
        namespace: the namespace of the services.
        targets: the services.
        kubeconfig: the kubeconfig of the driver.
        resolver: HOST:PORT of the resolver's look-ups.
        hand_overs: returns when the present hand-over of each link began, with its first version.
    """

    namespace: str
    targets: Sequence[LoadTarget]
    kubeconfig: Path
    resolver: str
    hand_overs: Callable[[], Mapping[str, tuple[float, LinkRow]]] = dict


class LoadGenerator:
    """Starts operations at a steady rate, whatever their results, from `start` to `stop`.

    Args:
        settings: the targets.
        record: the record of the run.
        rate: the operations per second.
        seed: the seed of the choice of operations, users and pods.
    """

    def __init__(self, settings: LoadSettings, record: RecordWriter, rate: float, seed: int) -> None:
        self._settings = settings
        self._record = record
        self._rate = rate
        self._seed = seed
        self._random = random.Random(seed)
        self._is_over = threading.Event()
        self._has_started = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def start(self) -> None:
        """Starts the load; returns once the driver is connected."""
        self._thread.start()
        while not self._has_started.wait(0.1):
            self.check()

    def stop(self) -> None:
        """Starts no more operations, and waits until those in flight end."""
        self._is_over.set()
        self._thread.join()
        self.check()

    def check(self) -> None:
        """Raises the exception that stopped the load, if there is one."""
        if self._failure is not None:
            raise AssertionError("the load stopped because of an error") from self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._generate())
        except BaseException as error:  # noqa: BLE001 - raised by `check`
            self._failure = error

    async def _generate(self) -> None:
        async with AsyncExitStack() as stack:
            clients = await self._connect(stack)
            others = {asyncio.create_task(each) for each in (self._play_drivers(clients), self._ask(clients))}
            for each in others:
                each.add_done_callback(self._note_failure)
            self._has_started.set()
            started, number = time.monotonic(), 0
            in_flight: set[asyncio.Task[None]] = set()
            while not self._is_over.is_set():
                number += 1
                await asyncio.sleep(max(0.0, started + number / self._rate - time.monotonic()))
                if len(in_flight) >= _MAX_IN_FLIGHT:
                    continue
                task = asyncio.create_task(self._run_operation(clients))
                in_flight.add(task)
                task.add_done_callback(in_flight.discard)
                task.add_done_callback(self._note_failure)
            await asyncio.wait(in_flight | others)
        await asyncio.sleep(_CLOSING_SECONDS)

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        """Stops the load if an operation has ended by an error that no fault explains."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = self._failure or error
            self._is_over.set()

    async def _play_drivers(self, clients: LinkClients) -> None:
        """Plays the drivers of the pods that are asked to hand users over, until the load ends."""

        async def commit(route: str, uid: str, hand_over: HandOver) -> None:
            assert isinstance(hand_over.pod, int)
            if uid.startswith(SLOT_KEY):
                slot = int(uid.removeprefix(SLOT_KEY))
                operation, name = clients.commit_slot(route, slot, hand_over), slot_link_name(route, slot)
            else:
                operation, name = clients.commit(route, uid, hand_over), f"{route}.{uid}"
            await self._record_operation("commit", name, hand_over.pod, operation)

        settings = self._settings
        seconds = {target.route: target.hand_over_seconds or 0.0 for target in settings.targets}
        await PodDrivers(settings.hand_overs, seconds, commit, self._is_over.is_set, random.Random(self._seed)).run()

    async def _ask(self, clients: LinkClients) -> None:
        """Asks the cache of the driver for some users of slots all the time, until the load ends."""
        slotted = [each for each in self._settings.targets if each.slots]
        while not self._is_over.is_set():
            for target in slotted:
                for number in random.sample(range(_ASKED_USERS), _ASKED):
                    uid = f"user-{number}"
                    await self._record_operation("ask", f"{target.route}.{uid}", 0, clients.ask(target.route, uid))
            await asyncio.sleep(_ASK_SECONDS)

    async def _connect(self, stack: AsyncExitStack) -> LinkClients:
        place = self._settings
        connection = await stack.enter_async_context(connect(place.kubeconfig))
        client = await stack.enter_async_context(Client(connection, _CONNECTIONS))
        quiet = structlog.wrap_logger(structlog.PrintLogger(), processors=[_drop])
        driver = ClientDriver(client, place.namespace, logger=quiet)
        timeout = aiohttp.ClientTimeout(total=_RESOLVER_SECONDS)
        observer = WriteObserver()
        return LinkClients(
            LinkStore(client, place.namespace, links=observer),
            LinkRequests(client, place.namespace, observer),
            await stack.enter_async_context(driver),
            await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout)),
            lambda route, uid: f"http://{place.resolver}/v1/namespaces/{place.namespace}/routes/{route}/links/{uid}",
        )

    async def _run_operation(self, clients: LinkClients) -> None:
        """Runs a random operation and records it."""
        name = self._random.choices(list(MIX), [weight for _, weight in MIX.values()])[0]
        target = self._random.choice(self._settings.targets)
        if target.slots is not None and self._random.random() < _SLOT_PART:
            await self._run_slot_operation(clients, target, target.slots)
            return
        route, uid = target.route, f"user-{self._random.randrange(target.users)}"
        handed_over = [link.key for _, link in self._settings.hand_overs().values() if link.slot is None]
        if name in _DURING_HAND_OVERS and handed_over and self._random.random() < _DURING_HAND_OVERS[name]:
            route, uid = self._random.choice(handed_over)
        pod = self._random.randrange(next(each.pods for each in self._settings.targets if each.route == route))
        operation = MIX[name][0](clients, route, uid, pod)
        await self._record_operation(name, f"{route}.{uid}", pod, operation)

    async def _run_slot_operation(self, clients: LinkClients, target: LoadTarget, slots: int) -> None:
        """Runs a random operation on the link of a slot and records it."""
        name = self._random.choice(list(SLOT_MIX))
        slot, pod = self._random.randrange(slots), self._random.randrange(target.pods)
        operation = SLOT_MIX[name](clients, target.route, slot, pod)
        await self._record_operation(name, slot_link_name(target.route, slot), pod, operation)

    async def _record_operation(self, name: str, link: str, pod: int, operation: Awaitable[OperationResult]) -> None:
        """Awaits an operation and records it."""
        writes = AcknowledgedWrites()
        acknowledged_writes.set(writes)
        started, result, error = time.time(), OperationResult(has_pod=False), ""
        try:
            result = await operation
        except (StatefulRouteError, ClusterError, ResolverError, aiohttp.ClientError, TimeoutError) as failure:
            error = (
                str(failure) if isinstance(failure, ResolverError) else getattr(failure, "code", type(failure).__name__)
            )
        self._record.write(
            Operation(
                started,
                time.time(),
                "resolver" if name in {"post", "look_up"} else "driver",
                name,
                link,
                requested_pod=pod if name in _NAME_A_POD else None,
                error=error,
                answer=result.pod,
                has_pod=result.has_pod and not error,
                age=result.age,
                writes=tuple(writes.writes),
                deleted=tuple(writes.deleted),
            )
        )


def _drop(*_: Any) -> Any:
    raise structlog.DropEvent
