"""Which links are worked on, when, and by whom: those of a route by its daemon, those without a route by one queue."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import islice

from statefulroute.cluster.informers import Informers
from statefulroute.controllers.links.reconciler import ReconcileResult
from statefulroute.controllers.links.waiting import WaitingLinks, oldest_first
from statefulroute.controllers.state_store import RouteStore
from statefulroute.controllers.work_queue import Backlog, WorkQueue
from statefulroute.domain.decision import is_waiting_for_room
from statefulroute.domain.keys import LinkKey, PodKey, RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.route import PodLoss, Route, RouteView

#: Brings a link to where the rules want it.
Reconcile = Callable[[LinkKey], Awaitable[ReconcileResult]]

#: Links without a route are few, and nobody waits for them.
_ORPHAN_CONCURRENCY = 4

#: How many links are put into a queue before others have their turn.
_CHUNK_SIZE = 2_000


def _log_fields(key: LinkKey) -> Mapping[str, object]:
    """The fields by which the log names a link."""
    return {"link": key.name, "namespace": key.route.namespace}


class RouteLinkQueue:
    """Works on the links of one route while its daemon runs."""

    def __init__(
        self, route: RouteKey, informers: Informers, route_store: RouteStore, reconcile: Reconcile, concurrency: int
    ) -> None:
        self._route = route
        self._links = informers.links.cache
        self._route_store = route_store
        self._reconcile = reconcile
        self._queue: WorkQueue[LinkKey] = WorkQueue(self._reconcile_link, concurrency, _log_fields)
        self._waiting = WaitingLinks()
        self._decision_inputs: tuple[object, ...] = ()
        self._lost_pods: frozenset[tuple[PodKey, PodLoss]] = frozenset()
        self._pod_hosts: frozenset[tuple[PodKey, str | None]] = frozenset()
        self._unwatch: Callable[[], None] | None = None
        self._pending_check: asyncio.Handle | None = None
        """The next look at the route, which has changed since the last one."""

    def start(self) -> None:
        """Judge every link of the route, and from now on each that changes."""
        self._unwatch = self._route_store.watch(self._route, self._route_changed)
        view = self._route_store.get(self._route)
        self._decision_inputs, self._lost_pods, self._pod_hosts = (
            _decision_inputs(view),
            _lost_pods(view),
            _pod_hosts(view),
        )
        self._add_all(self._links.in_partition(self._route).values())
        self._queue.start()

    async def stop(self) -> None:
        """Take no further link, and finish those under way."""
        if self._unwatch is not None:
            self._unwatch()
        if self._pending_check is not None:
            self._pending_check.cancel()
        await self._queue.stop()

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
        has_left = (
            old is not None and old.assigned_pod is not None and (new is None or new.assigned_pod != old.assigned_pod)
        )
        if gave_up or has_left:
            self._add_all(self._waiting.next_for_room())

    def add(self, link: Link) -> None:
        """Something is to be done about a link that has not changed."""
        self._queue.add_low(link.key)

    async def _reconcile_link(self, key: LinkKey) -> float | None:
        outcome = await self._reconcile(key)
        link = self._links.get(*key)
        if link is not None:
            wants_room = outcome.status is not None and is_waiting_for_room(
                self._route_store.get(self._route), outcome.status
            )
            if self._waiting.update(link, outcome.status, wants_room=wants_room):
                self._add_all(self._waiting.next_for_room())  # it may have had the turn and left the room to others
        return outcome.requeue_after

    def _route_changed(self) -> None:
        """A watch brings changes of many pods in one piece: they are looked at once, when all of it was read."""
        if self._pending_check is None:
            self._pending_check = asyncio.get_running_loop().call_soon(self._check_route)

    def _check_route(self) -> None:
        """An edit may concern every link; else those of pods that were lost or have come, and those that wait."""
        self._pending_check = None
        view = self._route_store.get(self._route)
        bearings, lost, pods = _decision_inputs(view), _lost_pods(view), _pod_hosts(view)
        every = self._links.in_partition(self._route).values()
        if bearings != self._decision_inputs:
            self._add_all(every)
        else:
            if concerned := {pod for pod, _ in (lost - self._lost_pods) | (pods - self._pod_hosts)}:
                self._add_all(link for link in every if link.pod in concerned)
            self._add_all(self._waiting.all())
        self._decision_inputs, self._lost_pods, self._pod_hosts = bearings, lost, pods

    def _add_all(self, links: Iterable[Link]) -> None:
        """Links that have not changed are to be judged anew."""
        self._add_in_chunks(iter(sorted(links, key=oldest_first)))

    def _add_in_chunks(self, rest: Iterator[Link]) -> None:
        """Put links into the queue, some at a time: a million at once would take the event loop for seconds."""
        part = tuple(islice(rest, _CHUNK_SIZE))
        for link in part:
            self._queue.add_low(link.key)
        if len(part) == _CHUNK_SIZE:
            asyncio.get_running_loop().call_soon(self._add_in_chunks, rest)


def _decision_inputs(view: RouteView | None) -> tuple[object, ...]:
    """What every link of a route has in common: when it changes, each has to be judged anew."""
    if view is None:
        return ()
    workload = view.workload
    return (
        view.route.generation,
        view.route.spec,
        view.is_workload_known,
        workload and (workload.uid, workload.service_name),
    )


def _lost_pods(view: RouteView | None) -> frozenset[tuple[PodKey, PodLoss]]:
    """The pods whose links have to go, or to be marked, each with the state of its loss."""
    return frozenset(view.lost.items()) if view else frozenset()


def _pod_hosts(view: RouteView | None) -> frozenset[tuple[PodKey, str | None]]:
    """The pods that are there, each with the host that its links' status names."""
    return frozenset((pod.key, pod.host) for pod in view.pods.values()) if view else frozenset()


class LinkController:
    """Hands every changed link to its route's worker, or to the orphans' queue where its route does not exist.

    Args:
        informers: the caches; their links and routes are listened to.
        route_store: the routes as decisions see them.
        reconcile: works on one link.
        concurrency: how many links of one route are written at the same time.
    """

    def __init__(self, informers: Informers, route_store: RouteStore, reconcile: Reconcile, concurrency: int) -> None:
        self._informers = informers
        self._route_store = route_store
        self._reconcile = reconcile
        self._concurrency = concurrency
        self._queues: dict[RouteKey, RouteLinkQueue] = {}
        self._orphans: WorkQueue[LinkKey] = WorkQueue(self._reconcile_orphan, _ORPHAN_CONCURRENCY, _log_fields)
        self._has_started = False
        informers.links.cache.listen(self._link_changed)
        informers.routes.cache.listen(self._route_changed)

    def start(self) -> None:
        """Begin with the links whose route does not exist; all caches must be synced."""
        # What has changed before is not kept: who stands by for days would keep every link that there was.
        self._has_started = True
        links = self._informers.links.cache
        for group, name in links:
            if (link := links.get(group, name)) is not None and link.route not in self._queues:
                self._orphans.add(link.key)
        self._orphans.start()

    async def stop(self) -> None:
        """End the work on links without a route."""
        await self._orphans.stop()

    async def run_route(self, route: RouteKey, until: Callable[[], Awaitable[object]]) -> None:
        """Work on the links of a route until the given wait is over; then finish those under way."""
        worker = RouteLinkQueue(route, self._informers, self._route_store, self._reconcile, self._concurrency)
        self._queues[route] = worker
        worker.start()
        try:
            await until()
        finally:
            if self._queues.get(route) is worker:
                del self._queues[route]
            await worker.stop()
            self._add_orphans(route)

    def add(self, link: Link) -> None:
        """Have a link worked on: it is not its own change that calls for it, but the time."""
        worker = self._queues.get(link.route)
        if worker is not None:
            worker.add(link)
        else:
            self._add_orphan(link)

    def backlog(self) -> Backlog:
        """The links that are to be worked on, those of all routes and those without one."""
        found = self._orphans.backlog()
        for worker in self._queues.values():
            found = found.combined_with(worker.backlog())
        return found

    def _link_changed(self, old: Link | None, new: Link | None) -> None:
        link = new or old
        if link is None:
            return
        worker = self._queues.get(link.route)
        if worker is not None:
            worker.link_changed(old, new)
        elif new is not None:
            self._add_orphan(new)

    def _route_changed(self, _old: Route | None, new: Route | None) -> None:
        if _old is not None and new is None:
            self._add_orphans(_old.key)

    def _add_orphans(self, route: RouteKey) -> None:
        for link in self._informers.links.cache.in_partition(route).values():
            self._add_orphan(link)

    def _add_orphan(self, link: Link) -> None:
        if self._has_started:
            self._orphans.add(link.key)

    async def _reconcile_orphan(self, key: LinkKey) -> float | None:
        """Judged when its turn comes: by then its route may exist, and its route's worker has it."""
        if key.route in self._queues or self._informers.routes.cache.get(*key.route) is not None:
            return None
        return (await self._reconcile(key)).requeue_after
