"""What happens to links and routes, from one version of them to the next. Pure: no clock, no cluster."""

from collections.abc import Hashable, Iterator
from datetime import datetime

import msgspec

from statefulroute.api.group import API_VERSION, POD_LINK
from statefulroute.cluster.resource_type import ResourceType
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import expire_time
from statefulroute.domain.route import Route
from statefulroute.domain.times import parse_time

#: How long a new binding waits for the operator's word on it: its reason is told there.
CONFIRMATION_SECONDS = 1.0

#: The pod that there is not, or the routing state of one.
_NOTHING = "-"


class LinkChange(msgspec.Struct, frozen=True, kw_only=True):
    """Something that has happened.

    Attributes:
        namespace: where.
        route: of which service.
        subject: to whom: a uid, `pod/<name>` or `route/<name>`.
        before: how it stood: the pod, or the routing state.
        after: how it stands now.
        reason: why.
    """

    namespace: str
    route: str
    subject: str
    before: str
    after: str
    reason: str


class _JSONStruct(msgspec.Struct, rename="camel", gc=False):
    """JSON's camelCase for Python's snake_case."""


class _Metadata(_JSONStruct, kw_only=True):
    name: str
    namespace: str
    resource_version: str
    generation: int = 0
    creation_timestamp: datetime


class _Spec(_JSONStruct, kw_only=True):
    route_name: str
    uid: str
    pod_index: int | None = None
    pod_name: str | None = None
    ttl_seconds: int | None = None
    renew_time: str | None = None


class _Previous(_JSONStruct):
    pod_index: int | None = None
    pod_name: str | None = None
    reason: str = ""


class _Condition(_JSONStruct):
    type: str = ""
    reason: str = ""


class _Status(_JSONStruct):
    pod_index: int | None = None
    pod_name: str | None = None
    observed_generation: int = 0
    previous: _Previous | None = None
    conditions: list[_Condition] | None = None


class _Link(_JSONStruct, kw_only=True):
    metadata: _Metadata
    spec: _Spec
    status: _Status | None = None


class LinkState(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """How a link stands: as little of it as tells one standing from the next, for there may be many links."""

    namespace: str
    name: str
    resource_version: int
    route: str
    uid: str
    pod: PodKey | None
    """The binding, as the spec has it."""
    pod_name: str | None = None
    """The name of that pod, where the operator has said it."""
    is_observed: bool = False
    """Whether the operator has seen this spec."""
    reason: str = ""
    """That of the Ready condition."""
    previous: PodKey | None = None
    previous_reason: str = ""
    expire_time: datetime | None = None

    @property
    def partition(self) -> str:
        """The key that caches group it by."""
        return self.namespace

    @property
    def pod_label(self) -> str:
        """The pod, for people."""
        if self.pod is None:
            return _NOTHING
        return self.pod_name or (f"#{self.pod}" if isinstance(self.pod, int) else self.pod)


def _decode_state(wire: _Link) -> LinkState:
    metadata, spec, status = wire.metadata, wire.spec, wire.status or _Status()
    pod = spec.pod_name if spec.pod_index is None else spec.pod_index
    said = status.pod_name if status.pod_index is None else status.pod_index
    previous = status.previous or _Previous()
    return LinkState(
        namespace=metadata.namespace,
        name=metadata.name,
        resource_version=int(metadata.resource_version),
        route=spec.route_name,
        uid=spec.uid,
        pod=pod,
        pod_name=status.pod_name if pod is not None and said == pod else None,
        is_observed=status.observed_generation >= metadata.generation,
        reason=next((each.reason for each in status.conditions or () if each.type == "Ready"), ""),
        previous=previous.pod_name if previous.pod_index is None else previous.pod_index,
        previous_reason=previous.reason,
        expire_time=expire_time(metadata.creation_timestamp, parse_time(spec.renew_time), spec.ttl_seconds),
    )


LINK_STATES = ResourceType(f"/apis/{API_VERSION}/{POD_LINK.plural}", _Link, _decode_state)


class LinkTracker:
    """Tells from the versions of links what happens to them.

    A binding holds from the moment that it is written, and is told with the operator's word on it, which says why;
    where no such word comes within a second, it is told without one.
    """

    def __init__(self) -> None:
        self._unconfirmed: dict[tuple[Hashable, str], tuple[float, LinkState | None, LinkState]] = {}
        """Until when to wait, how the link stood before, and how it stands now."""

    def observe(self, old: LinkState | None, new: LinkState | None, clock: float, now: datetime) -> LinkChange | None:
        """What a change means.

        Args:
            old: the version before; None where there was no link.
            new: the version after; None where there is no link any more.
            clock: seconds of a clock that never goes back.
            now: the time of day.
        """
        known = new or old
        if known is None:
            return None
        waiting = self._unconfirmed.pop((known.namespace, known.name), None)
        before = waiting[1] if waiting else old
        if new is None:
            return _removed(before or known, now)
        if new.is_observed:
            return _compare(before, new)
        if new.pod != (before.pod if before else None):
            until = waiting[0] if waiting else clock + CONFIRMATION_SECONDS
            self._unconfirmed[new.namespace, new.name] = (until, before, new)
        return None

    def take_overdue(self, clock: float) -> Iterator[LinkChange]:
        """The bindings on which no word has come in time."""
        late = [key for key, (until, _, _) in self._unconfirmed.items() if until <= clock]
        for key in late:
            _, before, after = self._unconfirmed.pop(key)
            yield _change(after, before.pod_label if before else _NOTHING, "Moved" if _was_bound(before) else "Bound")


def _was_bound(before: LinkState | None) -> bool:
    return before is not None and before.pod is not None


def _compare(before: LinkState | None, after: LinkState) -> LinkChange | None:
    has_moved = after.pod != (before.pod if before else None)
    if not has_moved and before is not None and before.reason == after.reason:
        return None
    was_left = before is not None and before.pod is not None and after.previous == before.pod
    reason = after.previous_reason if has_moved and was_left else after.reason
    return _change(after, before.pod_label if before else _NOTHING, reason or "Unknown")


def _removed(link: LinkState, now: datetime) -> LinkChange:
    is_over = link.expire_time is not None and link.expire_time <= now
    removed = _change(link, link.pod_label, "Expired" if is_over else "Removed")
    return msgspec.structs.replace(removed, after=_NOTHING)


def _change(link: LinkState, before: str, reason: str) -> LinkChange:
    return LinkChange(
        namespace=link.namespace, route=link.route, subject=link.uid, before=before, after=link.pod_label, reason=reason
    )


def routing_changes(old: Route | None, new: Route | None) -> Iterator[LinkChange]:
    """The services and pods that take others now than before."""
    known = new or old
    if known is None:
        return
    before, after = _routing_states(old), _routing_states(new)
    for subject in before | after:
        left, right = before.get(subject, _NOTHING), after.get(subject, _NOTHING)
        if left != right:
            yield LinkChange(
                namespace=known.namespace,
                route=known.name,
                subject=subject,
                before=left,
                after=right,
                reason="RoutingState",
            )


def _routing_states(route: Route | None) -> dict[str, str]:
    """The routing state of a service and of each of its pods, as the operator has found it."""
    if route is None or route.status.routing_state is None:
        return {}
    pods: dict[str, str] = {f"pod/{pod.name}": pod.routing_state for pod in route.status.pods}
    return {f"route/{route.name}": route.status.routing_state, **pods}
