"""A simulated API server of links that executes writes, answers them and delivers events when a test wants it to."""
# ruff: noqa: SLF001 - the version of a reflector, which an event sets

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from statefulroute.cluster.errors import APIError, ClusterError, ConflictError, NotFoundError, UnreachableError
from statefulroute.cluster.informer import Informer
from statefulroute.domain.keys import LinkKey, PodKey
from statefulroute.domain.link import HandOver, Link, LinkStatus

#: What may happen to a write: it is executed; also executed, but the answer is lost; or refused.
OUTCOMES = ("executed", "executed", "executed", "lost", "refused")

_ALL = 1_000_000


class _Write(NamedTuple):
    link: Link
    change: Mapping[str, Any] | None
    """None deletes the link."""
    answer: asyncio.Future[Link | None]


class LinkServer:
    """The links as the API server has them, and the writer of links.

    Args:
        informer: receives the events and the answers.
    """

    def __init__(self, informer: Informer[Link]) -> None:
        self.links: dict[LinkKey, Link] = {}
        self._informer = informer
        self._version = 100
        self._events: list[tuple[Link, bool]] = []
        """The events that were not delivered yet: each version, and whether it is the last one of a deleted link."""
        self._writes: list[_Write] = []
        self._answers: list[tuple[asyncio.Future[Link | None], Link | ClusterError | None]] = []
        self._is_held = True

    def put(self, link: Link) -> None:
        """Stores a new version of a link."""
        stored = self.links[link.key] = msgspec.structs.replace(link, resource_version=self._next())
        self._events.append((stored, False))

    def delete(self, key: LinkKey) -> None:
        """Deletes a link, if it exists."""
        if (link := self.links.pop(key, None)) is not None:
            self._events.append((msgspec.structs.replace(link, resource_version=self._next()), True))

    def deliver(self, number: int) -> None:
        """Delivers the next events."""
        events, self._events = self._events[:number], self._events[number:]
        (reflector,) = self._informer.reflectors
        for link, is_deleted in events:
            reflector._resource_version = link.resource_version
            if is_deleted:
                self._informer.cache.delete(*link.key, link.resource_version)
            else:
                self._informer.cache.put(link)

    def relist(self) -> None:
        """Lists the links, because the watch was too far behind: the events until now are not delivered."""
        (reflector,) = self._informer.reflectors
        self._events, reflector._resource_version = [], self._version
        for link in self.links.values():
            self._informer.cache.put_listed(link, self._version)
        for route, name in [key for key in self._informer.cache if key not in self.links]:
            self._informer.cache.delete(route, name, self._version)

    def execute(self, position: int, outcome: str) -> None:
        """Executes one of the writes, if there is one."""
        if self._writes:
            link, change, answer = self._writes.pop(position % len(self._writes))
            result = APIError(500, "InternalError", "refused") if outcome == "refused" else self._execute(link, change)
            self._answers.append((answer, UnreachableError("lost") if outcome == "lost" else result))

    def answer(self, position: int) -> None:
        """Answers one of the executed writes, if there is one."""
        if self._answers:
            answer, result = self._answers.pop(position % len(self._answers))
            if isinstance(result, ClusterError):
                answer.set_exception(result)
            else:
                answer.set_result(result)

    def release(self) -> None:
        """Executes and answers all writes from now on, and delivers all events."""
        self._is_held = False
        while self._writes:
            self.execute(0, "executed")
        while self._answers:
            self.answer(0)
        self.deliver(_ALL)

    async def bind(self, link: Link, pod: PodKey) -> None:
        """Writes a pod to the spec of a link."""
        await self._write(link, {"pod": pod, "hand_over": None})

    async def write_hand_over(self, link: Link, hand_over: HandOver | None) -> str:
        """Writes the hand-over of a link."""
        await self._write(link, {"hand_over": hand_over})
        return "its uid"

    async def update_status(self, link: Link, status: LinkStatus, *_: object) -> str:
        """Writes the status of a link."""
        times = {"observed_generation": link.generation, "status_expire_time": link.expire_time}
        await self._write(link, {"status": status, **times})
        return "its uid"

    async def remove(self, link: Link) -> str:
        """Deletes a link."""
        await self._write(link, None)
        return "its uid"

    async def _write(self, link: Link, change: Mapping[str, Any] | None) -> None:
        answer: asyncio.Future[Link | None] = asyncio.get_running_loop().create_future()
        self._writes.append(_Write(link, change, answer))
        if not self._is_held:
            self.release()
        if (written := await answer) is not None:
            self._informer.observe(written)

    def _execute(self, link: Link, change: Mapping[str, Any] | None) -> Link | ClusterError | None:
        current = self.links.get(link.key)
        if current is None:
            return NotFoundError(404, "NotFound", "not found")
        if current.resource_version != link.resource_version:
            return ConflictError(409, "Conflict", "changed")
        if change is None:
            self.delete(link.key)
            return None
        spec = (change.get("pod", current.pod), change.get("hand_over", current.hand_over))
        generation = current.generation + (spec != (current.pod, current.hand_over))
        self.put(msgspec.structs.replace(current, **{"generation": generation} | dict(change)))
        return self.links[link.key]

    def _next(self) -> int:
        self._version += 1
        return self._version
