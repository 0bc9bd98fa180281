"""Gathers what a plan of disruptions depends on."""

from collections.abc import Collection
from datetime import datetime

from statefulroute.cluster.cache import Cache
from statefulroute.domain.closing import Closing
from statefulroute.domain.disruption.facts import PodFacts
from statefulroute.domain.keys import PodKey, pod_sort_key
from statefulroute.domain.pod import Pod
from statefulroute.domain.route import PodView, Route, RouteView


class FallingLinks:
    """When the links of closing pods became fewer, as far as this process has seen it."""

    def __init__(self) -> None:
        self._links: dict[PodKey, tuple[int, datetime]] = {}
        """The last number of links of each closing pod, and since when it is that or more."""

    def observe(self, pod: PodKey, links: int, now: datetime) -> datetime:
        """Returns when a pod had more links for the last time."""
        known = self._links.get(pod)
        if known is None or links < known[0]:
            known = links, now
        self._links[pod] = links, known[1]
        return known[1]

    def retain(self, pods: Collection[PodKey]) -> None:
        """Forgets all pods but these."""
        self._links = {pod: known for pod, known in self._links.items() if pod in pods}


def gather_pods(
    view: RouteView, routes: Collection[Route], pods: Cache[Pod], falling: FallingLinks, now: datetime
) -> dict[PodKey, PodFacts]:
    """Returns what a plan depends on of each pod of a workload, and of each absent pod with links.

    Args:
        view: the route that plans.
        routes: all routes to the workload.
        pods: the cache of pods: a view does not follow changes of annotations.
        falling: when links of closing pods became fewer.
        now: the current time.
    """
    announced = _announced_pods(routes) if view.closing else frozenset()
    falling.retain(view.closing.keys())
    keys = {key for counts in (view.link_counts, *view.other_link_counts) for key in counts} | view.pods.keys()
    facts = {}
    for key in sorted(keys, key=pod_sort_key):
        pod, links, closing = view.pods.get(key), view.total_link_count(key), view.closing.get(key)
        fell_at = None if closing is None else falling.observe(key, links, now)
        if pod is not None:
            current = pods.get(view.route.namespace, pod.pod.name) or pod.pod
            is_announced = closing is not None and (pod.pod.name, closing.since) in announced
            facts[key] = _pod_facts(pod, current, links, closing, fell_at, is_announced=is_announced)
        elif links:
            facts[key] = PodFacts(
                key=key, name=view.pod_name(key), links=links, is_ready=False, closing=closing, links_fell_at=fell_at
            )
    return facts


def _announced_pods(routes: Collection[Route]) -> Collection[tuple[str, datetime]]:
    """Returns the pods that the stored status of each route shows as closing, and since when.

    A status that shows an earlier time is one that clients may not see any more: the pod was open in between.
    """
    closing = [{(pod.name, pod.closing.since) for pod in route.status.pods if pod.closing} for route in routes]
    return frozenset.intersection(*map(frozenset, closing)) if closing else frozenset()


def _pod_facts(  # noqa: PLR0913 - the parts of a pod
    pod: PodView, current: Pod, links: int, closing: Closing | None, fell_at: datetime | None, *, is_announced: bool
) -> PodFacts:
    return PodFacts(
        key=pod.key,
        name=current.name,
        uid=current.uid,
        links=links,
        is_ready=current.is_ready,
        is_ending=pod.is_ending,
        revision=current.revision,
        deletion_cost=_deletion_cost(current),
        is_node_drained=pod.is_on_drained_node,
        closing=closing,
        is_announced=is_announced,
        links_fell_at=fell_at,
    )


def _deletion_cost(pod: Pod) -> int:
    """Returns the stored deletion cost of a pod; 0 if it has none, or a malformed one, as for a ReplicaSet."""
    try:
        return int(pod.annotations.deletion_cost or "0")
    except ValueError:
        return 0
