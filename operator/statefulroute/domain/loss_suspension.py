"""Suspends losses while a large part of a service looks lost at once.

A fault of the observation is then more likely than the loss of so many pods, and moving or deleting the links of all
users does more harm than waiting. The node controller of Kubernetes stops evicting pods in the same case.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from statefulroute.api.vocabulary import RouteReason
from statefulroute.domain.keys import PodKey, pod_sort_key
from statefulroute.domain.loss import Absence, AbsentPod, PodLosses, find_absence, find_losses
from statefulroute.domain.pod_sets import NO_PODS, add_pod, pod_set, remove_pod
from statefulroute.domain.pod_views import totals_of
from statefulroute.domain.route import LossSuspension, RouteView

#: Of so many pods at most, an operator that was restarted counts those that are missing.
_MAX_PODS_AFTER_RESTART = 10_000


#: What most routes have: no absent pod.
_NONE: Mapping[PodKey, Any] = {}


@dataclass(frozen=True, slots=True)
class LossState:
    """What the next evaluation of a route's losses depends on.

    Attributes:
        absent: the absent pods.
        former: the absent pods that had links or were seen to serve, and since when they are absent.
        suspension: why losses are suspended; None if they are not.
        next_deadline: when the next period of an absent pod ends, in seconds of a monotonic clock; None if none runs.
        serving: the pods that were not absent. The next evaluation may change this set.
        confirmed: the absent pods whose loss a person has confirmed.
    """

    absent: Mapping[PodKey, AbsentPod] = field(default_factory=lambda: _NONE)
    former: Mapping[PodKey, float] = field(default_factory=lambda: _NONE)
    suspension: LossSuspension | None = None
    next_deadline: float | None = None
    serving: AbstractSet[PodKey] = NO_PODS
    confirmed: AbstractSet[PodKey] = NO_PODS


def evaluate_losses(  # noqa: PLR0913, PLR0917 - all that losses depend on
    view: RouteView,
    linked_pods: AbstractSet[PodKey],
    previous: LossState | None,
    now: float,
    confirmed_before: float | None = None,
    changed: AbstractSet[PodKey] | None = None,
) -> tuple[RouteView, LossState | None]:
    """Finds the lost pods of a route, or suspends their losses if too many nodes or pods look lost.

    A pod with links looks lost as soon as it is absent, so the losses of pods that leave one after the other are
    suspended, too. It counts until it is back, also when its links are gone: otherwise the losses of the next pods
    would never be suspended. So does a pod without links that was seen to serve: the loss of all pods must not look
    like that of a few because there are few users. Losses that the scale or the deletion of the workload or the spec of
    the route explains, and confirmed ones, are neither counted nor suspended. When a suspension ends, the periods of
    the absent pods start again: nodes return one after the other, and those that are not back yet must not be lost at
    once. While the workload cannot be read, nothing changes.

    Args:
        view: the route.
        linked_pods: the pods that have links.
        previous: the result of the previous call; None if this is the first one, then the status of the route
            shows whether losses were suspended before the operator started, and all pods that are absent count.
        now: the seconds of a monotonic clock.
        confirmed_before: until when the confirmed absences began, by the same clock; None if none is confirmed.
        changed: the pods that may differ since the previous call: in the view, or in whether they have links. None if
            every pod may differ, because the route or its workload has changed.
    """
    if view.workload is None and not view.is_workload_gone:
        return replace(view, loss_suspension=previous.suspension if previous else None), previous
    changed = None if previous is None else changed
    losses = find_losses(view, linked_pods, previous.absent if previous else {}, now, changed)
    absent = losses.absent
    confirmed = {key for key, pod in absent.items() if confirmed_before is not None and pod.since <= confirmed_before}
    if previous is not None:  # also one that is absent for another reason by now, because it was not back in between
        confirmed |= previous.confirmed & absent.keys()
    apparent = {key for key in linked_pods & absent.keys() - confirmed if not _is_explained(view, key)}
    known = _known_pods(view, previous, absent, now, changed)
    former = _former_pods(view, linked_pods, known, confirmed_before)
    # By the status, so that a restart of the operator does not end a suspension.
    was_suspended = previous.suspension is not None if previous else view.route.are_losses_suspended
    suspension = None
    if apparent and (was_suspended or apparent & losses.lost.keys()):
        looks_lost = apparent | former.keys()
        suspension = _suspension_by_nodes(view, confirmed) or _suspension_by_pods(view, looks_lost, absent)
    if suspension is None and was_suspended:
        again = {key: replace(absent[key], since=now, not_ready_since=None) for key in apparent}
        losses = find_losses(view, linked_pods, {**absent, **again}, now, absent.keys())
    former |= {key: pod.since for key, pod in losses.absent.items() if key in apparent}
    serving = _serving_pods(view, previous, losses.absent, changed)
    state = LossState(
        losses.absent or _NONE, former or _NONE, suspension, losses.next_deadline, serving, confirmed or NO_PODS
    )
    return _with_losses(view, losses, suspension, apparent), state


def _with_losses(
    view: RouteView, losses: PodLosses, suspension: LossSuspension | None, apparent: AbstractSet[PodKey]
) -> RouteView:
    if suspension is None:
        return view if view.lost == losses.lost else replace(view, lost=losses.lost)
    withheld = {key: loss for key, loss in losses.lost.items() if key in apparent}
    lost = {key: loss for key, loss in losses.lost.items() if key not in apparent}
    return replace(view, lost=lost, withheld_losses=withheld, loss_suspension=suspension)


def _serving_pods(
    view: RouteView,
    previous: LossState | None,
    absent: Mapping[PodKey, AbsentPod],
    changed: AbstractSet[PodKey] | None,
) -> AbstractSet[PodKey]:
    """Returns the pods that are not absent."""
    if previous is None or changed is None:
        return pod_set(key for key in view.pods if key not in absent)
    serving = previous.serving
    for key in changed:
        is_serving = key in view.pods and key not in absent
        serving = add_pod(serving, key) if is_serving else remove_pod(serving, key)
    return serving


def _known_pods(
    view: RouteView,
    previous: LossState | None,
    absent: Mapping[PodKey, AbsentPod],
    now: float,
    changed: AbstractSet[PodKey] | None,
) -> Mapping[PodKey, float]:
    """Returns the pods that may have left since they had links or were seen to serve, and since when."""
    if previous is None:
        return dict.fromkeys(_wanted_pods(view), now) if view.route.are_losses_suspended else {}
    may_have_left = previous.serving if changed is None else previous.serving & changed
    left = {key for key in may_have_left if key not in view.pods or key in absent}
    # A pod that shuts itself down when it has no users is not lost.
    gone = {key for key in left if key not in absent or absent[key].absence is not Absence.SHUT_DOWN}
    return {**previous.former, **dict.fromkeys(sorted(gone, key=pod_sort_key), now)}


def _former_pods(
    view: RouteView, linked_pods: AbstractSet[PodKey], known: Mapping[PodKey, float], confirmed_before: float | None
) -> dict[PodKey, float]:
    """Returns the known pods that have no links, are not back and look lost, and since when they are absent."""
    former = {
        key: since
        for key, since in known.items()
        if key not in linked_pods
        and (confirmed_before is None or since > confirmed_before)
        and find_absence(view, key) is not None
        and not _is_explained(view, key)
    }
    if view.workload is None or view.workload.is_indexed:
        return former
    # Pods without an index do not come back, but are replaced.
    missing = max(0, view.workload.replicas - totals_of(view.pods, view.workload).ready)
    return dict(islice(former.items(), max(0, len(former) - missing), None))


def _wanted_pods(view: RouteView) -> Iterable[PodKey]:
    """Returns the pods of the workload; without an index, with names that no pod has."""
    if view.workload is None:
        return ()
    number, first = min(view.workload.replicas, _MAX_PODS_AFTER_RESTART), view.workload.first_index
    return (f"?{each}" for each in range(number)) if first is None else range(first, first + number)


def _is_explained(view: RouteView, key: PodKey) -> bool:
    """Returns whether a person is the reason that a pod is absent.

    The workload was scaled down or deleted, or the route shuts the pod down.
    """
    match find_absence(view, key):
        case Absence.BEYOND_REPLICAS | Absence.NO_WORKLOAD:
            return True
        case Absence.SHUT_DOWN:  # a pod that is scaled down may report it while it is ready
            is_wanted = view.workload is None or view.workload.wants(key)
            return not is_wanted or (key in view.pods and view.pods[key].is_shut_down_by_route)
        case Absence.PERMANENTLY_GONE:  # a key that this workload cannot have, or a named pod
            return view.workload is None or view.workload.is_indexed or isinstance(key, int)
        case _:
            return False


def _suspension_by_nodes(view: RouteView, confirmed: AbstractSet[PodKey]) -> LossSuspension | None:
    """Counts the nodes that carry pods of the route.

    Pods that have failed do not count, and without an index also those that Kubernetes evicts from lost nodes: they
    stay in Terminating, and are counted as pods while they are not replaced.
    """
    nodes = totals_of(view.pods, view.workload).count_nodes(without=confirmed)
    percent = view.route.spec.on_pod_lost.suspend.nodes_percent
    return _suspension(view, RouteReason.NODES_LOST, nodes.lost, nodes.total, percent)


def _suspension_by_pods(
    view: RouteView, apparent: AbstractSet[PodKey], absent: Mapping[PodKey, AbsentPod]
) -> LossSuspension | None:
    """Counts the pods that look lost among those that have or had links, serve, or were seen to serve."""
    workload, percent = view.workload, view.route.spec.on_pod_lost.suspend.pods_percent
    absent_and_wanted = sum(key in view.pods and (workload is None or workload.wants(key)) for key in absent)
    serving = totals_of(view.pods, workload).wanted - absent_and_wanted
    lost = len(apparent)
    if workload is not None and not workload.is_indexed:
        ended = sum(key not in view.pods or view.pods[key].is_ending for key in apparent)
        # The others were replaced by a rollout, or removed by a scale-down.
        missing = max(0, workload.replicas - serving - (lost - ended))
        lost = lost - ended + min(ended, missing)
    return _suspension(view, RouteReason.PODS_LOST, lost, lost + serving, percent)


def _suspension(view: RouteView, reason: RouteReason, lost: int, total: int, percent: int) -> LossSuspension | None:
    is_exceeded = percent and lost * 100 > total * percent and lost >= view.route.spec.on_pod_lost.suspend.minimum
    return LossSuspension(reason, lost, total, percent) if is_exceeded else None
