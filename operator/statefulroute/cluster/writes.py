"""Writes links, routes and pods; all writes of the operator to these kinds are in this module."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from statefulroute.api.annotations import OCCUPIED, OCCUPIED_LABEL
from statefulroute.api.group import API_VERSION, POD_LINK, STATEFUL_ROUTE
from statefulroute.api.route_status import StatefulRouteStatus
from statefulroute.api.vocabulary import ConditionType, LinkPhase, LossCause, MoveReason
from statefulroute.cluster.cache import Cached
from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import Clock, utc_now
from statefulroute.cluster.codec import LINKS, PODS
from statefulroute.cluster.errors import APIError, UnreachableError
from statefulroute.cluster.informer import Informer
from statefulroute.cluster.lean_routes import LEAN_ROUTES
from statefulroute.cluster.resource_type import ResourceType
from statefulroute.cluster.served_definition import ServedDefinition
from statefulroute.domain.hand_over import Outcome
from statefulroute.domain.keys import PodKey, slot_link_name
from statefulroute.domain.link import HandOver, Link, LinkStatus
from statefulroute.domain.pod import Pod
from statefulroute.domain.route import Route
from statefulroute.domain.times import format_rfc3339

T = TypeVar("T", bound=Cached)

_UNPROCESSABLE = 422
_NO_HAND_OVERS = (
    "the CustomResourceDefinition of PodLinks has no spec.handOver: update it, or remove handOver from the route"
)


def _format_seconds(time: datetime) -> str | None:
    """Formats a time without fractional seconds, as most times of the Kubernetes API."""
    return _rfc3339(time.replace(microsecond=0))


def _rfc3339(time: datetime | None) -> str | None:
    return None if time is None else format_rfc3339(time)


def _decode_response(resource: ResourceType[T], response: bytes) -> T:
    """Decodes the object in the response to a write."""
    try:
        return resource.decode(response)
    except ValueError as error:  # an error page of a proxy: the write may have succeeded
        raise UnreachableError(f"the answer to a write is not an object of {resource.path}: {error}") from error


class LinkWriter:
    """Writes PodLinks. The API server refuses a write (ConflictError) if the link has changed since the decision.

    The writer stores the response in the cache, so that the next decision sees it without waiting for the watch.

    Args:
        client: the client for the API server.
        links: the informer of links, which receives the responses.
        clock: the time of day.
        keep_managed_fields: whether a binding leaves the managedFields of the link as they are.
    """

    def __init__(
        self, client: Client, links: Informer[Link], clock: Clock = utc_now, *, keep_managed_fields: bool = False
    ) -> None:
        self._client = client
        self._links = links
        self._clock = clock
        self._keep_managed_fields = keep_managed_fields

    async def create_slot(self, route: Route, slot: int, pod: PodKey) -> None:
        """Creates the link of a slot, which is deleted with its route.

        Args:
            route: the route.
            slot: the slot.
            pod: the pod that it is bound to.

        Raises:
            ConflictError: the link exists already.
            ClusterError: the request failed, or its result is unknown.
        """
        path = f"/apis/{API_VERSION}/namespaces/{route.namespace}/{POD_LINK.plural}"
        body = msgspec.json.encode(_slot_manifest(route, slot, pod))
        self._links.observe(_decode_response(LINKS, await self._client.post(path, body)))

    async def bind(self, link: Link, pod: PodKey) -> None:
        """Writes a chosen pod to the link's spec, and removes its hand-over.

        Raises:
            ClusterError: the request failed, or its result is unknown.
        """
        await self._patch_spec(link, pod_patch(pod) | hand_over_patch(link, None))

    async def write_hand_over(self, link: Link, hand_over: HandOver | None) -> str:
        """Writes or removes the hand-over in the link's spec.

        Returns:
            The link's `metadata.uid`.

        Raises:
            ClusterError: the request failed, its result is unknown, or an earlier definition has dropped the hand-over.
        """
        written = _written_decoder.decode(await self._patch_spec(link, hand_over_patch(link, hand_over)))
        if hand_over is not None and not written.spec.hand_over:
            raise APIError(_UNPROCESSABLE, "Invalid", _NO_HAND_OVERS)
        return written.metadata.uid

    async def update_status(
        self,
        link: Link,
        status: LinkStatus,
        cause: LossCause | None = None,
        outcome: Outcome | None = None,
        reason: MoveReason | None = None,
    ) -> str:
        """Writes the link's status.

        Args:
            link: the version of the link that the decision used.
            status: the new status.
            cause: why the previous pod was lost or had to be emptied; None if a client moved the link.
            outcome: how the hand-over ended by which the link has moved; None if there was none.
            reason: why the slot has left its previous pod; None if it has not, or the other arguments tell it.

        Returns:
            The link's `metadata.uid`.

        Raises:
            ClusterError: the request failed, or its result is unknown.
        """
        if reason is None and outcome is not None:
            reason = MoveReason.HANDED_OVER
        patch = link_status_patch(link, status, self._clock(), cause, reason)
        body = {"metadata": {"resourceVersion": str(link.resource_version)}, "status": patch}
        return _written_decoder.decode(await self._patch(link, "/status", body)).metadata.uid

    async def delete(self, link: Link) -> str:
        """Deletes the link if it has not changed since the decision: an earlier renewal wins.

        Returns:
            The link's `metadata.uid`.

        Raises:
            ClusterError: the request failed, or its result is unknown.
        """
        preconditions = {"resourceVersion": str(link.resource_version)}
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        return _deleted_decoder.decode(await self._client.delete(_path(link), msgspec.json.encode(options))).details.uid

    async def _patch_spec(self, link: Link, spec: dict[str, Any]) -> bytes:
        return await self._patch(link, "", spec_patch(link, spec, keep_managed_fields=self._keep_managed_fields))

    async def _patch(self, link: Link, subresource: str, body: dict[str, Any]) -> bytes:
        response = await self._client.merge_patch(_path(link) + subresource, msgspec.json.encode(body))
        self._links.observe(_decode_response(LINKS, response))
        return response


class _Identity(msgspec.Struct):
    uid: str = ""


class _WrittenSpec(msgspec.Struct, rename="camel"):
    hand_over: dict[str, Any] | None = None


class _Written(msgspec.Struct):
    metadata: _Identity = msgspec.field(default_factory=_Identity)
    spec: _WrittenSpec = msgspec.field(default_factory=_WrittenSpec)


class _Deleted(msgspec.Struct):
    details: _Identity = msgspec.field(default_factory=_Identity)


_written_decoder = msgspec.json.Decoder(_Written)
_deleted_decoder = msgspec.json.Decoder(_Deleted)


def pod_patch(pod: PodKey | None) -> dict[str, Any]:
    """Returns a merge patch of the two fields that name a link's pod; null removes the other one."""
    return {"podIndex": pod, "podName": None} if not isinstance(pod, str) else {"podIndex": None, "podName": pod}


def hand_over_patch(link: Link | None, hand_over: HandOver | None) -> dict[str, Any]:
    """Returns a merge patch to the hand-over of a link; it is empty if the link has this one.

    Args:
        link: the version of the link that the decision used; None if it does not exist.
        hand_over: the new hand-over; None removes it.
    """
    if hand_over == (None if link is None else link.hand_over):
        return {}
    return {"handOver": hand_over and pod_patch(hand_over.pod) | {"startTime": hand_over.start_time}}


def _slot_manifest(route: Route, slot: int, pod: PodKey) -> dict[str, Any]:
    owner = {"apiVersion": API_VERSION, "kind": STATEFUL_ROUTE.kind, "name": route.name, "uid": route.uid}
    name_of_pod = {field: value for field, value in pod_patch(pod).items() if value is not None}
    return {
        "apiVersion": API_VERSION,
        "kind": POD_LINK.kind,
        "metadata": {
            "name": slot_link_name(route.name, slot),
            "namespace": route.namespace,
            "ownerReferences": [owner],
        },
        "spec": {"routeName": route.name, "slot": slot} | name_of_pod,
    }


def spec_patch(link: Link, spec: dict[str, Any], *, keep_managed_fields: bool) -> dict[str, Any]:
    """Returns a merge patch of a link's spec, which the API server refuses if the link has changed since.

    The patch also removes the link's managedFields, which are more than half of its bytes, unless the link was applied.
    The API server records them again only when the link is applied server-side. An apply since the decision makes the
    patch a conflict.

    Args:
        link: the version of the link that the decision used.
        spec: a merge patch of the spec.
        keep_managed_fields: whether the managedFields stay.
    """
    metadata: dict[str, Any] = {"resourceVersion": str(link.resource_version)}
    if link.has_removable_managed_fields and not keep_managed_fields:
        metadata["managedFields"] = [{}]  # removes them; an empty list or null changes nothing
    return {"metadata": metadata, "spec": spec}


def _path(link: Link) -> str:
    return f"/apis/{API_VERSION}/namespaces/{link.route.namespace}/{POD_LINK.plural}/{link.name}"


def link_status_patch(
    link: Link,
    status: LinkStatus,
    now: datetime,
    cause: LossCause | None = None,
    reason: MoveReason | None = None,
) -> dict[str, Any]:
    """Returns a merge patch to a new status of a link; null removes a field that no longer applies.

    Args:
        link: the version of the link that the decision used.
        status: the new status.
        now: the current time.
        cause: why the link has left its previous pod; None if a client moved it.
        reason: why the link has left its previous pod; None if the cause tells it.
    """
    previous = link.status
    was_ready = previous is not None and previous.is_ready
    transition_time = link.transition_time if previous is not None and was_ready == status.is_ready else None
    this_second = _format_seconds(now)
    patch: dict[str, Any] = {
        "phase": status.phase,
        "podIndex": status.pod_index,
        "podName": status.pod_name,
        "host": status.host,
        "expireTime": _rfc3339(link.expire_time),
        "observedGeneration": link.generation,
        "conditions": [
            {
                "type": ConditionType.READY,
                "status": "True" if status.is_ready else "False",
                "reason": status.reason,
                "message": status.message,
                "observedGeneration": link.generation,
                "lastTransitionTime": _rfc3339(transition_time) or this_second,
            }
        ],
    }
    if status.facts_hash is not None or (previous is not None and previous.facts_hash is not None):
        patch["factsHash"] = status.facts_hash
    if (observed := status.hand_over) is not None:
        patch["handOver"] = {"podUid": observed.pod_uid, "startTime": observed.start_time}
    elif previous is not None and previous.hand_over is not None:
        patch["handOver"] = None
    previous_pod = link.status_pod
    if status.is_ready:
        if not was_ready or previous_pod != status.pod:
            patch["boundTime"] = this_second
        if previous_pod is not None and previous_pod != status.pod:
            patch["previous"] = _previous_binding(previous, now, cause, reason)
    elif status.phase is not LinkPhase.LOST:
        patch["boundTime"] = None
    return patch


def _previous_binding(
    previous: LinkStatus | None, now: datetime, cause: LossCause | None, reason: MoveReason | None
) -> dict[str, Any]:
    """Returns a merge patch of the previous binding, which keeps nothing of an earlier one."""
    lost_or_moved = MoveReason.MOVED if cause is None else MoveReason.POD_LOST
    return {
        "podIndex": previous and previous.pod_index,
        "podName": previous and previous.pod_name,
        "reason": reason or lost_or_moved,
        "cause": cause,
        "time": _format_seconds(now),
    }


class RouteWriter:
    """Writes the status of StatefulRoutes, and their numbers of pods.

    Args:
        client: the client for the API server.
        routes: the informer of routes, which receives the responses.
        operator: the name of this operator, which each status contains.

    Attributes:
        operator: the name of this operator.
        definition: the conditions that the API server accepts.
    """

    def __init__(self, client: Client, routes: Informer[Route], operator: str = "") -> None:
        self._client = client
        self._routes = routes
        self.operator = operator
        self.definition = ServedDefinition()

    async def update_status(self, route: Route, status: StatefulRouteStatus) -> None:
        """Writes the changed fields of the route's status; sends no request if nothing has changed.

        Raises:
            ClusterError: the request failed, or its result is unknown.
        """
        self.definition.forget_expired()
        while change := status_patch(route.status, accepted := self.definition.accepted_part(status), self.operator):
            try:
                await self._patch(route, "/status", {"status": change})
            except APIError as error:
                if not self.definition.status_refused(accepted, error):
                    raise
            else:
                self.definition.status_accepted()
                return

    async def set_replicas(self, route: Route, replicas: int) -> None:
        """Writes `spec.replicas` of the route.

        Raises:
            ClusterError: the request failed, or its result is unknown.
        """
        await self._patch(route, "", {"spec": {"replicas": replicas}})

    async def _patch(self, route: Route, subresource: str, change: dict[str, Any]) -> None:
        path = f"/apis/{API_VERSION}/namespaces/{route.namespace}/{STATEFUL_ROUTE.plural}/{route.name}{subresource}"
        body = {"metadata": {"resourceVersion": str(route.resource_version)}, **change}
        self._routes.observe(
            _decode_response(LEAN_ROUTES, await self._client.merge_patch(path, msgspec.json.encode(body)))
        )


class PodWriter:
    """Writes the operator's annotations and label of pods."""

    def __init__(self, client: Client, pods: Informer[Pod]) -> None:
        self._client = client
        self._pods = pods

    async def annotate(self, pod: Pod, annotations: Mapping[str, str | None]) -> None:
        """Writes annotations of a pod, but not of a new pod with the same name; None removes one.

        Raises:
            ClusterError: the request failed, or its result is unknown.
        """
        await self._patch(pod, {"annotations": annotations})

    async def mark_occupied(self, pod: Pod, *, is_occupied: bool) -> None:
        """Adds the label of occupied pods to a pod, but not to a new pod with the same name, or removes it.

        Raises:
            ClusterError: the request failed, or its result is unknown.
        """
        await self._patch(pod, {"labels": {OCCUPIED_LABEL: OCCUPIED if is_occupied else None}})

    async def _patch(self, pod: Pod, metadata: Mapping[str, Any]) -> None:
        body = {"metadata": {"uid": pod.uid, **metadata}}
        path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"
        self._pods.observe(_decode_response(PODS, await self._client.merge_patch(path, msgspec.json.encode(body))))


def status_patch(before: StatefulRouteStatus, after: StatefulRouteStatus, operator: str = "") -> dict[str, Any]:
    """Returns the merge patch from one status to the other; empty if they are equal.

    A new writer alone is no reason for a write. Nor are a workload and omitted pods that the status did not contain
    before: a definition of an earlier version drops these fields, and would cause a write each time.

    Args:
        before: the stored status.
        after: the new status.
        operator: the name of this operator; empty leaves the name in the status.
    """
    old, new = (status.model_dump(mode="json", by_alias=True, exclude_none=True) for status in (before, after))
    if operator:
        new["operator"] = operator
    change = {field: new.get(field) for field in old.keys() | new.keys() if old.get(field) != new.get(field)}
    additions = {"operator"} | ({"workload", "omittedPods"} - old.keys())
    return change if change.keys() - additions else {}
