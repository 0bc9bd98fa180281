"""Which pod takes a slot: the one with the fewest slots, whatever its load."""

from collections.abc import Sequence
from datetime import datetime

from statefulroute.api.vocabulary import RoutingState
from statefulroute.domain.link import Link
from statefulroute.domain.placement import best_pod, pods_for_new_users
from statefulroute.domain.route import PodView, RouteView
from statefulroute.domain.slots.spread import fewest_first


def choose_pod(link: Link, view: RouteView, now: datetime) -> PodView | None:
    """Returns the pod for a link that has none, or has to leave its pod; None if no pod takes it."""
    return pod_for_slot(view, now) if link.is_of_slot else best_pod(view, now)


def pod_for_slot(view: RouteView, now: datetime) -> PodView | None:
    """Returns the pod that takes the next slot; None if there is none."""
    key = fewest_first((pod.key for pod in pods_for_slots(view, now)), view.slot_counts)
    return None if key is None else view.pods.get(key)


def pods_for_slots(view: RouteView, now: datetime) -> Sequence[PodView]:
    """Returns the pods that take slots: those that take new users, and during a rollout those of the new revision."""
    return pods_for_new_users(view, now)


def takes_no_new_users(pod: PodView) -> bool:
    """Returns whether the pod serves its users and accepts no new ones: it is drained, closing or terminating."""
    return pod.routing_state is RoutingState.DENY_NEW_CALL
