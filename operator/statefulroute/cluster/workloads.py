"""Where workloads are found: StatefulSets in a cache, whatever else can be scaled by its scale subresource."""

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

#: The workload whose pods have an index: its API version and its kind.
STATEFUL_SET = ("apps/v1", "StatefulSet")

_INTERNAL_ERROR = 500

#: Called when something else may be found of a workload than before.
WorkloadListener = Callable[[WorkloadKey], None]


class _Metadata(msgspec.Struct):
    annotations: dict[str, str] | None = None


class _Annotated(msgspec.Struct):
    metadata: _Metadata


_annotated = msgspec.json.Decoder(_Annotated)


class Workloads:
    """The workloads of the routes.

    StatefulSets are followed by a watch. Of any other kind nothing is known but that it can be scaled, so it is
    read when somebody asks for that, as a HorizontalPodAutoscaler does.

    Args:
        client: how to reach the API server.
        stateful_sets: the cache of StatefulSets.
    """

    def __init__(self, client: Client, stateful_sets: Cache[Workload]) -> None:
        self._client = client
        self._stateful_sets = stateful_sets
        self._scales = ScaleReader(client)
        self._read: dict[WorkloadKey, Workload | MissingWorkload] = {}
        self._annotations: dict[WorkloadKey, WorkloadAnnotations] = {}
        """What is known to stand noted on those that are not watched."""
        self._listeners: list[WorkloadListener] = []
        stateful_sets.listen(self._stateful_set_changed)

    def listen(self, listener: WorkloadListener) -> None:
        """Have a function called when something else may be found of a workload than before. It must not raise."""
        self._listeners.append(listener)

    def is_watched(self, route: Route) -> bool:
        """Whether every change of a route's workload is announced."""
        return _is_watched(route.workload_key)

    def get(self, route: Route) -> Workload | MissingWorkload | None:
        """A route's workload, or why there is none that can be routed to; None before it was read."""
        key = route.workload_key
        if _is_watched(key):
            return self._stateful_sets.get(key.namespace, key.name) or route.workload_not_found()
        return self._read.get(key)

    async def refresh(self, route: Route) -> None:
        """Read a route's workload anew, unless it is watched.

        What was read before stands until the API server says that it is not there: a right that is missing for a
        moment, or an answer that makes no sense, takes nobody's pod away. Its pods are watched all the same.
        """
        key = route.workload_key
        if _is_watched(key):
            return
        before = self._read.get(key)
        try:
            found: Workload | MissingWorkload = await self._read_scale(key)
        except NotFoundError:
            found = route.workload_not_found()
        except ClusterError as error:
            obstacle = None if isinstance(before, Workload) else _lasting_problem(key, error)
            if obstacle is None:
                log.warning("a workload was not read: trying again", workload=key, error=str(error))
                return
            found = obstacle
        self._read[key] = found
        if found != before:
            self._notify(key)

    def forget(self, route: Route) -> None:
        """A route is gone or has another workload now; where one is shared, it is read anew."""
        self._read.pop(route.workload_key, None)
        self._annotations.pop(route.workload_key, None)

    async def annotations(self, route: Route, workload: Workload) -> WorkloadAnnotations:
        """What stands noted on a route's workload.

        Raises:
            ClusterError: it could not be read.
        """
        key = route.workload_key
        if _is_watched(key):
            return workload.annotations
        if key not in self._annotations:
            noted = _annotated.decode(await self._client.get(await self._path(key)))
            self._annotations[key] = parse_workload_annotations(noted.metadata.annotations or {})
        return self._annotations[key]

    async def annotate(self, route: Route, annotations: Mapping[str, str | None]) -> None:
        """Write annotations on a route's workload; None removes one.

        Raises:
            ClusterError: they were not written, or it is not known whether they were.
        """
        key = route.workload_key
        self._annotations.pop(key, None)
        body = msgspec.json.encode({"metadata": {"annotations": annotations}})
        noted = _annotated.decode(await self._client.merge_patch(await self._path(key), body))
        if not _is_watched(key):
            self._annotations[key] = parse_workload_annotations(noted.metadata.annotations or {})

    async def remove_annotations(self, route: Route, workload: Workload, names: Iterable[str]) -> None:
        """Remove our annotations from a route's workload, if there are any.

        Raises:
            ClusterError: they were not removed, or it is not known whether they were.
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
    """Why a workload cannot be routed to; None where it may be otherwise next time."""
    if isinstance(error, ForbiddenError):
        return MissingWorkload(RouteReason.WORKLOAD_FORBIDDEN, str(error))
    if isinstance(error, NotScalableError):
        return MissingWorkload(RouteReason.WORKLOAD_KIND_NOT_SUPPORTED, str(error))
    if isinstance(error, APIError) and error.status == _INTERNAL_ERROR:
        # So a custom resource is answered that lacks the field of its replicas.
        return MissingWorkload(RouteReason.WORKLOAD_UNREADABLE, f"the scale of {key.kind} {key.name!r}: {error}")
    return None


def _is_watched(key: WorkloadKey) -> bool:
    return (key.api_version, key.kind) == STATEFUL_SET
