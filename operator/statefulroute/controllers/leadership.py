"""Who of several operators works: the one that holds the Lease. The others stand by with warm caches."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import NoReturn

import structlog

from statefulroute.api.rbac import LEASE
from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import ClusterError
from statefulroute.cluster.exchange import Observer
from statefulroute.cluster.fence import Fence
from statefulroute.cluster.lease import JITTER, LeaseLock, LeaseTimes, NoLeaseNamespaceError, new_identity
from statefulroute.cluster.server import Connection

log = structlog.get_logger(__name__)

#: A watch of the Lease, a request for it, and one more where an earlier one still hangs.
_CONNECTIONS = 3

#: How long the API server may take for one request about the Lease, as a part of the renew deadline.
_PATIENCE = 0.5

#: How long a release may take: whoever waits for the Lease has it soon anyhow.
_RELEASE_SECONDS = 5.0

#: A record is looked at again this long after it was to hold nobody off any more.
_DEAD_BY_SECONDS = 0.01


class LeadershipLostError(Exception):
    """This operator does not lead any more, and can write nothing. It must end: what it knows may be old."""


#: What is done when leadership is lost: it ends the process.
Abandon = Callable[[LeadershipLostError], NoReturn]


@dataclass(frozen=True, slots=True)
class Election:
    """How it is decided who leads.

    Attributes:
        lease: the name of the Lease.
        namespace: the Lease's; None is the one that the connection works in.
        times: how long things may take.
        identity: the name of this process.
    """

    lease: str = LEASE
    namespace: str | None = None
    times: LeaseTimes = field(default_factory=LeaseTimes)
    identity: str = field(default_factory=new_identity)


class Contest:
    """One process's attempts to take a Lease and to keep it.

    Args:
        lock: the Lease.
        fence: is open for as long as the Lease is surely held.
        times: how long things may take.
    """

    def __init__(self, lock: LeaseLock, fence: Fence, times: LeaseTimes) -> None:
        self._lock = lock
        self._fence = fence
        self._times = times

    async def win(self) -> None:
        """Wait until the Lease is held.

        Raises:
            NoLeaseNamespaceError: its namespace does not exist.
        """
        told: tuple[str, str] | None = None
        while True:
            self._lock.news.clear()
            try:
                if await self._take():
                    return
                found = "another operator leads: standing by", self._lock.holder
                if found != told and not self._lock.is_ours:
                    log.info(found[0], holder=self._lock.holder, identity=self._lock.identity)
            except NoLeaseNamespaceError:
                raise
            except (ClusterError, TimeoutError) as error:
                found = "the Lease cannot be had: trying again", _said(error)
                if found != told:
                    log.warning(found[0], error=found[1])
            told = found
            # As client-go spreads it; but a record that stops holding others off is looked at in that moment.
            pause = self._times.retry_period_seconds * (1 + random.random() * JITTER)  # noqa: S311 - no secret
            free_in = self._lock.free_in
            await self._news_within(min(pause, free_in + _DEAD_BY_SECONDS) if free_in > 0 else pause)

    async def keep(self) -> None:
        """Renew the Lease for as long as that succeeds in time.

        Raises:
            LeadershipLostError: it is lost.
        """
        self._lock.news.clear()  # that it was won
        failure = ""
        while True:
            await self._news_within(min(self._times.retry_period_seconds, self._fence.seconds_left))
            self._lock.news.clear()
            self._raise_if_lost(failure)
            try:
                async with asyncio.timeout(self._fence.seconds_left):
                    await self._take()
                self._raise_if_lost(failure)
                failure = ""
            except (ClusterError, TimeoutError) as error:
                if not failure:
                    log.warning("the Lease was not renewed: trying again", error=_said(error))
                failure = _said(error)

    async def release(self) -> None:
        """Let the Lease go, if it is held; if that fails, its time has to pass."""
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                if await self._lock.release():
                    log.info("the Lease is released", identity=self._lock.identity)
        except (ClusterError, TimeoutError) as error:
            log.warning("the Lease was not released: the next holder waits until its time is over", error=_said(error))

    async def _take(self) -> bool:
        """Take or renew the Lease; gives whether this process may write from now on.

        Raises:
            ClusterError: it is not known.
            TimeoutError: no answer came.
        """
        async with asyncio.timeout(self._times.renew_deadline_seconds * _PATIENCE):
            since = await self._lock.take()
        return since is not None and self._fence.open_until(since + self._times.renew_deadline_seconds)

    def _raise_if_lost(self, failure: str) -> None:
        if self._lock.free_in > 0:
            raise LeadershipLostError(f"{self._lock.holder} has taken it")
        if self._fence.seconds_left <= 0:
            why = failure or "this process did not run, or the API server was too slow"
            raise LeadershipLostError(f"not renewed within {self._times.renew_deadline_seconds:g} s: {why}")

    async def _news_within(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._lock.news.wait()


def _said(error: Exception) -> str:
    return str(error) or "the API server did not answer in time"


class Leadership:
    """Whether this operator leads.

    Args:
        connection: how to reach the API server.
        fence: what its writes have to pass.
        contest: by which it comes to lead; None where it is alone, and leads as soon as it wants to.
        abandon: is called when it leads no more; nothing can be written by then.

    Attributes:
        connection: how to reach the API server; writes are refused as long as this operator does not lead.
        won: set when it leads; it stays set.
    """

    def __init__(
        self,
        connection: Connection,
        fence: Fence | None = None,
        contest: Contest | None = None,
        abandon: Abandon | None = None,
    ) -> None:
        self.connection = connection.behind(fence)
        self.won = asyncio.Event()
        self._fence = fence
        self._contest = contest
        self._abandon = abandon
        self._contending: asyncio.Task[None] | None = None

    @property
    def leads(self) -> bool:
        """Whether it may write at this moment."""
        return self.won.is_set() and (self._fence is None or self._fence.seconds_left > 0)

    def contend(self) -> asyncio.Task[None]:
        """From now on, try to lead; the task ends only by an error."""
        if self._contending is None:
            self._contending = asyncio.create_task(self._contend())
        return self._contending

    async def end(self) -> None:
        """End it, and let the Lease go if it is held: all writing must have ended.

        Raises:
            NoLeaseNamespaceError: the Lease's namespace does not exist.
        """
        if self._contending is not None:
            self._contending.cancel()
            await asyncio.wait([self._contending])
        # One that was lost is left to its time: what was sent last may yet be under way.
        may_release = self.leads or not self.won.is_set()
        if self._fence is not None:
            self._fence.shut()
        if may_release and self._contest is not None:
            await self._contest.release()
        if self._contending is not None and not self._contending.cancelled():
            self._contending.result()

    async def _contend(self) -> None:
        if self._contest is None:
            self.won.set()
            await asyncio.Event().wait()
            return
        await self._contest.win()
        log.info("this operator leads")
        self.won.set()
        try:
            await self._contest.keep()
        except LeadershipLostError as error:
            if self._fence is not None:
                self._fence.shut()
            if self._abandon is not None:
                self._abandon(error)
            raise


@asynccontextmanager
async def leadership(
    connection: Connection, election: Election | None, abandon: Abandon, observe: Observer | None = None
) -> AsyncIterator[Leadership]:
    """Follow the Lease as long as the context lasts; at its end, all writing must have ended.

    Args:
        connection: how to reach the API server.
        election: how it is decided who leads; None where this operator is alone.
        abandon: is called when this operator leads no more; nothing can be written by then.
        observe: is told of every request about the Lease.
    """
    if election is None:
        lead = Leadership(connection)
        try:
            yield lead
        finally:
            await lead.end()
        return
    async with Client(connection, _CONNECTIONS, observe) as client:
        namespace, times, fence = election.namespace or connection.namespace, election.times, Fence()
        lock = LeaseLock(client, namespace, election.lease, times=times, identity=election.identity)
        following = asyncio.create_task(lock.follow())
        lead = Leadership(connection, fence, Contest(lock, fence, times), abandon)
        try:
            yield lead
        finally:
            try:
                await lead.end()
            finally:
                following.cancel()
                await asyncio.wait([following])
