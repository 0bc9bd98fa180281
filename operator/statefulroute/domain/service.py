"""The state of a service as its clients see it: from the status of the route."""

from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from statefulroute.api.route_status import OmittedPods, PodStatus
from statefulroute.api.vocabulary import RoutingState, ServiceState, WorkloadState
from statefulroute.domain.errors import PodNotFoundError
from statefulroute.domain.keys import PodKey
from statefulroute.domain.load import Load, LoadReport
from statefulroute.domain.placement import best_pod, is_silence_assumed
from statefulroute.domain.pod import REVISION_LABEL, Pod
from statefulroute.domain.route import PodView, Route, RouteView
from statefulroute.domain.unlisted_pods import EndpointLookup, omits_pods, unlisted_pod
from statefulroute.domain.workload import Workload

#: The workload states of services that are too busy for more users.
_BUSY_STATES = (WorkloadState.OVERLOADED, WorkloadState.SHUTDOWN)


#: The value of `load.minFreshPercent` with which no pod is silent.
_NEVER = 100

_NO_LABELS: Mapping[str, str] = {}

#: A condition on the status of a pod.
PodPredicate = Callable[[PodStatus], bool]


def pod_key(pod: PodStatus) -> PodKey:
    """Returns the key by which links refer to a pod."""
    return pod.name if pod.index is None else pod.index


def is_ready(pod: PodStatus) -> bool:
    """Returns whether the pod is ready."""
    return pod.service_state is ServiceState.READY


def is_routable(pod: PodStatus) -> bool:
    """Returns whether the pod serves its users: ready and not shut down."""
    return is_ready(pod) and pod.routing_state is not RoutingState.SHUTDOWN


def is_available(pod: PodStatus) -> bool:
    """Returns whether the pod accepts new users: ready, and its routing state is Ready."""
    return is_ready(pod) and pod.routing_state is RoutingState.READY


def is_workload_ready(route: Route) -> bool:
    """Returns whether a pod of the service is available, and the service is neither overloaded nor shut down."""
    status = route.status
    if status.workload_state in _BUSY_STATES:
        return False
    has_omitted = status.omitted_pods is not None and status.omitted_pods.available > 0
    return has_omitted or any(map(is_available, status.pods))


def total_links(pod: PodStatus) -> int:
    """Returns the number of links of the pod in all routes to its workload."""
    return pod.links if pod.total_links is None else pod.total_links


def find_pod(route: Route, pod: PodKey, name: str | None, endpoint_of: EndpointLookup) -> PodStatus:
    """Returns the status of a pod of a service, which the status of the route may not list.

    Args:
        route: the service.
        pod: the key of the pod.
        name: the name of the pod; None if it is not known unless the status lists the pod.
        endpoint_of: returns a pod of the namespace by its name.

    Raises:
        PodNotFoundError: the service has no such pod.
    """
    status = next((status for status in route.status.pods if pod_key(status) == pod), None)
    return status or find_unlisted_pod(route, pod, name, endpoint_of)


def find_unlisted_pod(route: Route, pod: PodKey, name: str | None, endpoint_of: EndpointLookup) -> PodStatus:
    """Returns the status of a pod that is not listed. The arguments and errors are those of `find_pod`."""
    if name is not None and omits_pods(route.status) and (endpoint := endpoint_of(name)) is not None:
        return unlisted_pod(route, pod, endpoint)
    raise PodNotFoundError(f"the service {route.name!r} has no pod {pod!r} now")


def choose_pod(
    route: Route, assumed: Mapping[PodKey, int], now: datetime, candidates: Container[PodKey] | None = None
) -> PodKey | None:
    """Returns the pod for the next user, by the placement rule of the operator; None if no pod is available.

    Args:
        route: the service.
        assumed: the number of links that the caller bound to each pod since the status was written.
        now: the current time.
        candidates: the pods to choose from; None allows all.
    """
    view = _route_view(route, assumed, now, candidates)
    if (omitted := route.status.omitted_pods) is not None:
        view = _with_omitted_loads(view, omitted, now)
    best = best_pod(view, now)
    return best.key if best else None


def _with_omitted_loads(view: RouteView, omitted: OmittedPods, now: datetime) -> RouteView:
    """Returns a view in which the loads of omitted pods count for whether pods with stale load are silent."""
    loads = {key: load for key, load in view.loads.items() if view.pods[key].is_available}
    fresh = {key for key in loads if view.fresh_load(key, now) is not None}
    number, stale = len(fresh) + omitted.fresh_load, len(loads) - len(fresh) + omitted.stale_load
    settings = view.route.spec.load
    if is_silence_assumed(number, stale, settings.min_fresh_percent):
        pods = {key: pod for key, pod in view.pods.items() if key in fresh or key not in loads}
        return replace(view, pods=pods)
    spec = view.route.spec.model_copy(update={"load": settings.model_copy(update={"min_fresh_percent": _NEVER})})
    return replace(view, route=replace(view.route, spec=spec))


def _route_view(
    route: Route, assumed: Mapping[PodKey, int], now: datetime, candidates: Container[PodKey] | None
) -> RouteView:
    """Builds the view of a route from its status."""
    pods: dict[PodKey, PodView] = {}
    loads: dict[PodKey, Load] = {}
    counts: dict[PodKey, int] = {}
    stale_age = timedelta(seconds=route.spec.load.stale_after_seconds + 1)
    for status in route.status.pods:
        key = pod_key(status)
        if candidates is not None and key not in candidates:
            continue
        pod = Pod(
            namespace=route.namespace,
            name=status.name,
            resource_version=route.resource_version,
            service_state=status.service_state,
            is_ready=is_ready(status),
            index=status.index,
            labels=_NO_LABELS if status.revision is None else {REVISION_LABEL: status.revision},
        )
        pods[key] = PodView(pod, key, status.routing_state, None)
        counts[key] = total_links(status) + assumed.get(key, 0)
        if status.load_state is not None:
            links_at_report = total_links(status) - (status.new_links or 0)
            time = now - stale_age if status.load_stale else now
            loads[key] = Load(LoadReport(status.load_state, status.waiting_tasks or 0, time), links_at_report)
    return RouteView(route, _workload(route), None, pods, counts, loads)


def _workload(route: Route) -> Workload | None:
    """Returns the workload of a route during a rollout, by which new users go to pods of the latest revision.

    The status does not name the latest revision, but it is that of the pod for the next user, unless a partition keeps
    pods of others.
    """
    rollout, status = route.spec.rollout, route.status
    if rollout is None or rollout.partition or not status.pods:
        return None
    best = next((pod for pod in status.pods if pod.name == status.best_pod_name), None)
    if best is None or best.revision is None:
        return None
    first_index = min((pod.index for pod in status.pods if pod.index is not None), default=0)
    return Workload(
        namespace=route.namespace,
        name=route.workload_name,
        resource_version=0,
        uid="",
        replicas=status.replicas or 0,
        first_index=first_index,
        update_revision=best.revision,
    )
