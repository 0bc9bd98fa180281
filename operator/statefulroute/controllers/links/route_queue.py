"""The queue of one route's links: which of them are reconciled after a change of a link, a pod or the route."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

from statefulroute.cluster.informers import Informers
from statefulroute.controllers.links.reconciler import ReconcileResult
from statefulroute.controllers.links.waiting import WaitingLinks, oldest_first
from statefulroute.controllers.state_store import RouteStore
from statefulroute.controllers.work_queue.backlog import Backlog
from statefulroute.controllers.work_queue.priority_queue import Priority
from statefulroute.controllers.work_queue.worker_pool import WorkerPool
from statefulroute.domain.decision import is_waiting_for_room
from statefulroute.domain.fair_slots import FairSlots
from statefulroute.domain.keys import LinkKey, PodKey, RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.route import PodLoss, RouteView

#: Reconciles one link.
Reconcile = Callable[[LinkKey], Awaitable[ReconcileResult]]

#: How many links are added to the queue before other tasks run.
_CHUNK_SIZE = 2_000


def link_log_fields(key: LinkKey) -> Mapping[str, object]:
    """Returns the log fields that name a link."""
    return {"link": key.name, "namespace": key.route.namespace}


class _RouteInputs(NamedTuple):
    """What the decisions about a route's links depend on."""

    shared: tuple[object, ...] = ()
    """What all links of the route depend on: when it changes, each of them is reconciled."""
    lost_pods: frozenset[tuple[PodKey, PodLoss]] = frozenset()
    """The lost pods, whose links are moved, deleted or marked, each with its loss."""
    pod_hosts: frozenset[tuple[PodKey, str | None]] = frozenset()
    """The existing pods, each with the host that the status of its links names."""

    @classmethod
    def of(cls, view: RouteView | None) -> "_RouteInputs":
        """Returns the inputs that a view of the route holds."""
        if view is None:
            return cls()
        route, workload = view.route, view.workload
        identity = workload and (workload.uid, workload.service_name)
        return cls(
            (route.generation, route.spec, view.is_workload_known, identity),
            frozenset(view.lost.items()),
            frozenset((pod.key, pod.host) for pod in view.pods.values()),
        )


class RouteLinkQueue:
    """Reconciles the links of one route while the route's daemon runs.

    Args:
        route: the key of the route.
        informers: the caches.
        route_store: the views of routes.
        reconcile: reconciles one link.
        concurrency: how many links are written at the same time.
        slots: the slots for links in progress, which all routes share.
        offer_room: called when a pod may have room that a link of the route has not taken.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that the queue needs
        self,
        route: RouteKey,
        informers: Informers,
        route_store: RouteStore,
        reconcile: Reconcile,
        concurrency: int,
        slots: FairSlots,
        offer_room: Callable[[], None],
    ) -> None:
        self._route = route
        self._links = informers.links.cache
        self._route_store = route_store
        self._reconcile = reconcile
        self._offer_room = offer_room
        self._workers: WorkerPool[LinkKey] = WorkerPool(
            self._reconcile_link, concurrency, link_log_fields, slots=slots, route=route
        )
        self._waiting = WaitingLinks()
        self._inputs = _RouteInputs()
        self._unwatch: Callable[[], None] | None = None
        self._pending_check: asyncio.Handle | None = None
        """The next check of the route, which has changed since the last one."""

    def start(self) -> None:
        """Reconciles every link of the route, and from now on each link that changes."""
        self._unwatch = self._route_store.watch(self._route, self._route_changed)
        self._inputs = _RouteInputs.of(self._route_store.get(self._route))
        self._add_all(self._links.in_partition(self._route).values())
        self._workers.start()

    async def stop(self) -> None:
        """Finishes the links in progress, and takes no others."""
        if self._unwatch is not None:
            self._unwatch()
        if self._pending_check is not None:
            self._pending_check.cancel()
        await self._workers.stop()

    def backlog(self) -> Backlog:
        """Returns the links of the route that are left to reconcile."""
        return self._workers.backlog()

    def link_changed(self, old: Link | None, new: Link | None) -> None:
        """Reconciles a link of the route that has changed."""
        if new is not None:
            self._workers.add(new.key)
        elif old is not None and self._waiting.discard(old):
            self._offer_room()  # it may have had its turn, and left the room to others

    def take_room(self) -> None:
        """Reconciles the oldest link that waits for room, because a pod may have room for it."""
        self._add_all(self._waiting.next_for_room())

    def add(self, key: LinkKey) -> None:
        """Reconciles a link that has not changed."""
        self._workers.add(key, Priority.LOW)

    async def _reconcile_link(self, key: LinkKey) -> None:
        result = await self._reconcile(key)
        link = self._links.get(*key)
        if link is None:
            self._offer_room()  # the link was deleted, and its pod was assumed until now
        elif result.status is not None or not result.waits_for_turn:  # otherwise, it takes the room at its turn
            wants_room = result.status is not None and is_waiting_for_room(
                self._route_store.get(self._route), result.status
            )
            if self._waiting.update(link, result.status, wants_room=wants_room):
                self._offer_room()

    def _route_changed(self) -> None:
        """Checks the route once after the changes of many pods, which a watch delivers together."""
        if self._pending_check is None:
            self._pending_check = asyncio.get_running_loop().call_soon(self._check_route)

    def _check_route(self) -> None:
        """Reconciles the links that a change of the route may concern.

        These are all links after an edit; otherwise the links of pods that were lost or have appeared, and the links
        that wait.
        """
        self._pending_check = None
        inputs, previous = _RouteInputs.of(self._route_store.get(self._route)), self._inputs
        links = self._links.in_partition(self._route).values()
        if inputs.shared != previous.shared:
            self._add_all(links)
        else:
            changed = (inputs.lost_pods - previous.lost_pods) | (inputs.pod_hosts - previous.pod_hosts)
            if pods := {pod for pod, _ in changed}:
                self._add_all(link for link in links if link.pod in pods)
            self._add_all(self._waiting.all())
        self._inputs = inputs

    def _add_all(self, links: Iterable[Link]) -> None:
        """Reconciles links that have not changed, the oldest first."""
        self._add_in_chunks(iter(sorted(links, key=oldest_first)))

    def _add_in_chunks(self, links: Iterator[Link]) -> None:
        """Adds links to the queue in chunks: a million at once would block the event loop for seconds."""
        chunk = tuple(islice(links, _CHUNK_SIZE))
        for link in chunk:
            self._workers.add(link.key, Priority.LOW)
        if len(chunk) == _CHUNK_SIZE:
            asyncio.get_running_loop().call_soon(self._add_in_chunks, links)
