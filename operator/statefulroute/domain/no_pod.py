"""Explains why no pod takes a new user."""

from collections.abc import Container
from datetime import datetime

from statefulroute.api.vocabulary import RoutingState, ServiceState
from statefulroute.domain.explanation import Explanation
from statefulroute.domain.keys import PodKey
from statefulroute.domain.placement import available_pods, silent_pods
from statefulroute.domain.route import PodView, RouteView

#: The number of pods that are named for each reason. The others are not counted: otherwise each step of a rollout would
#: change the status of every waiting link.
_MAX_NAMED_PODS = 3

#: How each reason is worded. The codes and values of reasons are facts, and their wording is not.
_WORDING = {
    "lost": "lost ({})",
    "notReady": "not Ready",
    "terminating": "being deleted",
    "beyondReplicas": "beyond the workload's replicas",
    "routingState": "in the routing state {}",
    "silent": "without a load report for more than {} s",
    "full": "at the limit of {} links (placement.maxLinksPerPod)",
}

#: The code of a reason, and its values.
_Reason = tuple[str | int, ...]


def explain_no_pod(view: RouteView, now: datetime) -> Explanation:
    """Returns the explanation for links that wait because `best_pod` is None: why each pod takes no new users.

    The reasons are named pod by pod, unless they are the same for all.
    """
    start = f"no pod of StatefulRoute {view.route.name!r} takes new users now"
    state = view.route.spec.routing_state
    if state in {RoutingState.DENY_NEW_CALL, RoutingState.SHUTDOWN}:
        return Explanation(f"{start}: its routingState is {state}", ("route", state))
    if not view.pods:
        return Explanation(f"{start}: its workload has no pods", ("noPods",))
    available, silent = {pod.key for pod in available_pods(view)}, silent_pods(view, now)
    pods: dict[_Reason, list[str]] = {}
    for pod in view.pods.values():
        pods.setdefault(_reason(view, pod, available, silent), []).append(pod.pod.name)
    if len(pods) == 1:
        (reason,) = pods
        return Explanation(f"{start}: every pod is {_wording(reason)}", ("every", reason))
    named = [(reason, names[:_MAX_NAMED_PODS], len(names) > _MAX_NAMED_PODS) for reason, names in pods.items()]
    reasons = "; ".join(
        f"{', '.join(names)}{' and others' if has_others else ''}: {_wording(reason)}"
        for reason, names, has_others in named
    )
    return Explanation(f"{start}: {reasons}", ("pods", named))


def _wording(reason: _Reason) -> str:
    code, *values = reason
    return _WORDING[str(code)].format(*values)


def _reason(view: RouteView, pod: PodView, available: Container[PodKey], silent: Container[PodKey]) -> _Reason:
    """Returns why a pod takes no new users, without details that change while it starts or ends."""
    if pod.key not in available:
        return _unavailable_reason(view, pod)
    if pod.key in silent:
        return "silent", view.route.spec.load.stale_after_seconds
    return "full", view.route.spec.placement.max_links_per_pod


def _unavailable_reason(view: RouteView, pod: PodView) -> _Reason:
    if (loss := view.lost.get(pod.key) or view.withheld_losses.get(pod.key)) is not None:
        return "lost", loss.cause
    if not pod.pod.is_ready:
        return ("notReady",)
    if pod.pod.service_state is ServiceState.TERMINATING:
        return ("terminating",)
    if view.workload is not None and view.workload.is_indexed and not view.workload.can_create(pod.key):
        return ("beyondReplicas",)
    return "routingState", pod.routing_state
