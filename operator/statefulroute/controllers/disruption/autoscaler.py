"""Recommends how many pods routes with autoscaling have to have."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from statefulroute.api.vocabulary import ClosingReason, PodLostAction, RoutingState
from statefulroute.controllers.disruption.unplaced_links import UnplacedLinks
from statefulroute.controllers.links.counts import LinkCounts
from statefulroute.domain.disruption.autoscaling import (
    Demand,
    Recommendation,
    ScaleDownWindow,
    needed_replicas,
    recommend,
)
from statefulroute.domain.disruption.facts import PodFacts
from statefulroute.domain.keys import PodKey, RouteKey
from statefulroute.domain.route import Route
from statefulroute.domain.workload import Workload


@dataclass(slots=True)
class _Observed:
    """What was observed of a route: a new leader starts without it.

    Attributes:
        window: how many pods were needed lately.
        recommended: how many pods were recommended last.
        scaled_up: how often the number was raised.
        scaled_down: how often it was lowered.
    """

    window: ScaleDownWindow
    recommended: int
    scaled_up: int = 0
    scaled_down: int = 0


class Autoscaler:
    """Recommends the numbers of pods of routes with autoscaling.

    Args:
        counts: the number of links of each pod.
        unplaced: the number of links that wait for a pod.
        monotonic: returns monotonic seconds.
    """

    def __init__(
        self, counts: LinkCounts, unplaced: UnplacedLinks, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._counts = counts
        self._unplaced = unplaced
        self._monotonic = monotonic
        self._observed: dict[RouteKey, _Observed] = {}

    def recommend(
        self,
        route: Route,
        routes: Collection[Route],
        workload: Workload,
        pods: Mapping[PodKey, PodFacts],
        replicas: int,
    ) -> Recommendation | None:
        """Returns how many pods a route has to have; None if it has no autoscaling.

        Args:
            route: the route that scales the workload.
            routes: all routes to the workload.
            workload: the workload.
            pods: the pods, with their links of all these routes.
            replicas: how many pods the route has to have now.
        """
        autoscaling = route.spec.autoscaling
        if autoscaling is None:
            self.forget(route.key)
            return None
        now = self._monotonic()
        observed = self._observed.get(route.key)
        if observed is None:
            observed = self._observed[route.key] = _Observed(ScaleDownWindow.start(replicas, now), replicas)
        in_vain = self._links_in_vain(routes, replace(workload, replicas=autoscaling.max_replicas), pods)
        demand = self._demand(routes, pods, in_vain)
        needed = needed_replicas(autoscaling, route.spec.placement.max_links_per_pod, demand)
        recommendation, observed.window = recommend(autoscaling, needed, replicas, observed.window, now)
        observed.recommended = recommendation.replicas
        return recommendation

    def recommended(self, route: RouteKey) -> int | None:
        """Returns the last recommendation for a route; None if its number of pods does not depend on its links."""
        observed = self._observed.get(route)
        return None if observed is None else observed.recommended

    def scaled(self, route: RouteKey, before: int, after: int) -> None:
        """Handles a write of the recommended number."""
        if (observed := self._observed.get(route)) is not None:
            observed.scaled_up += after > before
            observed.scaled_down += after < before

    def decisions(self, route: RouteKey) -> tuple[int, int]:
        """Returns how often the number of pods of a route was raised and lowered."""
        observed = self._observed.get(route)
        return (0, 0) if observed is None else (observed.scaled_up, observed.scaled_down)

    def forget(self, route: RouteKey) -> None:
        """Drops what was observed of a route that is deleted, or that has no autoscaling any more."""
        if self._observed.pop(route, None) is not None:
            self._unplaced.forget(route)

    def clear(self) -> None:
        """Drops everything: this operator does not lead any more."""
        self._observed.clear()
        self._unplaced.clear()

    def _links_in_vain(
        self, routes: Collection[Route], largest: Workload, pods: Mapping[PodKey, PodFacts]
    ) -> Counter[PodKey]:
        """Returns how many links of absent pods no number of pods serves, because the pod never comes back.

        Links that move to another pod are not in vain: they wait for one.

        Args:
            routes: all routes to the workload.
            largest: the workload with as many pods as autoscaling allows.
            pods: the pods, and the keys of absent pods with links.
        """
        gone = [key for key, pod in pods.items() if not pod.exists and not largest.can_create(key)]
        keeping = [route for route in routes if route.spec.on_pod_lost.action is not PodLostAction.REBIND]
        return Counter({key: sum(self._counts.of(route.key).get(key, 0) for route in keeping) for key in gone})

    def _demand(self, routes: Collection[Route], pods: Mapping[PodKey, PodFacts], in_vain: Counter[PodKey]) -> Demand:
        waiting, assumed = 0, Counter(in_vain)
        for route in routes:
            if route.spec.routing_state in {RoutingState.READY, RoutingState.UNKNOWN}:  # otherwise no pod takes them
                waiting += self._unplaced.of(route.key)
                assumed.update(self._counts.assumed(route.key))
            if route.spec.hand_over is not None:
                assumed.update(self._counts.arriving(route.key))
        return Demand(
            # A link that is about to be bound or handed over still waits, or is on another pod.
            links=[max(0, pod.links - assumed[pod.key]) for pod in pods.values() if pod.closing is None],
            waiting=waiting,
            leaving=sum(pod.links for pod in pods.values() if pod.closing is not None),
            returning=sum(_returns(pod) for pod in pods.values()),
        )


def _returns(pod: PodFacts) -> bool:
    """Returns whether a closing pod comes back when it was removed."""
    return pod.closing is not None and pod.closing.reason is not ClosingReason.SCALE_DOWN
