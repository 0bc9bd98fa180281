"""What a StatefulRoute's status says."""

from collections.abc import Iterable
from datetime import datetime

from statefulroute.api.model import Condition
from statefulroute.api.statefulroute import PodStatus, StatefulRouteStatus
from statefulroute.api.vocabulary import ConditionType, RouteReason, RoutingState, ServiceState
from statefulroute.domain.conditions import condition
from statefulroute.domain.placement import best_pod
from statefulroute.domain.route import RouteView


def route_status(view: RouteView, now: datetime) -> StatefulRouteStatus:
    """The status of a route as it should be now; what others own in its present status is kept."""
    route, pods = view.route, tuple(view.pods.values())
    best = best_pod(view)
    return route.status.model_copy(
        update={
            "observed_generation": route.generation,
            "routing_state": route.spec.routing_state,
            "replicas": view.workload.replicas if view.workload else None,
            "ready_replicas": sum(pod.pod.service_state is ServiceState.READY for pod in pods),
            "routable_pods": sum(pod.is_routable for pod in pods),
            "links": sum(view.link_counts.values()),
            "best_pod_index": best.index if best else None,
            "pods": tuple(
                PodStatus(
                    index=pod.index,
                    name=pod.pod.name,
                    service_state=pod.pod.service_state,
                    routing_state=pod.routing_state,
                    links=view.links_on(pod.index),
                )
                for pod in pods
            ),
            "conditions": tuple(_conditions(view, now)),
        }
    )


def _conditions(view: RouteView, now: datetime) -> Iterable[Condition]:
    for kind, (holds, reason, message) in (
        (ConditionType.READY, _readiness(view)),
        (ConditionType.WORKLOAD_FOUND, _workload_finding(view)),
    ):
        yield condition(
            kind,
            holds=holds,
            reason=reason,
            message=message,
            generation=view.route.generation,
            previous=view.route.status.conditions,
            now=now,
        )


#: Whether a condition holds, its reason and its message.
Finding = tuple[bool, RouteReason, str]


def _readiness(view: RouteView) -> Finding:
    """Ready: users are served."""
    found, reason, message = _workload_finding(view)
    if not found:
        return False, reason, message
    if view.route.spec.routing_state is RoutingState.SHUTDOWN:
        return False, RouteReason.SHUTDOWN, "the route's routingState is Shutdown: it takes nobody"
    routable = sum(pod.is_routable for pod in view.pods.values())
    if not routable:
        return False, RouteReason.NO_ROUTABLE_POD, "no pod of the workload is ready and takes users"
    return True, RouteReason.ROUTABLE, f"{routable} of {len(view.pods)} pods serve users"


def _workload_finding(view: RouteView) -> Finding:
    """WorkloadFound: there are pods to route to, or there will be."""
    route = view.route
    if not route.has_supported_workload:
        return False, RouteReason.WORKLOAD_KIND_NOT_SUPPORTED, route.missing_workload
    if view.workload is None:
        return False, RouteReason.WORKLOAD_NOT_FOUND, route.missing_workload
    return True, RouteReason.WORKLOAD_FOUND, f"{route.spec.workload_ref.kind} {route.workload_name!r} exists"
