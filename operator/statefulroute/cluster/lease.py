"""Leader election with a Lease, by the rules of client-go."""

import asyncio
import secrets
import socket
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from statefulroute.api.annotations import SERVED_NAMESPACES
from statefulroute.api.rbac import LEASE_LABELS
from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import Clock, elapsed_seconds, own_time
from statefulroute.cluster.errors import APIError, ClusterError, ConflictError, NotFoundError
from statefulroute.cluster.reflector import Reflector
from statefulroute.cluster.resource_type import ResourceType

_API_VERSION = "coordination.k8s.io/v1"

#: As in client-go: candidates wait up to this factor of the retry period longer before they retry.
JITTER_FACTOR = 1.2

#: How many earlier holders are remembered.
_MAX_PREDECESSORS = 16

_FORBIDDEN = 403


class LeaseNamespaceNotFoundError(ClusterError):
    """The namespace of the Lease does not exist."""


class LeaseForbiddenError(ClusterError):
    """This process lacks a permission for the Lease."""


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """The durations of leader election. The defaults are those of client-go.

    Attributes:
        duration_seconds: how long candidates wait after the holder's record last changed.
        renew_deadline_seconds: how long the holder may write after its last successful renewal.
        retry_period_seconds: how often the holder renews the Lease, and how often candidates check it.

    Raises:
        ValueError: the order duration > deadline > period with jitter does not hold.
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
    """The fields of a Lease's spec that leader election uses."""

    holder_identity: str = ""
    lease_duration_seconds: int = 0
    acquire_time: str = ""
    renew_time: str = ""
    lease_transitions: int = 0


class StoredLease(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a Lease."""

    namespace: str
    name: str
    resource_version: int
    record: LeaderElectionRecord

    @property
    def partition(self) -> str:
        """The first part of its key in a cache: the namespace."""
        return self.namespace


class _Metadata(msgspec.Struct, rename="camel"):
    name: str
    namespace: str
    resource_version: str


class _Record(msgspec.Struct, rename="camel"):
    """The spec in JSON, where any field may be null."""

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
    """Returns a unique name for this process; a restarted process on the same host gets another name."""
    return f"{socket.gethostname()}_{secrets.token_hex(8)}"


def _micro_time(time: datetime) -> str:
    """Formats a MicroTime, which always has six fractional digits."""
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


class LeaseLock:
    """A Lease from the point of view of one candidate.

    A record expires when it has not changed for its lease duration since this process first observed it, by the clock
    of this process: clocks of two machines are never compared. A deleted Lease counts as renewed at that moment,
    because its holder may not have observed the deletion yet.

    Args:
        client: the client for the API server. It must not be fenced: the Lease controls the fence.
        namespace: the namespace of the Lease.
        name: the name of the Lease.
        times: the durations of leader election.
        identity: the name of this process.
        namespaces: the namespaces that this process works in, for information; none is the whole cluster.
        clock: returns seconds, including the time in which this process does not run.
        time_of_day: returns the time of day for the Lease's fields, which are for information only.

    Attributes:
        identity: the name of this process.
        holder_changed: set when the holder has changed or the Lease was deleted.
        acquired_version: the resource version of the first record of the present or last term of this process.
    """

    def __init__(  # noqa: PLR0913 - a Lease, a candidate, and two clocks
        self,
        client: Client,
        namespace: str,
        name: str,
        *,
        times: LeaseTimes,
        identity: str,
        namespaces: Sequence[str] = (),
        clock: Callable[[], float] = elapsed_seconds,
        time_of_day: Clock = own_time,
    ) -> None:
        self.identity = identity
        self.holder_changed = asyncio.Event()
        self.acquired_version = 0
        self._client = client
        self._namespace = namespace
        self._name = name
        self._times = times
        self._clock = clock
        self._time_of_day = time_of_day
        self._metadata = {"labels": LEASE_LABELS, "annotations": {SERVED_NAMESPACES: ",".join(namespaces) or "*"}}
        self._predecessors: deque[str] = deque(maxlen=_MAX_PREDECESSORS)
        self._collection = LEASES.in_namespace(namespace).path
        lease = LEASES.in_namespace(namespace, f"metadata.name={name}")
        self._reflector = Reflector(client, lease, times.duration_seconds)
        self._reflector.cache.listen(self._on_lease_change)
        self._observed_record = LeaderElectionRecord()
        """The last record; it stays valid after the Lease was deleted."""
        self._observed_time = 0.0
        self._may_be_holder = False
        """Whether this process claimed the Lease and has not released it: a claim may succeed without a response."""
        self._was_read = asyncio.Event()

    async def watch(self) -> None:
        """Watches the Lease until cancelled, so that a candidate acquires it as soon as it is released."""
        await self._was_read.wait()  # a missing permission is reported once, by `try_acquire_or_renew`
        await self._reflector.run()

    @property
    def holder(self) -> str:
        """The identity of the last known holder; empty if the Lease is free."""
        return self._observed_record.holder_identity

    @property
    def is_holder(self) -> bool:
        """Whether this process is the last known holder."""
        return self._stored is not None and self.holder == self.identity

    @property
    def predecessors(self) -> Collection[str]:
        """The other processes that are known to have held the Lease, the last ones."""
        return self._predecessors

    @property
    def seconds_until_free(self) -> float:
        """The seconds until another holder's record expires; 0 or less if this process may acquire the Lease now."""
        if self.holder in {"", self.identity}:
            return 0.0
        return self._observed_time + self._observed_record.lease_duration_seconds - self._clock()

    async def try_acquire_or_renew(self) -> float | None:
        """Acquires or renews the Lease, unless another process holds it.

        Returns:
            The time of the clock at which the successful request was sent: this process holds the Lease from then on.
            None if another process holds the Lease.

        Raises:
            LeaseNamespaceNotFoundError: the namespace does not exist.
            LeaseForbiddenError: this process lacks a permission.
            ClusterError: the request failed, or its result is unknown.
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
        except (ConflictError, NotFoundError):  # the cached Lease is out of date
            await self._read()
        return None if self.seconds_until_free > 0 else await self._write_claim()

    async def release(self) -> bool:
        """Releases the Lease if this process holds it, so that a candidate acquires it immediately.

        The process must have stopped writing before.

        Returns:
            Whether this process held the Lease.

        Raises:
            ClusterError: the request failed, or its result is unknown.
        """
        if not self._may_be_holder:
            return False
        if not self.is_holder:
            await self._read()
        try:
            return await self._try_release()
        except (ConflictError, NotFoundError):  # another process has changed the Lease, or a late claim of this one
            await self._read()
            return await self._try_release()

    async def _try_release(self) -> bool:
        if was_holder := self.is_holder:
            now = _micro_time(self._time_of_day())
            await self._write({"holderIdentity": "", "leaseDurationSeconds": 1, "acquireTime": now, "renewTime": now})
        self._may_be_holder = False
        return was_holder

    @property
    def _stored(self) -> StoredLease | None:
        return self._reflector.get(self._namespace, self._name)

    async def _read(self) -> None:
        """Reads the Lease from the API server."""
        try:
            self._observe(await self._client.get(f"{self._collection}/{self._name}"))
        except NotFoundError:
            self._was_read.set()
            if self._stored is not None:
                self._reflector.forget(self._stored)

    async def _write_claim(self) -> float:
        """Claims the Lease if it has not changed since it was read; returns when the request was sent."""
        now, sent_at = self._renew_time(), self._clock()
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
        return sent_at

    def _renew_time(self) -> str:
        """Returns the time of a renewal, which differs from the stored one even if the time of day stands still.

        Otherwise the renewal would change nothing, and another candidate would take the record for expired.
        """
        time = self._time_of_day()
        if self._observed_record.renew_time == _micro_time(time):
            time += timedelta(microseconds=1)
        return _micro_time(time)

    async def _create(self, spec: dict[str, Any]) -> None:
        metadata = {"name": self._name, "namespace": self._namespace, **self._metadata}
        lease = {"apiVersion": _API_VERSION, "kind": "Lease", "metadata": metadata, "spec": spec}
        try:
            self._observe(await self._client.post(self._collection, msgspec.json.encode(lease)))
        except NotFoundError as error:
            raise LeaseNamespaceNotFoundError(
                f"namespace {self._namespace!r} of the operator's Lease {self._name!r} does not exist: "
                "create it, or name another with --lease-namespace"
            ) from error

    async def _write(self, spec: dict[str, Any]) -> None:
        if (stored := self._stored) is None:
            return
        change = {"metadata": {"resourceVersion": str(stored.resource_version), **self._metadata}, "spec": spec}
        path = f"{self._collection}/{self._name}"
        self._observe(await self._client.merge_patch(path, msgspec.json.encode(change)))

    def _observe(self, response: bytes) -> None:
        try:
            self._reflector.observe(LEASES.decode(response))
        except ValueError as error:  # an error page of a proxy
            raise ClusterError(f"the response is not a Lease: {error}") from error
        self._was_read.set()

    def _on_lease_change(self, old: StoredLease | None, new: StoredLease | None) -> None:
        """Listens to the cache, which changes by the watch or by a response, whichever arrives first."""
        if new is None or new.record != self._observed_record:
            self._observed_time = self._clock()
        if new is None or old is None or new.record.holder_identity != self.holder:
            self.holder_changed.set()
        if new is not None:
            if new.record.holder_identity == self.identity != self.holder:
                self.acquired_version = new.resource_version
            self._observed_record = new.record
            if self.holder not in {"", self.identity, *self._predecessors}:
                self._predecessors.append(self.holder)
