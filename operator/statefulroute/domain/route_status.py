"""Builds the status of a StatefulRoute."""

from datetime import datetime
from itertools import islice

from statefulroute.api.limits import LOST_PODS_MAX, NOT_SERVING_REASON_MAX_BYTES
from statefulroute.api.statefulroute import PodStatus, StatefulRouteStatus
from statefulroute.api.vocabulary import ServiceState
from statefulroute.domain.assessment import Assessment
from statefulroute.domain.conditions import route_conditions
from statefulroute.domain.listed_pods import listed_pods, omitted_pods
from statefulroute.domain.load import MILLI, LoadReport
from statefulroute.domain.lost_pods import LostPods
from statefulroute.domain.placement import best_pod
from statefulroute.domain.route import PodView, RouteView
from statefulroute.domain.service import total_links
from statefulroute.domain.serving import not_serving_reason, unserved_links
from statefulroute.domain.truncation import truncate


def route_status(
    view: RouteView, assessment: Assessment, now: datetime, lost_pods: LostPods | None = None
) -> StatefulRouteStatus:
    """Returns the current status of a route.

    Args:
        view: the route.
        assessment: the last assessment by the workload timer.
        now: the current time.
        lost_pods: the lost pods that have links.
    """
    previous = {pod.name: pod for pod in view.route.status.pods}
    route, pods = view.route, tuple(view.pods.values())
    best = best_pod(view, now)
    listed = listed_pods(view, best, now)
    return route.status.model_copy(
        update={
            "observed_generation": route.generation,
            "routing_state": route.spec.routing_state,
            "replicas": view.workload.replicas if view.workload else None,
            "ready_replicas": sum(pod.pod.service_state is ServiceState.READY for pod in pods),
            "routable_pods": sum(pod.is_routable for pod in pods),
            "links": sum(view.link_counts.values()),
            "unserved_links": sum(unserved_links(view).values()),
            "best_pod_index": best.index if best else None,
            "best_pod_name": best.pod.name if best else None,
            "workload_state": assessment.state,
            "workload_load": None if assessment.load_milli is None else assessment.load_milli // MILLI,
            # An operator that has removed its annotations from a former workload names the present one.
            "workload": route.status.workload or route.observed_workload,
            "pods": tuple(_pod_status(view, pod, previous.get(pod.pod.name), now) for pod in listed),
            "omitted_pods": omitted_pods(view, listed, now),
            "lost_pods": tuple(islice((lost_pods or {}).values(), LOST_PODS_MAX)),
            "conditions": tuple(route_conditions(view, now)),
        }
    )


def count_links_at_report(pod_status: PodStatus | None, report: LoadReport, links: int) -> int:
    """Returns the number of links of a pod, in all routes, when it made a report that the operator has just received.

    Args:
        pod_status: the pod in the status of the route. It contains the number if the operator has restarted since.
        report: the report.
        links: the current number of links of the pod in all routes to its workload.
    """
    if pod_status is None or (pod_status.load_state, pod_status.waiting_tasks) != (
        report.load_state,
        report.waiting_tasks,
    ):
        return links
    return total_links(pod_status) - (pod_status.new_links or 0)


def _pod_status(view: RouteView, pod: PodView, previous: PodStatus | None, now: datetime) -> PodStatus:
    load = view.loads.get(pod.key)
    links, all_links = view.link_count(pod.key), view.total_link_count(pod.key)
    reason = not_serving_reason(view, pod.key)
    status = PodStatus(
        index=pod.index,
        name=pod.pod.name,
        service_state=pod.pod.service_state,
        routing_state=pod.routing_state,
        not_serving_reason=reason and truncate(reason, NOT_SERVING_REASON_MAX_BYTES),
        links=links,
        total_links=all_links if all_links != links else None,
    )
    if load is None:
        return status
    figures = (load.report.load_state, load.report.waiting_tasks)
    is_same = previous is not None and (previous.load_state, previous.waiting_tasks) == figures
    first_reported = previous.report_time if previous and is_same else None
    return status.model_copy(
        update={
            "load_state": load.report.load_state,
            "waiting_tasks": load.report.waiting_tasks,
            "weighted_load_milli": load.weighted_milli(view.route.spec.load.cpu_factor_percent),
            "new_links": (all_links - load.links_at_report) or None,
            "load_stale": None if view.fresh_load(pod.key, now) else True,
            "report_time": first_reported or load.report.time.replace(microsecond=0),
        }
    )
