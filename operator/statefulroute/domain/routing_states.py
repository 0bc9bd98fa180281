"""Compares the routing states in two statuses of a route."""

from collections.abc import Iterator

from statefulroute.api.route_status import PodStatus, StatefulRouteStatus
from statefulroute.api.vocabulary import RoutingState
from statefulroute.domain.route import Route
from statefulroute.domain.unlisted_pods import omits_pods

#: A pod (None is the service), and its routing state before and after a change (None is no such pod or service).
RoutingStateChange = tuple[PodStatus | None, RoutingState | None, RoutingState | None]


def routing_state_changes(old: Route | None, new: Route | None) -> Iterator[RoutingStateChange]:
    """Yields the changes of routing states between two versions of a route, those of the service first.

    A pod that a status does not list counts as having the routing state of the service, because pods with another one
    are listed first. So the beginning and the end of its listing are no change.
    """
    before, after = _observed_status(old), _observed_status(new)
    if before.routing_state is not after.routing_state:
        yield None, before.routing_state, after.routing_state
    former_pods, pods = ({pod.name: pod for pod in status.pods} for status in (before, after))
    former_default, default = (status.routing_state if omits_pods(status) else None for status in (before, after))
    for name in dict.fromkeys((*former_pods, *pods)):
        former, present = former_pods.get(name), pods.get(name)
        former_state = former.routing_state if former else former_default
        state = present.routing_state if present else default
        if former_state is not state:
            yield present or former, former_state, state


def _observed_status(route: Route | None) -> StatefulRouteStatus:
    """Returns the status of a route; empty if the route does not exist, or if the operator has not written one."""
    return StatefulRouteStatus() if route is None or route.status.routing_state is None else route.status
