"""Explains why no pod takes a new user."""

from collections.abc import Container, Sequence
from datetime import datetime

from statefulroute.api.vocabulary import RoutingState, ServiceState
from statefulroute.domain.explanation import Explanation, NamedReason, Reason
from statefulroute.domain.keys import PodKey
from statefulroute.domain.placement import available_pods, current_index, silent_pods
from statefulroute.domain.route import PodView, RouteView

#: The number of pods that are named for each reason. The others are not counted: otherwise each step of a rollout would
#: change the status of every waiting link.
MAX_NAMED_PODS = 3

#: How each reason is worded. The codes and values of reasons are facts, and their wording is not.
_WORDING = {
    "lost": "lost ({})",
    "notReady": "not Ready",
    "terminating": "being deleted",
    "beyondReplicas": "beyond the workload's replicas",
    "closing": "about to be removed ({})",
    "routingState": "in the routing state {}",
    "silent": "without a load report for more than {} s",
    "full": "at the limit of {} links (placement.maxLinksPerPod)",
}


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
    reasons = _reasons(view, now)
    if len(reasons) == 1:
        reason = reasons[0].reason
        return Explanation(f"{start}: every pod is {_wording(reason)}", ("every", reason))
    named = "; ".join(
        f"{', '.join(each.pods)}{' and others' if each.has_others else ''}: {_wording(each.reason)}" for each in reasons
    )
    return Explanation(f"{start}: {named}", ("pods", [tuple(each) for each in reasons]))


def _reasons(view: RouteView, now: datetime) -> Sequence[NamedReason]:
    """Returns why the pods take no new users, in the order of the first pod of each reason."""
    if (index := current_index(view)) is not None:
        return index.reasons(now)
    available, silent = {pod.key for pod in available_pods(view)}, silent_pods(view, now)
    pods: dict[Reason, list[str]] = {}
    for pod in view.pods.values():
        pods.setdefault(_reason(view, pod, available, silent), []).append(pod.pod.name)
    return [NamedReason(reason, names[:MAX_NAMED_PODS], len(names) > MAX_NAMED_PODS) for reason, names in pods.items()]


def _wording(reason: Reason) -> str:
    code, *values = reason
    return _WORDING[str(code)].format(*values)


def _reason(view: RouteView, pod: PodView, available: Container[PodKey], silent: Container[PodKey]) -> Reason:
    """Returns why a pod takes no new users, without details that change while it starts or ends."""
    if pod.key not in available:
        return unavailable_reason(view, pod)
    return silent_reason(view) if pod.key in silent else full_reason(view)


def silent_reason(view: RouteView) -> Reason:
    """Returns the reason of a pod that does not report its load any more."""
    return "silent", view.route.spec.load.stale_after_seconds


def full_reason(view: RouteView) -> Reason:
    """Returns the reason of a pod without room."""
    return "full", view.route.spec.placement.max_links_per_pod


def unavailable_reason(view: RouteView, pod: PodView) -> Reason:
    """Returns why a pod does not accept new users."""
    if (loss := view.lost.get(pod.key) or view.withheld_losses.get(pod.key)) is not None:
        return "lost", loss.cause
    if not pod.pod.is_ready:
        return ("notReady",)
    if pod.pod.service_state is ServiceState.TERMINATING:
        return ("terminating",)
    if view.workload is not None and view.workload.is_indexed and not view.workload.can_create(pod.key):
        return ("beyondReplicas",)
    if pod.key in view.closing:
        return "closing", view.closing[pod.key].reason
    return "routingState", pod.routing_state
