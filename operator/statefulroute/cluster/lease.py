"""A Lease: who of several processes may write. By client-go's rules, so that its tools and habits fit."""

import asyncio
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import Clock, elapsed_seconds, utc_now
from statefulroute.cluster.errors import APIError, ClusterError, ConflictError, NotFoundError
from statefulroute.cluster.reflector import Reflector
from statefulroute.cluster.resource_type import ResourceType

_API_VERSION = "coordination.k8s.io/v1"

#: client-go spreads the tries of those who wait over up to this part of the period more.
JITTER_FACTOR = 1.2


_FORBIDDEN = 403


class LeaseNamespaceNotFoundError(ClusterError):
    """The namespace that the Lease is to be in does not exist."""


class LeaseForbiddenError(ClusterError):
    """This process may not do to the Lease what has to be done."""


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """How long things may take. The defaults are those of client-go's controllers.

    Attributes:
        duration_seconds: for how long a holder's record holds the others off after it has changed last.
        renew_deadline_seconds: for how long after the last renewal that succeeded the holder may write.
        retry_period_seconds: how often the holder renews, and how often the others look.

    Raises:
        ValueError: they do not fit together.
    """

    duration_seconds: int = 15
    renew_deadline_seconds: float = 10.0
    retry_period_seconds: float = 2.0

    def __post_init__(self) -> None:
        if not self.duration_seconds > self.renew_deadline_seconds > self.retry_period_seconds * JITTER_FACTOR > 0:
            raise ValueError(
                f"the lease duration ({self.duration_seconds:g} s) must be longer than the renew deadline "
                f"({self.renew_deadline_seconds:g} s), and that longer than {JITTER_FACTOR:g} times the retry period "
                f"({self.retry_period_seconds:g} s)"
            )


class LeaderElectionRecord(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What a Lease says: the spec's fields that matter here."""

    holder_identity: str = ""
    lease_duration_seconds: int = 0
    acquire_time: str = ""
    renew_time: str = ""
    lease_transitions: int = 0


class StoredLease(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a Lease."""

    namespace: str
    """Its namespace."""
    name: str
    resource_version: int
    record: LeaderElectionRecord

    @property
    def partition(self) -> str:
        """The key that caches group it by."""
        return self.namespace


class _Metadata(msgspec.Struct, rename="camel"):
    name: str
    namespace: str
    resource_version: str


class _Record(msgspec.Struct, rename="camel"):
    """The spec on the wire, where any field may be null."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class _Lease(msgspec.Struct):
    metadata: _Metadata
    spec: _Record = msgspec.field(default_factory=_Record)


def _make_lease(lease: _Lease) -> StoredLease:
    spec, metadata = lease.spec, lease.metadata
    record = LeaderElectionRecord(
        spec.holder_identity or "",
        spec.lease_duration_seconds or 0,
        spec.acquire_time or "",
        spec.renew_time or "",
        spec.lease_transitions or 0,
    )
    version = int(metadata.resource_version)
    return StoredLease(namespace=metadata.namespace, name=metadata.name, resource_version=version, record=record)


LEASES = ResourceType(f"/apis/{_API_VERSION}/leases", _Lease, _make_lease)


def new_identity() -> str:
    """A name for this process that no other has, not even the one before it on the same host."""
    return f"{socket.gethostname()}_{secrets.token_hex(8)}"


def _micro_time(time: datetime) -> str:
    """A MicroTime, which has six digits of the second always."""
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


class LeaseLock:
    """A Lease as one of those sees it who want to hold it.

    A holder counts as dead when its record has not changed for its own lease duration since it was first
    seen here, by the clock of this process: clocks of two machines are never compared. A Lease that is deleted counts
    as renewed at that moment, for its holder does not know of it yet.

    Args:
        client: how to reach the API server. It is not to be fenced: the Lease decides who is.
        namespace: the Lease's.
        name: the Lease's.
        times: how long things may take.
        identity: the name of this process.
        clock: seconds that also pass while this process does not run.
        time_of_day: what is written into the Lease, for people to read.

    Attributes:
        identity: the name of this process.
        holder_changed: set when the holder has changed, or the Lease is gone.
    """

    def __init__(  # noqa: PLR0913 - a Lease, who wants it, and two clocks
        self,
        client: Client,
        namespace: str,
        name: str,
        *,
        times: LeaseTimes,
        identity: str,
        clock: Callable[[], float] = elapsed_seconds,
        time_of_day: Clock = utc_now,
    ) -> None:
        self.identity = identity
        self.holder_changed = asyncio.Event()
        self._client = client
        self._namespace = namespace
        self._name = name
        self._times = times
        self._clock = clock
        self._time_of_day = time_of_day
        self._collection = LEASES.in_namespace(namespace).path
        one = LEASES.in_namespace(namespace, f"metadata.name={name}")
        self._reflector = Reflector(client, one, times.duration_seconds)
        self._reflector.cache.listen(self._on_lease_change)
        self._observed_record = LeaderElectionRecord()
        """The last record; that of a Lease that was deleted since still holds others off."""
        self._observed_time = 0.0
        self._may_be_holder = False
        """Whether it was claimed, and not let go since: the answer to a claim may be lost, and the claim still hold."""
        self._was_read = asyncio.Event()

    async def watch(self) -> None:
        """Watch the Lease until cancelled: who waits for it has it a moment after its release."""
        await self._was_read.wait()  # whoever may not read it is told so once, by `take`
        await self._reflector.run()

    @property
    def holder(self) -> str:
        """Who holds the Lease, as far as is known; empty when nobody does."""
        return self._observed_record.holder_identity

    @property
    def is_holder(self) -> bool:
        """Whether this process holds the Lease, as far as is known."""
        return self._stored is not None and self.holder == self.identity

    @property
    def seconds_until_free(self) -> float:
        """The seconds until another's record stops holding this process off; 0 or less when none does."""
        if self.holder in {"", self.identity}:
            return 0.0
        return self._observed_time + self._observed_record.lease_duration_seconds - self._clock()

    async def try_acquire_or_renew(self) -> float | None:
        """Take the Lease, or renew it, unless another holds it.

        Returns:
            The moment of the clock from which on this process holds it: when the request was sent that was granted.
            None when another holds it.

        Raises:
            NoLeaseNamespaceError: its namespace does not exist.
            LeaseForbiddenError: this process may not.
            ClusterError: it was not taken, or it is not known whether it was.
        """
        try:
            return await self._try_acquire_or_renew()
        except APIError as error:
            if error.status != _FORBIDDEN:
                raise
            raise LeaseForbiddenError(
                f"this operator may not use the Lease {self._name!r} in namespace {self._namespace!r}: "
                f"bind the Role {self._name}-lease there to its account ({error.message})"
            ) from error

    async def _try_acquire_or_renew(self) -> float | None:
        if not self.is_holder:
            await self._read()
        if self.seconds_until_free > 0:
            return None
        try:
            return await self._write_claim()
        except (ConflictError, NotFoundError):  # what was known is no longer so
            await self._read()
        return None if self.seconds_until_free > 0 else await self._write_claim()

    async def release(self) -> bool:
        """Let the Lease go, if this process holds it: the next holder need not wait. All its writing must have ended.

        Returns:
            Whether it was held.

        Raises:
            ClusterError: it was not released, or it is not known whether it was.
        """
        if not self._may_be_holder:
            return False
        if not self.is_holder:
            await self._read()
        try:
            return await self._try_release()
        except (ConflictError, NotFoundError):  # somebody has written into it, or it was a claim of our own
            await self._read()
            return await self._try_release()

    async def _try_release(self) -> bool:
        if was_ours := self.is_holder:
            now = _micro_time(self._time_of_day())
            await self._write({"holderIdentity": "", "leaseDurationSeconds": 1, "acquireTime": now, "renewTime": now})
        self._may_be_holder = False
        return was_ours

    @property
    def _stored(self) -> StoredLease | None:
        return self._reflector.get(self._namespace, self._name)

    async def _read(self) -> None:
        """Read the Lease as it is now."""
        try:
            self._observe(await self._client.get(f"{self._collection}/{self._name}"))
        except NotFoundError:
            self._was_read.set()
            if self._stored is not None:
                self._reflector.forget(self._stored)

    async def _write_claim(self) -> float:
        """Write that this process holds the Lease, if it is still as it is known; gives when that was sent."""
        now, sent = _micro_time(self._time_of_day()), self._clock()
        claim = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self._times.duration_seconds,
            "renewTime": now,
        }
        self._may_be_holder = True
        if self._stored is None:
            await self._create({**claim, "acquireTime": now, "leaseTransitions": 0})
        elif self.is_holder:
            await self._write(claim)
        else:
            transitions = self._stored.record.lease_transitions + 1
            await self._write({**claim, "acquireTime": now, "leaseTransitions": transitions})
        return sent

    async def _create(self, spec: dict[str, Any]) -> None:
        metadata = {"name": self._name, "namespace": self._namespace}
        lease = {"apiVersion": _API_VERSION, "kind": "Lease", "metadata": metadata, "spec": spec}
        try:
            self._observe(await self._client.post(self._collection, msgspec.json.encode(lease)))
        except NotFoundError as error:
            raise LeaseNamespaceNotFoundError(
                f"namespace {self._namespace!r}, where the Lease {self._name!r} of the operators is to be, does not "
                "exist: create it, or name another with --lease-namespace"
            ) from error

    async def _write(self, spec: dict[str, Any]) -> None:
        if (stored := self._stored) is None:
            return
        change = {"metadata": {"resourceVersion": str(stored.resource_version)}, "spec": spec}
        path = f"{self._collection}/{self._name}"
        self._observe(await self._client.merge_patch(path, msgspec.json.encode(change)))

    def _observe(self, answer: bytes) -> None:
        try:
            self._reflector.observe(LEASES.decode(answer))
        except ValueError as error:  # a proxy's page
            raise ClusterError(f"the answer is no Lease: {error}") from error
        self._was_read.set()

    def _on_lease_change(self, old: StoredLease | None, new: StoredLease | None) -> None:
        """A listener of the cache, which knows of a change by the watch or by an answer, whichever comes first."""
        if new is None or new.record != self._observed_record:
            self._observed_time = self._clock()
        if new is None or old is None or new.record.holder_identity != self.holder:
            self.holder_changed.set()
        if new is not None:
            self._observed_record = new.record
