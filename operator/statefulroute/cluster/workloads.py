"""Reads and annotates workloads: StatefulSets from a cache, other kinds by their scale subresource."""

from collections.abc import Callable, Iterable, Mapping

import msgspec
import structlog

from statefulroute.api.vocabulary import RouteReason
from statefulroute.cluster.cache import Cache
from statefulroute.cluster.client import Client
from statefulroute.cluster.codec import parse_workload_annotations
from statefulroute.cluster.errors import APIError, ClusterError, NotFoundError
from statefulroute.cluster.scales import ForbiddenError, NotScalableError, ScaleReader
from statefulroute.domain.keys import WorkloadKey
from statefulroute.domain.route import MissingWorkload, Route, Workload, WorkloadAnnotations

log = structlog.get_logger(__name__)

#: The API version and the kind of workloads whose pods have an index.
STATEFUL_SET = ("apps/v1", "StatefulSet")

_INTERNAL_ERROR = 500

#: Called with the key of a workload that may have changed.
WorkloadListener = Callable[[WorkloadKey], None]


class _Metadata(msgspec.Struct):
    annotations: dict[str, str] | None = None


class _AnnotatedObject(msgspec.Struct):
    metadata: _Metadata


_annotated_decoder = msgspec.json.Decoder(_AnnotatedObject)


class Workloads:
    """The workloads of the routes.

    StatefulSets are watched. The only known property of other kinds is their scale subresource, so they are read on
    request, as a HorizontalPodAutoscaler does.

    Args:
        client: the client for the API server.
        stateful_sets: the cache of StatefulSets.
    """

    def __init__(self, client: Client, stateful_sets: Cache[Workload]) -> None:
        self._client = client
        self._stateful_sets = stateful_sets
        self._scales = ScaleReader(client)
        self._read: dict[WorkloadKey, Workload | MissingWorkload] = {}
        self._annotations: dict[WorkloadKey, WorkloadAnnotations] = {}
        """The known annotations of workloads that are not watched."""
        self._listeners: list[WorkloadListener] = []
        stateful_sets.listen(self._stateful_set_changed)

    def listen(self, listener: WorkloadListener) -> None:
        """Adds a listener, which is called when a workload may have changed. It must not raise."""
        self._listeners.append(listener)

    def is_watched(self, route: Route) -> bool:
        """Returns whether listeners are called for every change of a route's workload."""
        return _is_watched(route.workload_key)

    def get(self, route: Route) -> Workload | MissingWorkload | None:
        """Returns a route's workload, or the reason why it is not usable; None before it was read."""
        key = route.workload_key
        if _is_watched(key):
            return self._stateful_sets.get(key.namespace, key.name) or route.workload_not_found()
        return self._read.get(key)

    async def refresh(self, route: Route) -> None:
        """Reads a route's workload again, unless it is watched.

        An earlier result stays valid until the API server reports that the workload does not exist. So a permission
        that is missing for a moment, or a malformed response, takes no user's pod away. The pods are watched anyway.
        """
        key = route.workload_key
        if _is_watched(key):
            return
        previous = self._read.get(key)
        try:
            current: Workload | MissingWorkload = await self._read_scale(key)
        except NotFoundError:
            current = route.workload_not_found()
        except ClusterError as error:
            problem = None if isinstance(previous, Workload) else _lasting_problem(key, error)
            if problem is None:
                log.warning("a workload was not read: trying again", workload=key, error=str(error))
                return
            current = problem
        self._read[key] = current
        if current != previous:
            self._notify(key)

    def forget(self, route: Route) -> None:
        """Drops a route's workload after the route was deleted or changed; another route may read it again."""
        self._read.pop(route.workload_key, None)
        self._annotations.pop(route.workload_key, None)

    def clear(self) -> None:
        """Drops all workloads that are not watched; no listener is called."""
        self._read.clear()
        self._annotations.clear()

    async def annotations(self, route: Route, workload: Workload) -> WorkloadAnnotations:
        """Returns the operator's annotations of a route's workload.

        Raises:
            ClusterError: the workload cannot be read.
        """
        key = route.workload_key
        if _is_watched(key):
            return workload.annotations
        if key not in self._annotations:
            workload_object = _annotated_decoder.decode(await self._client.get(await self._path(key)))
            self._annotations[key] = parse_workload_annotations(workload_object.metadata.annotations or {})
        return self._annotations[key]

    async def annotate(self, route: Route, annotations: Mapping[str, str | None]) -> None:
        """Writes annotations of a route's workload; None removes one.

        Raises:
            ClusterError: the request failed, or its result is unknown.
        """
        key = route.workload_key
        self._annotations.pop(key, None)
        body = msgspec.json.encode({"metadata": {"annotations": annotations}})
        workload_object = _annotated_decoder.decode(await self._client.merge_patch(await self._path(key), body))
        if not _is_watched(key):
            self._annotations[key] = parse_workload_annotations(workload_object.metadata.annotations or {})

    async def remove_annotations(self, route: Route, workload: Workload, names: Iterable[str]) -> None:
        """Removes the operator's annotations from a route's workload, if there are any.

        Raises:
            ClusterError: the request failed, or its result is unknown.
        """
        if await self.annotations(route, workload) != WorkloadAnnotations():
            await self.annotate(route, dict.fromkeys(names))

    async def _path(self, key: WorkloadKey) -> str:
        return await self._scales.path(key.namespace, key.api_version, key.kind, key.name)

    async def _read_scale(self, key: WorkloadKey) -> Workload:
        scale = await self._scales.read(key.namespace, key.api_version, key.kind, key.name)
        return Workload(
            namespace=key.namespace,
            name=key.name,
            resource_version=scale.resource_version,
            uid=scale.uid,
            replicas=scale.replicas,
            selector=scale.selector,
        )

    def _stateful_set_changed(self, old: Workload | None, new: Workload | None) -> None:
        workload = new or old
        if workload is not None:
            self._notify(WorkloadKey(workload.namespace, *STATEFUL_SET, workload.name))

    def _notify(self, key: WorkloadKey) -> None:
        for listener in self._listeners:
            listener(key)


def _lasting_problem(key: WorkloadKey, error: ClusterError) -> MissingWorkload | None:
    """Returns the reason why a workload is not usable; None if the error may be temporary."""
    if isinstance(error, ForbiddenError):
        return MissingWorkload(RouteReason.WORKLOAD_FORBIDDEN, str(error))
    if isinstance(error, NotScalableError):
        return MissingWorkload(RouteReason.WORKLOAD_KIND_NOT_SUPPORTED, str(error))
    if isinstance(error, APIError) and error.status == _INTERNAL_ERROR:
        # The response for a custom resource without the field for its replicas.
        return MissingWorkload(RouteReason.WORKLOAD_UNREADABLE, f"the scale of {key.kind} {key.name!r}: {error}")
    return None


def _is_watched(key: WorkloadKey) -> bool:
    return (key.api_version, key.kind) == STATEFUL_SET
