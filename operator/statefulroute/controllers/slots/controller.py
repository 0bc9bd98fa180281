"""Creates the links of slots that are missing, and balances the pods."""

import asyncio
import random
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from statefulroute.cluster.errors import ClusterError, ConflictError, NotLeadingError, is_outage
from statefulroute.cluster.fair_limiter import FairLimiter
from statefulroute.cluster.informers import Informers
from statefulroute.cluster.writes import LinkWriter
from statefulroute.controllers.links.counts import LinkCounts
from statefulroute.controllers.slots.balancer import SlotBalancer
from statefulroute.controllers.slots.statuses import SlotStatuses
from statefulroute.controllers.state_store import RouteStore
from statefulroute.controllers.turns import RouteTurns
from statefulroute.domain.backoff import Backoff
from statefulroute.domain.fair_slots import FairSlots
from statefulroute.domain.keys import LinkKey, PodKey, RouteKey, slot_link_name
from statefulroute.domain.link import Link
from statefulroute.domain.route import Route, RouteView
from statefulroute.domain.slots.moves import is_balanced
from statefulroute.domain.slots.placement import pods_for_slots
from statefulroute.domain.slots.plan import missing_slots, plan_creations

log = structlog.get_logger(__name__)

#: For how many routes links are created at the same time, half of them in a single namespace.
_ROUTES = 16

#: How many links are created at the same time, over all routes, and two thirds of them in a single namespace.
_WRITES, _NAMESPACE_SHARE = 24, 2.0

#: How many links are created before the pods are looked at again.
_CHUNK_SIZE = 256

#: How soon a turn follows a change, so that changes of the same moment cause one, and for how many pods a second of
#: routes that change all the time; and how soon the pods are looked at when slots have left one, or when no link was
#: created because all exist.
_SETTLE_SECONDS, _PODS_A_SECOND, _MOVED_SECONDS = 0.05, 5_000, 1.0

#: How long pods that start get their share of the slots of a new route. Otherwise, the first pod would get all of them.
_START_SECONDS = 30.0

#: The default of how soon links are created again whose creation has failed.
_BACKOFF = Backoff(initial_seconds=1.0, max_seconds=60.0, random=random.random)


class _Refused(NamedTuple):
    """Creations of links that have failed.

    Attributes:
        failures: how often in a row.
        retry_at: when to try again, by the clock of the event loop.
    """

    failures: int
    retry_at: float


class SlotController:
    """Creates the links of slots of each route that has slots, while this operator leads.

    Each is created with its pod, so that the operator needs two writes to bind a slot. While no pod takes new users,
    none is created. A route without slots costs one lookup for each change.

    Args:
        informers: the caches.
        route_store: the views of routes.
        counts: the number of slots of each pod.
        writer: writes links.
        statuses: what the status of a route shows of its slots.
        balancer: moves slots to balance the pods.
        backoff: how soon links are created again whose creation has failed.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that slots need
        self,
        informers: Informers,
        route_store: RouteStore,
        counts: LinkCounts,
        writer: LinkWriter,
        statuses: SlotStatuses,
        balancer: SlotBalancer,
        backoff: Backoff = _BACKOFF,
    ) -> None:
        self._routes = informers.routes.cache
        self._links = informers.links.cache
        self._route_store = route_store
        self._counts = counts
        self._writer = writer
        self._statuses = statuses
        self._balancer = balancer
        self._backoff = backoff
        self._turns = RouteTurns(self._turn, _ROUTES, lambda: None)
        self._writes = FairLimiter(FairSlots(_WRITES, namespace_share=_NAMESPACE_SHARE))
        self._incomplete: dict[RouteKey, float | None] = {}
        """The routes with slots of which a link may be missing.

        The value is until when pods that start get their share, by the clock of the event loop; None if that is not
        known.
        """
        self._due_soon: set[RouteKey] = set()
        """The routes whose turn is due because they have changed."""
        self._balanced: set[RouteKey] = set()
        """The routes whose pods are balanced."""
        self._refused: dict[RouteKey, _Refused] = {}
        """The routes whose links were not all created because of errors."""
        self._is_started = False
        informers.routes.cache.listen(self._route_changed)
        informers.links.cache.listen(self._link_changed)
        route_store.watch_all(self._view_changed)

    def start(self) -> None:
        """Starts to create links; all caches must be synced."""
        self._is_started = True
        self._due_soon.clear()
        self._turns.start()
        for namespace, name in self._routes:
            if (route := self._routes.get(namespace, name)) is not None:
                self._add_route(route)

    async def stop(self) -> None:
        """Finishes the writes in progress, and creates no other link."""
        self._is_started = False
        await self._turns.stop()
        for key in self._incomplete.keys() | self._balanced:
            self._forget(key)

    def _route_changed(self, old: Route | None, new: Route | None) -> None:
        if new is not None and not new.is_deleting and new.spec.slots is not None:
            if old is None or old.decision_inputs != new.decision_inputs or old.uid != new.uid:
                self._add_route(new)
        elif old is not None and old.spec.slots is not None:
            self._turns.drop(old.key, cancels=True)
            self._forget(old.key)

    def _add_route(self, route: Route) -> None:
        if self._is_started and route.spec.slots is not None and not route.is_deleting:
            self._incomplete.setdefault(route.key, None)
            if is_balanced(route):
                self._balanced.add(route.key)
            else:
                self._balanced.discard(route.key)
                self._balancer.forget(route.key)
            self._turns.add(route.key)

    def _link_changed(self, old: Link | None, new: Link | None) -> None:
        if old is None or not self._is_started or not old.is_of_slot:
            return
        if new is not None:
            if old.pod != new.pod and old.route in self._balanced:
                self._add_soon(old.route, _MOVED_SECONDS)
            return
        route = self._routes.get(*old.route)
        if route is not None and route.spec.slots is not None and not route.is_deleting:
            self._incomplete.setdefault(old.route, None)
            self._add_soon(old.route, _SETTLE_SECONDS)

    def _view_changed(self, key: RouteKey) -> None:
        if key in self._incomplete or key in self._balanced:
            self._add_soon(key, max(_SETTLE_SECONDS, self._route_store.pod_count(key) / _PODS_A_SECOND))

    def _add_soon(self, key: RouteKey, seconds: float) -> None:
        """Runs a turn of a route that has changed, in place of one that is due later; later changes do not delay it."""
        if key not in self._due_soon:
            self._due_soon.add(key)
            self._turns.add_after(key, seconds)

    def _add_later(self, key: RouteKey, seconds: float) -> None:
        """Runs a turn of a route after a time, unless one is due because it has changed."""
        if key not in self._due_soon:
            self._turns.add_after(key, seconds)

    def _forget(self, key: RouteKey) -> None:
        self._incomplete.pop(key, None)
        self._refused.pop(key, None)
        self._statuses.forget(key)
        self._due_soon.discard(key)
        self._balanced.discard(key)
        self._balancer.forget(key)

    async def _turn(self, key: RouteKey) -> None:
        """Creates links of a route, or balances its pods if all exist; what is left follows in the next turn."""
        self._due_soon.discard(key)
        view = self._route_store.get(key)
        if view is None or view.route.is_deleting:
            return
        waits = [await self._complete(key, view) if key in self._incomplete else None]
        if key in self._balanced and (key not in self._incomplete or key in self._refused):
            waits.append(self._balancer.balance(view))
        seconds = min((each for each in waits if each is not None), default=None)
        if seconds is None:
            return
        if seconds <= 0:
            self._due_soon.discard(key)
        self._add_later(key, seconds)

    async def _complete(self, key: RouteKey, view: RouteView) -> float | None:
        """Creates some of the links that are missing.

        Returns:
            The seconds until the next try; None if nothing is missing, or no pod takes slots.
        """
        if (seconds := self._seconds_until_retry(key)) > 0:
            return seconds
        missing = missing_slots(view, self._links.in_partition(key))
        if not missing:
            self._incomplete.pop(key, None)
            self._end_refusal(key)
            return None
        now = self._route_store.now()
        if not pods_for_slots(view, now):
            return None
        seconds = self._waits_for_pods(key, is_new=len(missing) == view.route.spec.slots)
        creations = plan_creations(view, missing, now, _CHUNK_SIZE, waits_for_pods=seconds > 0)
        if not creations:
            return seconds
        return await self._create(view, creations)

    async def _create(self, view: RouteView, creations: Sequence[tuple[int, PodKey]]) -> float:
        """Creates links; returns the seconds until the next try."""
        created, errors = await self._create_all(view, creations)
        if errors:
            return self._back_off(view.route.key, errors, has_created=bool(created))
        if created:
            self._end_refusal(view.route.key)
            return 0.0
        return _MOVED_SECONDS  # they exist, and the watch is late; or this operator leads no more

    def _back_off(self, key: RouteKey, errors: Sequence[ClusterError], *, has_created: bool) -> float:
        """Returns when to try again: soon if some links were created, as when a webhook refuses one now and then."""
        before = self._refused.get(key)
        failures = 1 if has_created or before is None else before.failures + 1
        error = errors[0]
        log.warning("links of slots were not created: trying again", route=key, error=str(error), number=len(errors))
        if not is_outage(error):
            self._statuses.put_refusal(key, str(error))
        seconds = self._backoff.delay(failures - 1, error.retry_after_seconds)
        self._refused[key] = _Refused(failures, asyncio.get_running_loop().time() + seconds)
        return seconds

    def _seconds_until_retry(self, key: RouteKey) -> float:
        refused = self._refused.get(key)
        return 0.0 if refused is None else refused.retry_at - asyncio.get_running_loop().time()

    def _end_refusal(self, key: RouteKey) -> None:
        self._refused.pop(key, None)
        self._statuses.put_refusal(key, "")

    def _waits_for_pods(self, key: RouteKey, *, is_new: bool) -> float:
        """Returns for how many seconds pods that start get their share of the slots of a new route; 0 if it is over."""
        now, until = asyncio.get_running_loop().time(), self._incomplete.get(key)
        if until is None:
            until = self._incomplete[key] = now + _START_SECONDS if is_new else now
        return max(until - now, 0.0)

    async def _create_all(
        self, view: RouteView, creations: Sequence[tuple[int, PodKey]]
    ) -> tuple[int, list[ClusterError]]:
        """Creates links; returns how many were created, and why others were not."""
        created, errors = list[int](), list[ClusterError]()

        async def create(slot: int, pod: PodKey) -> None:
            key = LinkKey(view.route.key, slot_link_name(view.route.name, slot))
            async with self._writes.slot(key.route):
                if errors:
                    return
                try:
                    with self._counts.assume(key, pod):
                        await self._writer.create_slot(view.route, slot, pod)
                    created.append(slot)
                except ConflictError:
                    pass  # it exists: the watch delivers it
                except NotLeadingError:
                    self._is_started = False
                except ClusterError as error:
                    errors.append(error)

        async with asyncio.TaskGroup() as group:
            for slot, pod in creations:
                group.create_task(create(slot, pod))
        return len(created), errors
