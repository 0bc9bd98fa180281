"""Reads and annotates workloads: StatefulSets from a cache, other kinds by their scale subresource."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

import msgspec

from statefulroute.api.vocabulary import RouteReason
from statefulroute.cluster.cache import Cache
from statefulroute.cluster.client import Client
from statefulroute.cluster.codec.workloads import parse_workload_annotations
from statefulroute.cluster.errors import APIError, ClusterError, NotFoundError
from statefulroute.cluster.fair_limiter import FairLimiter
from statefulroute.cluster.field_logger import get_logger
from statefulroute.cluster.retry_after import NamespacePauses, retry_pause
from statefulroute.cluster.scale_writer import ScaleWriter
from statefulroute.cluster.scales import ForbiddenError, NotScalableError, ScaleReader
from statefulroute.cluster.workload_watches import WorkloadVersion, WorkloadWatches
from statefulroute.domain.fair_slots import FairSlots
from statefulroute.domain.keys import STATEFUL_SET, RouteKey, WorkloadKey
from statefulroute.domain.route import Route
from statefulroute.domain.workload import MissingWorkload, Workload, WorkloadAnnotations, workload_not_found

log = get_logger(__name__)

_INTERNAL_ERROR = 500

#: How often the scale of a watched workload is read without a change: the metadata that is watched need not change
#: with the selector of a custom resource.
_RESYNC_SECONDS = 600.0

#: The pause between two reads of one workload that changes again and again.
_SETTLE_SECONDS = 1.0

#: How many changed workloads are read at the same time, half of them in a single namespace: a read may hang.
_PARALLEL_READS = 8

#: Called with the key of a workload that may have changed.
WorkloadListener = Callable[[WorkloadKey], None]


class _Metadata(msgspec.Struct):
    annotations: dict[str, str] | None = None


class _AnnotatedObject(msgspec.Struct):
    metadata: _Metadata


_annotated_decoder = msgspec.json.Decoder(_AnnotatedObject)


class Workloads:
    """The workloads of the routes.

    StatefulSets are watched. The only known property of other kinds is their scale subresource, as for a
    HorizontalPodAutoscaler: it is read on request, and again when the watch of the workload's metadata shows that the
    workload has changed. Where a kind cannot be watched, each request reads it.

    Args:
        client: the client for the API server.
        stateful_sets: the cache of StatefulSets.
    """

    def __init__(self, client: Client, stateful_sets: Cache[Workload]) -> None:
        self._client = client
        self._stateful_sets = stateful_sets
        self._scales = ScaleReader(client)
        self._scale_writer = ScaleWriter(client, self._scales)
        self._read: dict[WorkloadKey, Workload | MissingWorkload] = {}
        self._read_at: dict[WorkloadKey, float] = {}
        """When each workload was last read, in monotonic seconds."""
        self._changed: set[WorkloadKey] = set()
        """The workloads that may have changed since they were read."""
        self._rereads: dict[WorkloadKey, asyncio.Task[None]] = {}
        self._reread_limiter = FairLimiter(FairSlots(_PARALLEL_READS))
        self._pauses = NamespacePauses()
        """Where the API server asks not to read scales for a while."""
        self._annotations: dict[WorkloadKey, WorkloadAnnotations] = {}
        """The known annotations of workloads that are not watched."""
        self._listeners: list[WorkloadListener] = []
        self.watches = WorkloadWatches(client, self._scales, self._version_changed)
        """The watches of workloads that are not StatefulSets."""
        stateful_sets.listen(self._stateful_set_changed)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Watches workloads while the context is open."""
        async with self.watches.run():
            try:
                yield
            finally:
                self._cancel_rereads()

    def listen(self, listener: WorkloadListener) -> None:
        """Adds a listener, which is called when a workload may have changed. It must not raise."""
        self._listeners.append(listener)

    def is_watched(self, route: Route) -> bool:
        """Returns whether listeners are called for every change of a route's workload, without any request."""
        return route.workload_key.is_stateful_set

    def get(self, route: Route) -> Workload | MissingWorkload | None:
        """Returns a route's workload, or the reason why it is not usable; None before it was read."""
        key = route.workload_key
        if key.is_stateful_set:
            return self._stateful_sets.get(key.namespace, key.name) or route.workload_not_found()
        return self._read.get(key)

    async def refresh(self, route: Route) -> None:
        """Reads a route's workload again, unless it is watched and has not changed."""
        key = route.workload_key
        if not key.is_stateful_set and self._is_due(key):
            await self._reread(key)

    async def read(self, route: Route) -> None:
        """Reads a route's workload again, unless it is a StatefulSet.

        An earlier result stays valid until the API server reports that the workload does not exist. So a permission
        that is missing for a moment, or a malformed response, takes no user's pod away. The pods are watched anyway.
        """
        key = route.workload_key
        if not key.is_stateful_set:
            await self._reread(key)

    async def set_replicas(self, route: Route, workload: Workload, replicas: int) -> int:
        """Sets the number of pods of a route's workload, and reads it again unless it is a StatefulSet.

        Args:
            route: the route.
            workload: the workload as the decision used it.
            replicas: the new number of pods.

        Returns:
            The new resource version of the workload.

        Raises:
            ConflictError: the workload has changed since the decision.
            ForbiddenError: the operator may not scale it; the message names the missing permission.
            ClusterError: the request failed, or its result is unknown.
        """
        try:
            return await self._scale_writer.set_replicas(route.workload_key, workload, replicas)
        finally:
            await self.read(route)

    def forget(self, route: Route) -> None:
        """Drops a route's workload after the route was deleted or changed; another route may read it again."""
        key = route.workload_key
        self._read.pop(key, None)
        self._read_at.pop(key, None)
        self._changed.discard(key)
        self._annotations.pop(key, None)

    def clear(self) -> None:
        """Drops all workloads that were read; no listener is called."""
        self._cancel_rereads()
        self._read.clear()
        self._read_at.clear()
        self._changed.clear()
        self._annotations.clear()

    def _is_due(self, key: WorkloadKey) -> bool:
        """Returns whether a workload has to be read: it has changed, is not watched or was read long ago."""
        if key in self._read and not self._pauses.allows(key.namespace):
            return False
        if not isinstance(self._read.get(key), Workload) or key in self._changed or not self.watches.is_current(key):
            return True
        return time.monotonic() - self._read_at[key] >= _RESYNC_SECONDS

    async def _reread(self, key: WorkloadKey) -> bool:
        """Reads a workload; returns False if it has to be read again."""
        previous = self._read.get(key)
        self._changed.discard(key)
        try:
            current: Workload | MissingWorkload = await self._read_scale(key)
        except NotFoundError:
            current = workload_not_found(key)
        except ClusterError as error:
            self._pauses.pause(key.namespace, retry_pause(0.0, error.retry_after_seconds))
            problem = None if isinstance(previous, Workload) else _lasting_problem(key, error)
            if problem is None:
                self._changed.add(key)
                log.warning("a workload was not read: trying again", workload=key, error=str(error))
                return False
            current = problem
        self._read[key], self._read_at[key] = current, time.monotonic()
        if isinstance(current, Workload) and self._is_older_than_watched(key, current, previous):
            self._read_again(key)
        if current != previous:
            self._notify(key)
        return True

    def _is_older_than_watched(
        self, key: WorkloadKey, current: Workload, previous: Workload | MissingWorkload | None
    ) -> bool:
        """Returns whether a workload has changed while it was read for the first time; later, the events show it."""
        return not isinstance(previous, Workload) and self.watches.version_of(key) > current.resource_version

    def _version_changed(self, key: WorkloadKey, old: WorkloadVersion | None, new: WorkloadVersion | None) -> None:
        """Reads a workload whose metadata has changed, if that may concern its scale."""
        current = self._read.get(key)
        if current is None:  # it was not requested
            return
        if isinstance(current, Workload) and new is not None:
            if new.resource_version <= current.resource_version:
                return
            if old is not None and old.generation == new.generation != 0:  # only its status or metadata has changed
                return
        self._read_again(key)

    def _read_again(self, key: WorkloadKey) -> None:
        self._changed.add(key)
        if key not in self._rereads:
            self._rereads[key] = asyncio.get_running_loop().create_task(self._reread_changed(key))

    async def _reread_changed(self, key: WorkloadKey) -> None:
        """Reads a workload until it has not changed meanwhile. After a failure, the next `refresh` reads it."""
        is_read = True
        try:
            while is_read and key in self._changed and key in self._read:
                async with self._reread_limiter.slot(RouteKey(key.namespace, key.name)):
                    is_read = await self._reread(key)
                await asyncio.sleep(_SETTLE_SECONDS)
        finally:
            if self._rereads.get(key) is asyncio.current_task():
                del self._rereads[key]

    def _cancel_rereads(self) -> None:
        for task in self._rereads.values():
            task.cancel()
        self._rereads.clear()

    async def annotations(self, route: Route, workload: Workload) -> WorkloadAnnotations:
        """Returns the operator's annotations of a route's workload.

        Raises:
            ClusterError: the workload cannot be read.
        """
        key = route.workload_key
        if key.is_stateful_set:
            return workload.annotations
        if key not in self._annotations:
            workload_object = _annotated_decoder.decode(await self._client.get(await self._path(key)))
            self._annotations[key] = parse_workload_annotations(workload_object.metadata.annotations or {})
        return self._annotations[key]

    async def annotate(self, route: Route, annotations: Mapping[str, str | None]) -> None:
        """Writes annotations of a route's workload; None removes one.

        Raises:
            ClusterError: the request failed, or its result is unknown.
        """
        key = route.workload_key
        self._annotations.pop(key, None)
        body = msgspec.json.encode({"metadata": {"annotations": annotations}})
        workload_object = _annotated_decoder.decode(await self._client.merge_patch(await self._path(key), body))
        if not key.is_stateful_set:
            self._annotations[key] = parse_workload_annotations(workload_object.metadata.annotations or {})

    async def remove_annotations(self, route: Route, workload: Workload, names: Iterable[str]) -> None:
        """Removes the operator's annotations from a route's workload, if there are any.

        Raises:
            ClusterError: the request failed, or its result is unknown.
        """
        if await self.annotations(route, workload) != WorkloadAnnotations():
            await self.annotate(route, dict.fromkeys(names))

    async def _path(self, key: WorkloadKey) -> str:
        return await self._scales.path(key.namespace, key.api_version, key.kind, key.name)

    async def _read_scale(self, key: WorkloadKey) -> Workload:
        scale = await self._scales.read(key.namespace, key.api_version, key.kind, key.name)
        return Workload(
            namespace=key.namespace,
            name=key.name,
            resource_version=scale.resource_version,
            uid=scale.uid,
            replicas=scale.replicas,
            selector=scale.selector,
            selector_text=scale.selector_text,
        )

    def _stateful_set_changed(self, old: Workload | None, new: Workload | None) -> None:
        workload = new or old
        if workload is not None:
            self._notify(WorkloadKey(workload.namespace, *STATEFUL_SET, workload.name))

    def _notify(self, key: WorkloadKey) -> None:
        for listener in self._listeners:
            listener(key)


def _lasting_problem(key: WorkloadKey, error: ClusterError) -> MissingWorkload | None:
    """Returns the reason why a workload is not usable; None if the error may be temporary."""
    if isinstance(error, ForbiddenError):
        return MissingWorkload(RouteReason.WORKLOAD_FORBIDDEN, str(error))
    if isinstance(error, NotScalableError):
        return MissingWorkload(RouteReason.WORKLOAD_KIND_NOT_SUPPORTED, str(error))
    if isinstance(error, APIError) and error.status == _INTERNAL_ERROR:
        # The response for a custom resource without the field for its replicas.
        return MissingWorkload(RouteReason.WORKLOAD_UNREADABLE, f"the scale of {key.kind} {key.name!r}: {error}")
    return None
