"""The queue of the links whose route does not exist."""

import asyncio

from statefulroute.controllers.deadlines import Deadlines
from statefulroute.controllers.links.route_queue import Reconcile, link_log_fields
from statefulroute.controllers.work_queue.backlog import Backlog
from statefulroute.controllers.work_queue.priority_queue import Priority
from statefulroute.controllers.work_queue.worker_pool import WorkerPool
from statefulroute.domain.fair_slots import FairSlots
from statefulroute.domain.keys import LinkKey, RouteKey

#: How many links without a route are reconciled at the same time in one namespace; they are few and not urgent.
_CONCURRENCY = 4

#: How many of them in all namespaces, and how many slots a namespace may use for each free one: a quarter of all is its
#: concurrency, and many namespaces whose writes hang leave slots to others.
_SLOTS, _NAMESPACE_SHARE = 16, 1 / 3

#: How long a namespace keeps its workers' queue without a link in it.
_RETENTION_SECONDS = 5.0


class OrphanQueue:
    """Reconciles the links whose route does not exist, shared fairly by namespace.

    Args:
        reconcile: reconciles one link.
    """

    def __init__(self, reconcile: Reconcile) -> None:
        self._reconcile = reconcile
        self._slots = FairSlots(_SLOTS, namespace_share=_NAMESPACE_SHARE)
        self._pools: dict[str, WorkerPool[LinkKey]] = {}
        self._unused: Deadlines[str] = Deadlines(self._drop_unused)
        """The namespaces with a queue."""

    def add(self, key: LinkKey, priority: Priority = Priority.HIGH) -> None:
        """Reconciles a link soon."""
        namespace = key.route.namespace
        pool = self._pools.get(namespace)
        if pool is None:
            sharer = RouteKey(namespace, "")
            pool = WorkerPool(self._reconcile, _CONCURRENCY, link_log_fields, slots=self._slots, route=sharer)
            self._pools[namespace] = pool
            self._unused.set(namespace, _RETENTION_SECONDS)
            pool.start()
        pool.add(key, priority)

    async def stop(self) -> None:
        """Finishes the links in progress, and drops the others."""
        pools = tuple(self._pools.values())
        self._pools.clear()
        await asyncio.gather(*(pool.stop() for pool in pools))

    def backlog(self) -> Backlog:
        """Returns the links that are left to reconcile."""
        backlog = Backlog()
        for pool in self._pools.values():
            backlog = backlog.combined_with(pool.backlog())
        return backlog

    def _drop_unused(self, namespace: str) -> None:
        pool = self._pools.get(namespace)
        if pool is None:
            return
        if pool.backlog().depth:
            self._unused.set(namespace, _RETENTION_SECONDS)
        else:
            del self._pools[namespace]
