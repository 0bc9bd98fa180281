"""The metrics of planned disruptions: numbers of pods, closing pods, and what hinders them."""

from collections.abc import Callable, Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from statefulroute.api.vocabulary import ClosingReason
from statefulroute.cluster.cache import Cache
from statefulroute.controllers.disruption.autoscaler import Autoscaler
from statefulroute.controllers.disruption.statuses import DisruptionStatuses
from statefulroute.controllers.state_store import RouteStore
from statefulroute.domain.disruption.features import plans_disruptions
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.route import Route, RouteView

_ROUTE = ("namespace", "route")


class DisruptionMetrics:
    """Collects the metrics of the routes that configure planned disruptions, while this process leads.

    Args:
        routes: the cache of routes.
        route_store: the views of routes.
        statuses: what the last plans state.
        autoscaler: counts its decisions; None if planned disruptions are switched off.
        is_leader: returns whether this process is the one that works on routes.
    """

    def __init__(
        self,
        routes: Cache[Route],
        route_store: RouteStore,
        statuses: DisruptionStatuses,
        autoscaler: Autoscaler | None,
        is_leader: Callable[[], bool],
    ) -> None:
        self._routes = routes
        self._route_store = route_store
        self._statuses = statuses
        self._autoscaler = autoscaler
        self._is_leader = is_leader

    def collect(self) -> Iterator[Metric]:
        """Yields the metric families."""
        families = _Families()
        if self._is_leader():
            for namespace, name in self._routes:
                route = self._routes.get(namespace, name)
                if route is not None and plans_disruptions(route.spec):
                    self._add(families, route)
        return iter(families.all)

    def _add(self, families: "_Families", route: Route) -> None:
        if (view := self._route_store.get(route.key)) is not None:
            families.add_closing_pods(view)
        if (status := self._statuses.of(route)) is not None:
            if status.desired_replicas is not None:
                families.desired_replicas.add_metric(route.key, status.desired_replicas)
            for kind, (_, reason, _) in status.conditions.items():
                families.condition.add_metric((*route.key, kind, reason), 1)
        if route.spec.autoscaling is not None and self._autoscaler is not None:
            families.add_decisions(route.key, *self._autoscaler.decisions(route.key))


class _Families:
    def __init__(self) -> None:
        self.desired_replicas = GaugeMetricFamily(
            "statefulroute_desired_replicas",
            "The number of pods that a workload will have once its closing pods are removed; absent for a route that "
            "does not scale its workload.",
            labels=_ROUTE,
        )
        self.closing_pods = GaugeMetricFamily(
            "statefulroute_closing_pods",
            "Pods that are about to be removed on purpose and wait for their users to leave.",
            labels=(*_ROUTE, "reason"),
        )
        self.overdue_pods = GaugeMetricFamily(
            "statefulroute_overdue_pods", "Closing pods whose deadline is over.", labels=_ROUTE
        )
        self.condition = GaugeMetricFamily(
            "statefulroute_disruption_condition",
            "1 for the present reason of each condition of planned disruptions.",
            labels=(*_ROUTE, "type", "reason"),
        )
        self.decisions = CounterMetricFamily(
            "statefulroute_autoscaling_decisions",
            "How often autoscaling has raised (up) or lowered (down) spec.replicas of a route in this term.",
            labels=(*_ROUTE, "direction"),
        )

    @property
    def all(self) -> tuple[Metric, ...]:
        """All metric families."""
        return self.desired_replicas, self.closing_pods, self.overdue_pods, self.condition, self.decisions

    def add_closing_pods(self, view: RouteView) -> None:
        """Adds the samples of closing pods of a route."""
        closing = view.closing.values()
        for reason in ClosingReason.known():
            self.closing_pods.add_metric((*view.route.key, reason), sum(each.reason is reason for each in closing))
        self.overdue_pods.add_metric(view.route.key, sum(each.is_over for each in closing))

    def add_decisions(self, key: RouteKey, up: int, down: int) -> None:
        """Adds the samples of the autoscaling of a route."""
        self.decisions.add_metric((*key, "up"), up)
        self.decisions.add_metric((*key, "down"), down)
