"""The queue of one route's links: which of them are reconciled after a change of a link, a pod or the route."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import NamedTuple

from statefulroute.api.vocabulary import LinkReason
from statefulroute.cluster.errors import ClusterError, ConflictError, NotFoundError, NotLeadingError, is_outage
from statefulroute.cluster.informers import Informers
from statefulroute.controllers.links.links_by_pod import LinksByPod
from statefulroute.controllers.links.reconciler import ReconcileResult
from statefulroute.controllers.links.waiting import WaitingLinks, oldest_first
from statefulroute.controllers.route_pods import PodChanges
from statefulroute.controllers.state_store import RouteStore
from statefulroute.controllers.work_queue.backlog import Backlog
from statefulroute.controllers.work_queue.priority_queue import Priority
from statefulroute.controllers.work_queue.worker_pool import WorkerPool
from statefulroute.domain.decision import is_waiting_for_room, no_pod_status
from statefulroute.domain.fair_slots import FairSlots
from statefulroute.domain.keys import LinkKey, PodKey, RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.placement import best_pod
from statefulroute.domain.route import RouteView
from statefulroute.domain.slots.moves import has_to_leave
from statefulroute.domain.workload import MissingWorkload

#: Reconciles one link.
Reconcile = Callable[[LinkKey], Awaitable[ReconcileResult]]

#: How many links that wait are reconciled at once, and how often, only because other pods are the reason by now. Their
#: statuses are written at a lower rate.
_STATUS_CHECKS = 64
_STATUS_CHECK_SECONDS = 1.0

#: How many links are added to the queue before other tasks run.
_CHUNK_SIZE = 2_000


def link_log_fields(key: LinkKey) -> Mapping[str, object]:
    """Returns the log fields that name a link."""
    return {"link": key.name, "namespace": key.route.namespace}


class _RouteInputs(NamedTuple):
    """What the decisions about all links of a route depend on."""

    shared: tuple[object, ...] = ()
    """When it changes, each link of the route is reconciled."""
    missing_workload: MissingWorkload | None = None
    """When it changes, each link that waits is reconciled."""
    are_losses_suspended: bool = False
    """When it changes, each link that is handed over is reconciled."""

    @classmethod
    def of(cls, view: RouteView | None) -> "_RouteInputs":
        """Returns the inputs that a view of the route holds."""
        if view is None:
            return cls()
        spec, workload = view.route.spec, view.workload
        if spec.replicas is not None:  # an autoscaler may change it often, and no decision depends on it
            spec = spec.model_copy(update={"replicas": None})
        identity = workload and (workload.uid, workload.service_name, workload.is_indexed)
        return cls((spec, view.is_workload_known, identity), view.missing_workload, view.loss_suspension is not None)


def _is_refused(error: Exception) -> bool:
    """Returns whether the write of a link was refused, and a retry alone may not help."""
    if isinstance(error, (ConflictError, NotFoundError, NotLeadingError)):
        return False  # the link has changed, or is written by another process
    return not (isinstance(error, ClusterError) and is_outage(error))


class RouteLinkQueue:
    """Reconciles the links of one route.

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
        self._concurrency = concurrency
        self._offer_room = offer_room
        self._workers: WorkerPool[LinkKey] = WorkerPool(
            self._reconcile_link, concurrency, link_log_fields, slots=slots, route=route
        )
        self._waiting = WaitingLinks()
        self._failed: set[str] = set()
        """The names of the links whose last attempt failed. One that was to be bound may not take the room any more."""
        self._by_pod = LinksByPod({})
        self._inputs = _RouteInputs()
        self._changed_pods: set[PodKey] = set()
        self._appeared_pods: set[PodKey] = set()
        """The pods that have changed since the last check of the route, and those whose links have to be reconciled."""
        self._unwatch: tuple[Callable[[], None], ...] = ()
        self._pending_check: asyncio.Handle | None = None
        """The next check of the route, which has changed since the last one."""
        self._reason: LinkReason | None = None
        """Why no pod had room at the last check, so that all links were added that stated another reason; None if a pod
        had room."""
        self._status_check: asyncio.TimerHandle | None = None
        """The next check of the links that wait and whose status does not state the present reasons."""

    def start(self) -> None:
        """Reconciles every link of the route, and from now on each link that changes."""
        self._unwatch = (
            self._route_store.watch(self._route, self._route_changed),
            self._route_store.listen_for_pods(self._route, self._pods_changed),
        )
        links = self._links.in_partition(self._route)
        self._by_pod = LinksByPod(links)
        self._add_all(links.values())
        self._workers.start()
        # If this fails, the links are reconciled nevertheless, and again when the route changes.
        self._inputs = _RouteInputs.of(self._route_store.get(self._route))
        self._changed_pods, self._appeared_pods = set(), set()

    async def stop(self) -> None:
        """Finishes the links in progress, and takes no others."""
        self.close()
        await self._workers.stop()

    def close(self) -> None:
        """Does not follow the route any more."""
        for unwatch in self._unwatch:
            unwatch()
        self._unwatch = ()
        for check in (self._pending_check, self._status_check):
            if check is not None:
                check.cancel()

    def backlog(self) -> Backlog:
        """Returns the links of the route that are left to reconcile."""
        return self._workers.backlog()

    def link_changed(self, old: Link | None, new: Link | None, *, is_expected: bool = False) -> None:
        """Reconciles a link of the route that has changed, unless its reconciliation in progress expects the change.

        The write of a former queue of the route does not count: that queue does not repeat it after a failure.
        """
        self._by_pod.link_changed(old, new, self._links.in_partition(self._route))
        if new is not None:
            if not (is_expected and self._workers.is_processing(new.key)):
                self._workers.add(new.key)
        elif old is not None and self._waiting.discard(old):
            self._offer_room()  # it may have had its turn, and left the room to others

    def take_room(self) -> None:
        """Reconciles the oldest link that waits for room if a pod has room for it."""
        if self._waiting.want_room() and self._has_room():
            self._add_all(self._waiting.next_for_room())
        else:
            self._check_room()

    def add(self, key: LinkKey) -> None:
        """Reconciles a link that has not changed."""
        self._workers.add(key, Priority.LOW)

    async def _reconcile_link(self, key: LinkKey) -> None:
        try:
            result = await self._reconcile(key)
        except Exception as error:
            self._failed.add(key.name)
            if _is_refused(error) and self._has_room():
                self._offer_room()  # it may be refused forever, and must not keep the room from the others
            self._check_room()
            raise
        link = self._links.get(*key)
        if link is None:
            self._failed.discard(key.name)
            self._offer_room()  # the link was deleted, and its pod was assumed until now
        elif result.status is not None or not result.waits_for_turn:  # otherwise, it takes the room at its turn
            view = self._route_store.get(self._route)
            wants_room = result.status is not None and (
                is_waiting_for_room(view, result.status) or has_to_leave(link, result.status, view)
            )
            had_failed = key.name in self._failed
            self._failed.discard(key.name)
            if self._waiting.update(link, result.status, wants_room=wants_room) or (had_failed and not wants_room):
                if self._waiting.want_room() and self._has_room():
                    self._add_all(self._waiting.next_like(link))
                self._offer_room()
            self._check_room()

    def _check_room(self) -> None:
        """Checks the route if the room that the last check found was taken: the statuses have to say so."""
        if self._reason is None and self._waiting.want_room() and not self._has_room():
            self._route_changed()

    def _route_changed(self) -> None:
        """Checks the route once after the changes of many pods, which a watch delivers together."""
        if self._pending_check is None and self._unwatch:
            self._pending_check = asyncio.get_running_loop().call_soon(self._check_route)

    def _pods_changed(self, changes: PodChanges) -> None:
        self._changed_pods |= changes.changed
        self._appeared_pods |= changes.appeared

    def _check_route(self) -> None:
        """Reconciles the links that a change of the route may concern.

        These are all links after an edit; otherwise the links of pods that were lost or have appeared, the links that
        wait for a pod that has changed, and of those that want room as many as pods have room for.
        """
        self._pending_check = None
        view = self._route_store.get(self._route)
        inputs, previous = _RouteInputs.of(view), self._inputs
        changed, appeared = self._changed_pods, self._appeared_pods
        self._inputs, self._changed_pods, self._appeared_pods = inputs, set(), set()
        links = self._links.in_partition(self._route)
        if inputs.shared != previous.shared:
            self._reason = None
            self._add_all(links.values())
            return
        is_known_otherwise = inputs.missing_workload != previous.missing_workload
        waiting = self._waiting.all() if is_known_otherwise else self._waiting.of_pods(changed)
        if inputs.are_losses_suspended != previous.are_losses_suspended:
            waiting = chain(waiting, (link for link in self._waiting.all() if link.hand_over is not None))
        self._add_all(chain(self._by_pod.of_pods(appeared, links), waiting))
        if view is not None and view.workload is not None:
            self._check_waiting(view)

    def _check_waiting(self, view: RouteView) -> None:
        """Reconciles links that wait for any pod: while pods have room the next ones; each one calls the one after it.

        Otherwise, those whose status has another reason; those whose message has to change follow a few at a time.
        """
        if self._has_room():
            self._reason = None
            if self._waiting.want_room():
                self._add_all(self._waiting.next_of_each_kind(self._concurrency))
        else:
            status = no_pod_status(view, self._route_store.now())
            if status.reason is not self._reason:
                self._reason = status.reason
                self._add_all(self._waiting.with_other_reason(status))
            if self._status_check is None:
                self._check_statuses()

    def _check_statuses(self) -> None:
        """Reconciles some of the links whose status does not state why no pod takes them now."""
        self._status_check, view = None, self._route_store.get(self._route)
        if view is None or view.workload is None or self._has_room():
            return
        status = no_pod_status(view, self._route_store.now())
        # The others are tried again with growing delays.
        if links := self._waiting.with_other_facts(status, _STATUS_CHECKS, without=self._failed):
            self._add_all(links)
            loop = asyncio.get_running_loop()
            self._status_check = loop.call_later(_STATUS_CHECK_SECONDS, self._check_statuses)

    def _has_room(self) -> bool:
        """Returns whether a pod takes a new user now."""
        view = self._route_store.get(self._route)
        return view is not None and best_pod(view, self._route_store.now()) is not None

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
