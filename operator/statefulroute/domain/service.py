"""A service as its callers see it: by what the operator says of it in the route's status."""

from collections.abc import Callable, Container, Mapping
from datetime import datetime

from statefulroute.api.statefulroute import PodStatus
from statefulroute.api.vocabulary import RoutingState, ServiceState, WorkloadState
from statefulroute.domain.errors import PodNotFoundError
from statefulroute.domain.keys import PodKey
from statefulroute.domain.load import Load, LoadReport
from statefulroute.domain.placement import best_pod
from statefulroute.domain.pod import Pod
from statefulroute.domain.route import PodView, Route, RouteView

#: Services so busy that they count as not ready for more.
_BUSY_STATES = (WorkloadState.OVERLOADED, WorkloadState.SHUTDOWN)


#: Whether a pod is in some state.
PodPredicate = Callable[[PodStatus], bool]


def pod_key(pod: PodStatus) -> PodKey:
    """How links name a pod."""
    return pod.name if pod.index is None else pod.index


def is_ready(pod: PodStatus) -> bool:
    """Whether the pod is ready."""
    return pod.service_state is ServiceState.READY


def is_routable(pod: PodStatus) -> bool:
    """Whether the pod serves its own users: ready and not shut down."""
    return is_ready(pod) and pod.routing_state is not RoutingState.SHUTDOWN


def is_available(pod: PodStatus) -> bool:
    """Whether the pod takes new users: ready, and its routing state is Ready."""
    return is_ready(pod) and pod.routing_state is RoutingState.READY


def is_workload_ready(route: Route) -> bool:
    """Whether the service is ready for more users: a pod takes them, and it is neither overloaded nor shut down."""
    status = route.status
    return status.workload_state not in _BUSY_STATES and any(is_available(pod) for pod in status.pods)


def find_pod(route: Route, pod: PodKey) -> PodStatus:
    """A pod of a service.

    Raises:
        PodNotFoundError: the service has no such pod now.
    """
    found = next((each for each in route.status.pods if pod_key(each) == pod), None)
    if found is None:
        raise PodNotFoundError(f"the service {route.name!r} has no pod {pod!r} now")
    return found


def choose_pod(
    route: Route, assumed: Mapping[PodKey, int], now: datetime, candidates: Container[PodKey] | None = None
) -> PodKey | None:
    """The pod that takes the next user, by the same rule as the operator's; None where none does.

    Args:
        route: the service.
        assumed: how many links the caller has bound to each pod since the status was written.
        now: the time of day.
        candidates: the pods that may be chosen; None leaves all.
    """
    best = best_pod(_route_view(route, assumed, now, candidates), now)
    return best.key if best else None


def _route_view(
    route: Route, bound_since: Mapping[PodKey, int], now: datetime, among: Container[PodKey] | None
) -> RouteView:
    """The view of a route that its status gives."""
    pods: dict[PodKey, PodView] = {}
    loads: dict[PodKey, Load] = {}
    counts: dict[PodKey, int] = {}
    for said in route.status.pods:
        key = pod_key(said)
        if among is not None and key not in among:
            continue
        pod = Pod(
            namespace=route.namespace,
            name=said.name,
            resource_version=route.resource_version,
            service_state=said.service_state,
            is_ready=is_ready(said),
            index=said.index,
        )
        pods[key] = PodView(pod, key, said.routing_state, None)
        counts[key] = said.links + bound_since.get(key, 0)
        if said.load_state is not None and not said.load_stale:
            then = said.links - (said.new_links or 0)
            loads[key] = Load(LoadReport(said.load_state, said.waiting_tasks or 0, now), then)
    return RouteView(route, None, None, pods, counts, loads)
