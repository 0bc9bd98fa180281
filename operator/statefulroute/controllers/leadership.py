"""Who of several operators works: the one that holds the Lease. The others stand by with warm caches."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import NoReturn

import structlog

from statefulroute.api.rbac import DEFAULT_LEASE_NAME
from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import ClusterError
from statefulroute.cluster.fence import Fence
from statefulroute.cluster.lease import JITTER_FACTOR, LeaseLock, LeaseNamespaceNotFoundError, LeaseTimes, new_identity
from statefulroute.cluster.request_metrics import RequestObserver

log = structlog.get_logger(__name__)

#: A watch of the Lease, a request for it, and one more where an earlier one still hangs.
_CONNECTIONS = 3

#: How long the API server may take for one request about the Lease, as a part of the renew deadline.
_REQUEST_TIMEOUT_FRACTION = 0.5

#: How long a release may take: whoever waits for the Lease has it soon anyhow.
_RELEASE_SECONDS = 5.0

#: A record is looked at again this long after it was to hold nobody off any more.
_EXPIRY_MARGIN_SECONDS = 0.01


class LeadershipLostError(Exception):
    """This operator does not lead any more, and can write nothing. It must end: what it knows may be old."""


#: What is done when leadership is lost: it ends the process.
OnStoppedLeading = Callable[[LeadershipLostError], NoReturn]


@dataclass(frozen=True, slots=True)
class LeaderElectionSettings:
    """How it is decided who leads.

    Attributes:
        lease: the name of the Lease.
        namespace: the Lease's; None is the one that the connection works in.
        times: how long things may take.
        identity: the name of this process.
    """

    lease: str = DEFAULT_LEASE_NAME
    namespace: str | None = None
    times: LeaseTimes = field(default_factory=LeaseTimes)
    identity: str = field(default_factory=new_identity)


class LeaderElector:
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

    async def acquire(self) -> None:
        """Wait until the Lease is held.

        Raises:
            NoLeaseNamespaceError: its namespace does not exist.
        """
        told: tuple[str, str] | None = None
        while True:
            self._lock.holder_changed.clear()
            try:
                if await self._try_acquire_or_renew():
                    return
                found = "another operator leads: standing by", self._lock.holder
                if found != told and not self._lock.is_holder:
                    log.info(found[0], holder=self._lock.holder, identity=self._lock.identity)
            except LeaseNamespaceNotFoundError:
                raise
            except (ClusterError, TimeoutError) as error:
                found = "the Lease cannot be had: trying again", _message_of(error)
                if found != told:
                    log.warning(found[0], error=found[1])
            told = found
            # As client-go spreads it; but a record that stops holding others off is looked at in that moment.
            pause = self._times.retry_period_seconds * (1 + random.random() * JITTER_FACTOR)  # noqa: S311 - no secret
            free_in = self._lock.seconds_until_free
            await self._wait_for_lease_change(min(pause, free_in + _EXPIRY_MARGIN_SECONDS) if free_in > 0 else pause)

    async def renew(self) -> None:
        """Renew the Lease for as long as that succeeds in time.

        Raises:
            LeadershipLostError: it is lost.
        """
        self._lock.holder_changed.clear()  # that it was won
        failure = ""
        while True:
            await self._wait_for_lease_change(min(self._times.retry_period_seconds, self._fence.seconds_left))
            self._lock.holder_changed.clear()
            self._raise_if_lost(failure)
            try:
                async with asyncio.timeout(self._fence.seconds_left):
                    await self._try_acquire_or_renew()
                self._raise_if_lost(failure)
                failure = ""
            except (ClusterError, TimeoutError) as error:
                if not failure:
                    log.warning("the Lease was not renewed: trying again", error=_message_of(error))
                failure = _message_of(error)

    async def release(self) -> None:
        """Let the Lease go, if it is held; if that fails, its time has to pass."""
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                if await self._lock.release():
                    log.info("the Lease is released", identity=self._lock.identity)
        except (ClusterError, TimeoutError) as error:
            log.warning(
                "the Lease was not released: the next holder waits until its time is over", error=_message_of(error)
            )

    async def _try_acquire_or_renew(self) -> bool:
        """Take or renew the Lease; gives whether this process may write from now on.

        Raises:
            ClusterError: it is not known.
            TimeoutError: no answer came.
        """
        async with asyncio.timeout(self._times.renew_deadline_seconds * _REQUEST_TIMEOUT_FRACTION):
            since = await self._lock.try_acquire_or_renew()
        return since is not None and self._fence.open_until(since + self._times.renew_deadline_seconds)

    def _raise_if_lost(self, failure: str) -> None:
        if self._lock.seconds_until_free > 0:
            raise LeadershipLostError(f"{self._lock.holder} has taken it")
        if self._fence.seconds_left <= 0:
            why = failure or "this process did not run, or the API server was too slow"
            raise LeadershipLostError(f"not renewed within {self._times.renew_deadline_seconds:g} s: {why}")

    async def _wait_for_lease_change(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._lock.holder_changed.wait()


def _message_of(error: Exception) -> str:
    return str(error) or "the API server did not answer in time"


class Leadership:
    """Whether this operator leads.

    Args:
        connection: how to reach the API server.
        fence: what its writes have to pass.
        elector: by which it comes to lead; None where it is alone, and leads as soon as it wants to.
        on_stopped_leading: is called when it leads no more; nothing can be written by then.

    Attributes:
        connection: how to reach the API server; writes are refused as long as this operator does not lead.
        elected: set when it leads; it stays set.
    """

    def __init__(
        self,
        connection: Connection,
        fence: Fence | None = None,
        elector: LeaderElector | None = None,
        on_stopped_leading: OnStoppedLeading | None = None,
    ) -> None:
        self.connection = connection.with_fence(fence)
        self.elected = asyncio.Event()
        self._fence = fence
        self._elector = elector
        self._on_stopped_leading = on_stopped_leading
        self._election: asyncio.Task[None] | None = None

    @property
    def is_leader(self) -> bool:
        """Whether it may write at this moment."""
        return self.elected.is_set() and (self._fence is None or self._fence.seconds_left > 0)

    def start_election(self) -> asyncio.Task[None]:
        """From now on, try to lead; the task ends only by an error."""
        if self._election is None:
            self._election = asyncio.create_task(self._run_election())
        return self._election

    async def stop(self) -> None:
        """End it, and let the Lease go if it is held: all writing must have ended.

        Raises:
            NoLeaseNamespaceError: the Lease's namespace does not exist.
        """
        if self._election is not None:
            self._election.cancel()
            await asyncio.wait([self._election])
        # One that was lost is left to its time: what was sent last may yet be under way.
        may_release = self.is_leader or not self.elected.is_set()
        if self._fence is not None:
            self._fence.close()
        if may_release and self._elector is not None:
            await self._elector.release()
        if self._election is not None and not self._election.cancelled():
            self._election.result()

    async def _run_election(self) -> None:
        if self._elector is None:
            self.elected.set()
            await asyncio.Event().wait()
            return
        await self._elector.acquire()
        log.info("this operator leads")
        self.elected.set()
        try:
            await self._elector.renew()
        except LeadershipLostError as error:
            if self._fence is not None:
                self._fence.close()
            if self._on_stopped_leading is not None:
                self._on_stopped_leading(error)
            raise


@asynccontextmanager
async def leader_election(
    connection: Connection,
    settings: LeaderElectionSettings | None,
    on_stopped_leading: OnStoppedLeading,
    observe: RequestObserver | None = None,
) -> AsyncIterator[Leadership]:
    """Follow the Lease as long as the context lasts; at its end, all writing must have ended.

    Args:
        connection: how to reach the API server.
        settings: how it is decided who leads; None where this operator is alone.
        on_stopped_leading: is called when this operator leads no more; nothing can be written by then.
        observe: is told of every request about the Lease.
    """
    if settings is None:
        lead = Leadership(connection)
        try:
            yield lead
        finally:
            await lead.stop()
        return
    async with Client(connection, _CONNECTIONS, observe) as client:
        namespace, times, fence = settings.namespace or connection.namespace, settings.times, Fence()
        lock = LeaseLock(client, namespace, settings.lease, times=times, identity=settings.identity)
        following = asyncio.create_task(lock.watch())
        lead = Leadership(connection, fence, LeaderElector(lock, fence, times), on_stopped_leading)
        try:
            yield lead
        finally:
            try:
                await lead.stop()
            finally:
                following.cancel()
                await asyncio.wait([following])
