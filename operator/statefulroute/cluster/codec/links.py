"""Decodes PodLinks."""

from datetime import datetime
from functools import lru_cache

import msgspec

from statefulroute.api.annotations import LAST_APPLIED
from statefulroute.api.group import API_VERSION, POD_LINK
from statefulroute.api.vocabulary import LinkPhase, LinkReason
from statefulroute.cluster.codec.objects import CamelStruct, ConditionObject, find_condition
from statefulroute.cluster.resource_type import ResourceType
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.link import HandOver, Link, LinkStatus, ObservedHandOver, expire_time
from statefulroute.domain.times import parse_time
from statefulroute.domain.validation import find_violation


class _ManagedFieldsEntry(CamelStruct):
    operation: str = ""


class _LinkAnnotations(CamelStruct):
    last_applied: str = msgspec.field(name=LAST_APPLIED, default="")


class _LinkMetadata(CamelStruct, kw_only=True):
    name: str
    namespace: str
    resource_version: str
    generation: int = 0
    creation_timestamp: datetime
    deletion_timestamp: str | None = None
    annotations: _LinkAnnotations | None = None
    managed_fields: list[_ManagedFieldsEntry] | None = None


class _HandOver(CamelStruct, kw_only=True):
    pod_index: int | None = None
    pod_name: str | None = None
    start_time: str = ""


class _ObservedHandOver(CamelStruct):
    pod_uid: str = ""
    start_time: str = ""


class _LinkSpec(CamelStruct, kw_only=True):
    route_name: str
    uid: str | None = None
    slot: int | None = None
    namespace: str | None = None
    pod_index: int | None = None
    pod_name: str | None = None
    ttl_seconds: int | None = None
    renew_time: str | None = None
    hand_over: _HandOver | None = None


class PodLinkStatusObject(CamelStruct):
    """The status of a PodLink in JSON. Extend it to decode further fields."""

    phase: str = ""
    pod_index: int | None = None
    pod_name: str | None = None
    host: str | None = None
    expire_time: str | None = None
    observed_generation: int = 0
    facts_hash: str | None = None
    hand_over: _ObservedHandOver | None = None
    conditions: list[ConditionObject] | None = None


class PodLinkObject(CamelStruct, kw_only=True):
    """A PodLink in JSON. Extend it to decode further fields."""

    metadata: _LinkMetadata
    spec: _LinkSpec
    status: PodLinkStatusObject | None = None


_route_key = lru_cache(maxsize=4096)(RouteKey)
"""Returns the key of a route; all links of the route share one object."""


@lru_cache(maxsize=65_536)
def _link_status(  # noqa: PLR0913, PLR0917 - the fields of a status
    phase: str,
    reason: str,
    message: str,
    pod_index: int | None,
    pod_name: str | None,
    host: str | None,
    facts_hash: str | None,
    hand_over: tuple[str, str] | None,
) -> LinkStatus | None:
    """Returns the status of a link, or None if it has none. All links with the same status share one object."""
    if not phase:
        return None
    observed = None if hand_over is None else ObservedHandOver(*hand_over)
    return LinkStatus(LinkPhase(phase), LinkReason(reason), message, pod_index, pod_name, host, facts_hash, observed)


def make_link(link: PodLinkObject) -> Link:
    """Returns the link that a PodLink describes.

    Raises:
        ValueError: a time or the resource version is malformed.
    """
    metadata, spec, status = link.metadata, link.spec, link.status or PodLinkStatusObject()
    ready = find_condition("Ready", status.conditions) or ConditionObject()
    foreign = spec.namespace if spec.namespace not in (None, metadata.namespace) else None
    return Link(
        route=_route_key(metadata.namespace, spec.route_name),
        name=metadata.name,
        resource_version=int(metadata.resource_version),
        generation=metadata.generation,
        pod=spec.pod_name if spec.pod_index is None else spec.pod_index,
        hand_over=None if spec.hand_over is None else _make_hand_over(spec.hand_over),
        foreign_namespace=foreign,
        ttl_seconds=spec.ttl_seconds,
        creation_timestamp=int(metadata.creation_timestamp.timestamp()),
        expire_time=expire_time(metadata.creation_timestamp, parse_time(spec.renew_time), spec.ttl_seconds),
        is_deleting=metadata.deletion_timestamp is not None,
        violation=find_violation(
            metadata.name,
            spec.route_name,
            spec.uid,
            spec.slot,
            spec.pod_index,
            spec.pod_name,
            spec.ttl_seconds,
            spec.renew_time,
        ),
        has_removable_managed_fields=_has_removable_managed_fields(metadata),
        status=_link_status(
            status.phase,
            ready.reason,
            ready.message,
            status.pod_index,
            status.pod_name,
            status.host,
            status.facts_hash,
            None if status.hand_over is None else (status.hand_over.pod_uid, status.hand_over.start_time),
        ),
        observed_generation=status.observed_generation,
        status_expire_time=parse_time(status.expire_time),
        transition_time=parse_time(ready.last_transition_time),
    )


def _make_hand_over(hand_over: _HandOver) -> HandOver | None:
    """Returns the hand-over of a link; None if it names no pod."""
    pod = hand_over.pod_name if hand_over.pod_index is None else hand_over.pod_index
    return None if pod is None else HandOver(pod, hand_over.start_time)


def _has_removable_managed_fields(metadata: _LinkMetadata) -> bool:
    """Returns whether a link has managedFields that are not needed, because the link was never applied.

    Server-side apply needs its own entries to remove fields. When a manifest changes from client-side to server-side
    apply, kubectl needs all: without them, it takes over every field, and removes a pod that the operator has chosen.
    """
    if not metadata.managed_fields or (metadata.annotations is not None and metadata.annotations.last_applied):
        return False
    for entry in metadata.managed_fields:  # noqa: SIM110 - three times as fast as `all`, for each link of a list
        if entry.operation != "Update":
            return False
    return True


LINKS = ResourceType(f"/apis/{API_VERSION}/{POD_LINK.plural}", PodLinkObject, make_link)
