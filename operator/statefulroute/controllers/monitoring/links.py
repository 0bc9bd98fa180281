"""The metrics of links: their phases, their changes and the durations of bindings, updated with each change."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client import Counter as LabelledCounter
from prometheus_client import Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from statefulroute.api.vocabulary import LinkPhase, LinkReason, MoveReason, RemoveReason
from statefulroute.domain.events import Event, EventAction
from statefulroute.domain.keys import LinkKey, RouteKey
from statefulroute.domain.link import Link
from statefulroute.domain.route import Route

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)

#: The phases of links that are bound, and of those that do not exist.
_BOUND_PHASES = (LinkPhase.BOUND, LinkPhase.HANDING_OVER)

#: The reasons that only links of slots have: routes without slots have no series of them.
_OF_SLOTS = frozenset({MoveReason.DRAINED, MoveReason.REBALANCED, RemoveReason.NO_SUCH_SLOT})

#: A creationTimestamp has whole seconds, and clocks differ a little.
_CREATION_TOLERANCE_SECONDS = 2.0

#: How long the counts of a route are exposed after the route and its links are deleted.
_KEEP_SECONDS = 600.0

_REJECTIONS = (LinkReason.NOT_LOCAL_NAMESPACE, LinkReason.NO_SUCH_SLOT, LinkReason.INVALID)
_CHOSEN, _NAMED = "chosen", "named"
_ROUTE = ("namespace", "route")
_LINKS = (*_ROUTE, "phase")


class _Tally:
    """The counts of one route."""

    __slots__ = ("bindings", "has_had_route", "moves", "phases", "removals")

    def __init__(self, *, has_had_route: bool = False) -> None:
        self.has_had_route = has_had_route
        self.phases: Counter[LinkPhase] = Counter()
        self.bindings: Counter[str] = Counter()
        self.moves: Counter[str] = Counter()
        self.removals: Counter[str] = Counter()

    @property
    def has_links(self) -> bool:
        return any(self.phases.values())


#: The counts of a route that has had no link.
_NO_LINKS = _Tally(has_had_route=True)


class LinkMetrics:
    """Counts links by route, from the caches of links and routes and from the events of the reconciler.

    Args:
        is_leader: returns whether this process is the one that works on links; it does not time another's bindings.
        wall_clock: returns seconds since 1970.
        monotonic: returns monotonic seconds.
    """

    def __init__(
        self,
        is_leader: Callable[[], bool],
        wall_clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._is_leader = is_leader
        self._wall_clock = wall_clock
        self._monotonic = monotonic
        self._tallies: dict[RouteKey, _Tally] = {}
        """The counts of each route that has had links, or that was deleted."""
        self._unknown_routes: dict[str, _Tally] = {}
        """By namespace, the counts of links whose route has never existed: they may name any number of routes."""
        self._routes: set[RouteKey] = set()
        self._unbound: dict[LinkKey, float] = {}
        """The time since which each link waits for its first binding."""
        self._rejections = LabelledCounter(
            "statefulroute_rejections",
            "Links that the operator rejected, because they break a rule that the API server did not enforce.",
            ("reason",),
            registry=None,
        )
        for reason in _REJECTIONS:
            self._rejections.labels(reason)
        self._durations = Histogram(
            "statefulroute_bind_duration_seconds",
            "From the creation of a link until it is Bound for the first time. The creation is when this process saw "
            "the link first or, if it was older than two seconds then, its creationTimestamp, which has whole seconds.",
            buckets=_BUCKETS,
            registry=None,
        )

    def link_changed(self, old: Link | None, new: Link | None) -> None:
        """Counts the change of a link. It is a listener of the cache of links."""
        old_phase, new_phase = _phase(old), _phase(new)
        link = new or old
        if old_phase is new_phase or link is None:
            return
        tally = self._tally_of(link.route)
        if old_phase is not None:
            tally.phases[old_phase] -= 1
        if new_phase is not None:
            tally.phases[new_phase] += 1
        if old_phase is None and new_phase not in _BOUND_PHASES:
            self._unbound[link.key] = self._waiting_since(link)
        elif new_phase is None or new_phase in _BOUND_PHASES:
            since = self._unbound.pop(link.key, None)
            if since is not None and new_phase is not None and self._is_leader():
                self._durations.observe(self._monotonic() - since)
        if new_phase is None:
            self._forget_later(link.route, tally)

    def route_changed(self, old: Route | None, new: Route | None) -> None:
        """Counts the change of a route, which may have no links. It is a listener of the cache of routes."""
        if old is None and new is not None:
            self._routes.add(new.key)
            if (tally := self._tallies.get(new.key)) is not None:
                tally.has_had_route = True
        elif new is None and old is not None:
            tally = self._tally_of(old.key)
            self._routes.discard(old.key)
            self._forget_later(old.key, tally)

    def record(self, route: RouteKey, event: Event | None, *, is_chosen: bool = False) -> None:
        """Counts an event of a link.

        Args:
            route: the route of the link.
            event: the event; None is not counted.
            is_chosen: whether the operator chose the pod, if the event is a binding.
        """
        if event is None:
            return
        tally = self._tally_of(route) if route in self._routes else self._tallies.get(route)
        if tally is None or not tally.has_had_route:
            tally = self._unknown_routes.setdefault(route.namespace, _Tally())
        match event.action:
            case EventAction.BIND:
                tally.bindings[_CHOSEN if is_chosen else _NAMED] += 1
            case EventAction.MOVE:
                tally.moves[event.reason] += 1
            case EventAction.REMOVE:
                tally.removals[event.reason] += 1
            case EventAction.ACKNOWLEDGE if event.reason in _REJECTIONS:
                self._rejections.labels(event.reason).inc()

    def collect(self) -> Iterator[Metric]:
        """Yields the metric families. Only the leader exposes the gauge, so the sum over all processes is right."""
        links = GaugeMetricFamily(
            "statefulroute_links", "PodLinks by phase; exposed by the leader only.", labels=_LINKS
        )
        bindings, moves, removals = _counter_families()
        is_leader = self._is_leader()
        for (namespace, route), tally in self._exposed_tallies():
            if is_leader:
                for phase in LinkPhase.known():
                    links.add_metric((namespace, route, phase), tally.phases[phase])
            for choice in (_CHOSEN, _NAMED):
                bindings.add_metric((namespace, route, choice), tally.bindings[choice])
            for move in MoveReason.known():
                if move not in _OF_SLOTS or tally.moves[move]:
                    moves.add_metric((namespace, route, move), tally.moves[move])
            for removal in RemoveReason:
                if removal not in _OF_SLOTS or tally.removals[removal]:
                    removals.add_metric((namespace, route, removal), tally.removals[removal])
        yield from (links, bindings, moves, removals)
        yield from self._rejections.collect()
        yield from self._durations.collect()

    def _exposed_tallies(self) -> Iterator[tuple[tuple[str, str], _Tally]]:
        """Yields the counts of each route, and by namespace, without a name, those of all routes that never existed."""
        for tally in self._unknown_routes.values():
            tally.phases.clear()
        for key, tally in self._tallies.items():
            if tally.has_had_route:
                yield key, tally
            else:
                self._unknown_routes.setdefault(key.namespace, _Tally()).phases.update(tally.phases)
        for key in self._routes - self._tallies.keys():
            yield key, _NO_LINKS
        for namespace, tally in self._unknown_routes.items():
            yield (namespace, ""), tally

    def _tally_of(self, route: RouteKey) -> _Tally:
        """Returns the counts of a route, to change them."""
        tally = self._tallies.get(route)
        if tally is None:
            tally = self._tallies[route] = _Tally(has_had_route=route in self._routes)
        return tally

    def _waiting_since(self, link: Link) -> float:
        """Returns the time since which a new link waits, in monotonic seconds."""
        now, age = self._monotonic(), self._wall_clock() - link.creation_timestamp
        return now - age if age > _CREATION_TOLERANCE_SECONDS else now

    def _forget_later(self, route: RouteKey, tally: _Tally) -> None:
        if route not in self._routes and not tally.has_links:
            asyncio.get_running_loop().call_later(_KEEP_SECONDS, self._forget, route)

    def _forget(self, route: RouteKey) -> None:
        tally = self._tallies.get(route)
        if tally is not None and route not in self._routes and not tally.has_links:
            del self._tallies[route]


def _phase(link: Link | None) -> LinkPhase | None:
    """Returns the phase of a link; a link without a status, or with the phase of another version, is Pending."""
    if link is None:
        return None
    if link.status is None or link.status.phase is LinkPhase.UNKNOWN:
        return LinkPhase.PENDING
    return link.status.phase


def _counter_families() -> tuple[CounterMetricFamily, CounterMetricFamily, CounterMetricFamily]:
    return (
        CounterMetricFamily(
            "statefulroute_bindings",
            "Links that became Bound without a move; choice=chosen: the operator chose the pod, named: the link did.",
            labels=(*_ROUTE, "choice"),
        ),
        CounterMetricFamily(
            "statefulroute_moves",
            "Links that became Bound to another pod than before; reason=PodLost: the operator moved them.",
            labels=(*_ROUTE, "reason"),
        ),
        CounterMetricFamily(
            "statefulroute_removals",
            "Links that the operator deleted because they expired (Expired), their pod was lost (PodLost), or their "
            "route has no such slot (NoSuchSlot).",
            labels=(*_ROUTE, "reason"),
        ),
    )
