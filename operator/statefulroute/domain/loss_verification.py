"""Withholds the losses of pods until a read from the API server has verified them.

A cache may be stale for minutes, for example behind a load balancer that forwards nothing any more.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

from statefulroute.domain.keys import PodKey
from statefulroute.domain.loss import AbsentPod
from statefulroute.domain.route import RouteView


def withhold_unverified(
    view: RouteView,
    linked_pods: AbstractSet[PodKey],
    absent: Mapping[PodKey, AbsentPod],
    verified: Mapping[PodKey, AbsentPod],
) -> tuple[RouteView, Mapping[PodKey, AbsentPod]]:
    """Withholds the losses of pods with links that are not verified.

    An absence that has ended, has another reason or has begun again differs from the verified one.

    Args:
        view: the route, with its losses.
        linked_pods: the pods that have links.
        absent: the absent pods.
        verified: the absences that the API server has verified.

    Returns:
        The route with the losses that count, and the absences to verify.
    """
    unverified = {key: absent[key] for key in view.lost if key in linked_pods and verified.get(key) != absent[key]}
    if not unverified:
        return view, unverified
    lost = {key: loss for key, loss in view.lost.items() if key not in unverified}
    withheld = {key: view.lost[key] for key in unverified}
    return replace(view, lost=lost, withheld_losses={**view.withheld_losses, **withheld}), unverified
