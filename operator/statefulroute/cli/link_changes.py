"""Derives changes of links and routes from their successive versions: pure, without a clock or a cluster."""

from collections.abc import Hashable, Iterator
from datetime import datetime
from sys import intern

import msgspec

from statefulroute.api.group import API_VERSION, POD_LINK
from statefulroute.api.vocabulary import ConditionType, LinkReason
from statefulroute.cluster.codec.links import PodLinkObject, PodLinkStatusObject
from statefulroute.cluster.codec.objects import find_condition
from statefulroute.cluster.resource_type import ResourceType
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import expire_time
from statefulroute.domain.route import Route
from statefulroute.domain.routing_states import routing_state_changes
from statefulroute.domain.times import parse_time

#: How long the change of a new binding waits for the status from the operator, which has the reason.
CONFIRMATION_SECONDS = 1.0

#: Stands for no pod, and for the routing state of a missing pod.
_NOTHING = "-"

HAND_OVER_WITHDRAWN = "HandOverWithdrawn"
"""The reason of a change: a user who was being handed over stays on the pod."""

#: The reasons of a link before and after its hand-over was withdrawn.
_WITHDRAWN = (LinkReason.HANDING_OVER, LinkReason.BOUND)


class LinkChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a link's pod, the start or the end of a hand-over, or a change of a routing state.

    Attributes:
        namespace: the namespace.
        route: the name of the route.
        subject: what has changed: a uid, `slot/<number>`, `pod/<name>` or `route/<name>`.
        before: the pod or the routing state before the change.
        after: the pod or the routing state after it.
        reason: why it has changed.
        cause: why the pod before the change was lost, if that is the reason.
        hand_over_to: the pod that the user is being handed over to; None if there is none.
    """

    namespace: str
    route: str
    subject: str
    before: str
    after: str
    reason: str
    cause: str | None = None
    hand_over_to: str | None = None

    @property
    def reason_label(self) -> str:
        """The reason with its details: `PodLost (NodeNotReady)`, `HandingOver (to game-2)`."""
        if self.hand_over_to is not None:
            return f"{self.reason} (to {self.hand_over_to})"
        return self.reason if self.cause is None else f"{self.reason} ({self.cause})"


class _Previous(msgspec.Struct, rename="camel", gc=False):
    pod_index: int | None = None
    pod_name: str | None = None
    reason: str = ""
    cause: str | None = None


class _Status(PodLinkStatusObject):
    previous: _Previous | None = None


class _Link(PodLinkObject, kw_only=True):
    status: _Status | None = None


class LinkState(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The part of a link in which changes are visible; small, because memory holds that of every link."""

    namespace: str
    name: str
    resource_version: int
    route: str
    subject: str
    """What the link binds: a uid, or `slot/<number>`."""
    pod: PodKey | None
    """The pod in the spec."""
    pod_name: str | None = None
    """The name of that pod, if the status has it."""
    is_observed: bool = False
    """Whether the status is of this spec."""
    phase: str = ""
    reason: str = ""
    """The reason of the Ready condition."""
    previous: PodKey | None = None
    previous_reason: str = ""
    previous_cause: str | None = None
    expire_time: datetime | None = None
    hand_over: PodKey | None = None
    """The pod that the user is being handed over to."""

    @property
    def partition(self) -> str:
        """The partition of the cache: the namespace."""
        return self.namespace

    @property
    def pod_label(self) -> str:
        """The pod for the output; `#2` is the pod of index 2 whose name is not known."""
        if self.pod is None:
            return _NOTHING
        return self.pod_name or (f"#{self.pod}" if isinstance(self.pod, int) else self.pod)

    @property
    def hand_over_label(self) -> str | None:
        """The pod that the user is being handed over to, for the output; None if there is none."""
        if not isinstance(self.hand_over, int):
            return self.hand_over
        stem, _, index = (self.pod_name or "").rpartition("-")
        return f"{stem}-{self.hand_over}" if stem and index == str(self.pod) else f"#{self.hand_over}"


def _decode_state(link: _Link) -> LinkState:
    metadata, spec, status = link.metadata, link.spec, link.status or _Status()
    pod = spec.pod_name if spec.pod_index is None else spec.pod_index
    status_pod = status.pod_name if status.pod_index is None else status.pod_index
    previous = status.previous or _Previous()
    ready = find_condition(ConditionType.READY, status.conditions)
    return LinkState(
        namespace=intern(metadata.namespace),
        name=metadata.name,
        resource_version=int(metadata.resource_version),
        route=intern(spec.route_name),
        subject=(spec.uid or "") if spec.slot is None else f"slot/{spec.slot}",
        pod=intern(pod) if isinstance(pod, str) else pod,
        pod_name=intern(status.pod_name) if status.pod_name and pod is not None and status_pod == pod else None,
        is_observed=status.observed_generation >= metadata.generation,
        phase=intern(status.phase),
        reason=intern(ready.reason) if ready else "",
        previous=previous.pod_name if previous.pod_index is None else previous.pod_index,
        previous_reason=previous.reason,
        previous_cause=previous.cause,
        expire_time=expire_time(metadata.creation_timestamp, parse_time(spec.renew_time), spec.ttl_seconds),
        hand_over=_next_pod(link),
    )


def _next_pod(link: _Link) -> PodKey | None:
    hand_over = link.spec.hand_over
    if hand_over is None:
        return None
    return hand_over.pod_name if hand_over.pod_index is None else hand_over.pod_index


LINK_STATES = ResourceType(f"/apis/{API_VERSION}/{POD_LINK.plural}", _Link, _decode_state)


class LinkTracker:
    """Derives changes from the successive versions of links.

    A binding is valid as soon as it is in the spec, but its reason is in the status, which the operator writes next.
    The change is therefore reported with the status, or after a second without it.
    """

    def __init__(self) -> None:
        self._unconfirmed: dict[tuple[Hashable, str], tuple[float, LinkState | None, LinkState]] = {}
        """By namespace and name: the deadline, the state before the change, and the state now."""

    def observe(self, old: LinkState | None, new: LinkState | None, clock: float, now: datetime) -> LinkChange | None:
        """Returns the change between two versions of a link; None if there is none, or not yet.

        Args:
            old: the version before; None if the link did not exist.
            new: the version after; None if the link was deleted.
            clock: the seconds of a monotonic clock.
            now: the present time.
        """
        known = new or old
        if known is None:
            return None
        unconfirmed = self._unconfirmed.pop((known.namespace, known.name), None)
        before = unconfirmed[1] if unconfirmed else old
        if new is None:
            return _removed(before or known, now)
        if new.is_observed:
            return _compare(before, new)
        if new.pod != (before.pod if before else None):
            deadline = unconfirmed[0] if unconfirmed else clock + CONFIRMATION_SECONDS
            self._unconfirmed[new.namespace, new.name] = (deadline, before, new)
        return None

    def take_overdue(self, clock: float) -> Iterator[LinkChange]:
        """Yields the bindings whose status has not arrived in time."""
        overdue = [key for key, (deadline, _, _) in self._unconfirmed.items() if deadline <= clock]
        for key in overdue:
            _, before, after = self._unconfirmed.pop(key)
            yield _change(after, before.pod_label if before else _NOTHING, "Moved" if _was_bound(before) else "Bound")


def _was_bound(before: LinkState | None) -> bool:
    return before is not None and before.pod is not None


def _compare(before: LinkState | None, after: LinkState) -> LinkChange | None:
    has_moved = after.pod != (before.pod if before else None)
    if not has_moved and before is not None and before.reason == after.reason:
        return None
    # An earlier move may have left `previous` in the status.
    has_left = before is not None and before.pod is not None and after.previous == before.pod
    old_pod = before.pod_label if before else _NOTHING
    if has_moved and has_left:
        return _change(after, old_pod, after.previous_reason or "Unknown", after.previous_cause)
    if not has_moved and before is not None and (before.reason, after.reason) == _WITHDRAWN:
        return _change(after, old_pod, HAND_OVER_WITHDRAWN)
    change = _change(after, old_pod, after.reason or "Unknown")
    if after.reason == LinkReason.HANDING_OVER:
        return msgspec.structs.replace(change, hand_over_to=after.hand_over_label)
    return change


def _removed(link: LinkState, now: datetime) -> LinkChange:
    has_expired = link.expire_time is not None and link.expire_time <= now
    removed = _change(link, link.pod_label, "Expired" if has_expired else "Removed")
    return msgspec.structs.replace(removed, after=_NOTHING)


def _change(link: LinkState, before: str, reason: str, cause: str | None = None) -> LinkChange:
    return LinkChange(
        namespace=link.namespace,
        route=link.route,
        subject=link.subject,
        before=before,
        after=link.pod_label,
        reason=reason,
        cause=cause,
    )


def routing_changes(old: Route | None, new: Route | None) -> Iterator[LinkChange]:
    """Yields the changes of the routing states of a route and its pods."""
    known = new or old
    if known is None:
        return
    for pod, before, after in routing_state_changes(old, new):
        yield LinkChange(
            namespace=known.namespace,
            route=known.name,
            subject=f"route/{known.name}" if pod is None else f"pod/{pod.name}",
            before=before or _NOTHING,
            after=after or _NOTHING,
            reason="RoutingState",
        )
