"""Explains why no pod takes a new user."""

from collections.abc import Container
from datetime import datetime

from statefulroute.api.vocabulary import RoutingState, ServiceState
from statefulroute.domain.keys import PodKey
from statefulroute.domain.placement import silent_pods
from statefulroute.domain.route import PodView, RouteView

#: The number of pods that are named for each reason. The others are not counted: otherwise each step of a rollout would
#: change the status of every waiting link.
_MAX_NAMED_PODS = 3


def explain_no_pod(view: RouteView, now: datetime) -> str:
    """Returns the message for links that wait because `best_pod` is None: why each pod takes no new users.

    The reasons are named pod by pod, unless they are the same for all.
    """
    start = f"no pod of StatefulRoute {view.route.name!r} takes new users now"
    state = view.route.spec.routing_state
    if state in {RoutingState.DENY_NEW_CALL, RoutingState.SHUTDOWN}:
        return f"{start}: its routingState is {state}"
    if not view.pods:
        return f"{start}: its workload has no pods"
    silent = silent_pods(view, now)
    pods: dict[str, list[str]] = {}
    for pod in view.pods.values():
        pods.setdefault(_reason(view, pod, silent), []).append(pod.pod.name)
    if len(pods) == 1:
        return f"{start}: every pod is {next(iter(pods))}"
    return f"{start}: " + "; ".join(f"{_names(names)}: {reason}" for reason, names in pods.items())


def _reason(view: RouteView, pod: PodView, silent: Container[PodKey]) -> str:
    """Returns why a pod takes no new users, without details that change while it starts or ends."""
    if not pod.is_available or pod.key in view.lost:
        return _unavailable_reason(view, pod)
    if pod.key in silent:
        return f"without a load report for more than {view.route.spec.load.stale_after_seconds} s"
    return f"at the limit of {view.route.spec.placement.max_links_per_pod} links (placement.maxLinksPerPod)"


def _unavailable_reason(view: RouteView, pod: PodView) -> str:
    if (loss := view.lost.get(pod.key)) is not None:
        return f"lost ({loss.cause})"
    if not pod.pod.is_ready:
        return "not Ready"
    if pod.pod.service_state is ServiceState.TERMINATING:
        return "being deleted"
    if view.workload is not None and view.workload.is_indexed and not view.workload.can_create(pod.key):
        return "beyond the workload's replicas"
    return f"in the routing state {pod.routing_state}"


def _names(names: list[str]) -> str:
    return ", ".join(names[:_MAX_NAMED_PODS]) + (" and others" if len(names) > _MAX_NAMED_PODS else "")
