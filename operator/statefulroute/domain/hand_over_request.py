"""The request of a hand-over as a pure rule: from the current link, it returns what to write and the result."""

from dataclasses import dataclass
from enum import Enum, auto

from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import HandOver, Link
from statefulroute.domain.operations import Binding, Put, Step, active_link, is_bound_to
from statefulroute.domain.times import TimeInterval, format_rfc3339


class HandOverRequest(Enum):
    """What became of the request of a hand-over."""

    STARTED = auto()
    """The link asks its pod to hand the user over."""
    IN_PROGRESS = auto()
    """The link asks for this hand-over already."""
    NO_LINK = auto()
    """There is no link."""
    NO_POD = auto()
    """The link waits for its first pod, so no pod has the user."""
    ALREADY_THERE = auto()
    """The link is bound to the requested pod."""
    ELSEWHERE = auto()
    """The link is not bound to the pod that the request is limited to."""


@dataclass(frozen=True, slots=True)
class HandOverResult:
    """The result of `request_hand_over`.

    Attributes:
        outcome: what became of the request.
        holder: the pod that the link is bound to; None if there is none.
        hand_over: the hand-over that the link asks for afterwards; None if it asks for none.
    """

    outcome: HandOverRequest
    holder: PodKey | None = None
    hand_over: HandOver | None = None


def request_hand_over(
    link: Link | None, now: TimeInterval, *, pod: PodKey, only_from: PodKey | None, ttl_seconds: int | None
) -> Step[HandOverResult]:
    """Asks the pod of a link to hand the user over to another pod, and renews the link if it is temporary.

    A hand-over to a third pod that is in progress is replaced.

    Args:
        link: the current link, if any.
        now: the current time, by both clocks.
        pod: the new pod.
        only_from: asks only if the link is bound to this pod; None asks any pod.
        ttl_seconds: the new TTL; None keeps the current one.
    """
    current = active_link(link, now.earliest)
    if current is None:
        return Step(None, HandOverResult(HandOverRequest.NO_LINK))
    if not (only_from is None or is_bound_to(current, only_from)):
        return Step(None, HandOverResult(HandOverRequest.ELSEWHERE, current.pod, current.hand_over))
    if current.pod is None:
        return Step(None, HandOverResult(HandOverRequest.NO_POD))
    if current.pod == pod:
        return Step(None, HandOverResult(HandOverRequest.ALREADY_THERE, pod, current.hand_over))
    if current.hand_over is not None and current.hand_over.pod == pod:
        return Step(None, HandOverResult(HandOverRequest.IN_PROGRESS, current.pod, current.hand_over))
    ttl_seconds = current.ttl_seconds if ttl_seconds is None else ttl_seconds
    renew_time = now.latest if ttl_seconds is not None else None
    hand_over = HandOver(pod, format_rfc3339(now.latest))
    return Step(
        Put(Binding(current.pod, ttl_seconds, renew_time, hand_over)),
        HandOverResult(HandOverRequest.STARTED, current.pod, hand_over),
    )
