"""The controller of PodLinks: one queue for each route, and one for the links whose route does not exist."""

import asyncio
import math
from collections.abc import Callable

import structlog

from statefulroute.cluster.informers import Informers
from statefulroute.controllers.deadlines import Deadlines
from statefulroute.controllers.links.orphans import OrphanQueue
from statefulroute.controllers.links.reconciler import ReconcileResult
from statefulroute.controllers.links.route_queue import Reconcile, RouteLinkQueue
from statefulroute.controllers.state_store import RouteStore
from statefulroute.controllers.work_queue.backlog import Backlog
from statefulroute.controllers.work_queue.priority_queue import Priority
from statefulroute.domain.fair_slots import FairSlots
from statefulroute.domain.keys import LinkKey, RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.route import Route

log = structlog.get_logger(__name__)

#: How many slots a namespace may use for each free one. A single namespace uses two thirds of all slots.
_NAMESPACE_SHARE = 2.0

#: How long the queue of a route whose last link is gone stays, because its next link often comes soon.
_RETENTION_SECONDS = 5.0


def link_slots(concurrency: int) -> int:
    """Returns how many links of all routes are reconciled at the same time, so that one route has its concurrency."""
    return math.ceil(concurrency * (1 + _NAMESPACE_SHARE) / _NAMESPACE_SHARE)


class LinkController:
    """Adds every changed link to its route's queue, or to the queue of orphans where its route does not exist.

    A route has a queue while it has links.

    Args:
        informers: the caches; the controller listens to those of links and routes.
        route_store: the views of routes.
        reconcile: reconciles one link.
        concurrency: how many links of one route are written at the same time.
        is_expected: returns whether a new version of a link is one that `reconcile` expects, and takes care of.
    """

    def __init__(
        self,
        informers: Informers,
        route_store: RouteStore,
        reconcile: Reconcile,
        concurrency: int,
        is_expected: Callable[[Link], bool] = lambda _: False,
    ) -> None:
        self._informers = informers
        self._route_store = route_store
        self._reconcile = reconcile
        self._concurrency = concurrency
        self._is_expected = is_expected
        self._slots = FairSlots(link_slots(concurrency), namespace_share=_NAMESPACE_SHARE)
        self._routes: set[RouteKey] = set()
        """The routes whose links are reconciled."""
        self._queues: dict[RouteKey, RouteLinkQueue] = {}
        self._unused: Deadlines[RouteKey] = Deadlines(self._drop_unused_queue)
        """The queues of routes without links."""
        self._ending: set[asyncio.Task[None]] = set()
        """The ends of queues."""
        self._orphans = OrphanQueue(self._reconcile_orphan)
        self._is_started = False
        informers.links.cache.listen(self._link_changed)
        informers.routes.cache.listen(self._route_changed)

    def start(self) -> None:
        """Starts reconciling the links whose route does not exist; all caches must be synced."""
        # Earlier changes are not queued: an operator that stands by for days would queue every link that ever existed.
        self._is_started = True
        self._route_store.start_term()
        links, routes = self._informers.links.cache, self._informers.routes.cache
        for route, name in links:
            if (link := links.get(route, name)) is not None and routes.get(*link.route) is None:
                self._orphans.add(link.key)

    async def stop(self) -> None:
        """Stops reconciling: finishes the links in progress, and takes no others."""
        self._is_started = False
        queues = tuple(self._queues.values())
        self._routes.clear()
        self._queues.clear()
        await asyncio.gather(self._orphans.stop(), *self._ending, *(queue.stop() for queue in queues))

    def add_route(self, route: RouteKey) -> None:
        """Reconciles the links of a route from now on."""
        self._routes.add(route)
        if route not in self._queues and self._informers.links.cache.in_partition(route):
            self._start_queue(route)

    def remove_route(self, route: RouteKey) -> None:
        """Finishes the links of a route that are in progress, and takes no others."""
        self._routes.discard(route)
        queue = self._queues.pop(route, None)
        ending = asyncio.get_running_loop().create_task(self._end(route, queue))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _end(self, route: RouteKey, queue: RouteLinkQueue | None) -> None:
        if queue is not None:
            await queue.stop()
        if route not in self._routes:
            self._add_orphans(route)

    def _start_queue(self, route: RouteKey) -> None:
        queue = self._queues[route] = RouteLinkQueue(
            route,
            self._informers,
            self._route_store,
            self._reconcile,
            self._concurrency,
            self._slots,
            lambda: self._offer_room(route),
        )
        try:
            queue.start()
        except Exception:
            # An error of one route must not stop the work on all others, nor the watch that has delivered the link.
            log.exception("an unexpected error", route=route)

    def _drop_unused_queue(self, route: RouteKey) -> None:
        queue = self._queues.get(route)
        if queue is None or self._informers.links.cache.in_partition(route):
            return
        if queue.backlog().depth:
            self._unused.set(route, _RETENTION_SECONDS)
        else:
            del self._queues[route]
            queue.close()

    def add(self, link: Link) -> None:
        """Reconciles a link that has not changed itself, for example one whose time is over."""
        if not self.resume(link.key):
            self._add_orphan(link)

    def resume(self, key: LinkKey) -> bool:
        """Reconciles a link whose turn has come; returns False if its route has no queue any more."""
        queue = self._queues.get(key.route)
        if queue is not None:
            queue.add(key)
        return queue is not None

    def resume_rewrite(self, key: LinkKey) -> bool:
        """Reconciles a link whose turn to be rewritten has come, also without a route; returns False after a stop."""
        if self.resume(key):
            return True
        if self._is_started:
            self._orphans.add(key, Priority.LOW)
        return self._is_started

    def backlog(self) -> Backlog:
        """Returns the links that are left to reconcile, those of all routes and those without a route."""
        backlog = self._orphans.backlog()
        for queue in self._queues.values():
            backlog = backlog.combined_with(queue.backlog())
        return backlog

    def _link_changed(self, old: Link | None, new: Link | None) -> None:
        link = new or old
        if link is None:
            return
        queue = self._queues.get(link.route)
        if queue is not None:
            queue.link_changed(old, new, is_expected=new is not None and self._is_expected(new))
            if new is None and not self._informers.links.cache.in_partition(link.route):
                self._unused.set(link.route, _RETENTION_SECONDS)
        elif new is not None and link.route in self._routes:
            self._start_queue(link.route)  # with all links of the route
        elif new is not None:
            self._add_orphan(new)
        if old is not None and (
            old.assigned_pod not in {None, new and new.assigned_pod}
            or (old.hand_over is not None and (new is None or new.hand_over != old.hand_over))
        ):
            self._offer_room(link.route)

    def _offer_room(self, route: RouteKey) -> None:
        """Offers room on a pod to the oldest waiting link of the route, and of each other route to its workload."""
        for key in (route, *self._route_store.others(route)):
            if (queue := self._queues.get(key)) is not None:
                queue.take_room()

    def _route_changed(self, old: Route | None, new: Route | None) -> None:
        if old is not None and new is None:
            self._add_orphans(old.key)

    def _add_orphans(self, route: RouteKey) -> None:
        for link in self._informers.links.cache.in_partition(route).values():
            self._add_orphan(link)

    def _add_orphan(self, link: Link) -> None:
        if self._is_started:
            self._orphans.add(link.key)

    async def _reconcile_orphan(self, key: LinkKey) -> ReconcileResult:
        """Reconciles a link unless its route exists by now: then the route's queue has the link."""
        if key.route not in self._routes and self._informers.routes.cache.get(*key.route) is None:
            return await self._reconcile(key)
        return ReconcileResult()
