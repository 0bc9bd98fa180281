"""Clients who bind, move, release and look up users at a steady rate, and journal what they are told."""

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import structlog

from chaos.record import Operation, RecordWriter
from statefulroute import ClientDriver
from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from statefulroute.cluster.errors import ClusterError
from statefulroute.cluster.link_store import LinkStore
from statefulroute.domain.errors import StatefulRouteError
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.operations import request_pod

_CONNECTIONS = 64
_TTL_SECONDS = (5, 20)
_RESOLVER_SECONDS = 10.0

#: A TLS connection that is left in the middle of an answer is closed a moment later, while its loop still runs.
_CLOSING_SECONDS = 0.25

#: So many operations may be under way: ten seconds' worth, which is how long each is tried.
_MAX_IN_FLIGHT = 1000


@dataclass(slots=True)
class AcknowledgedWrites:
    """What one operation was told by the API server."""

    writes: list[tuple[int, int | None]] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)


_acknowledged_writes: ContextVar[AcknowledgedWrites] = ContextVar("told")


class WriteObserver:
    """Takes the place of a store's cache, and hears of every version that the operation under way was told of."""

    def has_synced(self, route: str) -> bool:
        """No copy is kept: every operation reads first."""
        del route
        return False

    def get(self, route: RouteKey, name: str) -> Link | None:
        """Nothing is known."""
        del route, name
        return None

    def observe(self, item: Link) -> None:
        """A version was read or written."""
        _acknowledged_writes.get().writes.append(
            (item.resource_version, item.pod if isinstance(item.pod, int) else None)
        )

    def forget(self, item: Link) -> None:
        """A version was deleted."""
        _acknowledged_writes.get().deleted.append(item.resource_version)


@dataclass(frozen=True, slots=True)
class OperationResult:
    """What a client was told.

    Attributes:
        pod: that holds the uid; None for none.
        has_pod: whether it was told who holds it.
        age: how old that may be, in seconds.
    """

    pod: int | None = None
    has_pod: bool = True
    age: float = 0.0


class ResolverError(Exception):
    """The resolver has answered with an error."""


@dataclass(frozen=True, slots=True)
class LinkClients:
    """By what users are bound."""

    store: LinkStore
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
            said = await response.json(content_type=None)
            if response.status == 404 and said["type"].endswith("not-linked"):
                return OperationResult(None, age=float(response.headers.get("Age", 0)))
            if response.status != 200:
                raise ResolverError(said["type"].rpartition(":")[2])
            return OperationResult(said["podIndex"], age=float(response.headers.get("Age", 0)))


def _request(link: Link | None, now: Any) -> Any:
    return request_pod(link, now, ttl_seconds=None)


def _result(pod: int | str | None) -> OperationResult:
    assert not isinstance(pod, str), "the services are StatefulSets"
    return OperationResult(pod)


#: The operations, and how often each is done; the names are those of `record.Operation`.
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
}


@dataclass(frozen=True, slots=True)
class LoadTarget:
    """A service that users come to.

    Attributes:
        route: its name.
        pods: how many pods it has when nothing is wrong.
        users: how many different users come.
    """

    route: str
    pods: int
    users: int


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """Where the load goes.

    Attributes:
        namespace: of the services.
        targets: the services.
        kubeconfig: for the driver.
        resolver: HOST:PORT of the resolver's look-ups.
    """

    namespace: str
    targets: Sequence[LoadTarget]
    kubeconfig: Path
    resolver: str


class LoadGenerator:
    """Begins operations at a steady rate, whatever becomes of them, from `start` to `stop`.

    Args:
        settings: where they go.
        record: the journal.
        rate: how many are begun in a second.
        seed: of the choice of operations, users and pods.
    """

    def __init__(self, settings: LoadSettings, record: RecordWriter, rate: float, seed: int) -> None:
        self._settings = settings
        self._record = record
        self._rate = rate
        self._random = random.Random(seed)
        self._is_over = threading.Event()
        self._has_started = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def start(self) -> None:
        """Begin; returns once the driver is connected."""
        self._thread.start()
        while not self._has_started.wait(0.1):
            self.check()

    def stop(self) -> None:
        """Begin no more, and wait until what is under way has ended."""
        self._is_over.set()
        self._thread.join()
        self.check()

    def check(self) -> None:
        """Raise what has ended it, if something has."""
        if self._failure is not None:
            raise AssertionError("the load has ended by itself") from self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._generate())
        except BaseException as error:  # noqa: BLE001 - whoever waits is told
            self._failure = error

    async def _generate(self) -> None:
        async with AsyncExitStack() as stack:
            clients = await self._connect(stack)
            self._has_started.set()
            begun, number = time.monotonic(), 0
            under_way: set[asyncio.Task[None]] = set()
            while not self._is_over.is_set():
                number += 1
                await asyncio.sleep(max(0.0, begun + number / self._rate - time.monotonic()))
                if len(under_way) >= _MAX_IN_FLIGHT:
                    continue
                task = asyncio.create_task(self._run_operation(clients))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            if under_way:
                await asyncio.wait(under_way)
        await asyncio.sleep(_CLOSING_SECONDS)

    async def _connect(self, stack: AsyncExitStack) -> LinkClients:
        place = self._settings
        connection = await stack.enter_async_context(connect(place.kubeconfig))
        client = await stack.enter_async_context(Client(connection, _CONNECTIONS))
        quiet = structlog.wrap_logger(structlog.PrintLogger(), processors=[_drop])
        driver = ClientDriver(client, place.namespace, logger=quiet)
        timeout = aiohttp.ClientTimeout(total=_RESOLVER_SECONDS)
        return LinkClients(
            LinkStore(client, place.namespace, links=WriteObserver()),
            await stack.enter_async_context(driver),
            await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout)),
            lambda route, uid: f"http://{place.resolver}/v1/namespaces/{place.namespace}/routes/{route}/links/{uid}",
        )

    async def _run_operation(self, clients: LinkClients) -> None:
        """One operation, and its line in the journal."""
        name = self._random.choices(list(MIX), [weight for _, weight in MIX.values()])[0]
        target = self._random.choice(self._settings.targets)
        uid, pod = f"user-{self._random.randrange(target.users)}", self._random.randrange(target.pods)
        told = AcknowledgedWrites()
        _acknowledged_writes.set(told)
        begun, answer, error = time.time(), OperationResult(has_pod=False), ""
        try:
            answer = await MIX[name][0](clients, target.route, uid, pod)
        except (StatefulRouteError, ClusterError, ResolverError, aiohttp.ClientError, TimeoutError) as failed:
            error = str(failed) if isinstance(failed, ResolverError) else getattr(failed, "code", type(failed).__name__)
        self._record.write(
            Operation(
                begun,
                time.time(),
                "resolver" if name in {"post", "look_up"} else "driver",
                name,
                f"{target.route}.{uid}",
                requested_pod=pod if name in {"set", "try_set", "set_if_absent", "remove_if_linked_to"} else None,
                error=error,
                answer=answer.pod,
                has_pod=answer.has_pod and not error,
                age=answer.age,
                writes=tuple(told.writes),
                deleted=tuple(told.deleted),
            )
        )


def _drop(*_: Any) -> Any:
    raise structlog.DropEvent
