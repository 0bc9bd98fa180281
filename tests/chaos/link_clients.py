"""The clients that bind, move, release and look up users, and the versions of links that they receive."""

import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import aiohttp
import msgspec

from chaos.hand_over_clients import commit_hand_over, renew_early
from chaos.slot_clients import commit_slot, move_slot, remove_slot
from statefulroute import ClientDriver
from statefulroute.cluster.clock import utc_interval
from statefulroute.cluster.link_requests import LinkRequests
from statefulroute.cluster.link_store import LinkStore
from statefulroute.domain.hand_over_request import request_hand_over
from statefulroute.domain.keys import RouteKey, link_name
from statefulroute.domain.link import HandOver, Link
from statefulroute.domain.operations import request_pod, set_link

_TTL_SECONDS = (5, 20)
_HAND_OVER_TTL_SECONDS = 30


@dataclass(slots=True)
class AcknowledgedWrites:
    """The versions of links that one operation received from the API server."""

    writes: list[tuple[int, int | None]] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)


#: The versions that the present operation has received.
acknowledged_writes: ContextVar[AcknowledgedWrites] = ContextVar("acknowledged_writes")


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
        acknowledged_writes.get().writes.append(
            (item.resource_version, item.pod if isinstance(item.pod, int) else None)
        )

    def forget(self, item: Link) -> None:
        """Records a deleted version."""
        acknowledged_writes.get().deleted.append(item.resource_version)


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

    async def ask(self, route: str, uid: str) -> OperationResult:
        """Looks a uid up in the cache of the driver, which states how old its answer may be."""
        age = self.driver.staleness_seconds
        return OperationResult(_result(await self.driver.get_linked_pod(uid, route)).pod, age=age)

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
