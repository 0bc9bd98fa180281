"""What to do about a link: a list of questions, each with a name, a reason and one place to change it."""

from collections.abc import Callable
from dataclasses import dataclass

from statefulroute.api.vocabulary import ONLY_LOCAL_NAMESPACE, LinkPhase, LinkReason, RoutingState
from statefulroute.domain.link import Acknowledgement, Link
from statefulroute.domain.placement import best_pod
from statefulroute.domain.route import PodView, RouteView


@dataclass(frozen=True, slots=True)
class View:
    """All that a decision about one link may depend on, frozen at one moment."""

    link: Link
    route: RouteView | None


@dataclass(frozen=True, slots=True)
class Bind:
    """Write the chosen pod into the link's spec."""

    pod_index: int


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Say this in the link's status, unless it says so already."""

    acknowledgement: Acknowledgement


Plan = Bind | Acknowledge
Question = Callable[[View], Plan | None]


def decide(view: View) -> Plan:
    """What to do about this link now. Pure and total: the first question that applies answers."""
    for question in QUESTIONS:
        if (plan := question(view)) is not None:
            return plan
    raise AssertionError("the last question answers for every link")


def is_settled(link: Link, acknowledgement: Acknowledgement) -> bool:
    """Whether the link's status already says this of the link's present spec."""
    return (
        link.acknowledged == acknowledgement
        and link.observed_generation == link.generation
        and link.acknowledged_expire_time == link.expire_time
    )


def names_another_namespace(view: View) -> Plan | None:
    """A link may name only its own namespace, as the server driver demands."""
    if view.link.foreign_namespace is None:
        return None
    return Acknowledge(Acknowledgement(LinkPhase.REJECTED, LinkReason.NOT_LOCAL_NAMESPACE, ONLY_LOCAL_NAMESPACE))


def has_no_route(view: View) -> Plan | None:
    """Without its route a link waits, whatever it was bound to; its spec keeps the pod."""
    if view.route is not None:
        return None
    namespace, name = view.link.group
    return _wait(LinkReason.ROUTE_NOT_FOUND, f"StatefulRoute {name!r} does not exist in namespace {namespace!r}")


def keeps_its_pod(view: View) -> Plan | None:
    """A bound link stays bound while its pod restarts: what was acknowledged once is not taken back."""
    link, acknowledged = view.link, view.link.acknowledged
    if acknowledged is None or acknowledged.phase is not LinkPhase.BOUND or acknowledged.pod_index != link.pod_index:
        return None
    pod = _pod_of(view)
    return Acknowledge(acknowledged if pod is None else _bound(pod))


def has_no_workload(view: View) -> Plan | None:
    """Without a workload there is no pod to check."""
    route = _route(view)
    if route.workload is not None:
        return None
    reference = route.route.spec.workload_ref
    return _wait(
        LinkReason.WORKLOAD_NOT_FOUND,
        f"{reference.kind} {route.route.workload_name!r} of StatefulRoute {route.route.name!r} does not exist",
    )


def has_no_pod_yet(view: View) -> Plan | None:
    """A link that leaves the choice gets the best pod."""
    if view.link.pod_index is not None:
        return None
    pod = best_pod(_route(view))
    if pod is None:
        return _wait(
            LinkReason.NO_AVAILABLE_POD, f"no pod of StatefulRoute {_route(view).route.name!r} takes new users now"
        )
    return Bind(pod.index)


def names_a_missing_pod(view: View) -> Plan | None:
    """A link to a pod that does not exist waits for it."""
    if _pod_of(view) is not None:
        return None
    return _wait(
        LinkReason.POD_NOT_FOUND,
        f"StatefulRoute {_route(view).route.name!r} has no pod of index {view.link.pod_index} now",
    )


def names_an_unroutable_pod(view: View) -> Plan | None:
    """A link is accepted while its pod is routable, DenyNewCall included: a server says whom it holds."""
    pod = _pod_of(view)
    if pod is None or pod.is_routable:
        return None
    # The message names no passing state of the pod: a pod on its way to Ready rewrites no waiting link.
    why = "is shut down" if pod.routing_state is RoutingState.SHUTDOWN else "is not ready"
    return _wait(LinkReason.POD_NOT_ROUTABLE, f"pod {pod.pod.name!r} {why}")


def is_bound(view: View) -> Plan | None:
    """Nothing stands against it."""
    pod = _pod_of(view)
    return None if pod is None else Acknowledge(_bound(pod))


QUESTIONS: tuple[Question, ...] = (
    names_another_namespace,  # -> Rejected(NotLocalNamespace)
    has_no_route,  # -> Pending(RouteNotFound)
    keeps_its_pod,  # -> Bound, as before
    has_no_workload,  # -> Pending(WorkloadNotFound)
    has_no_pod_yet,  # -> Bind(best pod) | Pending(NoAvailablePod)
    names_a_missing_pod,  # -> Pending(PodNotFound)
    names_an_unroutable_pod,  # -> Pending(PodNotRoutable)
    is_bound,  # -> Bound
)


def _route(view: View) -> RouteView:
    """The route, for the questions after `has_no_route`."""
    if view.route is None:
        raise AssertionError("has_no_route answers first")
    return view.route


def _pod_of(view: View) -> PodView | None:
    index = view.link.pod_index
    return None if view.route is None or index is None else view.route.pods.get(index)


def _wait(reason: LinkReason, message: str) -> Acknowledge:
    return Acknowledge(Acknowledgement(LinkPhase.PENDING, reason, message))


def _bound(pod: PodView) -> Acknowledgement:
    return Acknowledgement(
        LinkPhase.BOUND,
        LinkReason.BOUND,
        f"bound to pod {pod.pod.name!r}",
        pod_index=pod.index,
        pod_name=pod.pod.name,
        host=pod.host,
    )
