"""Which links are worked on, when, and by whom: those of a route by its daemon, those without a route by one queue."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import islice

from statefulroute.cluster.mirror import Mirror
from statefulroute.controllers.links.reconciler import Outcome
from statefulroute.controllers.links.waiting import WaitingLinks, oldest_first
from statefulroute.controllers.views import RouteViews
from statefulroute.controllers.work_queue import Backlog, WorkQueue
from statefulroute.domain.decision import takes_room
from statefulroute.domain.keys import LinkKey, PodKey, RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.route import Loss, Route, RouteView

#: Brings a link to where the rules want it.
Reconcile = Callable[[LinkKey], Awaitable[Outcome]]

#: Links without a route are few, and nobody waits for them.
_ORPHANS_AT_A_TIME = 4

#: How many links are put into a queue before others have their turn.
_PART = 2_000


def _told(key: LinkKey) -> Mapping[str, object]:
    """The fields by which the log names a link."""
    return {"link": key.name, "namespace": key.route.namespace}


class RouteWorker:
    """Works on the links of one route while its daemon runs."""

    def __init__(self, route: RouteKey, mirror: Mirror, views: RouteViews, reconcile: Reconcile, parallel: int) -> None:
        self._route = route
        self._links = mirror.links.cache
        self._views = views
        self._reconcile = reconcile
        self._queue: WorkQueue[LinkKey] = WorkQueue(self._work, parallel, _told)
        self._waiting = WaitingLinks()
        self._bearings: tuple[object, ...] = ()
        self._lost: frozenset[tuple[PodKey, Loss]] = frozenset()
        self._pods: frozenset[tuple[PodKey, str | None]] = frozenset()
        self._unwatch: Callable[[], None] | None = None
        self._look: asyncio.Handle | None = None
        """The next look at the route, which has changed since the last one."""

    def start(self) -> None:
        """Judge every link of the route, and from now on each that changes."""
        self._unwatch = self._views.watch(self._route, self._route_changed)
        view = self._views.get(self._route)
        self._bearings, self._lost, self._pods = _bearings(view), _lost(view), _pods(view)
        self._add(self._links.in_group(self._route).values())
        self._queue.open()

    async def stop(self) -> None:
        """Take no further link, and finish those under way."""
        if self._unwatch is not None:
            self._unwatch()
        if self._look is not None:
            self._look.cancel()
        await self._queue.close()

    def backlog(self) -> Backlog:
        """The links of the route that are to be worked on."""
        return self._queue.backlog()

    def link_changed(self, old: Link | None, new: Link | None) -> None:
        """A link of the route has changed; where one has left a pod, the oldest that waits may have its place."""
        gave_up = False
        if new is not None:
            self._queue.add(new.key)
        elif old is not None:
            gave_up = self._waiting.discard(old)
        has_left = old is not None and old.held_by is not None and (new is None or new.held_by != old.held_by)
        if gave_up or has_left:
            self._add(self._waiting.next_for_room())

    def add(self, link: Link) -> None:
        """Something is to be done about a link that has not changed."""
        self._queue.sweep(link.key)

    async def _work(self, key: LinkKey) -> float | None:
        outcome = await self._reconcile(key)
        link = self._links.get(*key)
        if link is not None:
            wants_room = outcome.said is not None and takes_room(self._views.get(self._route), outcome.said)
            if self._waiting.note(link, outcome.said, wants_room=wants_room):
                self._add(self._waiting.next_for_room())  # it may have had the turn and left the room to others
        return outcome.again_after

    def _route_changed(self) -> None:
        """A watch brings changes of many pods in one piece: they are looked at once, when all of it was read."""
        if self._look is None:
            self._look = asyncio.get_running_loop().call_soon(self._look_again)

    def _look_again(self) -> None:
        """An edit may concern every link; else those of pods that were lost or have come, and those that wait."""
        self._look = None
        view = self._views.get(self._route)
        bearings, lost, pods = _bearings(view), _lost(view), _pods(view)
        every = self._links.in_group(self._route).values()
        if bearings != self._bearings:
            self._add(every)
        else:
            if concerned := {pod for pod, _ in (lost - self._lost) | (pods - self._pods)}:
                self._add(link for link in every if link.pod in concerned)
            self._add(self._waiting.all())
        self._bearings, self._lost, self._pods = bearings, lost, pods

    def _add(self, links: Iterable[Link]) -> None:
        """Links that have not changed are to be judged anew."""
        self._sweep(iter(sorted(links, key=oldest_first)))

    def _sweep(self, rest: Iterator[Link]) -> None:
        """Put links into the queue, some at a time: a million at once would take the event loop for seconds."""
        part = tuple(islice(rest, _PART))
        for link in part:
            self._queue.sweep(link.key)
        if len(part) == _PART:
            asyncio.get_running_loop().call_soon(self._sweep, rest)


def _bearings(view: RouteView | None) -> tuple[object, ...]:
    """What every link of a route has in common: when it changes, each has to be judged anew."""
    if view is None:
        return ()
    workload = view.workload
    return view.route.generation, view.route.spec, view.is_known, workload and (workload.uid, workload.service_name)


def _lost(view: RouteView | None) -> frozenset[tuple[PodKey, Loss]]:
    """The pods whose links have to go, or to be marked, each with the state of its loss."""
    return frozenset(view.lost.items()) if view else frozenset()


def _pods(view: RouteView | None) -> frozenset[tuple[PodKey, str | None]]:
    """The pods that are there, each with the host that its links' status names."""
    return frozenset((pod.key, pod.host) for pod in view.pods.values()) if view else frozenset()


class LinkController:
    """Hands every changed link to its route's worker, or to the orphans' queue where its route does not exist.

    Args:
        mirror: the caches; their links and routes are listened to.
        views: the routes as decisions see them.
        reconcile: works on one link.
        parallel: how many links of one route are written at the same time.
    """

    def __init__(self, mirror: Mirror, views: RouteViews, reconcile: Reconcile, parallel: int) -> None:
        self._mirror = mirror
        self._views = views
        self._reconcile = reconcile
        self._parallel = parallel
        self._workers: dict[RouteKey, RouteWorker] = {}
        self._orphans: WorkQueue[LinkKey] = WorkQueue(self._work_on_orphan, _ORPHANS_AT_A_TIME, _told)
        self._has_started = False
        mirror.links.cache.listen(self._link_changed)
        mirror.routes.cache.listen(self._route_changed)

    def start(self) -> None:
        """Begin with the links whose route does not exist; all caches must be synced."""
        # What has changed before is not kept: who stands by for days would keep every link that there was.
        self._has_started = True
        links = self._mirror.links.cache
        for group, name in links:
            if (link := links.get(group, name)) is not None and link.group not in self._workers:
                self._orphans.add(link.key)
        self._orphans.open()

    async def stop(self) -> None:
        """End the work on links without a route."""
        await self._orphans.close()

    async def serve(self, route: RouteKey, until: Callable[[], Awaitable[object]]) -> None:
        """Work on the links of a route until the given wait is over; then finish those under way."""
        worker = RouteWorker(route, self._mirror, self._views, self._reconcile, self._parallel)
        self._workers[route] = worker
        worker.start()
        try:
            await until()
        finally:
            if self._workers.get(route) is worker:
                del self._workers[route]
            await worker.stop()
            self._add_orphans(route)

    def add(self, link: Link) -> None:
        """Have a link worked on: it is not its own change that calls for it, but the time."""
        worker = self._workers.get(link.group)
        if worker is not None:
            worker.add(link)
        else:
            self._add_orphan(link)

    def backlog(self) -> Backlog:
        """The links that are to be worked on, those of all routes and those without one."""
        found = self._orphans.backlog()
        for worker in self._workers.values():
            found = found.beside(worker.backlog())
        return found

    def _link_changed(self, old: Link | None, new: Link | None) -> None:
        link = new or old
        if link is None:
            return
        worker = self._workers.get(link.group)
        if worker is not None:
            worker.link_changed(old, new)
        elif new is not None:
            self._add_orphan(new)

    def _route_changed(self, _old: Route | None, new: Route | None) -> None:
        if _old is not None and new is None:
            self._add_orphans(_old.key)

    def _add_orphans(self, route: RouteKey) -> None:
        for link in self._mirror.links.cache.in_group(route).values():
            self._add_orphan(link)

    def _add_orphan(self, link: Link) -> None:
        if self._has_started:
            self._orphans.add(link.key)

    async def _work_on_orphan(self, key: LinkKey) -> float | None:
        """Judged when its turn comes: by then its route may exist, and its route's worker has it."""
        if key.route in self._workers or self._mirror.routes.cache.get(*key.route) is not None:
            return None
        return (await self._reconcile(key)).again_after
