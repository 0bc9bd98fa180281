"""Which links are worked on, when, and by whom: those of a route by its daemon, those without a route by one queue."""

from collections.abc import Awaitable, Callable

from statefulroute.api.vocabulary import LinkPhase
from statefulroute.cluster.mirror import Mirror
from statefulroute.controllers.links.reconciler import LinkReconciler
from statefulroute.controllers.views import RouteViews
from statefulroute.controllers.work_queue import WorkQueue
from statefulroute.domain.keys import LinkKey, RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.route import Route, RouteView

#: Links without a route are few, and nobody waits for them.
_ORPHANS_AT_A_TIME = 4


class RouteWorker:
    """Works on the links of one route while its daemon runs."""

    def __init__(
        self, route: RouteKey, mirror: Mirror, views: RouteViews, reconciler: LinkReconciler, parallel: int
    ) -> None:
        self._route = route
        self._links = mirror.links.cache
        self._views = views
        self._reconciler = reconciler
        self._queue: WorkQueue[LinkKey] = WorkQueue(self._work, parallel)
        self._pending: set[LinkKey] = set()
        """The links that wait for their route, workload or pod."""
        self._bearings: tuple[object, ...] = ()
        self._unwatch: Callable[[], None] | None = None

    def add(self, key: LinkKey) -> None:
        """A link has changed."""
        self._queue.add(key)

    def start(self) -> None:
        """Judge every link of the route, and from now on each that changes."""
        self._unwatch = self._views.watch(self._route, self._route_changed)
        self._bearings = _bearings(self._views.get(self._route))
        self._add_all()
        self._queue.open()

    async def stop(self) -> None:
        """Take no further link, and finish those under way."""
        if self._unwatch is not None:
            self._unwatch()
        await self._queue.close()

    async def _work(self, key: LinkKey) -> None:
        said = await self._reconciler.reconcile(key)
        if said is not None and said.phase is LinkPhase.PENDING:
            self._pending.add(key)
        else:
            self._pending.discard(key)

    def _route_changed(self) -> None:
        """A pod's change concerns the links that wait; an edit of the route or its workload may concern each."""
        before, self._bearings = self._bearings, _bearings(self._views.get(self._route))
        if before != self._bearings:
            self._add_all()
        else:
            for key in self._pending:
                self._queue.add(key)

    def _add_all(self) -> None:
        for link in self._links.in_group(self._route).values():
            self._queue.add(link.key)


def _bearings(view: RouteView | None) -> tuple[object, ...]:
    """What every link of a route has in common: when it changes, each has to be judged anew."""
    if view is None:
        return ()
    workload = view.workload
    return view.route.generation, view.route.spec, workload and (workload.uid, workload.service_name)


class LinkController:
    """Hands every changed link to its route's worker, or to the orphans' queue where its route does not exist.

    Args:
        mirror: the caches; their links and routes are listened to.
        views: the routes as decisions see them.
        reconciler: works on one link.
        parallel: how many links of one route are written at the same time.
    """

    def __init__(self, mirror: Mirror, views: RouteViews, reconciler: LinkReconciler, parallel: int) -> None:
        self._mirror = mirror
        self._views = views
        self._reconciler = reconciler
        self._parallel = parallel
        self._workers: dict[RouteKey, RouteWorker] = {}
        self._orphans: WorkQueue[LinkKey] = WorkQueue(self._work_on_orphan, _ORPHANS_AT_A_TIME)
        mirror.links.cache.listen(self._link_changed)
        mirror.routes.cache.listen(self._route_changed)

    def start(self) -> None:
        """Begin with the links whose route does not exist; all caches must be synced."""
        self._orphans.open()

    async def stop(self) -> None:
        """End the work on links without a route."""
        await self._orphans.close()

    async def serve(self, route: RouteKey, until: Callable[[], Awaitable[object]]) -> None:
        """Work on the links of a route until the given wait is over; then finish those under way."""
        worker = RouteWorker(route, self._mirror, self._views, self._reconciler, self._parallel)
        self._workers[route] = worker
        worker.start()
        try:
            await until()
        finally:
            if self._workers.get(route) is worker:
                del self._workers[route]
            await worker.stop()
            self._add_orphans(route)

    def _link_changed(self, _old: Link | None, new: Link | None) -> None:
        if new is None:
            return
        worker = self._workers.get(new.group)
        if worker is not None:
            worker.add(new.key)
        elif new.group not in self._mirror.routes.cache:
            self._orphans.add(new.key)

    def _route_changed(self, _old: Route | None, new: Route | None) -> None:
        if _old is not None and new is None:
            self._add_orphans(_old.key)

    def _add_orphans(self, route: RouteKey) -> None:
        for link in self._mirror.links.cache.in_group(route).values():
            self._orphans.add(link.key)

    async def _work_on_orphan(self, key: LinkKey) -> None:
        """Judged when its turn comes: by then its route may exist, and its route's worker has it."""
        if key.route not in self._workers and self._views.get(key.route) is None:
            await self._reconciler.reconcile(key)
