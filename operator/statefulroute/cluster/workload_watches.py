"""Watches the workloads that routes refer to and that are not StatefulSets, wherever their kind can be watched."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import NamedTuple

import msgspec

from statefulroute.cluster.client import Client
from statefulroute.cluster.errors import ClusterError
from statefulroute.cluster.reflector import Reflector
from statefulroute.cluster.resource_type import ResourceType
from statefulroute.cluster.scales import ScaleReader
from statefulroute.domain.backoff import Backoff
from statefulroute.domain.fair_slots import FairSlots, TakeSlot
from statefulroute.domain.keys import RouteKey, WorkloadKey
from statefulroute.domain.route import Route

#: How many watches there may be, half of them in a single namespace. Each has a connection; the workloads beyond them
#: are polled. A kind that cannot be watched counts, too: it is discovered again and again.
_MAX_WATCHES = 256

#: How soon the discovery of a kind that cannot be watched is repeated, and the longest delay before a watch that fails
#: is tried again, for example while the permission is missing. The workloads are polled meanwhile.
_RETRY_SECONDS = 300.0

_DISCOVERY_BACKOFF = Backoff(1.0, _RETRY_SECONDS, random.random)


class WorkloadVersion(msgspec.Struct, frozen=True, gc=False):
    """One version of a workload: all that is kept of it.

    Attributes:
        namespace: the namespace.
        name: the name.
        resource_version: the resource version.
        generation: changes with the spec; 0 if the kind has none.
    """

    namespace: str
    name: str
    resource_version: int
    generation: int

    @property
    def partition(self) -> str:
        """The first part of its key in a cache: the namespace."""
        return self.namespace


class _Metadata(msgspec.Struct, rename="camel", gc=False):
    namespace: str
    name: str
    resource_version: str
    generation: int = 0


class _Workload(msgspec.Struct, gc=False):
    metadata: _Metadata


def _make_version(workload: _Workload) -> WorkloadVersion:
    metadata = workload.metadata
    return WorkloadVersion(metadata.namespace, metadata.name, int(metadata.resource_version), metadata.generation)


class _Scope(NamedTuple):
    """What one watch is of: a kind in a namespace."""

    namespace: str
    api_version: str
    kind: str


class _Watch:
    """The watch of one scope, and the names of the workloads in it that routes refer to."""

    def __init__(self) -> None:
        self.names: Counter[str] = Counter()
        self.task: asyncio.Task[None] | None = None
        self.reflector: Reflector[WorkloadVersion] | None = None
        self.has_slot = False
        self.take_slot: TakeSlot | None = None
        """Starts the watch, which waits for a slot."""


#: Called with the key of a workload, and with its versions before and after a change.
VersionListener = Callable[[WorkloadKey, WorkloadVersion | None, WorkloadVersion | None], None]


class WorkloadWatches:
    """The watches of workloads: one for each kind in each namespace with routes to that kind.

    A watch starts with the first route to its kind in its namespace and stops with the last one. It delivers metadata
    only: of one workload if the routes of the namespace refer to one of the kind, otherwise of all in the namespace.
    So a cluster with many Deployments of which few are used costs little.

    Args:
        client: the client for the API server.
        scales: finds out which kinds can be watched.
        listener: called at every change of a workload that a route refers to.
    """

    def __init__(self, client: Client, scales: ScaleReader, listener: VersionListener) -> None:
        self._client = client
        self._scales = scales
        self._listener = listener
        self._watches: dict[_Scope, _Watch] = {}
        self._slots = FairSlots(_MAX_WATCHES)
        self._is_running = False

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Watches while the context is open."""
        self._is_running = True
        for scope, watch in self._watches.items():
            self._restart(scope, watch)
        try:
            yield
        finally:
            self._is_running = False
            tasks = [watch.task for watch in self._watches.values() if watch.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def __len__(self) -> int:
        """Returns the number of watches."""
        return sum(watch.task is not None for watch in self._watches.values())

    def is_current(self, key: WorkloadKey) -> bool:
        """Returns whether every change of a workload is seen; otherwise it has to be polled."""
        reflector = self._reflector_of(key)
        return reflector is not None and reflector.is_current

    def version_of(self, key: WorkloadKey) -> int:
        """Returns the newest resource version of a workload that was seen; 0 if none was."""
        reflector = self._reflector_of(key)
        version = None if reflector is None else reflector.get(key.namespace, key.name)
        return 0 if version is None else version.resource_version

    def _reflector_of(self, key: WorkloadKey) -> Reflector[WorkloadVersion] | None:
        watch = self._watches.get(_scope_of(key))
        return None if watch is None or key.name not in watch.names else watch.reflector

    def route_changed(self, old: Route | None, new: Route | None) -> None:
        """Counts the routes to each workload, and starts and stops watches."""
        old_key, new_key = (None if route is None else route.workload_key for route in (old, new))
        # All StatefulSets are watched anyway.
        old_key, new_key = (None if key is None or key.is_stateful_set else key for key in (old_key, new_key))
        if old_key == new_key:
            return
        if new_key is not None:
            self._add(new_key)
        if old_key is not None:
            self._remove(old_key)

    def _add(self, key: WorkloadKey) -> None:
        scope = _scope_of(key)
        watch = self._watches.setdefault(scope, _Watch())
        watch.names[key.name] += 1
        is_new = watch.names[key.name] == 1
        if is_new and len(watch.names) - 1 in {0, 1}:  # the first one, or no longer a single one
            self._restart(scope, watch)

    def _remove(self, key: WorkloadKey) -> None:
        scope = _scope_of(key)
        watch = self._watches[scope]
        watch.names[key.name] -= 1
        if watch.names[key.name]:
            return
        del watch.names[key.name]
        if not watch.names:
            del self._watches[scope]
            _stop(watch)
            self._leave_slot(scope, watch)
        elif len(watch.names) == 1:
            self._restart(scope, watch)

    def _restart(self, scope: _Scope, watch: _Watch) -> None:
        """Starts a watch with the present names, or as soon as there is a slot for it."""
        _stop(watch)
        if not self._is_running or watch.take_slot is not None:
            return
        watch.has_slot = watch.has_slot or self._slots.take(_sharer(scope))
        if watch.has_slot:
            watch.task = asyncio.get_running_loop().create_task(self._watch(scope, watch, tuple(watch.names)))
        else:
            watch.take_slot = partial(self._take_slot, scope, watch)
            self._slots.wait(_sharer(scope), watch.take_slot)

    def _take_slot(self, scope: _Scope, watch: _Watch) -> bool:
        watch.take_slot, watch.has_slot = None, True
        self._restart(scope, watch)
        return True

    def _leave_slot(self, scope: _Scope, watch: _Watch) -> None:
        if watch.take_slot is not None:
            self._slots.cancel(_sharer(scope), watch.take_slot)
        if watch.has_slot:
            self._slots.release(_sharer(scope))

    async def _watch(self, scope: _Scope, watch: _Watch, names: tuple[str, ...]) -> None:
        """Watches a scope until cancelled."""
        attempt = 0
        while (path := await self._path(scope)) is None:
            await asyncio.sleep(_DISCOVERY_BACKOFF.delay(attempt))
            attempt += 1
        selector = f"metadata.name={names[0]}" if len(names) == 1 else ""
        resource = ResourceType(path, _Workload, _make_version).in_namespace(scope.namespace, selector)
        watch.reflector = Reflector(self._client.metadata_only(), resource, _RETRY_SECONDS)

        def changed(old: WorkloadVersion | None, new: WorkloadVersion | None) -> None:
            if (version := new or old) is not None and version.name in watch.names:
                self._listener(WorkloadKey(*scope, version.name), old, new)

        watch.reflector.cache.listen(changed)
        await watch.reflector.run()

    async def _path(self, scope: _Scope) -> str | None:
        """Returns the path of the list of a kind; None if it cannot be watched now."""
        try:
            return await self._scales.watch_path(*scope)
        except ClusterError:  # the poll of the workload reports it
            return None


def _sharer(scope: _Scope) -> RouteKey:
    """Returns what shares the watches."""
    return RouteKey(scope.namespace, scope.kind)


def _scope_of(key: WorkloadKey) -> _Scope:
    return _Scope(key.namespace, key.api_version, key.kind)


def _stop(watch: _Watch) -> None:
    if watch.task is not None:
        watch.task.cancel()
    watch.task = watch.reflector = None
