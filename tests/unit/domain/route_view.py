"""Builds views of routes without caches."""

from collections.abc import Iterable, Mapping, Sequence

from statefulroute.domain.keys import PodKey
from statefulroute.domain.load import Load
from statefulroute.domain.pod import Node, Pod
from statefulroute.domain.pod_views import PodRules, PodViews
from statefulroute.domain.route import Route, RouteView
from statefulroute.domain.workload import MissingWorkload, Workload


def build_route_view(  # noqa: PLR0913, PLR0917 - what belongs to a route
    route: Route,
    workload: Workload | MissingWorkload | None,
    pods: Iterable[Pod],
    nodes: Mapping[str, Node] | None,
    link_counts: Mapping[PodKey, int],
    loads: Mapping[PodKey, Load],
    load_errors: Mapping[PodKey, str],
    other_link_counts: Sequence[Mapping[PodKey, int]] = (),
) -> RouteView:
    """Builds the view of a route from its workload and the workload's pods.

    If the nodes are not known (None), no node counts as lost.
    """
    views = PodViews()
    if isinstance(workload, Workload):
        rules, known = PodRules(route, workload), nodes or {}
        views = PodViews(
            workload, (rules.view(pod, known.get(pod.node_name), loads.get(workload.pod_key(pod))) for pod in pods)
        )
    return RouteView(
        route,
        workload if isinstance(workload, Workload) else None,
        workload if isinstance(workload, MissingWorkload) else None,
        views,
        link_counts,
        loads,
        load_errors,
        other_link_counts=other_link_counts,
    )
