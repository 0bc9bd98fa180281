"""Executes domain rules on links: each reads a link, decides what to write, and writes if the link has not changed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeGuard, TypeVar

from statefulroute.cluster.clock import IntervalClock
from statefulroute.cluster.errors import APIError, ClusterError, UnreachableError
from statefulroute.cluster.link_requests import RETRY_BACKOFF, TOO_MANY_REQUESTS, LinkRequests, LinkSnapshot
from statefulroute.domain.errors import ContendedError, DeadlineExceededError
from statefulroute.domain.keys import RouteKey, UidOrSlot, bound_link_name
from statefulroute.domain.link import Link
from statefulroute.domain.link_limiter import LinkLimiter
from statefulroute.domain.operations import Delete, LinkWrite, Put, Step, classify_write, is_written
from statefulroute.domain.times import TimeInterval

ResultT = TypeVar("ResultT")

#: A domain rule: decides what to write, given the link and the time.
Rule = Callable[[Link | None, TimeInterval], Step[ResultT]]

#: The maximum number of attempts of an operation. An attempt fails only if another client's write succeeded.
_MAX_ATTEMPTS = 12


class LinkTransactions:
    """Executes rules on the links of one namespace.

    Args:
        requests: reads and writes links.
        namespace: the namespace of the links.
        clock: returns the time of day by both clocks.
        deadline_seconds: the maximum duration of an operation.
        limiter: limits new links; None creates any number.
        on_write: called with each change that was written; None calls nothing.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that a write depends on
        self,
        requests: LinkRequests,
        namespace: str,
        clock: IntervalClock,
        deadline_seconds: float,
        limiter: LinkLimiter | None,
        on_write: Callable[[LinkWrite], None] | None,
    ) -> None:
        self._requests = requests
        self._namespace = namespace
        self._clock = clock
        self._deadline_seconds = deadline_seconds
        self._limiter = limiter
        self._on_write = on_write

    @asynccontextmanager
    async def deadline(self) -> AsyncIterator[asyncio.Timeout]:
        """Limits the duration of an operation.

        Raises:
            DeadlineExceededError: the operation has taken too long.
        """
        try:
            async with asyncio.timeout(self._deadline_seconds) as timeout:
                yield timeout
        except TimeoutError as error:
            raise DeadlineExceededError(f"the API server did not answer within {self._deadline_seconds:g} s") from error

    async def attempt(
        self,
        route: str,
        bound: UidOrSlot,
        rule: Rule[ResultT],
        snapshot: LinkSnapshot,
        timeout: asyncio.Timeout,  # noqa: ASYNC109 - that of the whole operation, which may have several parts
    ) -> ResultT:
        """Executes a rule, writes its result if the link has not changed, and otherwise starts again.

        It retries until the deadline while the API server is unreachable.

        Args:
            route: the name of the StatefulRoute.
            bound: the uid or slot of the link.
            rule: decides what to write.
            snapshot: the last known version of the link.
            timeout: the deadline of the operation.

        Raises:
            ContendedError: other clients have changed the link each time.
            ClusterError: the API server answered with an error.
        """
        name = bound_link_name(route, bound)
        refusal: ClusterError | None = None
        uncertain_step: Step[ResultT] | None = None
        before_uncertain: Link | None = None
        attempt = unreachable_count = 0
        while attempt < _MAX_ATTEMPTS:
            if uncertain_step is not None and is_written(uncertain_step.write, snapshot.link):
                self._observe_write(before_uncertain, uncertain_step.write)
                return uncertain_step.result
            step = rule(snapshot.link, self._clock())
            if step.write is None and snapshot.is_fresh:
                return step.result
            if step.write is not None:
                attempt += 1
                # A write to a link that is being deleted would be lost with it.
                if not (snapshot.link and snapshot.link.is_deleting):
                    refusal = await self._try_write(route, bound, snapshot.link, step.write)
                    if refusal is None:
                        self._observe_write(snapshot.link, step.write)
                        return step.result
                    if isinstance(refusal, UnreachableError):  # the next read shows whether it was written
                        uncertain_step, before_uncertain = step, snapshot.link
                        attempt, unreachable_count = attempt - 1, unreachable_count + 1
                asked_seconds = 0.0 if refusal is None else refusal.retry_after_seconds
                pause = RETRY_BACKOFF.delay(attempt + unreachable_count - 1, asked_seconds)
                if asked_seconds and _is_too_busy(refusal) and _ends_before(timeout, pause):
                    raise refusal  # the caller learns now how long to wait, and not at the deadline
                await asyncio.sleep(pause)
            snapshot = LinkSnapshot(await self._requests.read(name), is_fresh=True)
        if _is_too_busy(refusal):
            raise refusal
        raise ContendedError(f"other clients changed the link {name!r} {_MAX_ATTEMPTS} times in a row: try again")

    async def _try_write(
        self, route: str, bound: UidOrSlot, link: Link | None, write: Put | Delete
    ) -> ClusterError | None:
        """Writes a link as `LinkRequests.try_write` does, unless it is a new one above the limit."""
        if link is not None or self._limiter is None:
            return await self._requests.try_write(route, bound, link, write)
        with self._limiter.creating(RouteKey(self._namespace, route)):
            return await self._requests.try_write(route, bound, link, write)

    def _observe_write(self, before: Link | None, write: Put | Delete | None) -> None:
        if self._on_write is not None and write is not None:
            self._on_write(classify_write(before, write, self._clock().earliest))


def _is_too_busy(refusal: ClusterError | None) -> TypeGuard[APIError]:
    """Returns whether the API server was too busy for a request, which it has not handled."""
    return isinstance(refusal, APIError) and refusal.status == TOO_MANY_REQUESTS


def _ends_before(timeout: asyncio.Timeout, pause: float) -> bool:
    """Returns whether a timeout ends before a pause of these seconds."""
    end = timeout.when()
    return end is not None and end < asyncio.get_running_loop().time() + pause
