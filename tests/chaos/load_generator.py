"""Clients that bind, move, release and look up users at a steady rate, and record the results."""

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import structlog

from chaos.hand_over_clients import PodDrivers, commit_hand_over, renew_early
from chaos.record import SLOT_KEY, Operation, RecordWriter
from chaos.record import Link as LinkRow
from chaos.slot_clients import commit_slot, move_slot, remove_slot
from statefulroute import ClientDriver
from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import utc_interval
from statefulroute.cluster.connection import connect
from statefulroute.cluster.errors import ClusterError
from statefulroute.cluster.link_requests import LinkRequests
from statefulroute.cluster.link_store import LinkStore
from statefulroute.domain.errors import StatefulRouteError
from statefulroute.domain.hand_over_request import request_hand_over
from statefulroute.domain.keys import RouteKey, link_name, slot_link_name
from statefulroute.domain.link import HandOver, Link
from statefulroute.domain.operations import request_pod, set_link

_CONNECTIONS = 64
_TTL_SECONDS = (5, 20)
_HAND_OVER_TTL_SECONDS = 30
_RESOLVER_SECONDS = 10.0

#: A TLS connection that is closed during a response is closed a moment later, while its loop still runs.
_CLOSING_SECONDS = 0.25

#: The maximum number of operations in flight: those of ten seconds, the timeout of each.
_MAX_IN_FLIGHT = 1000


@dataclass(slots=True)
class AcknowledgedWrites:
    """The versions of links that one operation received from the API server."""

    writes: list[tuple[int, int | None]] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)


_acknowledged_writes: ContextVar[AcknowledgedWrites] = ContextVar("acknowledged_writes")


class WriteObserver:
    """Replaces a store's cache, and records every version that the present operation receives."""

    def has_synced(self, route: str) -> bool:
        """Returns False: there is no cache, so every operation reads first."""
        del route
        return False

    def get(self, route: RouteKey, name: str) -> Link | None:
        """Returns None: nothing is cached."""
        del route, name
        return None

    def requesting(self, route: str, name: str) -> AbstractContextManager[Callable[[Link], None]]:
        """Returns a context that ignores the response: `observe` records it."""
        del route, name
        return nullcontext(lambda _: None)

    def observe(self, item: Link) -> None:
        """Records a version that was read or written."""
        _acknowledged_writes.get().writes.append(
            (item.resource_version, item.pod if isinstance(item.pod, int) else None)
        )

    def forget(self, item: Link) -> None:
        """Records a deleted version."""
        _acknowledged_writes.get().deleted.append(item.resource_version)


@dataclass(frozen=True, slots=True)
class OperationResult:
    """The result of an operation.

    Attributes:
        pod: the pod that holds the uid; None for none.
        has_pod: whether the response names the pod that holds the uid.
        age: the maximum age of the answer, in seconds.
    """

    pod: int | None = None
    has_pod: bool = True
    age: float = 0.0


class ResolverError(Exception):
    """The resolver responded with an error."""


@dataclass(frozen=True, slots=True)
class LinkClients:
    """The clients that bind users."""

    store: LinkStore
    requests: LinkRequests
    driver: ClientDriver
    resolver: aiohttp.ClientSession
    links_url: Callable[[str, str], str]

    async def set(self, route: str, uid: str, pod: int) -> OperationResult:
        await self.store.set(route, uid, pod)
        return OperationResult(pod)

    async def try_set(self, route: str, uid: str, pod: int) -> OperationResult:
        return _result((await self.store.try_set(route, uid, pod)).holder)

    async def compute(self, route: str, uid: str, _pod: int) -> OperationResult:
        return _result(await self.driver.compute_link_if_absent(uid, route))

    async def compute_temporary(self, route: str, uid: str, _pod: int) -> OperationResult:
        ttl = random.randint(*_TTL_SECONDS)
        return _result(await self.driver.compute_link_if_absent(uid, route, ttl_seconds=ttl))

    async def set_if_absent(self, route: str, uid: str, pod: int) -> OperationResult:
        return _result(await self.driver.link_if_absent(uid, route, pod))

    async def leave_the_choice(self, route: str, uid: str, _pod: int) -> OperationResult:
        held = await self.store.execute(route, uid, _request, expect_absent=True)
        return _result(held) if held is not None else OperationResult(has_pod=False)

    async def renew(self, route: str, uid: str, _pod: int) -> OperationResult:
        return OperationResult(has_pod=not await self.store.execute(route, uid, renew_early))

    async def hand_over(self, route: str, uid: str, pod: int) -> OperationResult:
        ttl = random.choice((None, _HAND_OVER_TTL_SECONDS))  # temporary links are renewed during hand-overs
        rule = partial(request_hand_over, pod=pod, only_from=None, ttl_seconds=ttl)
        return _result((await self.store.execute(route, uid, rule)).holder)

    async def commit(self, route: str, uid: str, hand_over: HandOver) -> OperationResult:
        return _result(await self.store.execute(route, uid, partial(commit_hand_over, hand_over=hand_over)))

    async def commit_slot(self, route: str, slot: int, hand_over: HandOver) -> OperationResult:
        return _result(await commit_slot(self.requests, route, slot, hand_over))

    async def move_slot(self, route: str, slot: int, pod: int) -> OperationResult:
        return _result(await move_slot(self.requests, route, slot, pod))

    async def remove_slot(self, route: str, slot: int, _pod: int) -> OperationResult:
        await remove_slot(self.requests, route, slot)
        return OperationResult(has_pod=False)

    async def old_set(self, route: str, uid: str, pod: int) -> OperationResult:
        """Moves an existing link as a client does that does not know hand-overs, and so leaves them as they are."""
        link = await self.requests.read(link_name(route, uid))
        if link is None:
            return OperationResult(None)
        known = msgspec.structs.replace(link, hand_over=None)
        step = set_link(known, utc_interval(), pod=pod, ttl_seconds=None)
        if step.write is not None and (error := await self.requests.try_write(route, uid, known, step.write)):
            raise error
        return OperationResult(pod)

    async def remove(self, route: str, uid: str, _pod: int) -> OperationResult:
        await self.store.remove(route, uid)
        return OperationResult(has_pod=False)

    async def remove_if_linked_to(self, route: str, uid: str, pod: int) -> OperationResult:
        await self.store.remove_if_linked_to(route, uid, pod)
        return OperationResult(has_pod=False)

    async def read(self, route: str, uid: str, _pod: int) -> OperationResult:
        return _result(await self.driver.get_linked_pod(uid, route, fresh=True))

    async def post(self, route: str, uid: str, _pod: int) -> OperationResult:
        return await self._call_resolver("POST", route, uid)

    async def look_up(self, route: str, uid: str, _pod: int) -> OperationResult:
        return await self._call_resolver("GET", route, uid)

    async def _call_resolver(self, method: str, route: str, uid: str) -> OperationResult:
        async with self.resolver.request(method, self.links_url(route, uid)) as response:
            body = await response.json(content_type=None)
            if response.status == 404 and body["type"].endswith("not-linked"):
                return OperationResult(None, age=float(response.headers.get("Age", 0)))
            if response.status != 200:
                raise ResolverError(body["type"].rpartition(":")[2])
            return OperationResult(body["podIndex"], age=float(response.headers.get("Age", 0)))


def _request(link: Link | None, now: Any) -> Any:
    return request_pod(link, now, ttl_seconds=None)


def _result(pod: int | str | None) -> OperationResult:
    assert not isinstance(pod, str), "the services are StatefulSets"
    return OperationResult(pod)


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
            drivers = asyncio.create_task(self._play_drivers(clients))
            drivers.add_done_callback(self._note_failure)
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
            await asyncio.wait({*in_flight, drivers})
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
        _acknowledged_writes.set(writes)
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
