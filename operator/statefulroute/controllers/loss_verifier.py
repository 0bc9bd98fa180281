"""Verifies losses of pods: reads the pods from the API server before their first link moves, goes or is marked."""

import asyncio
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import structlog

from statefulroute.cluster.fair_limiter import FairLimiter
from statefulroute.cluster.informers import Informers
from statefulroute.controllers.state_store import RouteStore
from statefulroute.controllers.work_queue.rate_limiting import OutagePause
from statefulroute.controllers.work_queue.worker_pool import WorkerPool
from statefulroute.domain.fair_slots import FairSlots
from statefulroute.domain.keys import PodKey, RouteKey
from statefulroute.domain.loss import AbsentPod
from statefulroute.domain.route import RouteView

log = structlog.get_logger(__name__)

#: How many routes are verified at the same time, half of them in a single namespace: a read that hangs, for example
#: that of a scale, delays no other namespace.
_ROUTES = 16

#: How many routes with lost pods have a task, and how many pods of a route are read at the same time: links of other
#: routes go first.
_TASKS, _CONCURRENCY = 1000, 4

#: How often the losses of the pods that were read until then count: one slow read does not hold up the other pods.
_BATCH_SECONDS = 1.0


class LossVerifier:
    """Reads what the losses of a route depend on from the API server into the caches, each object once.

    A loss counts if the pod is still absent for the same reason afterwards. If a read fails, it is repeated, and the
    links of the pod stay until then. Of a workload that is not a StatefulSet, the last scale that could be read counts.

    Args:
        informers: the caches.
        route_store: the views of routes, whose losses do not count from now on before they are verified.
    """

    def __init__(self, informers: Informers, route_store: RouteStore) -> None:
        self._informers = informers
        self._route_store = route_store
        self._limiter = FairLimiter(FairSlots(_ROUTES))
        self._workers: WorkerPool[RouteKey] = WorkerPool(
            self._verify_in_turn,
            _TASKS,
            lambda key: {"route": key},
            failure="a lost pod was not read: trying again",
            outage_pause=OutagePause(_ROUTES),
        )
        self._unverified: set[RouteKey] = set()
        """The routes with losses to verify."""
        route_store.listen_for_losses(self._add)

    def start(self) -> None:
        """Starts to verify the losses that were found until now and from now on."""
        for key in self._unverified:
            self._workers.add(key)
        self._workers.start()

    async def stop(self) -> None:
        """Cancels the reads in progress, and starts no others."""
        stopping = asyncio.create_task(self._workers.stop())
        await asyncio.sleep(0)
        stopping.cancel()
        await asyncio.wait([stopping])

    def _add(self, key: RouteKey) -> None:
        self._unverified.add(key)
        self._workers.add(key)

    async def _verify_in_turn(self, key: RouteKey) -> None:
        async with self._limiter.slot(key):
            await self._verify(key)

    async def _verify(self, key: RouteKey) -> None:
        """Verifies the losses of a route.

        Raises:
            ClusterError: an object was not read.
            ValueError: an object is malformed.
        """
        view, absences = self._route_store.get(key), self._route_store.unverified_losses(key)
        if view is None or not absences:
            self._unverified.discard(key)
            return
        await self._read_route(view)
        slots = asyncio.Semaphore(_CONCURRENCY)
        reads = {asyncio.create_task(self._read_pod(view, pod, slots)): pod for pod in absences}
        pending: AbstractSet[asyncio.Task[None]] = reads.keys()
        failures: list[BaseException] = []
        try:
            while pending:
                done, pending = await asyncio.wait(pending, timeout=_BATCH_SECONDS)
                failures += [error for each in done if (error := each.exception()) is not None]
                self._count_losses(view, {reads[each]: absences[reads[each]] for each in done if not each.exception()})
        finally:
            for each in pending:
                each.cancel()
        if failures:
            raise failures[0]

    def _count_losses(self, view: RouteView, absences: Mapping[PodKey, AbsentPod]) -> None:
        """Lets the losses of pods that were read count, if they are still absent for the same reason."""
        for pod in self._route_store.verify_losses(view.route.key, absences):
            log.warning(
                "a pod that looked lost is not: the cache may be stale", route=view.route.key, pod=view.pod_name(pod)
            )

    async def _read_route(self, view: RouteView) -> None:
        route, workloads = view.route, self._informers.workloads
        await self._informers.routes.read(route.namespace, route.name)
        if workloads.is_watched(route):
            await self._informers.stateful_sets.read(route.namespace, route.workload_name)
        else:
            await workloads.read(route)

    async def _read_pod(self, view: RouteView, key: PodKey, slots: asyncio.Semaphore) -> None:
        async with slots:
            pod = await self._informers.pods.read(view.route.namespace, view.pod_name(key))
            if pod is not None and pod.node_name and self._informers.nodes is not None:
                await self._informers.nodes.read("", pod.node_name)
