"""The writes of the operator: what changes in a link or a route goes through here, and nowhere else."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from statefulroute.api.group import API_VERSION, POD_LINK, STATEFUL_ROUTE
from statefulroute.api.statefulroute import StatefulRouteStatus
from statefulroute.api.vocabulary import ConditionType, LinkPhase, MoveReason
from statefulroute.cluster.cache import Cached
from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import Clock, utc_now
from statefulroute.cluster.codec import LINKS, PODS, ROUTES
from statefulroute.cluster.errors import UnreachableError
from statefulroute.cluster.informer import Informer
from statefulroute.cluster.resource_type import ResourceType
from statefulroute.domain.keys import PodKey
from statefulroute.domain.link import Link, LinkStatus
from statefulroute.domain.pod import Pod
from statefulroute.domain.route import Route
from statefulroute.domain.times import format_rfc3339

T = TypeVar("T", bound=Cached)


def _second(time: datetime) -> str | None:
    """A time as Kubernetes writes most of them: to the second."""
    return _rfc3339(time.replace(microsecond=0))


def _rfc3339(time: datetime | None) -> str | None:
    return None if time is None else format_rfc3339(time)


def _decode_answer(resource: ResourceType[T], answer: bytes) -> T:
    """The object that a write has made."""
    try:
        return resource.decode(answer)
    except ValueError as error:  # a proxy's page: whether the API server has written is not known
        raise UnreachableError(f"the answer to a write is no object of {resource.path}: {error}") from error


class LinkWriter:
    """Writes to PodLinks. Each is refused (ConflictError) when the link is no longer the version that was judged.

    The API server's answer is fed into the cache, so that the next decision sees it without waiting for the watch.
    """

    def __init__(self, client: Client, links: Informer[Link], clock: Clock = utc_now) -> None:
        self._client = client
        self._links = links
        self._clock = clock

    async def bind(self, link: Link, pod: PodKey) -> None:
        """Write a chosen pod into the link's spec.

        Raises:
            ClusterError: it was not written, or it is not known whether it was.
        """
        await self._patch(link, "", {"spec": pod_patch(pod)})

    async def update_status(self, link: Link, said: LinkStatus, move_reason: MoveReason = MoveReason.MOVED) -> str:
        """Write the link's whole status.

        Args:
            link: the version that was judged.
            said: what the status is to say.
            move_reason: why the link has moved, where it has.

        Returns:
            The link's `metadata.uid`.

        Raises:
            ClusterError: it was not written, or it is not known whether it was.
        """
        status = link_status_patch(link, said, self._clock(), move_reason)
        return _written_decoder.decode(await self._patch(link, "/status", {"status": status})).metadata.uid

    async def delete(self, link: Link) -> str:
        """Delete the link, if it is still the version that was judged: a renewal that came first wins.

        Returns:
            The link's `metadata.uid`.

        Raises:
            ClusterError: it was not deleted, or it is not known whether it was.
        """
        preconditions = {"resourceVersion": str(link.resource_version)}
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        return _deleted_decoder.decode(await self._client.delete(_path(link), msgspec.json.encode(options))).details.uid

    async def _patch(self, link: Link, subresource: str, change: dict[str, Any]) -> bytes:
        body = {"metadata": {"resourceVersion": str(link.resource_version)}} | change
        answer = await self._client.merge_patch(_path(link) + subresource, msgspec.json.encode(body))
        self._links.observe(_decode_answer(LINKS, answer))
        return answer


class _Identity(msgspec.Struct):
    uid: str = ""


class _Written(msgspec.Struct):
    metadata: _Identity = msgspec.field(default_factory=_Identity)


class _Deleted(msgspec.Struct):
    details: _Identity = msgspec.field(default_factory=_Identity)


_written_decoder = msgspec.json.Decoder(_Written)
_deleted_decoder = msgspec.json.Decoder(_Deleted)


def pod_patch(pod: PodKey | None) -> dict[str, Any]:
    """A merge patch of the two fields that name a link's pod; null removes the one that does not."""
    return {"podIndex": pod, "podName": None} if not isinstance(pod, str) else {"podIndex": None, "podName": pod}


def _path(link: Link) -> str:
    return f"/apis/{API_VERSION}/namespaces/{link.route.namespace}/{POD_LINK.plural}/{link.name}"


def link_status_patch(
    link: Link, said: LinkStatus, now: datetime, move_reason: MoveReason = MoveReason.MOVED
) -> dict[str, Any]:
    """A merge patch of a link's status that makes it say this; null removes a field that no longer applies."""
    before = link.status
    was_ready = before is not None and before.is_ready
    since = link.transition_time if before is not None and was_ready == said.is_ready else None
    status: dict[str, Any] = {
        "phase": said.phase,
        "podIndex": said.pod_index,
        "podName": said.pod_name,
        "host": said.host,
        "expireTime": _rfc3339(link.expire_time),
        "observedGeneration": link.generation,
        "conditions": [
            {
                "type": ConditionType.READY,
                "status": "True" if said.is_ready else "False",
                "reason": said.reason,
                "message": said.message,
                "observedGeneration": link.generation,
                "lastTransitionTime": _rfc3339(since) or _second(now),
            }
        ],
    }
    came_from = link.status_pod
    if said.phase is LinkPhase.BOUND:
        if not was_ready or came_from != said.pod:
            status["boundTime"] = _second(now)
        if came_from is not None and came_from != said.pod:
            status["previous"] = {**pod_patch(came_from), "reason": move_reason, "time": _second(now)}
    elif said.phase is not LinkPhase.LOST:
        status["boundTime"] = None
    return status


class RouteWriter:
    """Writes to StatefulRoutes' status."""

    def __init__(self, client: Client, routes: Informer[Route]) -> None:
        self._client = client
        self._routes = routes

    async def update_status(self, route: Route, status: StatefulRouteStatus) -> None:
        """Write what has changed in the route's status; nothing when nothing has.

        Raises:
            ClusterError: it was not written, or it is not known whether it was.
        """
        change = status_patch(route.status, status)
        if not change:
            return
        path = f"/apis/{API_VERSION}/namespaces/{route.namespace}/{STATEFUL_ROUTE.plural}/{route.name}/status"
        body = {"metadata": {"resourceVersion": str(route.resource_version)}, "status": change}
        self._routes.observe(_decode_answer(ROUTES, await self._client.merge_patch(path, msgspec.json.encode(body))))


class PodWriter:
    """Writes the operator's notes on pods."""

    def __init__(self, client: Client, pods: Informer[Pod]) -> None:
        self._client = client
        self._pods = pods

    async def annotate(self, pod: Pod, annotations: Mapping[str, str | None]) -> None:
        """Write annotations on a pod, and on no other that has taken its name; None removes one.

        Raises:
            ClusterError: they were not written, or it is not known whether they were.
        """
        body = {"metadata": {"uid": pod.uid, "annotations": annotations}}
        path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"
        self._pods.observe(_decode_answer(PODS, await self._client.merge_patch(path, msgspec.json.encode(body))))


def status_patch(before: StatefulRouteStatus, after: StatefulRouteStatus) -> dict[str, Any]:
    """The merge patch that turns one status into the other; empty when they are equal."""
    old, new = (status.model_dump(mode="json", by_alias=True, exclude_none=True) for status in (before, after))
    return {field: new.get(field) for field in old.keys() | new.keys() if old.get(field) != new.get(field)}
