"""The operations on one link as pure rules: from the current link, each returns what to write and the result.

The caller writes on the condition that the link has not changed since the rule read it. If it has changed, the caller
applies the rule to the new version. A link has expired if it has by both clocks, and is renewed at the time of the
later one.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, TypeVar

from statefulroute.domain.keys import NO_POD, PodKey
from statefulroute.domain.link import HandOver, Link, expire_time
from statefulroute.domain.times import TimeInterval

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Binding:
    """The desired spec of a link.

    Attributes:
        pod: the pod; None lets the operator choose one.
        ttl_seconds: seconds from `renew_time`, or from the creation, to the expiry; None for a persistent link.
        renew_time: when the link was last renewed; None if it is persistent, or not renewed yet.
        hand_over: the hand-over that the link asks for; None asks for none, and ends the present one.
    """

    pod: PodKey | None
    ttl_seconds: int | None = None
    renew_time: datetime | None = None
    hand_over: HandOver | None = None


@dataclass(frozen=True, slots=True)
class Put:
    """Create the link, or write its spec if it exists."""

    binding: Binding


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the link."""


@dataclass(frozen=True, slots=True)
class Step(Generic[ResultT]):
    """The outcome of a rule.

    Attributes:
        write: what to write; None if nothing needs to change.
        result: the result of the operation after the write.
    """

    write: Put | Delete | None
    result: ResultT


@dataclass(frozen=True, slots=True)
class Attempt:
    """The result of `try_set`.

    Attributes:
        won: whether the link is now bound to the requested pod.
        holder: the pod that the link is bound to.
    """

    won: bool
    holder: PodKey


@dataclass(frozen=True, slots=True)
class MoveResult:
    """The result of `move_link`.

    Attributes:
        won: whether the link is now bound to the requested pod.
        had_link: whether a link existed.
        previous: the pod that the link was bound to before; None if there was none.
        withdrawn: the pod that the user was being handed over to before; None if there was none.
    """

    won: bool
    had_link: bool
    previous: PodKey | None
    withdrawn: PodKey | None = None


class ImportResult(StrEnum):
    """The result of `import_link`."""

    CREATED = "created"
    """No link existed."""
    KEPT = "kept"
    """A link exists and is unchanged."""
    OVERWRITTEN = "overwritten"
    """A link existed and now has the requested binding."""


class LinkWrite(StrEnum):
    """What a write changes."""

    BOUND = "bound"
    """A user without a pod has one."""
    MOVED = "moved"
    """The user has another pod."""
    UPDATED = "updated"
    """The pod is the same; the link was renewed, for example."""
    REMOVED = "removed"
    """The link is deleted."""


def classify_write(link: Link | None, write: Put | Delete, now: datetime) -> LinkWrite:
    """Returns what a write changes.

    Args:
        link: the link before the write.
        write: the write.
        now: the earliest possible time, as for `active_link`.
    """
    if isinstance(write, Delete):
        return LinkWrite.REMOVED
    current = active_link(link, now)
    before = current.pod if current is not None else None
    if before == write.binding.pod:
        return LinkWrite.UPDATED
    return LinkWrite.BOUND if before is None else LinkWrite.MOVED


def active_link(link: Link | None, now: datetime) -> Link | None:
    """Returns the link if it counts. An expired or invalid link counts as absent."""
    if link is None or link.foreign_namespace is not None or link.violation is not None or link.has_expired(now):
        return None
    return link


def is_bound_to(link: Link, pod: PodKey) -> bool:
    """Returns whether a link is bound to a pod; `NO_POD` stands for a link that waits for one."""
    return pod == (NO_POD if link.pod is None else link.pod)


def set_link(link: Link | None, now: TimeInterval, *, pod: PodKey, ttl_seconds: int | None) -> Step[PodKey | None]:
    """Binds to the pod, whatever the current binding. The result is the previous pod, or None. Pod 0 is a pod.

    This ends a hand-over of the link, also if the pod is the same.
    """
    current = active_link(link, now.earliest)
    return Step(_set(current, now, Binding(pod, ttl_seconds)), current.pod if current else None)


def try_set_link(link: Link | None, now: TimeInterval, *, pod: PodKey, ttl_seconds: int | None) -> Step[Attempt]:
    """Binds to the pod, unless a persistent link to another pod exists.

    A hand-over of a link to this pod goes on: a server may claim its users with each of their requests.
    """
    current = active_link(link, now.earliest)
    if current and current.ttl_seconds is None and current.pod is not None and current.pod != pod:
        return Step(None, Attempt(won=False, holder=current.pod))
    hand_over = current.hand_over if current and current.pod == pod else None
    return Step(_set(current, now, Binding(pod, ttl_seconds, hand_over=hand_over)), Attempt(won=True, holder=pod))


def set_link_if_absent(link: Link | None, now: TimeInterval, *, pod: PodKey, ttl_seconds: int | None) -> Step[PodKey]:
    """Binds to the pod if no link exists; otherwise renews a temporary link. The result is the pod of the link."""
    current = active_link(link, now.earliest)
    if current is None:
        return Step(_put_binding(pod, ttl_seconds, now), pod)
    if current.pod is None:  # the link waits for a pod, and this is one
        return Step(_put_binding(pod, current.ttl_seconds, now), pod)
    return Step(_renewal(current, now), current.pod)


def find_holder(link: Link | None, now: TimeInterval) -> Step[PodKey | None]:
    """Renews a temporary link that names a pod. The result is the pod of the link, or None."""
    current = active_link(link, now.earliest)
    if current is None or current.pod is None:
        return Step(None, None)
    return Step(_renewal(current, now), current.pod)


def request_pod(link: Link | None, now: TimeInterval, *, ttl_seconds: int | None) -> Step[PodKey | None]:
    """Creates a link for which the operator chooses a pod, unless a link exists. The result is its pod, or None."""
    current = active_link(link, now.earliest)
    if current is None:
        return Step(_put_binding(None, ttl_seconds, now), None)
    return Step(_renewal(current, now), current.pod)


def move_link(
    link: Link | None, now: TimeInterval, *, pod: PodKey, only_from: PodKey | None, ttl_seconds: int | None
) -> Step[MoveResult]:
    """Moves an existing link to another pod, and renews it if it is temporary.

    Args:
        link: the current link, if any.
        now: the current time, by both clocks.
        pod: the new pod.
        only_from: moves the link only if it is bound to this pod; `NO_POD` only if it waits for one, and None from any.
        ttl_seconds: the new TTL; None keeps the current one.
    """
    current = active_link(link, now.earliest)
    if current is None or not (only_from is None or is_bound_to(current, only_from)):
        return Step(
            None, MoveResult(won=False, had_link=current is not None, previous=current.pod if current else None)
        )
    ttl_seconds = current.ttl_seconds if ttl_seconds is None else ttl_seconds
    return Step(
        set_link(link, now, pod=pod, ttl_seconds=ttl_seconds).write,
        MoveResult(
            won=True,
            had_link=True,
            previous=current.pod,
            withdrawn=current.hand_over.pod if current.hand_over is not None else None,
        ),
    )


def import_link(link: Link | None, now: TimeInterval, *, binding: Binding, overwrite: bool) -> Step[ImportResult]:
    """Creates a link with a binding from a backup or another cluster. `overwrite` replaces an existing link."""
    current = active_link(link, now.earliest)
    if current is None:
        return Step(Put(binding), ImportResult.CREATED)
    ends = expire_time(now.latest, binding.renew_time, binding.ttl_seconds)
    is_same = (current.pod, current.ttl_seconds, current.expire_time) == (binding.pod, binding.ttl_seconds, ends)
    if is_same or not overwrite:
        return Step(None, ImportResult.KEPT)
    return Step(Put(binding), ImportResult.OVERWRITTEN)


def remove_link(link: Link | None, now: TimeInterval, *, grace_seconds: int | None) -> Step[bool]:
    """Deletes the link, or makes it expire after the grace period. The result is whether a link existed.

    Without a grace period, or with one of 0 s, the link is deleted at once.
    """
    current = active_link(link, now.earliest)
    if current is None:
        return Step(None, result=False)
    if not grace_seconds:
        return Step(Delete(), result=True)
    return Step(_put_binding(current.pod, grace_seconds, now, current.hand_over), result=True)


def remove_link_if_bound_to(
    link: Link | None, now: TimeInterval, *, pod: PodKey, grace_seconds: int | None
) -> Step[bool]:
    """Does the same as `remove_link` if the link is bound to the pod, or waits for one: `NO_POD`.

    The result is whether it was.
    """
    current = active_link(link, now.earliest)
    if current is None or not is_bound_to(current, pod):
        return Step(None, result=False)
    return remove_link(current, now, grace_seconds=grace_seconds)


def renew_link(link: Link | None, now: TimeInterval) -> Step[bool]:
    """Renews a temporary link. The result is whether a link exists. A persistent link needs no renewal."""
    current = active_link(link, now.earliest)
    return Step(_renewal(current, now) if current else None, result=current is not None)


def _set(current: Link | None, now: TimeInterval, binding: Binding) -> Put | None:
    """Returns the write of a binding, which is renewed now; None if the link has it, and needs no renewal."""
    wanted = binding.pod, binding.ttl_seconds, binding.hand_over
    is_same = current and (current.pod, current.ttl_seconds, current.hand_over) == wanted
    if current and is_same and _has_requested_lifetime(current, now):
        return None
    return _put_binding(binding.pod, binding.ttl_seconds, now, binding.hand_over)


def _put_binding(
    pod: PodKey | None, ttl_seconds: int | None, now: TimeInterval, hand_over: HandOver | None = None
) -> Put:
    return Put(Binding(pod, ttl_seconds, now.latest if ttl_seconds is not None else None, hand_over))


def _renewal(current: Link, now: TimeInterval) -> Put | None:
    if not _is_renewal_due(current, now):
        return None
    return _put_binding(current.pod, current.ttl_seconds, now, current.hand_over)


def _has_requested_lifetime(current: Link, now: TimeInterval) -> bool:
    """Returns whether the link needs no write: no renewal is due, and the last one is not in the future."""
    if current.ttl_seconds is None or current.expire_time is None:
        return True
    return not _is_renewal_due(current, now) and current.expire_time - now.latest <= timedelta(
        seconds=current.ttl_seconds
    )


def _is_renewal_due(current: Link, now: TimeInterval) -> bool:
    """Returns whether less than half of the TTL is left. Earlier renewals are skipped to save writes."""
    if current.ttl_seconds is None or current.expire_time is None:
        return False
    return current.expire_time - now.latest < timedelta(seconds=current.ttl_seconds) / 2


def is_written(write: Put | Delete | None, link: Link | None) -> bool:
    """Returns whether the link is as this write leaves it."""
    match write:
        case Delete():
            return link is None
        case Put(binding) if link is not None:
            ends = expire_time(binding.renew_time, None, binding.ttl_seconds) if binding.renew_time else None
            same_end = ends is None or link.expire_time == ends
            written = binding.pod, binding.ttl_seconds, binding.hand_over
            return (link.pod, link.ttl_seconds, link.hand_over) == written and same_end
        case _:
            return False
