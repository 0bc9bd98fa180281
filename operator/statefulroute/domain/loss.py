"""Decides which pods are lost: gone for longer than the grace period, permanently gone, or shut down."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from statefulroute.api.vocabulary import LossCause, RoutingState, ServiceState
from statefulroute.domain.keys import PodKey, pod_sort_key
from statefulroute.domain.route import PodLoss, RouteView


class Absence(StrEnum):
    """Why a pod is absent, as the rest of a sentence that starts with the pod."""

    BEYOND_REPLICAS = "is beyond the workload's replicas"
    PERMANENTLY_GONE = "is gone, and none comes back under its name"
    SHUT_DOWN = "is shut down"
    GONE = "is gone"
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
    """

    absence: Absence
    cause: LossCause
    since: float


@dataclass(frozen=True, slots=True)
class PodLosses:
    """The absent pods, the lost pods, and when the next grace period ends."""

    absent: Mapping[PodKey, AbsentPod]
    lost: Mapping[PodKey, PodLoss]
    next_deadline: float | None
    """In seconds of the same clock; None if no grace period is running."""


def find_losses(
    view: RouteView, linked_pods: Iterable[PodKey], previous: Mapping[PodKey, AbsentPod], now: float
) -> PodLosses:
    """Finds the lost pods of a route.

    A pod that is permanently gone or shut down is lost immediately; a pod that is gone is lost after the grace period.
    The grace period restarts when the reason of the absence changes. While the workload cannot be read, nothing
    changes.

    Args:
        view: the route.
        linked_pods: the pods that have links.
        previous: the absent pods of the previous call.
        now: the seconds of a monotonic clock: a grace period must not depend on a time of day, which may jump.
    """
    grace, linked_pods = view.route.spec.on_pod_lost.grace_seconds, set(linked_pods)
    absent: dict[PodKey, AbsentPod] = {}
    lost: dict[PodKey, PodLoss] = {}
    if view.workload is None and not view.is_workload_gone:
        return PodLosses(previous, lost, None)
    for key in sorted(linked_pods | set(view.pods), key=pod_sort_key):
        absence = _absence(view, key)
        if absence is None:
            continue
        before = previous.get(key)
        is_same = before is not None and before.absence is absence
        absent[key] = before if before and is_same else AbsentPod(absence, _cause(view, key, absence), now)
        is_grace_over = now >= absent[key].since + grace
        if absence in _LOST_IMMEDIATELY:
            lost[key] = PodLoss(absent[key].cause, absence, is_grace_over)
        elif is_grace_over:
            lost[key] = PodLoss(absent[key].cause, f"has been gone for more than {grace} s", is_grace_over)
    running = (key for key in linked_pods & absent.keys() if key not in lost or not lost[key].is_grace_over)
    return PodLosses(absent, lost, min((absent[key].since + grace for key in running), default=None))


def is_permanently_gone(view: RouteView, key: PodKey) -> bool:
    """Returns whether a pod does not exist, and the workload, in its current state, will not create it.

    A pod beyond the replicas of a StatefulSet is also gone when it has ended: it will not be replaced. It serves its
    users until then, because a scale-down deletes such pods one by one.
    """
    if view.workload is None or view.workload.can_create(key):
        return False
    pod = view.pods.get(key)
    return pod is None or (view.workload.is_indexed and pod.has_ended)


def _absence(view: RouteView, key: PodKey) -> Absence | None:
    pod = view.pods.get(key)
    if view.workload is None:
        return Absence.NO_WORKLOAD
    if is_permanently_gone(view, key):
        is_indexed = view.workload.is_indexed and isinstance(key, int)
        return Absence.BEYOND_REPLICAS if is_indexed else Absence.PERMANENTLY_GONE
    if pod is None or not pod.is_present:
        return Absence.GONE
    return Absence.SHUT_DOWN if pod.routing_state is RoutingState.SHUTDOWN else None


def _cause(view: RouteView, key: PodKey, absence: Absence) -> LossCause:
    """Returns the cause of an absence that begins now."""
    pod = view.pods.get(key)
    match absence:
        case Absence.BEYOND_REPLICAS:
            return LossCause.SCALED_DOWN
        case Absence.SHUT_DOWN:
            return LossCause.SHUTDOWN
        case Absence.NO_WORKLOAD:
            return LossCause.WORKLOAD_GONE
        case Absence.PERMANENTLY_GONE | Absence.GONE:
            if pod is not None and pod.node_loss is not None:
                return pod.node_loss
            is_failed = pod is not None and pod.pod.service_state is ServiceState.FAILED
            return LossCause.POD_FAILED if is_failed else LossCause.POD_DELETED
