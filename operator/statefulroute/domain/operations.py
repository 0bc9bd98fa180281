"""The operations on one link, as pure rules: what is to be written, given what there is, and what the answer is.

Each follows the server driver's method of the same meaning. Whoever carries a step out writes on the
condition that the link is still what the rule was shown; if it is not, the rule is asked again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, TypeVar

from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Link, expire_time

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Binding:
    """What a link's spec is to say.

    Attributes:
        pod: the pod; None leaves the choice to the operator.
        ttl_seconds: how long it lives after `renew_time` or its creation; None is persistent.
        renew_time: when it was last renewed; None where it is persistent, or just being created.
    """

    pod: PodKey | None
    ttl_seconds: int | None = None
    renew_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Put:
    """Create the link, or write its spec if it exists."""

    binding: Binding


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the link."""


@dataclass(frozen=True, slots=True)
class Step(Generic[ResultT]):
    """What one operation does.

    Attributes:
        write: what is to be written; None when everything is as it should be.
        result: the operation's answer, once that is written.
    """

    write: Put | Delete | None
    result: ResultT


@dataclass(frozen=True, slots=True)
class Attempt:
    """The answer of `try_set`.

    Attributes:
        won: whether the link is now bound as asked.
        holder: the pod that it is bound to.
    """

    won: bool
    holder: PodKey


@dataclass(frozen=True, slots=True)
class MoveResult:
    """The answer of `move_link`.

    Attributes:
        won: whether the link is now bound as asked.
        had_link: whether there was a link to move.
        previous: the pod that held the uid before; None where none did.
    """

    won: bool
    had_link: bool
    previous: PodKey | None


class ImportResult(StrEnum):
    """The answer of `take_in_link`."""

    CREATED = "created"
    """There was no link."""
    KEPT = "kept"
    """There was one, and it is as it was."""
    OVERWRITTEN = "overwritten"
    """There was one, and it is now as was asked."""


def active_link(link: Link | None, now: datetime) -> Link | None:
    """The link, if it counts: an expired one is absent for everybody, and so is one that binds nothing."""
    if link is None or link.foreign_namespace is not None or link.violation is not None or link.has_expired(now):
        return None
    return link


def set_link(link: Link | None, now: datetime, *, pod: PodKey, ttl_seconds: int | None) -> Step[PodKey | None]:
    """Force the binding. The answer is the pod that held the uid before, or None; pod 0 is a pod."""
    held = active_link(link, now)
    previous = held.pod if held else None
    if held and (held.pod, held.ttl_seconds) == (pod, ttl_seconds) and _has_requested_lifetime(held, now):
        return Step(None, previous)
    return Step(_put_binding(pod, ttl_seconds, now), previous)


def try_set_link(link: Link | None, now: datetime, *, pod: PodKey, ttl_seconds: int | None) -> Step[Attempt]:
    """Bind, unless there is a persistent link to another pod: only to that does it lose."""
    held = active_link(link, now)
    if held and held.ttl_seconds is None and held.pod is not None and held.pod != pod:
        return Step(None, Attempt(won=False, holder=held.pod))
    return Step(set_link(link, now, pod=pod, ttl_seconds=ttl_seconds).write, Attempt(won=True, holder=pod))


def set_link_if_absent(link: Link | None, now: datetime, *, pod: PodKey, ttl_seconds: int | None) -> Step[PodKey]:
    """Bind, unless there is a link. The answer is the pod that holds the uid then; a temporary link is renewed."""
    held = active_link(link, now)
    if held is None:
        return Step(_put_binding(pod, ttl_seconds, now), pod)
    if held.pod is None:  # it waits for a choice: this is one
        return Step(_put_binding(pod, held.ttl_seconds, now), pod)
    return Step(_renewal(held, now), held.pod)


def find_holder(link: Link | None, now: datetime) -> Step[PodKey | None]:
    """The pod that holds the uid, or None; a temporary link that has one is renewed, as by `set_link_if_absent`."""
    held = active_link(link, now)
    if held is None or held.pod is None:
        return Step(None, None)
    return Step(_renewal(held, now), held.pod)


def request_pod(link: Link | None, now: datetime, *, ttl_seconds: int | None) -> Step[PodKey | None]:
    """Leave the choice of a pod to the operator, unless there is a link. The answer is the pod that holds the uid."""
    held = active_link(link, now)
    if held is None:
        return Step(_put_binding(None, ttl_seconds, now), None)
    return Step(_renewal(held, now), held.pod)


def move_link(
    link: Link | None, now: datetime, *, pod: PodKey, only_from: PodKey | None, ttl_seconds: int | None
) -> Step[MoveResult]:
    """Bind a link that there is to another pod, if it is on that very one; a temporary one is renewed by it.

    Without a TTL of its own, the move leaves the link the one that it has.
    """
    held = active_link(link, now)
    if held is None or only_from not in (None, held.pod):
        return Step(None, MoveResult(won=False, had_link=held is not None, previous=held.pod if held else None))
    ttl_seconds = held.ttl_seconds if ttl_seconds is None else ttl_seconds
    return Step(
        set_link(link, now, pod=pod, ttl_seconds=ttl_seconds).write,
        MoveResult(won=True, had_link=True, previous=held.pod),
    )


def import_link(link: Link | None, now: datetime, *, binding: Binding, overwrite: bool) -> Step[ImportResult]:
    """Make a link as another cluster, or an earlier time, had it; one that there is gives way only if it may."""
    held = active_link(link, now)
    if held is None:
        return Step(Put(binding), ImportResult.CREATED)
    ends = expire_time(now, binding.renew_time, binding.ttl_seconds)
    is_same = (held.pod, held.ttl_seconds, held.expire_time) == (binding.pod, binding.ttl_seconds, ends)
    if is_same or not overwrite:
        return Step(None, ImportResult.KEPT)
    return Step(Put(binding), ImportResult.OVERWRITTEN)


def remove_link(link: Link | None, now: datetime, *, grace_seconds: int | None) -> Step[bool]:
    """Remove the link: at once, or after a grace in which it lives on as a temporary one. Was there one?"""
    held = active_link(link, now)
    if held is None:
        return Step(None, result=False)
    if grace_seconds is None:
        return Step(Delete(), result=True)
    return Step(_put_binding(held.pod, grace_seconds, now), result=True)


def remove_link_if_bound_to(link: Link | None, now: datetime, *, pod: PodKey) -> Step[bool]:
    """Remove the link if it is bound to that very pod. Was it?"""
    held = active_link(link, now)
    if held is None or held.pod != pod:
        return Step(None, result=False)
    return Step(Delete(), result=True)


def renew_link(link: Link | None, now: datetime) -> Step[bool]:
    """Have a temporary link live on from now. Is there a link? A persistent one needs no renewal."""
    held = active_link(link, now)
    return Step(_renewal(held, now) if held else None, result=held is not None)


def _put_binding(pod: PodKey | None, ttl_seconds: int | None, now: datetime) -> Put:
    return Put(Binding(pod, ttl_seconds, now if ttl_seconds is not None else None))


def _renewal(held: Link, now: datetime) -> Put | None:
    return _put_binding(held.pod, held.ttl_seconds, now) if _is_renewal_due(held, now) else None


def _has_requested_lifetime(held: Link, now: datetime) -> bool:
    """Whether to set it anew would change nothing that counts: not due, and not renewed from ahead of this clock."""
    if held.ttl_seconds is None or held.expire_time is None:
        return True
    return not _is_renewal_due(held, now) and held.expire_time - now <= timedelta(seconds=held.ttl_seconds)


def _is_renewal_due(held: Link, now: datetime) -> bool:
    """Renewals are coalesced: one is written only when less than half of the time is left."""
    if held.ttl_seconds is None or held.expire_time is None:
        return False
    return held.expire_time - now < timedelta(seconds=held.ttl_seconds) / 2
