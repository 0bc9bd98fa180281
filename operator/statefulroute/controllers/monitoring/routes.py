"""The metrics of routes and their pods, from the views that decisions use."""

from collections.abc import Callable, Iterator
from datetime import datetime

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from statefulroute.api.vocabulary import WorkloadState
from statefulroute.cluster.cache import Cache
from statefulroute.cluster.clock import Clock
from statefulroute.controllers.routes.assessments import Assessments
from statefulroute.controllers.state_store import RouteStore
from statefulroute.domain.assessment import Assessment
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.milli import MILLI
from statefulroute.domain.route import Route, RouteView
from statefulroute.domain.serving import unserved_links

_ROUTE = ("namespace", "route")
_POD = (*_ROUTE, "pod")
_STATES = ("ready", "routable", "available", "stale")


class RouteMetrics:
    """Collects the metrics of routes and pods while this process leads; only then it reads loads.

    Args:
        routes: the cache of routes.
        route_store: the views of routes.
        assessments: how busy the services are.
        is_leader: returns whether this process is the one that works on routes.
        clock: the time of day.
        bound_slots: returns how many slots of a route are bound to a pod.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that is exposed
        self,
        routes: Cache[Route],
        route_store: RouteStore,
        assessments: Assessments,
        is_leader: Callable[[], bool],
        clock: Clock,
        bound_slots: Callable[[RouteKey], int] = lambda _: 0,
    ) -> None:
        self._routes = routes
        self._route_store = route_store
        self._assessments = assessments
        self._is_leader = is_leader
        self._clock = clock
        self._bound_slots = bound_slots

    def collect(self) -> Iterator[Metric]:
        """Yields the metric families."""
        families = _Families()
        if self._is_leader():
            now = self._clock()
            for namespace, name in self._routes:
                view = self._route_store.get(RouteKey(str(namespace), name))
                if view is not None:
                    families.add(view, self._assessments.of(view.route), now)
                    if (slots := view.route.spec.slots) is not None:
                        families.add_slots(view.route.key, slots, self._bound_slots(view.route.key))
            families.routes.add_metric((), len(self._routes))
        return iter(families.all)


class _Families:
    def __init__(self) -> None:
        self.routes = GaugeMetricFamily(
            "statefulroute_routes", "StatefulRoutes; exposed by the leader only.", labels=()
        )
        self.pods = GaugeMetricFamily(
            "statefulroute_pods",
            "Pods of a route that are ready, that serve their users (routable), that take new users (available), and "
            "that serve users and have no fresh load (stale); a pod counts in each state that it has.",
            labels=(*_ROUTE, "state"),
        )
        self.weighted_load = GaugeMetricFamily(
            "statefulroute_pod_weighted_load",
            "The weighted load of a pod, as load.cpuFactorPercent weighs it; absent while the load is not fresh.",
            labels=_POD,
        )
        self.links = GaugeMetricFamily("statefulroute_pod_links", "PodLinks on a pod.", labels=_POD)
        self.links_limit = GaugeMetricFamily(
            "statefulroute_links_limit", "The spec.links.max of a route; absent if it is 0.", labels=_ROUTE
        )
        self.unserved_links = GaugeMetricFamily(
            "statefulroute_unserved_links",
            "PodLinks whose pod does not serve users now, whatever their phase; pod is empty for pods that do not "
            "exist.",
            labels=_POD,
        )
        self.slots = GaugeMetricFamily(
            "statefulroute_slots",
            "Slots of a route that are bound to a pod (bound), and that are not (unbound); absent without slots.",
            labels=(*_ROUTE, "state"),
        )
        self.loss_suspended = GaugeMetricFamily(
            "statefulroute_loss_suspended",
            "1 while so many nodes or pods of a route look lost at once that the operator does not act on it.",
            labels=_ROUTE,
        )
        self.workload_load = GaugeMetricFamily(
            "statefulroute_workload_load",
            "The mean weighted load of a route's pods at the last run of its workload timer; absent if none is fresh.",
            labels=_ROUTE,
        )
        self.workload_state = GaugeMetricFamily(
            "statefulroute_workload_state",
            "How busy a route's service is: 1 for the current state, 0 for the others.",
            labels=(*_ROUTE, "state"),
        )

    @property
    def all(self) -> tuple[Metric, ...]:
        """All metric families."""
        return (
            self.routes,
            self.pods,
            self.weighted_load,
            self.links,
            self.links_limit,
            self.unserved_links,
            self.slots,
            self.loss_suspended,
            self.workload_load,
            self.workload_state,
        )

    def add_slots(self, key: RouteKey, slots: int, bound: int) -> None:
        """Adds the samples of the slots of a route."""
        self.slots.add_metric((*key, "bound"), bound)
        self.slots.add_metric((*key, "unbound"), max(slots - bound, 0))

    def add(self, view: RouteView, assessment: Assessment, now: datetime) -> None:
        """Adds the samples of a route and its pods."""
        key, factor = view.route.key, view.route.spec.load.cpu_factor_percent
        if limit := view.route.spec.links.max:
            self.links_limit.add_metric(key, limit)
        states, unserved = dict.fromkeys(_STATES, 0), unserved_links(view)
        for pod in view.pods.values():
            labels, load = (*key, pod.pod.name), view.fresh_load(pod.key, now)
            self.links.add_metric(labels, view.link_count(pod.key))
            self.unserved_links.add_metric(labels, unserved.get(pod.key, 0))
            if load is not None:
                self.weighted_load.add_metric(labels, load.weighted_milli(factor) / MILLI)
            states["ready"] += pod.pod.is_ready
            states["routable"] += pod.is_routable
            states["available"] += pod.is_available
            states["stale"] += pod.is_routable and load is None
        # Links may name any number of pods that do not exist, and must not create as many series.
        missing = sum(links for pod_key, links in unserved.items() if pod_key not in view.pods)
        self.unserved_links.add_metric((*key, ""), missing)
        for state, count in states.items():
            self.pods.add_metric((*key, state), count)
        self.loss_suspended.add_metric(key, view.loss_suspension is not None)
        if assessment.load_milli is not None:
            self.workload_load.add_metric(key, assessment.load_milli / MILLI)
        for workload_state in WorkloadState.known():
            self.workload_state.add_metric((*key, workload_state), workload_state is assessment.state)
