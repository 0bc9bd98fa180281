"""What a hand-over means for its two pods: which one has to act, and how it binds the user to the other one."""

from datetime import timedelta
from enum import StrEnum

from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import HandOver, Link
from statefulroute.domain.operations import Binding, Put, Step, active_link
from statefulroute.domain.pod import ordinal
from statefulroute.domain.times import TimeInterval


class CommitResult(StrEnum):
    """The result of `commit_hand_over`."""

    COMMITTED = "Committed"
    """The link is now bound to the new pod."""
    MOVED = "Moved"
    """Another client has bound the link to the new pod: the operator does so at the time-out."""
    WITHDRAWN = "Withdrawn"
    """The hand-over was withdrawn, or replaced by another one; or the user is no longer at the old pod."""


def hand_over_from(link: Link | None, pod: PodKey) -> HandOver | None:
    """Returns the hand-over that a link asks a pod for; None if it asks for none, or another pod.

    Args:
        link: the link; None if there is none.
        pod: the pod that would hand the user over.
    """
    if link is None or link.hand_over is None or link.assigned_pod != pod or link.hand_over.pod == pod:
        return None
    return link.hand_over


def commit_hand_over(
    link: Link | None, now: TimeInterval, *, origin: PodKey, hand_over: HandOver
) -> Step[CommitResult]:
    """Binds the link to the new pod and ends the hand-over, if it still asks for the same one.

    The lifetime of a temporary link stays.

    Args:
        link: the current link, if any.
        now: the current time, by both clocks.
        origin: the old pod.
        hand_over: the hand-over that the old pod has carried out.
    """
    current = active_link(link, now.earliest)
    if current is not None and hand_over_from(current, origin) == hand_over:
        return Step(Put(_binding(current, hand_over.pod)), CommitResult.COMMITTED)
    has_moved = current is not None and current.pod == hand_over.pod and current.hand_over is None
    return Step(None, CommitResult.MOVED if has_moved else CommitResult.WITHDRAWN)


def _binding(current: Link, pod: PodKey) -> Binding:
    if current.ttl_seconds is None or current.expire_time is None:
        return Binding(pod, current.ttl_seconds)
    return Binding(pod, current.ttl_seconds, current.expire_time - timedelta(seconds=current.ttl_seconds))


def hand_over_to(link: Link | None, origin: str, pod_name: str, pod: PodKey) -> HandOver | None:
    """Returns the hand-over by which a pod takes a user from another pod, or None.

    Args:
        link: the link; None if there is none.
        origin: the name of the pod that sends the state of the user.
        pod_name: the name of the pod that would take the user.
        pod: the key of that pod.
    """
    if link is None or link.hand_over is None or link.hand_over.pod != pod:
        return None
    holder = link.assigned_pod
    if holder is None or holder == pod or sibling_name(pod_name, holder) != origin:
        return None
    return link.hand_over


def sibling_name(pod_name: str, key: PodKey) -> str | None:
    """Returns the name of another pod of the same workload.

    Args:
        pod_name: the name of one pod.
        key: the key of the other.

    Returns:
        The name; None if the key is an index, and the pod has none.
    """
    if isinstance(key, str):
        return key
    index = ordinal(pod_name)
    return None if index is None else f"{pod_name.removesuffix(str(index))}{key}"
