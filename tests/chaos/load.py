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
_UNDER_WAY = 1000


@dataclass(slots=True)
class Told:
    """What one operation was told by the API server."""

    writes: list[tuple[int, int | None]] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)


_told: ContextVar[Told] = ContextVar("told")


class Listener:
    """Takes the place of a store's cache, and hears of every version that the operation under way was told of."""

    def holds(self, service: str) -> bool:
        """No copy is kept: every operation reads first."""
        del service
        return False

    def get(self, group: RouteKey, name: str) -> Link | None:
        """Nothing is known."""
        del group, name
        return None

    def observe(self, item: Link) -> None:
        """A version was read or written."""
        _told.get().writes.append((item.resource_version, item.pod if isinstance(item.pod, int) else None))

    def forget(self, item: Link) -> None:
        """A version was deleted."""
        _told.get().deleted.append(item.resource_version)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client was told.

    Attributes:
        pod: that holds the uid; None for none.
        tells: whether it was told who holds it.
        age: how old that may be, in seconds.
    """

    pod: int | None = None
    tells: bool = True
    age: float = 0.0


class RefusedError(Exception):
    """The resolver has answered with an error."""


@dataclass(frozen=True, slots=True)
class Clients:
    """By what users are bound."""

    store: LinkStore
    driver: ClientDriver
    resolver: aiohttp.ClientSession
    links_url: Callable[[str, str], str]

    async def set(self, route: str, uid: str, pod: int) -> Answer:
        await self.store.set(route, uid, pod)
        return Answer(pod)

    async def try_set(self, route: str, uid: str, pod: int) -> Answer:
        return _held((await self.store.try_set(route, uid, pod)).holder)

    async def compute(self, route: str, uid: str, _pod: int) -> Answer:
        return _held(await self.driver.compute_link_if_absent(uid, route))

    async def compute_temporary(self, route: str, uid: str, _pod: int) -> Answer:
        ttl = random.randint(*_TTL_SECONDS)
        return _held(await self.driver.compute_link_if_absent(uid, route, ttl_seconds=ttl))

    async def set_if_absent(self, route: str, uid: str, pod: int) -> Answer:
        return _held(await self.driver.link_if_absent(uid, route, pod))

    async def leave_the_choice(self, route: str, uid: str, _pod: int) -> Answer:
        held = await self.store.carry_out(route, uid, _request, expect_none=True)
        return _held(held) if held is not None else Answer(tells=False)

    async def remove(self, route: str, uid: str, _pod: int) -> Answer:
        await self.store.remove(route, uid)
        return Answer(tells=False)

    async def remove_if_linked_to(self, route: str, uid: str, pod: int) -> Answer:
        await self.store.remove_if_linked_to(route, uid, pod)
        return Answer(tells=False)

    async def read(self, route: str, uid: str, _pod: int) -> Answer:
        return _held(await self.driver.get_linked_pod(uid, route, fresh=True))

    async def post(self, route: str, uid: str, _pod: int) -> Answer:
        return await self._ask("POST", route, uid)

    async def look_up(self, route: str, uid: str, _pod: int) -> Answer:
        return await self._ask("GET", route, uid)

    async def _ask(self, method: str, route: str, uid: str) -> Answer:
        async with self.resolver.request(method, self.links_url(route, uid)) as response:
            said = await response.json(content_type=None)
            if response.status == 404 and said["type"].endswith("not-linked"):
                return Answer(None, age=float(response.headers.get("Age", 0)))
            if response.status != 200:
                raise RefusedError(said["type"].rpartition(":")[2])
            return Answer(said["podIndex"], age=float(response.headers.get("Age", 0)))


def _request(link: Link | None, now: Any) -> Any:
    return request_pod(link, now, ttl_seconds=None)


def _held(pod: int | str | None) -> Answer:
    assert not isinstance(pod, str), "the services are StatefulSets"
    return Answer(pod)


#: The operations, and how often each is done; the names are those of `record.Operation`.
MIX: dict[str, tuple[Callable[[Clients, str, str, int], Awaitable[Answer]], int]] = {
    "set": (Clients.set, 10),
    "try_set": (Clients.try_set, 14),
    "compute": (Clients.compute, 14),
    "compute_temporary": (Clients.compute_temporary, 12),
    "set_if_absent": (Clients.set_if_absent, 6),
    "leave_the_choice": (Clients.leave_the_choice, 14),
    "remove": (Clients.remove, 12),
    "remove_if_linked_to": (Clients.remove_if_linked_to, 3),
    "read": (Clients.read, 2),
    "post": (Clients.post, 8),
    "look_up": (Clients.look_up, 5),
}


@dataclass(frozen=True, slots=True)
class Target:
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
class Place:
    """Where the load goes.

    Attributes:
        namespace: of the services.
        targets: the services.
        kubeconfig: for the driver.
        resolver: HOST:PORT of the resolver's look-ups.
    """

    namespace: str
    targets: Sequence[Target]
    kubeconfig: Path
    resolver: str


class Load:
    """Begins operations at a steady rate, whatever becomes of them, from `start` to `stop`.

    Args:
        place: where they go.
        record: the journal.
        rate: how many are begun in a second.
        seed: of the choice of operations, users and pods.
    """

    def __init__(self, place: Place, record: RecordWriter, rate: float, seed: int) -> None:
        self._place = place
        self._record = record
        self._rate = rate
        self._random = random.Random(seed)
        self._is_over = threading.Event()
        self._has_begun = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def start(self) -> None:
        """Begin; returns once the driver is connected."""
        self._thread.start()
        while not self._has_begun.wait(0.1):
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
            asyncio.run(self._come())
        except BaseException as error:  # noqa: BLE001 - whoever waits is told
            self._failure = error

    async def _come(self) -> None:
        async with AsyncExitStack() as stack:
            clients = await self._connect(stack)
            self._has_begun.set()
            begun, number = time.monotonic(), 0
            under_way: set[asyncio.Task[None]] = set()
            while not self._is_over.is_set():
                number += 1
                await asyncio.sleep(max(0.0, begun + number / self._rate - time.monotonic()))
                if len(under_way) >= _UNDER_WAY:
                    continue
                task = asyncio.create_task(self._do(clients))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            if under_way:
                await asyncio.wait(under_way)
        await asyncio.sleep(_CLOSING_SECONDS)

    async def _connect(self, stack: AsyncExitStack) -> Clients:
        place = self._place
        connection = await stack.enter_async_context(connect(place.kubeconfig))
        client = await stack.enter_async_context(Client(connection, _CONNECTIONS))
        quiet = structlog.wrap_logger(structlog.PrintLogger(), processors=[_drop])
        driver = ClientDriver(client, place.namespace, logger=quiet)
        timeout = aiohttp.ClientTimeout(total=_RESOLVER_SECONDS)
        return Clients(
            LinkStore(client, place.namespace, links=Listener()),
            await stack.enter_async_context(driver),
            await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout)),
            lambda route, uid: f"http://{place.resolver}/v1/namespaces/{place.namespace}/routes/{route}/links/{uid}",
        )

    async def _do(self, clients: Clients) -> None:
        """One operation, and its line in the journal."""
        name = self._random.choices(list(MIX), [weight for _, weight in MIX.values()])[0]
        target = self._random.choice(self._place.targets)
        uid, pod = f"user-{self._random.randrange(target.users)}", self._random.randrange(target.pods)
        told = Told()
        _told.set(told)
        begun, answer, error = time.time(), Answer(tells=False), ""
        try:
            answer = await MIX[name][0](clients, target.route, uid, pod)
        except (StatefulRouteError, ClusterError, RefusedError, aiohttp.ClientError, TimeoutError) as failed:
            error = str(failed) if isinstance(failed, RefusedError) else getattr(failed, "code", type(failed).__name__)
        self._record.write(
            Operation(
                begun,
                time.time(),
                "resolver" if name in {"post", "look_up"} else "driver",
                name,
                f"{target.route}.{uid}",
                asked=pod if name in {"set", "try_set", "set_if_absent", "remove_if_linked_to"} else None,
                error=error,
                answer=answer.pod,
                tells=answer.tells and not error,
                age=answer.age,
                writes=tuple(told.writes),
                deleted=tuple(told.deleted),
            )
        )


def _drop(*_: Any) -> Any:
    raise structlog.DropEvent
