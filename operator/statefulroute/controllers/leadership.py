"""Leader election: of several operators, the one that holds the Lease works; the others stand by with warm caches."""

import asyncio
import random
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import structlog

from statefulroute.api.rbac import DEFAULT_LEASE_NAME, DEFAULT_LEASE_NAMESPACE
from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import ClusterError
from statefulroute.cluster.fence import Fence
from statefulroute.cluster.lease import JITTER_FACTOR, LeaseLock, LeaseNamespaceNotFoundError, LeaseTimes, new_identity
from statefulroute.cluster.request_metrics import RequestObserver
from statefulroute.cluster.retry_after import retry_pause

log = structlog.get_logger(__name__)

#: For a watch of the Lease, a request for it, and one more in case an earlier request hangs.
_CONNECTIONS = 3

#: The timeout of one request for the Lease, as a fraction of the renew deadline.
_REQUEST_TIMEOUT_FRACTION = 0.5

#: The timeout of a release. Without a release, the Lease expires soon.
_RELEASE_SECONDS = 5.0

#: The Lease of another holder is checked this long after it expires.
_EXPIRY_MARGIN_SECONDS = 0.01


class LeadershipLostError(Exception):
    """This operator does not lead any more and cannot write. Its work must end before it leads again."""


@dataclass(frozen=True, slots=True)
class LeaderElectionSettings:
    """The settings of leader election.

    Attributes:
        lease: the name of the Lease.
        namespace: the namespace of the Lease; None is the namespace of the pod that this process runs in, or with a
            kubeconfig `statefulroute-system`, whatever its context is.
        times: the lease duration, the renew deadline and the retry period.
        identity: the name of this process as a holder.
    """

    lease: str = DEFAULT_LEASE_NAME
    namespace: str | None = None
    times: LeaseTimes = field(default_factory=LeaseTimes)
    identity: str = field(default_factory=new_identity)

    def lease_namespace(self, connection: Connection) -> str:
        """Returns the namespace of the Lease."""
        return self.namespace or (connection.namespace if connection.is_of_pod else DEFAULT_LEASE_NAMESPACE)


class LeaderElector:
    """Acquires a Lease for this process and renews it.

    Args:
        lock: the Lease.
        fence: open for as long as this process certainly holds the Lease.
        times: the lease duration, the renew deadline and the retry period.
    """

    def __init__(self, lock: LeaseLock, fence: Fence, times: LeaseTimes) -> None:
        self._lock = lock
        self._fence = fence
        self._times = times

    @property
    def identity(self) -> str:
        """The name of this process as a holder."""
        return self._lock.identity

    @property
    def predecessors(self) -> Collection[str]:
        """The other processes that are known to have held the Lease."""
        return self._lock.predecessors

    @property
    def acquired_version(self) -> int:
        """The resource version at which this process acquired the Lease last."""
        return self._lock.acquired_version

    async def acquire(self) -> None:
        """Waits until this process holds the Lease.

        Raises:
            LeaseNamespaceNotFoundError: the namespace of the Lease does not exist.
        """
        logged: tuple[str, str] | None = None
        while True:
            self._lock.holder_changed.clear()
            asked_seconds = 0.0
            try:
                if await self._try_acquire_or_renew():
                    return
                state = "another operator holds the Lease: waiting", self._lock.holder
                if state != logged and not self._lock.is_holder:
                    log.info(state[0], holder=self._lock.holder, identity=self._lock.identity)
            except LeaseNamespaceNotFoundError:
                raise
            except (ClusterError, TimeoutError) as error:
                state = "the Lease was not acquired: trying again", _message_of(error)
                if state != logged:
                    log.warning(state[0], error=state[1])
                asked_seconds = _retry_after(error)
            logged = state
            # Jittered as in client-go, but a Lease that expires or is released is checked at that moment, even if the
            # API server has asked for a longer pause: without a leader, no user is bound.
            period = self._times.retry_period_seconds * (1 + random.random() * JITTER_FACTOR)  # noqa: S311 - no secret
            pause = retry_pause(period, asked_seconds)
            expires_in = self._lock.seconds_until_free
            await self._wait_for_lease_change(
                min(pause, expires_in + _EXPIRY_MARGIN_SECONDS) if expires_in > 0 else pause
            )

    async def renew(self) -> None:
        """Renews the Lease for as long as each renewal succeeds in time.

        Raises:
            LeadershipLostError: the Lease is lost.
        """
        self._lock.holder_changed.clear()  # set by the acquisition
        failure, retry_after_seconds = "", 0.0
        while True:
            await self._wait_for_lease_change(self.renewal_pause(retry_after_seconds))
            self._lock.holder_changed.clear()
            self._raise_if_lost(failure)
            try:
                async with asyncio.timeout(self._fence.seconds_left):
                    await self._try_acquire_or_renew()
                self._raise_if_lost(failure)
                failure, retry_after_seconds = "", 0.0
            except (ClusterError, TimeoutError) as error:
                if not failure:
                    log.warning("the Lease was not renewed: trying again", error=_message_of(error))
                failure, retry_after_seconds = _message_of(error), _retry_after(error)

    def renewal_pause(self, retry_after_seconds: float) -> float:
        """Returns the seconds until the next renewal.

        A pause that the API server asks for takes at most half of the time that is left: the Lease is not lost by
        waiting.

        Args:
            retry_after_seconds: the pause that the API server asks for; 0 if it asks for none.
        """
        period, left = self._times.retry_period_seconds, self._fence.seconds_left
        return min(max(period, min(retry_pause(0.0, retry_after_seconds), left / 2)), left)

    async def release(self) -> None:
        """Releases the Lease if this process holds it. If that fails, the Lease has to expire."""
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                if await self._lock.release():
                    log.info("the Lease is released", identity=self._lock.identity)
        except (ClusterError, TimeoutError) as error:
            log.warning("the Lease was not released: the next holder waits until it expires", error=_message_of(error))

    async def _try_acquire_or_renew(self) -> bool:
        """Acquires or renews the Lease; returns whether this process may write from now on.

        Raises:
            ClusterError: the API server answered with an error.
            TimeoutError: the API server did not answer in time.
        """
        async with asyncio.timeout(self._times.renew_deadline_seconds * _REQUEST_TIMEOUT_FRACTION):
            since = await self._lock.try_acquire_or_renew()
        return since is not None and self._fence.open_until(since + self._times.renew_deadline_seconds)

    def _raise_if_lost(self, failure: str) -> None:
        if self._lock.seconds_until_free > 0:
            raise LeadershipLostError(f"{self._lock.holder} has taken it")
        if self._fence.seconds_left <= 0:
            cause = failure or "this process did not run, or the API server was too slow"
            raise LeadershipLostError(f"not renewed within {self._times.renew_deadline_seconds:g} s: {cause}")

    async def _wait_for_lease_change(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._lock.holder_changed.wait()


def _retry_after(error: Exception) -> float:
    return error.retry_after_seconds if isinstance(error, ClusterError) else 0.0


def _message_of(error: Exception) -> str:
    return str(error) or "the API server did not answer in time"


class Leadership:
    """Whether this operator leads.

    Args:
        connection: the connection to the API server.
        fence: refuses writes while this operator does not lead.
        elector: acquires and renews the Lease; None if this operator runs alone and leads at once.

    Attributes:
        connection: the connection to the API server, whose writes pass only while this operator leads.
        identity: the name of this operator.
        losses: how often this operator has lost the Lease, or has given it up because its work had failed.
    """

    def __init__(
        self, connection: Connection, fence: Fence | None = None, elector: LeaderElector | None = None
    ) -> None:
        self.connection = connection.with_fence(fence)
        self.identity = new_identity() if elector is None else elector.identity
        self.losses = 0
        self._fence = fence
        self._elector = elector
        self._is_acquired = self._is_lost = False

    @property
    def is_leader(self) -> bool:
        """Whether this operator may write now."""
        return self._is_acquired and (self._fence is None or self._fence.seconds_left > 0)

    @property
    def predecessors(self) -> Collection[str]:
        """The other operators that are known to have held the Lease."""
        return () if self._elector is None else self._elector.predecessors

    @property
    def acquired_version(self) -> int:
        """The resource version at which this operator acquired the Lease last; 0 without a Lease."""
        return 0 if self._elector is None else self._elector.acquired_version

    async def acquire(self) -> None:
        """Waits until this operator leads.

        Raises:
            LeaseNamespaceNotFoundError: the namespace of the Lease does not exist.
        """
        if self._elector is not None:
            await self._elector.acquire()
        self._is_acquired, self._is_lost = True, False
        log.info("acquired the Lease")

    async def renew(self) -> None:
        """Renews the Lease until it is lost. Its requests that may write have failed by then, and new ones fail.

        Raises:
            LeadershipLostError: the Lease is lost.
        """
        if self._elector is None:
            await asyncio.Event().wait()
            return
        try:
            await self._elector.renew()
        except Exception:
            self.losses += 1
            self._is_lost = True
            self._end()
            raise

    async def resign(self) -> None:
        """Releases the Lease because the work has failed: another operator may succeed. All writes must have ended."""
        self.losses += 1
        await self.release()

    async def release(self) -> None:
        """Releases the Lease if this operator holds it. All writes must have ended."""
        # A lost Lease is left to expire, because the last writes may still be in flight.
        may_release = self.is_leader or not (self._is_acquired or self._is_lost)
        self._end()
        if may_release and self._elector is not None:
            await self._elector.release()

    def _end(self) -> None:
        self._is_acquired = False
        if self._fence is not None:
            self._fence.close()


@asynccontextmanager
async def leader_election(
    connection: Connection,
    settings: LeaderElectionSettings | None,
    observer: RequestObserver | None = None,
    namespaces: Sequence[str] = (),
) -> AsyncIterator[Leadership]:
    """Watches the Lease while the context lasts. All writes must have ended when it is exited.

    Args:
        connection: the connection to the API server.
        settings: the settings of leader election; None if this operator runs alone.
        observer: called with every request for the Lease.
        namespaces: the namespaces that this operator works in; none is the whole cluster.
    """
    if settings is None:
        yield Leadership(connection)
        return
    async with Client(connection, _CONNECTIONS, observer) as client:
        namespace, times, fence = settings.lease_namespace(connection), settings.times, Fence()
        lock = LeaseLock(
            client, namespace, settings.lease, times=times, identity=settings.identity, namespaces=namespaces
        )
        watching = asyncio.create_task(lock.watch())
        leadership = Leadership(connection, fence, LeaderElector(lock, fence, times))
        try:
            yield leadership
        finally:
            try:
                await leadership.release()
            finally:
                watching.cancel()
                await asyncio.wait([watching])
