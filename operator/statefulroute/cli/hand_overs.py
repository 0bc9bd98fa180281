"""Reads from links and routes how users are handed over."""

from statefulroute.api.vocabulary import PodLostAction, RoutingState
from statefulroute.cli.cluster import Object
from statefulroute.domain.keys import PodKey

#: The time-out of a route whose `handOver` does not state one.
_DEFAULT_SECONDS = 10


def hand_over_seconds(route: Object) -> int | None:
    """Returns how long a pod of a route may take to hand a user over; None if its users are moved at once."""
    settings = route["spec"].get("handOver")
    if settings is None:
        return None
    seconds: int = settings.get("timeoutSeconds", _DEFAULT_SECONDS)
    return seconds


def hands_over_when_shut_down(route: Object) -> bool:
    """Returns whether a pod that is shut down, or whose deadline is over, hands its users over to other pods."""
    spec = route["spec"]
    action = spec.get("onPodLost", {}).get("action", PodLostAction.REBIND)
    is_open = spec.get("routingState", RoutingState.READY) != RoutingState.SHUTDOWN
    return "handOver" in spec and action == PodLostAction.REBIND and is_open


def bound_pod(link: Object) -> PodKey | None:
    """Returns the pod that a link is bound to by its spec; None if it waits for one."""
    pod: PodKey | None = link["spec"].get("podIndex", link["spec"].get("podName"))
    return pod


def next_pod(link: Object) -> PodKey | None:
    """Returns the pod that the user of a link is being handed over to; None if the link asks for no hand-over."""
    hand_over = link["spec"].get("handOver", {})
    pod: PodKey | None = hand_over.get("podIndex", hand_over.get("podName"))
    return pod
