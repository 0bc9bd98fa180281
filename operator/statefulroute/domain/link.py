"""A PodLink as the rules see it."""

from datetime import datetime, timedelta

import msgspec

from statefulroute.api.vocabulary import LinkPhase, LinkReason
from statefulroute.domain.keys import LinkKey, RouteKey, uid_of


class Acknowledgement(msgspec.Struct, frozen=True, gc=False):
    """What the operator says of a link in its status.

    The links of one pod say the same, so they share one value: a hundred thousand links need a few of these.
    """

    phase: LinkPhase
    reason: LinkReason
    message: str
    pod_index: int | None = None
    pod_name: str | None = None
    host: str | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the link's Ready condition is True."""
        return self.phase is LinkPhase.BOUND


class Link(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One version of a PodLink: the fields that a decision may depend on."""

    group: RouteKey
    """The route that it names, in its own namespace."""
    name: str
    resource_version: int
    generation: int
    pod_index: int | None = None
    """The binding, as the spec has it; None leaves the choice to the operator."""
    foreign_namespace: str | None = None
    """The namespace that its spec names, where that is not its own."""
    expire_time: datetime | None = None
    """When it ends; None is a persistent link."""
    deleting: bool = False

    acknowledged: Acknowledgement | None = None
    """What its status says; None before anything was said."""
    observed_generation: int = 0
    """The generation that its status was made for."""
    acknowledged_expire_time: datetime | None = None
    transition_time: datetime | None = None
    """When its Ready condition last changed between True and False."""

    @property
    def key(self) -> LinkKey:
        """Where it is."""
        return LinkKey(self.group, self.name)

    @property
    def uid(self) -> str:
        """Whom it binds."""
        return uid_of(self.name)

    @property
    def held_by(self) -> int | None:
        """The index of the pod that carries it; None when it binds nothing."""
        return self.pod_index if self.foreign_namespace is None else None


def expire_time(created: datetime, renewed: datetime | None, ttl_seconds: int | None) -> datetime | None:
    """When a link ends: `ttl_seconds` after its last renewal, or after its creation; None when it is persistent."""
    if ttl_seconds is None:
        return None
    try:
        return (renewed or created) + timedelta(seconds=ttl_seconds)
    except OverflowError:  # a renewal so far ahead, or a TTL so long, that the calendar ends first
        return datetime.max.replace(tzinfo=created.tzinfo)
