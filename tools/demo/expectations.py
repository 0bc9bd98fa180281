"""What must have come about at the demo's end. Pure: each looks at a world and says what is wrong with it."""

from collections.abc import Callable
from dataclasses import dataclass

from demo.snapshot import NAMESPACE, ROUTE, Snapshot, ready_condition

PODS = 3
LINKS = 3
PINNED, CHOSEN, TEMPORARY, FOREIGN = "game.alice", "game.bob", "game.x-47756573742037", "game.mallory"

#: The API server's own words on a link into another namespace; kubectl ends its line with them.
ONLY_LOCAL_NAMESPACE = "only local namespace is supported"


@dataclass(frozen=True, slots=True)
class Expectation:
    """One thing that must be so.

    Attributes:
        description: What must be so.
        check: What is wrong with a world, as a sentence; None when it is so.
    """

    description: str
    check: Callable[[Snapshot], str | None]


def _route_is_ready(snapshot: Snapshot) -> str | None:
    if snapshot.route is None:
        return f"StatefulRoute {ROUTE} does not exist in namespace {NAMESPACE}."
    condition = ready_condition(snapshot.route)
    if condition.status != "True" or snapshot.routable_pods != PODS:
        said = f"{condition.reason}: {condition.message}" if condition.reason else "nothing yet"
        return f"StatefulRoute {ROUTE} has {snapshot.routable_pods} routable pods instead of {PODS}; it says {said}."
    return None


def _is_bound(name: str, pod: str | None, snapshot: Snapshot) -> str | None:
    link = snapshot.link(name)
    if link is None:
        return f"PodLink {name} does not exist."
    if link.phase != "Bound":
        condition = ready_condition(link.item)
        said = f"{link.phase}, {condition.message}" if link.phase else "not seen by the operator"
        return f"PodLink {name} is not bound: it is {said}."
    known = {str(each["name"]) for each in snapshot.pods()}
    if link.pod_name != pod and (pod is not None or link.pod_name not in known):
        return f"PodLink {name} is bound to {link.pod_name} instead of {pod or 'a pod of the route'}."
    return None


def _pinned_is_bound(snapshot: Snapshot) -> str | None:
    return _is_bound(PINNED, "game-2", snapshot)


def _chosen_is_bound(snapshot: Snapshot) -> str | None:
    complaint = _is_bound(CHOSEN, None, snapshot)
    if complaint is None and (link := snapshot.link(CHOSEN)) is not None and link.requested_pod is None:
        return f"PodLink {CHOSEN} is bound, but the pod is not in its spec."
    return complaint


def _temporary_is_bound(snapshot: Snapshot) -> str | None:
    complaint = _is_bound(TEMPORARY, None, snapshot)
    link = snapshot.link(TEMPORARY)
    if complaint is None and link is not None and not link.expires:
        return f"PodLink {TEMPORARY} is bound, but has no expireTime."
    return complaint


def _links_are_counted(snapshot: Snapshot) -> str | None:
    if snapshot.counted_links == LINKS:
        return None
    return f"StatefulRoute {ROUTE} counts {snapshot.counted_links} links instead of {LINKS}."


def _foreign_is_not_stored(snapshot: Snapshot) -> str | None:
    return (
        None if snapshot.link(FOREIGN) is None else f"PodLink {FOREIGN} was stored though it names another namespace."
    )


ROUTE_READY = Expectation(f"StatefulRoute {ROUTE} is Ready with {PODS} routable pods", _route_is_ready)
PINNED_BOUND = Expectation("alice is on game-2, as her link says", _pinned_is_bound)
CHOSEN_BOUND = Expectation("bob is on a pod that the operator chose and wrote into his link", _chosen_is_bound)
TEMPORARY_BOUND = Expectation("Guest 7 is bound until a time that the link's status says", _temporary_is_bound)
LINKS_COUNTED = Expectation(f"StatefulRoute {ROUTE} counts {LINKS} links", _links_are_counted)
FOREIGN_REFUSED = Expectation("mallory's link into another namespace was not stored", _foreign_is_not_stored)

EXPECTATIONS = (ROUTE_READY, PINNED_BOUND, CHOSEN_BOUND, TEMPORARY_BOUND, LINKS_COUNTED, FOREIGN_REFUSED)
