"""Decides which pods are lost: gone or not ready for too long, permanently gone, or shut down."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum

from statefulroute.api.pod_loss import OnPodLost
from statefulroute.api.vocabulary import LossCause, RoutingState, ServiceState
from statefulroute.domain.keys import PodKey, pod_sort_key
from statefulroute.domain.pod import Pod
from statefulroute.domain.route import PodLoss, RouteView


class Absence(StrEnum):
    """Why a pod is absent, that is, does not serve its users: the rest of a sentence that starts with the pod."""

    BEYOND_REPLICAS = "is beyond the workload's replicas"
    PERMANENTLY_GONE = "is gone, and none comes back under its name"
    SHUT_DOWN = "is shut down"
    GONE = "is gone"
    NOT_READY = "is not Ready"
    NO_WORKLOAD = "has no workload"
    """Differs from GONE, because a recreated workload adopts its pods one by one, and no link moves in the meantime."""


_LOST_IMMEDIATELY = (Absence.BEYOND_REPLICAS, Absence.PERMANENTLY_GONE, Absence.SHUT_DOWN)


@dataclass(frozen=True, slots=True)
class AbsentPod:
    """An absent pod.

    Attributes:
        absence: the reason.
        cause: what has made the pod absent, as far as it was visible when the absence began.
        since: since when the pod is absent for this reason, in seconds of a monotonic clock.
        not_ready_since: when the pod was first not ready after it was last ready, by the same clock; None if it was not
            seen so. The period of a pod that is deleted and created again and again does not restart.
    """

    absence: Absence
    cause: LossCause
    since: float
    not_ready_since: float | None = None


@dataclass(frozen=True, slots=True)
class PodLosses:
    """The absent pods, the lost pods, and when the next grace period ends."""

    absent: Mapping[PodKey, AbsentPod]
    lost: Mapping[PodKey, PodLoss]
    next_deadline: float | None
    """In seconds of the same clock; None if no period is running."""


def find_losses(
    view: RouteView,
    linked_pods: Iterable[PodKey],
    previous: Mapping[PodKey, AbsentPod],
    now: float,
    changed: AbstractSet[PodKey] | None = None,
) -> PodLosses:
    """Finds the lost pods of a route.

    A pod that is permanently gone or shut down is lost immediately, a pod that is gone after `graceSeconds`, and a pod
    that exists and is not ready after `notReadySeconds`. Each period restarts when the reason of the absence changes.
    While the workload cannot be read, nothing changes.

    Args:
        view: the route.
        linked_pods: the pods that have links.
        previous: the absent pods of the previous call.
        now: the seconds of a monotonic clock: a grace period must not depend on a time of day, which may jump.
        changed: the pods that may differ since the previous call: in the view, or in whether they have links. A pod
            that was not absent and has not changed is not absent. None if every pod may differ.
    """
    settings = view.route.spec.on_pod_lost
    linked_pods = linked_pods if isinstance(linked_pods, AbstractSet) else set(linked_pods)
    absent: dict[PodKey, AbsentPod] = {}
    lost: dict[PodKey, PodLoss] = {}
    if view.workload is None and not view.is_workload_gone:
        return PodLosses(previous, lost, None)
    for key in sorted(_keys_to_check(view, linked_pods, previous, changed), key=pod_sort_key):
        absence = find_absence(view, key)
        if absence is None:
            continue
        absent[key] = _absent_pod(view, key, absence, previous.get(key), now)
        if (loss := _loss(absent[key], settings, now)) is not None:
            lost[key] = loss
    running = (key for key in linked_pods & absent.keys() if key not in lost or not lost[key].is_grace_over)
    deadlines = (_deadline(absent[key], settings) for key in running)
    return PodLosses(absent, lost, min((each for each in deadlines if each is not None), default=None))


def _keys_to_check(
    view: RouteView,
    linked_pods: AbstractSet[PodKey],
    previous: Mapping[PodKey, AbsentPod],
    changed: AbstractSet[PodKey] | None,
) -> Iterable[PodKey]:
    """Returns the pods that may be absent, among those that exist or have links."""
    if changed is None:
        return {*linked_pods, *view.pods}
    return {key for keys in (changed, previous) for key in keys if key in view.pods or key in linked_pods}


def _absent_pod(view: RouteView, key: PodKey, absence: Absence, before: AbsentPod | None, now: float) -> AbsentPod:
    """Returns the absence of a pod, which may have begun before."""
    if before is not None and before.absence is absence:
        return before
    pod = view.pods.get(key)
    is_ready = pod is not None and pod.pod.is_ready
    not_ready_since = None if before is None or is_ready else before.not_ready_since
    since = now
    if absence is Absence.NOT_READY:
        since = not_ready_since = now if not_ready_since is None else not_ready_since
    return AbsentPod(absence, _cause(view, key, absence, before), since, not_ready_since)


def _deadline(pod: AbsentPod, settings: OnPodLost) -> float | None:
    """Returns when the period of an absent pod ends; None if it has no end."""
    if pod.absence is not Absence.NOT_READY:
        return pod.since + settings.grace_seconds
    return pod.since + settings.not_ready_seconds if settings.not_ready_seconds else None


def _loss(pod: AbsentPod, settings: OnPodLost, now: float) -> PodLoss | None:
    """Returns the loss of an absent pod; None if it is not lost yet."""
    deadline = _deadline(pod, settings)
    is_over = deadline is not None and now >= deadline
    if pod.absence in _LOST_IMMEDIATELY:
        return PodLoss(pod.cause, pod.absence, is_over)
    if not is_over:
        return None
    if pod.absence is Absence.NOT_READY:
        seconds, message = settings.not_ready_seconds, "has not been Ready"
    else:
        seconds, message = settings.grace_seconds, "has been gone"
    return PodLoss(pod.cause, f"{message} for more than {seconds} s", is_over, seconds)


def is_permanently_gone(view: RouteView, key: PodKey) -> bool:
    """Returns whether a pod does not exist, and the workload, in its current state, will not create it.

    A pod beyond the replicas of a StatefulSet is also gone when it is no longer ready: it will not be replaced. It
    serves its users until then, because a scale-down deletes such pods one by one.
    """
    if view.workload is None or view.workload.can_create(key):
        return False
    pod = view.pods.get(key)
    return pod is None or (view.workload.is_indexed and (pod.has_ended or not pod.pod.is_ready))


def find_absence(view: RouteView, key: PodKey) -> Absence | None:
    """Returns why a pod is absent now; None if it serves its users, or may soon."""
    pod = view.pods.get(key)
    if view.workload is None:
        return Absence.NO_WORKLOAD
    if is_permanently_gone(view, key):
        is_indexed = view.workload.is_indexed and isinstance(key, int)
        return Absence.BEYOND_REPLICAS if is_indexed else Absence.PERMANENTLY_GONE
    if pod is None or not pod.is_present:
        return Absence.GONE
    if pod.routing_state is RoutingState.SHUTDOWN:
        return Absence.SHUT_DOWN
    return None if pod.pod.is_ready else Absence.NOT_READY


def current_cause(view: RouteView, key: PodKey) -> LossCause:
    """Returns why an absent pod is absent, as far as it is visible now."""
    return _cause(view, key, find_absence(view, key) or Absence.GONE, None)


def _cause(view: RouteView, key: PodKey, absence: Absence, before: AbsentPod | None) -> LossCause:
    """Returns the cause of an absence that begins now; `before` is the absence of the pod until now."""
    match absence:
        case Absence.BEYOND_REPLICAS:
            return LossCause.SCALED_DOWN
        case Absence.SHUT_DOWN:
            is_over = key in view.closing and view.closing[key].is_over
            return LossCause.DEADLINE_OVER if is_over else LossCause.SHUTDOWN
        case Absence.NO_WORKLOAD:
            return LossCause.WORKLOAD_GONE
        case Absence.NOT_READY:
            return LossCause.NOT_READY
        case Absence.PERMANENTLY_GONE | Absence.GONE:
            return _gone_cause(view, key, before)


def _gone_cause(view: RouteView, key: PodKey, before: AbsentPod | None) -> LossCause:
    pod = view.pods.get(key)
    if pod is not None and pod.node_loss is not None:
        return pod.node_loss
    if pod is None and before is not None and before.absence is Absence.GONE:
        return before.cause  # the pod that was absent is deleted at last
    return view.end_causes.get(key) or (pod and end_cause(pod.pod)) or LossCause.POD_DELETED


#: What each reason of the condition DisruptionTarget means; every other reason is an eviction.
_DISRUPTIONS = {
    "DeletionByTaintManager": LossCause.NODE_NOT_READY,
    "DeletionByPodGC": LossCause.NODE_GONE,
}


def end_cause(pod: Pod) -> LossCause | None:
    """Returns why a pod ends or has ended, as far as this version of it shows; None if it shows nothing.

    The containers of a pod that is being deleted terminate, too, so its phase shows nothing.
    """
    if pod.disruption is not None:
        return _DISRUPTIONS.get(pod.disruption, LossCause.POD_EVICTED)
    return LossCause.POD_FAILED if pod.service_state is ServiceState.FAILED else None
