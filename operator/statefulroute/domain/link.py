"""A PodLink: the fields that the rules use."""

from datetime import datetime, timedelta

import msgspec

from statefulroute.api.vocabulary import LinkPhase, LinkReason
from statefulroute.domain.keys import (
    LinkKey,
    PodKey,
    RouteKey,
    UidOrSlot,
    is_slot_link_name,
    slot_from_link_name,
    uid_from_link_name,
)


class ObservedHandOver(msgspec.Struct, frozen=True, gc=False):
    """A hand-over in progress, as the operator first saw it."""

    pod_uid: str
    """The `metadata.uid` of the pod that was asked to hand the user over."""
    start_time: str
    """The start time of the hand-over, as stored in the spec."""


class LinkStatus(msgspec.Struct, frozen=True, gc=False):
    """The status that the operator writes for a link.

    The links of one pod have equal statuses and share one object, so 100,000 links need only a few of them.
    """

    phase: LinkPhase
    reason: LinkReason
    message: str
    pod_index: int | None = None
    pod_name: str | None = None
    host: str | None = None
    facts_hash: str | None = None
    """A hash of what the message states beyond the other fields; None if it states no more, or is of a version that
    wrote no hash."""
    hand_over: ObservedHandOver | None = None
    """The hand-over in progress; None if there is none, or the status is of a version that did not write it."""

    @property
    def pod(self) -> PodKey | None:
        """The pod that the status names, or None."""
        return self.pod_name if self.pod_index is None else self.pod_index

    @property
    def is_ready(self) -> bool:
        """Returns whether the link's Ready condition is True."""
        return self.phase is LinkPhase.BOUND or self.phase is LinkPhase.HANDING_OVER

    def states_the_same(self, written: "LinkStatus | None") -> bool:
        """Returns whether a status that was written states the same as this one, perhaps in other words.

        If the written status has no hash of its facts, its message must be equal.
        """
        if written is None or self == written:
            return written is not None
        if (self.phase, self.reason, self.pod, self.pod_name, self.host) != (
            written.phase,
            written.reason,
            written.pod,
            written.pod_name,
            written.host,
        ):
            return False
        if self.facts_hash is None:
            return True
        if written.facts_hash is None:
            return self.message == written.message
        return self.facts_hash == written.facts_hash


class HandOver(msgspec.Struct, frozen=True, gc=False):
    """A hand-over that a link asks for: its pod hands the user over to another pod."""

    pod: PodKey
    """The other pod."""
    start_time: str
    """When it was asked for, as stored. It tells two hand-overs to the same pod apart."""


class Link(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One version of a PodLink: the fields that a decision may depend on."""

    route: RouteKey
    """The route that the link names, in the namespace of the link."""
    name: str
    resource_version: int
    generation: int
    pod: PodKey | None = None
    """The pod that the spec names; None lets the operator choose one."""
    hand_over: HandOver | None = None
    """The hand-over that the spec asks for; None if it asks for none."""
    foreign_namespace: str | None = None
    """The namespace that the spec names, if it differs from the namespace of the link."""
    ttl_seconds: int | None = None
    """Seconds from the last renewal, or the creation, to the expiry; None for a persistent link."""
    expire_time: datetime | None = None
    """When the link expires; None for a persistent link."""
    creation_timestamp: int = 0
    """The creation time as a Unix time in seconds. Of two pending links, the older one is bound first."""
    is_deleting: bool = False
    violation: str | None = None
    """The message of the validation rule that the link violates: it was stored before the rule existed."""
    has_removable_managed_fields: bool = False
    """Whether the object has `metadata.managedFields`, and was never applied: `kubectl apply` needs them."""

    status: LinkStatus | None = None
    """The status; None before the operator has written one."""
    observed_generation: int = 0
    """The generation of the spec that the status is for."""
    status_expire_time: datetime | None = None
    """The `expireTime` in the status."""
    transition_time: datetime | None = None
    """When the Ready condition last changed between True and False."""

    @property
    def partition(self) -> RouteKey:
        """The key by which caches partition links."""
        return self.route

    @property
    def key(self) -> LinkKey:
        """The key of the link."""
        return LinkKey(self.route, self.name)

    @property
    def uid(self) -> str | None:
        """The uid that the link binds; None if it binds a slot."""
        return None if self.is_of_slot else uid_from_link_name(self.name)

    @property
    def is_of_slot(self) -> bool:
        """Returns whether the link binds a slot, and not a uid. Its name tells."""
        return is_slot_link_name(self.name)

    @property
    def slot(self) -> int | None:
        """The slot that the link binds; None if it binds a uid."""
        return slot_from_link_name(self.name) if self.is_of_slot else None

    @property
    def bound(self) -> UidOrSlot:
        """What the link binds: a uid, or the number of a slot."""
        return slot_from_link_name(self.name) if self.is_of_slot else uid_from_link_name(self.name)

    @property
    def assigned_pod(self) -> PodKey | None:
        """The pod that the link is counted for; None if the link is invalid or names no pod."""
        return self.pod if self.foreign_namespace is None and self.violation is None else None

    @property
    def status_pod(self) -> PodKey | None:
        """The pod that the status names: the one that the link was bound to when the status was written."""
        return self.status.pod if self.status else None

    def has_expired(self, now: datetime) -> bool:
        """Returns whether the link has expired. An expired link counts as absent, even before it is deleted."""
        return self.expire_time is not None and self.expire_time <= now


def expire_time(created: datetime, renewed: datetime | None, ttl_seconds: int | None) -> datetime | None:
    """Returns when a link expires: `ttl_seconds` after its last renewal or its creation; None if it is persistent.

    A link with an invalid TTL does not expire: the operator rejects it and does not delete it.
    """
    if ttl_seconds is None or ttl_seconds < 1:
        return None
    try:
        return (renewed or created) + timedelta(seconds=ttl_seconds)
    except OverflowError:  # the renewal is so late, or the TTL so long, that the year would be above 9999
        return datetime.max.replace(tzinfo=created.tzinfo)
