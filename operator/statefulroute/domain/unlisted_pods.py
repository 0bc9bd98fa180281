"""The pods of a route that its status does not list: their state from the pods themselves and the spec of the route.

The operator lists the pods first whose state it alone knows. So the others are as ready as Kubernetes says, and have
the routing state that the spec of the route and their own annotation set.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from statefulroute.api.route_status import PodStatus, StatefulRouteStatus
from statefulroute.api.vocabulary import RoutingState, ServiceState
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Link
from statefulroute.domain.pod import Endpoint, ordinal
from statefulroute.domain.pod_views import most_restrictive
from statefulroute.domain.route import Route

#: Returns a pod of the namespace by its name, or None.
EndpointLookup = Callable[[str], Endpoint | None]

#: The states in which a pod may serve its users.
_SERVING_STATES = (ServiceState.READY, ServiceState.TERMINATING)


def omits_pods(status: StatefulRouteStatus) -> bool:
    """Returns whether a status does not list all pods of its route."""
    if status.omitted_pods is not None:
        return status.omitted_pods.count > 0
    # A definition of an earlier version drops `omittedPods`, but not the number of pods that serve users.
    serving = sum(
        pod.service_state in _SERVING_STATES and pod.routing_state is not RoutingState.SHUTDOWN for pod in status.pods
    )
    return (status.routable_pods or 0) > serving


def pod_name(route: Route, key: PodKey) -> str | None:
    """Returns the name of a pod by its key; None if the workload alone knows it, or has no pod with such a key."""
    if isinstance(key, str):
        return None if route.workload_key.is_stateful_set else key
    return f"{route.workload_name}-{key}" if route.workload_key.is_stateful_set else None


def linked_pod_name(route: Route, link: Link) -> str | None:
    """Returns the name of the pod of a link; None if it is not known that the pod belongs to the route.

    The operator writes the name to the status of a link when it has found that. Until then, a link may name any pod of
    the namespace, but only the StatefulSet of the route creates pods of its name.
    """
    if link.pod is None:
        return None
    if link.status is not None and link.status.is_ready and link.status.pod == link.pod:
        return link.status.pod_name or pod_name(route, link.pod)
    return pod_name(route, link.pod) if isinstance(link.pod, int) else None


def unlisted_pod(route: Route, key: PodKey, endpoint: Endpoint) -> PodStatus:
    """Returns the status of a pod that is not listed, without its load and its links.

    Args:
        route: the route.
        key: the key of the pod.
        endpoint: the pod.
    """
    return _pod_status(route, key, endpoint, _overrides(route))


def may_omit_available_pods(route: Route) -> bool:
    """Returns whether a pod that accepts new users may be missing in the status of a route."""
    status = route.status
    if most_restrictive(route.spec.routing_state) is not RoutingState.READY or not omits_pods(status):
        return False
    return status.omitted_pods is None or status.omitted_pods.available > 0


def unlisted_pods(route: Route, endpoints: Iterable[Endpoint]) -> Iterator[PodStatus]:
    """Yields the pods of a route that its status does not list, if their names show that they belong to the workload.

    The names of a StatefulSet's pods do. Of other workloads, only the listed pods are known.

    Args:
        route: the route.
        endpoints: the pods of the namespace.
    """
    if not omits_pods(route.status) or not route.workload_key.is_stateful_set:
        return
    listed = {pod.name for pod in route.status.pods}
    overrides = _overrides(route)
    for endpoint in endpoints:
        index = ordinal(endpoint.name)
        if index is not None and endpoint.name not in listed and endpoint.name == pod_name(route, index):
            yield _pod_status(route, index, endpoint, overrides)


def _overrides(route: Route) -> Mapping[PodKey, RoutingState]:
    """Returns the routing states that the spec of a route sets for single pods, by their index and by their name."""
    overrides: dict[PodKey, RoutingState] = {each.index: each.routing_state for each in route.spec.pods}
    for each in route.spec.named_pods:
        overrides[each.name] = each.routing_state
    return overrides


def _pod_status(route: Route, key: PodKey, endpoint: Endpoint, overrides: Mapping[PodKey, RoutingState]) -> PodStatus:
    by_spec = [overrides[each] for each in {key, endpoint.name} if each in overrides]
    is_handing_over = RoutingState.SHUTDOWN in by_spec and _can_hand_over(route, endpoint)
    if is_handing_over:
        by_spec = [RoutingState.DENY_NEW_CALL]
    return PodStatus(
        index=key if isinstance(key, int) else None,
        name=endpoint.name,
        service_state=ServiceState.READY if endpoint.is_ready else ServiceState.NOT_READY,
        routing_state=most_restrictive(route.spec.routing_state, *by_spec, endpoint.routing_state),
        handing_over=is_handing_over or None,
    )


def _can_hand_over(route: Route, endpoint: Endpoint) -> bool:
    """Returns whether a pod that the spec of its route shuts down serves its users until they are handed over."""
    return route.hands_users_over and endpoint.is_ready and endpoint.routing_state is not RoutingState.SHUTDOWN
