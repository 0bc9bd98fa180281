"""Builds the status of a StatefulRoute."""

from collections.abc import Mapping
from datetime import datetime
from itertools import islice

from statefulroute.api.limits import LOST_PODS_MAX, SELECTOR_MAX_BYTES
from statefulroute.api.route_status import PodStatus, StatefulRouteStatus
from statefulroute.api.vocabulary import ConditionType
from statefulroute.domain.assessment import Assessment
from statefulroute.domain.conditions import ConditionState, route_conditions
from statefulroute.domain.disruption.features import scales_workload
from statefulroute.domain.disruption.status import DisruptionStatus
from statefulroute.domain.load import LoadReport
from statefulroute.domain.lost_pods import LostPods
from statefulroute.domain.milli import MILLI
from statefulroute.domain.pod_summary import PodSummary, summarize_pods
from statefulroute.domain.route import RouteView
from statefulroute.domain.service import total_links


def route_status(  # noqa: PLR0913, PLR0917 - what a status depends on
    view: RouteView,
    assessment: Assessment,
    now: datetime,
    lost_pods: LostPods | None = None,
    summary: PodSummary | None = None,
    disruption: DisruptionStatus | None = None,
    slots: Mapping[ConditionType, ConditionState] = {},
) -> StatefulRouteStatus:
    """Returns the current status of a route.

    Args:
        view: the route.
        assessment: the last assessment by the workload timer.
        now: the current time.
        lost_pods: the lost pods that have links.
        summary: the summary of the pods; None makes it from all of them.
        disruption: what the last plan of planned disruptions states; None if the route has none.
        slots: the conditions of slots; empty if the route has none.
    """
    route, pods = view.route, summary or summarize_pods(view, now)
    best, planned = pods.best, disruption or DisruptionStatus()
    return route.status.model_copy(
        update={
            "observed_generation": route.generation,
            "routing_state": route.spec.routing_state,
            "replicas": view.workload.replicas if view.workload else None,
            "ready_replicas": pods.service_ready,
            "routable_pods": pods.routable,
            "links": pods.links,
            "unserved_links": pods.unserved.number,
            "best_pod_index": best.index if best else None,
            "best_pod_name": best.pod.name if best else None,
            "workload_state": assessment.state,
            "workload_load": None if assessment.load_milli is None else assessment.load_milli // MILLI,
            # An operator that has removed its annotations from a former workload names the present one.
            "workload": route.status.workload or route.observed_workload,
            "pods": pods.listed,
            "omitted_pods": pods.omitted,
            "lost_pods": tuple(islice((lost_pods or {}).values(), LOST_PODS_MAX)),
            "desired_replicas": planned.desired_replicas,
            "selector": _selector(view),
            "conditions": tuple(
                route_conditions(view, pods, now, planned.conditions, planned.generation, further=slots)
            ),
        }
    )


def _selector(view: RouteView) -> str | None:
    """Returns the label selector of the pods for scalers; None if the route does not scale its workload.

    A selector that is too long for a status is left out, because scalers would select other pods by a part of it.
    """
    if view.workload is None or not scales_workload(view.route.spec):
        return None
    selector = view.workload.selector_text
    return selector if selector and len(selector.encode()) <= SELECTOR_MAX_BYTES else None


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
