"""Operations on links over the Kubernetes API: each one a rule of the domain, and one conditional request."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import TypeVar

from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import Clock, utc_now
from statefulroute.cluster.errors import APIError, ClusterError, UnreachableError
from statefulroute.cluster.link_requests import (
    RETRY_BACKOFF,
    TOO_MANY_REQUESTS,
    CachedLinks,
    LinkRequests,
    LinkSnapshot,
)
from statefulroute.domain.errors import ContendedError, DeadlineExceededError
from statefulroute.domain.keys import PodKey, link_name
from statefulroute.domain.link import Link, expire_time
from statefulroute.domain.operations import (
    Attempt,
    Delete,
    Put,
    Step,
    active_link,
    find_holder,
    remove_link,
    remove_link_if_bound_to,
    renew_link,
    set_link,
    set_link_if_absent,
    try_set_link,
)
from statefulroute.domain.validation import (
    validate_grace_seconds,
    validate_pod,
    validate_route,
    validate_ttl_seconds,
    validate_uid,
)

A = TypeVar("A")

#: How often an operation is tried before it gives up: each try fails only when somebody else's succeeded.
_MAX_ATTEMPTS = 12

#: Requests of one batch under way at the same time.
_MAX_PARALLEL_READS = 16


class LinkStore:
    """The links of one namespace.

    Each operation takes effect as a whole or not at all, by the API server's own means: the name is the key,
    so a create is "set if absent", a patch with the resourceVersion is "compare and swap", and a delete with
    preconditions is "remove if unchanged". It may be cancelled at any moment.

    Args:
        client: how to reach the API server.
        namespace: where the links are.
        links: a cache of them, if there is one: it saves the read before a write, and answers `get`.
        clock: the time of day.
        deadline_seconds: how long an operation may take.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        *,
        links: CachedLinks | None = None,
        clock: Clock = utc_now,
        deadline_seconds: float = 10.0,
    ) -> None:
        self._requests = LinkRequests(client, namespace, links)
        self._clock = clock
        self._deadline_seconds = deadline_seconds
        self._flights: dict[tuple[str, str], asyncio.Task[PodKey]] = {}

    async def get(self, route: str, uid: str, *, fresh: bool = False) -> Link | None:
        """The link of a uid in a route, or None; an expired one is none.

        Args:
            route: the name of the StatefulRoute.
            uid: whom the link binds.
            fresh: ask the API server even if there is a cache.

        Raises:
            InvalidParameterError: a parameter cannot be right; nothing was asked for.
            DeadlineExceededError: no answer came in time.
            ClusterError: the API server did not answer, or with an error.
        """
        name = _checked_link_name(route, uid)
        async with self._deadline():
            link = await self._requests.read(name) if fresh else (await self._requests.get(route, name)).link
            return active_link(link, self._clock())

    async def set(self, route: str, uid: str, pod: PodKey, *, ttl_seconds: int | None = None) -> PodKey | None:
        """Force the binding; gives the pod that held the uid before, or None. Raises as `get` does."""
        rule = partial(set_link, pod=validate_pod(pod), ttl_seconds=validate_ttl_seconds(ttl_seconds))
        return await self._execute(route, uid, rule)

    async def try_set(self, route: str, uid: str, pod: PodKey, *, ttl_seconds: int | None = None) -> Attempt:
        """Bind, unless there is a persistent link to another pod. Raises as `get` does."""
        rule = partial(try_set_link, pod=validate_pod(pod), ttl_seconds=validate_ttl_seconds(ttl_seconds))
        return await self._execute(route, uid, rule)

    async def set_if_absent(self, route: str, uid: str, pod: PodKey, *, ttl_seconds: int | None = None) -> PodKey:
        """Bind, unless there is a link; gives the pod that holds the uid then. Raises as `get` does."""
        rule = partial(set_link_if_absent, pod=validate_pod(pod), ttl_seconds=validate_ttl_seconds(ttl_seconds))
        return await self._execute(route, uid, rule)

    async def compute_if_absent(
        self, route: str, uid: str, choose: Callable[[], Awaitable[PodKey]], *, ttl_seconds: int | None = None
    ) -> PodKey:
        """Bind to a chosen pod, unless there is a link; gives the pod that holds the uid then.

        Calls for the same uid and route in this process share one flight; among processes the API server
        decides, and every loser is given the winner's answer.

        Args:
            route: the name of the StatefulRoute.
            uid: whom to bind.
            choose: chooses the pod; called only where there is no link. What it raises, this raises.
            ttl_seconds: how long the link lives; None is persistent.
        """
        key = (validate_route(route), validate_uid(uid))
        ttl_seconds = validate_ttl_seconds(ttl_seconds)
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(self._compute(route, uid, choose, ttl_seconds))
            self._flights[key] = flight
            flight.add_done_callback(partial(self._end_flight, key))
        return await asyncio.shield(flight)  # a caller that gives up leaves the others their answer

    def _end_flight(self, key: tuple[str, str], flight: asyncio.Task[PodKey]) -> None:
        self._flights.pop(key, None)
        if not flight.cancelled():
            flight.exception()  # where every caller has given up, there is nobody left to be told

    async def _compute(
        self, route: str, uid: str, choose: Callable[[], Awaitable[PodKey]], ttl_seconds: int | None
    ) -> PodKey:
        async with self._deadline():
            seen = await self._requests.get(route, _checked_link_name(route, uid))
        if find_holder(seen.link, self._clock()).result is not None:
            # A cache may know a holder that is no more: it is not bound anew, only a choice is.
            holder = await self._execute(route, uid, find_holder, seen)
            if holder is not None:
                return holder
        rule = partial(set_link_if_absent, pod=validate_pod(await choose()), ttl_seconds=ttl_seconds)
        return await self._execute(route, uid, rule, seen)

    async def remove(self, route: str, uid: str, *, grace_seconds: int | None = None) -> bool:
        """Remove the link, at once or after a grace; gives whether there was one. Raises as `get` does."""
        return await self._execute(
            route, uid, partial(remove_link, grace_seconds=validate_grace_seconds(grace_seconds))
        )

    async def remove_if_linked_to(self, route: str, uid: str, pod: PodKey) -> bool:
        """Remove the link if it is bound to that very pod; gives whether it was. Raises as `get` does."""
        return await self._execute(route, uid, partial(remove_link_if_bound_to, pod=validate_pod(pod)))

    async def execute(
        self, route: str, uid: str, rule: Callable[[Link | None, datetime], Step[A]], *, expect_absent: bool = False
    ) -> A:
        """Any other rule of the domain. Raises as `get` does.

        Args:
            route: the name of the StatefulRoute.
            uid: whom the link binds.
            rule: what to write, given the link and the time.
            expect_absent: there is hardly a link: try to create it before looking.
        """
        return await self._execute(route, uid, rule, LinkSnapshot(None, is_fresh=False) if expect_absent else None)

    async def renew(self, route: str, uid: str) -> bool:
        """Have a temporary link live on from now; gives whether there is a link. Raises as `get` does.

        Written only when less than half of its time is left, so it may be called at every use.
        """
        return await self._execute(route, uid, renew_link)

    async def links_of(self, uid: str, routes: Iterable[str]) -> dict[str, PodKey]:
        """Where a uid is bound: the pod of each of the given routes that holds it. Raises as `get` does."""
        uid = validate_uid(uid)
        found = await self._gather({route: partial(self.get, route, uid) for route in map(validate_route, routes)})
        return {route: link.pod for route, link in found.items() if link and link.pod is not None}

    async def get_all(self, route: str, uids: Iterable[str], *, fresh: bool = False) -> dict[str, Link | None]:
        """The link of each of the given uids, or None. Takes and raises as `get` does."""
        route = validate_route(route)
        return await self._gather({uid: partial(self.get, route, uid, fresh=fresh) for uid in map(validate_uid, uids)})

    async def batch_get(self, route: str, uids: Iterable[str]) -> dict[PodKey, list[str]]:
        """Which of the given uids each pod of a route holds; unbound ones are left out. Raises as `get` does."""
        found = await self.get_all(route, uids)
        by_pod: dict[PodKey, list[str]] = {}
        for uid, link in found.items():
            if link is not None and link.pod is not None:
                by_pod.setdefault(link.pod, []).append(uid)
        return by_pod

    async def _gather(self, reads: dict[str, Callable[[], Awaitable[Link | None]]]) -> dict[str, Link | None]:
        """Some reads at a time; the first error ends them all."""
        limit = asyncio.Semaphore(_MAX_PARALLEL_READS)

        async def read(one: Callable[[], Awaitable[Link | None]]) -> Link | None:
            async with limit:
                return await one()

        try:
            async with asyncio.TaskGroup() as group:
                tasks = {key: group.create_task(read(one)) for key, one in reads.items()}
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return {key: task.result() for key, task in tasks.items()}

    async def _execute(
        self, route: str, uid: str, rule: Callable[[Link | None, datetime], Step[A]], seen: LinkSnapshot | None = None
    ) -> A:
        """Ask the rule what to write, and write it on the condition that nothing has changed; else ask again.

        While the API server cannot be reached, it is tried again until the deadline.
        """
        name = _checked_link_name(route, uid)
        refusal: ClusterError | None = None
        unsure: Step[A] | None = None
        attempt = unanswered = 0
        async with self._deadline():
            seen = seen or await self._requests.get(route, name)
            while attempt < _MAX_ATTEMPTS:
                if unsure is not None and _is_written(unsure.write, seen.link):
                    return unsure.result
                step = rule(seen.link, self._clock())
                if step.write is None and seen.is_fresh:
                    return step.result
                if step.write is not None:
                    attempt += 1
                    # What is written into a link that is being deleted goes with it.
                    if not (seen.link and seen.link.is_deleting):
                        refusal = await self._requests.try_write(route, uid, seen.link, step.write)
                        if refusal is None:
                            return step.result
                        if isinstance(refusal, UnreachableError):  # it is seen later whether it was written
                            unsure, attempt, unanswered = step, attempt - 1, unanswered + 1
                    await asyncio.sleep(RETRY_BACKOFF.delay(attempt + unanswered - 1))
                seen = LinkSnapshot(await self._requests.read(name), is_fresh=True)
        if isinstance(refusal, APIError) and refusal.status == TOO_MANY_REQUESTS:
            raise refusal
        raise ContendedError(f"the link {name!r} was changed by others {_MAX_ATTEMPTS} times in a row: try again")

    @asynccontextmanager
    async def _deadline(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._deadline_seconds):
                yield
        except TimeoutError as error:
            raise DeadlineExceededError(f"the API server did not answer within {self._deadline_seconds:g} s") from error


def _checked_link_name(route: str, uid: str) -> str:
    """The name of a uid's link, once both are known to be able to stand in one."""
    return link_name(validate_route(route), validate_uid(uid))


def _is_written(write: Put | Delete | None, link: Link | None) -> bool:
    """Whether the link is as this write would have made it."""
    match write:
        case Delete():
            return link is None
        case Put(binding) if link is not None:
            ends = expire_time(binding.renew_time, None, binding.ttl_seconds) if binding.renew_time else None
            same_end = ends is None or link.expire_time == ends
            return (link.pod, link.ttl_seconds) == (binding.pod, binding.ttl_seconds) and same_end
        case _:
            return False
