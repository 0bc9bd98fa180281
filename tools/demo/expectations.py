"""What must be true at the end of the demo: pure checks of a snapshot."""

from collections.abc import Callable
from dataclasses import dataclass

from demo.snapshot import NAMESPACE, ROUTE, Snapshot, ready_condition

PODS = 3
LINKS = 3
PINNED, CHOSEN, TEMPORARY, FOREIGN = "game.alice", "game.bob", "game.x-47756573742037", "game.mallory"

#: The message of the API server for a link to another namespace; kubectl prints it at the end of its line.
ONLY_LOCAL_NAMESPACE = "only local namespace is supported"


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation.

    Attributes:
        description: What must be true.
        check: Returns what is wrong with a snapshot as a sentence, or None.
    """

    description: str
    check: Callable[[Snapshot], str | None]


def _route_is_ready(snapshot: Snapshot) -> str | None:
    if snapshot.route is None:
        return f"StatefulRoute {ROUTE} does not exist in namespace {NAMESPACE}."
    condition = ready_condition(snapshot.route)
    if condition.status != "True" or snapshot.routable_pods != PODS:
        state = f"{condition.reason}: {condition.message}" if condition.reason else "no condition"
        pods = f"{snapshot.routable_pods} routable pods instead of {PODS}"
        return f"StatefulRoute {ROUTE} has {pods}; its status is {state}."
    return None


def _is_bound(name: str, pod: str | None, snapshot: Snapshot) -> str | None:
    link = snapshot.link(name)
    if link is None:
        return f"PodLink {name} does not exist."
    if link.phase != "Bound":
        condition = ready_condition(link.item)
        state = f"{link.phase}, {condition.message}" if link.phase else "without a status from the operator"
        return f"PodLink {name} is not bound: it is {state}."
    pod_names = {str(pod_status["name"]) for pod_status in snapshot.pods()}
    if link.pod_name != pod and (pod is not None or link.pod_name not in pod_names):
        return f"PodLink {name} is bound to {link.pod_name} instead of {pod or 'a pod of the route'}."
    return None


def _pinned_is_bound(snapshot: Snapshot) -> str | None:
    return _is_bound(PINNED, "game-2", snapshot)


def _chosen_is_bound(snapshot: Snapshot) -> str | None:
    problem = _is_bound(CHOSEN, None, snapshot)
    if problem is None and (link := snapshot.link(CHOSEN)) is not None and link.requested_pod is None:
        return f"PodLink {CHOSEN} is bound, but the pod is not in its spec."
    return problem


def _temporary_is_bound(snapshot: Snapshot) -> str | None:
    problem = _is_bound(TEMPORARY, None, snapshot)
    link = snapshot.link(TEMPORARY)
    if problem is None and link is not None and not link.expires:
        return f"PodLink {TEMPORARY} is bound, but has no expireTime."
    return problem


def _links_are_counted(snapshot: Snapshot) -> str | None:
    if snapshot.counted_links == LINKS:
        return None
    return f"StatefulRoute {ROUTE} counts {snapshot.counted_links} links instead of {LINKS}."


def _foreign_is_not_stored(snapshot: Snapshot) -> str | None:
    return (
        None if snapshot.link(FOREIGN) is None else f"PodLink {FOREIGN} was stored though it names another namespace."
    )


ROUTE_READY = Expectation(f"StatefulRoute {ROUTE} is Ready with {PODS} routable pods", _route_is_ready)
PINNED_BOUND = Expectation("alice is on game-2, as her link requests", _pinned_is_bound)
CHOSEN_BOUND = Expectation("bob is on a pod that the operator chose and wrote into his link", _chosen_is_bound)
TEMPORARY_BOUND = Expectation("Guest 7 is bound until the expireTime in the link's status", _temporary_is_bound)
LINKS_COUNTED = Expectation(f"StatefulRoute {ROUTE} counts {LINKS} links", _links_are_counted)
FOREIGN_REFUSED = Expectation("mallory's link to another namespace was not stored", _foreign_is_not_stored)

EXPECTATIONS = (ROUTE_READY, PINNED_BOUND, CHOSEN_BOUND, TEMPORARY_BOUND, LINKS_COUNTED, FOREIGN_REFUSED)
