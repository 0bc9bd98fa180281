"""One run of a route's state timer: polls what is not watched, and annotates the pods with what has changed."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from statefulroute.api.annotations import POD_ANNOTATIONS, WORKLOAD_ANNOTATIONS
from statefulroute.api.load import HTTPLoad
from statefulroute.api.route_status import ObservedWorkload
from statefulroute.api.statefulroute import WorkloadRef
from statefulroute.api.vocabulary import LoadSource
from statefulroute.cluster.clock import Clock
from statefulroute.cluster.errors import ClusterError, ConflictError, NotFoundError, is_outage
from statefulroute.cluster.fair_limiter import FairLimiter
from statefulroute.cluster.informers import Informers
from statefulroute.cluster.load_client import LoadClient, LoadUnreadableError
from statefulroute.cluster.retry_after import NamespacePauses, retry_pause
from statefulroute.cluster.writes import PodWriter
from statefulroute.controllers.disruption.guard import EvictionGuard
from statefulroute.controllers.state_store import RouteStore
from statefulroute.domain.annotations import is_annotator, pod_annotations
from statefulroute.domain.disruption.features import protects_pods
from statefulroute.domain.fair_slots import FairSlots
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.load import LoadReport
from statefulroute.domain.pod import Pod, PodAnnotations
from statefulroute.domain.route import Route, RouteView
from statefulroute.domain.workload import Workload

T = TypeVar("T")
R = TypeVar("R")

log = structlog.get_logger(__name__)

#: How many pods of one route are polled or annotated by the same run at the same time.
_CONCURRENCY = 16

#: How long a write in flight may take when the work on its route ends.
_FINISH_SECONDS = 5.0

#: How many pods of all routes are annotated at the same time, half of them of a single namespace. Annotations are not
#: urgent, and links go first.
_ANNOTATION_SLOTS = 8


@dataclass(frozen=True, slots=True)
class _PolledPod:
    """A pod whose load was polled. After an edit of the endpoint, all pods are new.

    Attributes:
        uid: the pod's `metadata.uid`.
        endpoint: where it was polled.
    """

    uid: str
    endpoint: HTTPLoad


def _endpoint(view: RouteView) -> HTTPLoad | None:
    """Returns where the load of each pod is polled; None if pods report it in annotations."""
    load = view.route.spec.load
    return load.http if load.source is LoadSource.HTTP else None


async def _run_concurrently(work: Callable[[T], Awaitable[R]], items: Sequence[T]) -> list[R]:
    """Processes items with few tasks, however many items there are, and returns the results in any order."""
    remaining, results = iter(items), list[R]()

    async def run() -> None:
        for item in remaining:
            results.append(await work(item))

    await asyncio.gather(*(run() for _ in range(min(_CONCURRENCY, len(items)))))
    return results


async def _finish(write: Coroutine[Any, Any, None]) -> None:
    """Writes something, and finishes that before the task is cancelled.

    Otherwise the API server could apply it later than what is written when the work on the route has ended.
    """
    writing = asyncio.create_task(write)
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        try:
            await asyncio.wait([writing], timeout=_FINISH_SECONDS)
        finally:
            writing.cancel()  # no-op for a write that has ended
        raise


class RouteRefresher:
    """Polls what cannot be watched: the scales of workloads, and the loads of pods that serve them over HTTP.

    Args:
        informers: the caches.
        route_store: the views of routes, which receive the loads.
        load_client: requests the load of pods.
        writer: annotates pods.
        clock: the time of day.
        annotates: whether pods and workloads are annotated.
        guard: guards pods against evictions; None if that is switched off.
    """

    def __init__(  # noqa: PLR0913 - all that a turn needs
        self,
        informers: Informers,
        route_store: RouteStore,
        load_client: LoadClient,
        writer: PodWriter,
        clock: Clock,
        *,
        annotates: bool = True,
        guard: EvictionGuard | None = None,
    ) -> None:
        self._informers = informers
        self._route_store = route_store
        self._load_client = load_client
        self._writer = writer
        self._clock = clock
        self._annotates = annotates
        self._guard = guard
        self._polled: dict[RouteKey, frozenset[_PolledPod]] = {}
        """The pods of each route that were polled; of a route whose pods are polled."""
        self._refreshed: dict[RouteKey, WorkloadRef] = {}
        """The workload of each route at its last run."""
        self._annotation_limiter = FairLimiter(FairSlots(_ANNOTATION_SLOTS))
        self._annotation_pauses = NamespacePauses()
        """Where the API server asks not to annotate pods for a while. A later run writes the rest."""

    async def refresh(self, route: Route) -> bool:
        """Polls everything, and annotates the pods with what has changed.

        Returns:
            Whether there was nothing to annotate, so that another run without a change has nothing to do.
        """
        previous = route.with_observed_workload() or route.with_workload(self._refreshed.get(route.key))
        is_same = previous.workload_key == route.workload_key
        has_left = is_same or await self._leave_workload(previous)
        if route.key not in self._refreshed and not protects_pods(route.spec):
            has_left &= await self._remove_guard(route)  # the route may have been edited while no operator ran
        if has_left:
            self._refreshed[route.key] = route.spec.workload_ref
        if has_left and not is_same:
            self._route_store.status_changed(route.key)  # it names another workload
        await self._informers.workloads.refresh(route)
        view = self._route_store.get(route.key)
        if view is None:
            return False
        if (http := _endpoint(view)) is None:
            self._polled.pop(route.key, None)
        else:
            pods = self._reachable_pods(view)
            self._polled[route.key] = frozenset(_PolledPod(pod.uid, http) for pod in pods)
            await self._poll(view.route.key, pods, http)
        view = self._route_store.get(route.key)
        is_annotated = view is not None and not await self._annotate_pods(view)
        return is_annotated and has_left

    def needs_polling(self, route: Route) -> bool:
        """Returns whether something of a route has to be polled, because it is not watched."""
        return route.spec.load.source is LoadSource.HTTP or not self._informers.workloads.is_watched(route)

    async def poll_new_pods(self, route: Route) -> None:
        """Reads the workload again unless it is watched, and polls the pods that have not been polled."""
        await self._informers.workloads.refresh(route)
        view = self._route_store.get(route.key)
        if view is None:
            return
        if (http := _endpoint(view)) is None:
            self._polled.pop(route.key, None)
            return
        pods, polled = self._reachable_pods(view), self._polled.get(route.key, frozenset())
        self._polled[route.key] = frozenset(_PolledPod(pod.uid, http) for pod in pods)
        # A polled pod without a load or an error was forgotten since: the route read annotations for a while.
        known = {pod.pod.name for pod in view.pods.values() if pod.key in view.loads or pod.key in view.load_errors}
        new = [pod for pod in pods if _PolledPod(pod.uid, http) not in polled or pod.name not in known]
        await self._poll(view.route.key, new, http)

    def annotated_workload(self, route: Route) -> ObservedWorkload | None:
        """Returns the workload that carries the annotations of a route, for its status.

        It is the previous one until the annotations there are removed.
        """
        refreshed = self._refreshed.get(route.key)
        return route.status_workload if refreshed is None else route.with_workload(refreshed).observed_workload

    async def remove_annotations(self, route: Route) -> None:
        """Removes the annotations from the pods and the workload of a route that is deleted."""
        if (previous := route.with_observed_workload()) is not None:
            await self._leave_workload(previous)
        await self._remove_annotations(route)
        self.forget(route.key)

    async def _leave_workload(self, route: Route) -> bool:
        """Removes the annotations from a former workload and its pods; returns False if that has to be repeated."""
        await self._informers.workloads.refresh(route)
        return self._informers.workloads.get(route) is not None and await self._remove_annotations(route)

    async def _remove_annotations(self, route: Route) -> bool:
        """Removes the annotations from pods and the workload. An annotation that cannot be removed is logged.

        Nothing is removed or forgotten if another route has the same workload: it continues with the annotations.

        Returns:
            False if the API server failed, so that another attempt may succeed.
        """
        is_complete = await self._remove_guard(route)
        if self._is_shared(route):
            return is_complete
        workload = self._informers.workloads.get(route)
        if isinstance(workload, Workload) and self._annotates:
            pods = self._route_store.pods_of(workload)
            annotated = [pod for pod in pods if pod.annotations != PodAnnotations()]
            changes = [(pod, dict.fromkeys(POD_ANNOTATIONS)) for pod in annotated]
            is_complete &= await self._write_annotations(route.key, changes)
            try:
                await self._informers.workloads.remove_annotations(route, workload, WORKLOAD_ANNOTATIONS)
            except ClusterError as error:
                is_complete = is_complete and not is_outage(error)
                log.info("the annotations of a workload were not removed", route=route.key, error=str(error))
        self._informers.workloads.forget(route)
        return is_complete

    async def _remove_guard(self, route: Route) -> bool:
        """Removes what guards the pods of a workload; returns False if the API server failed."""
        return self._guard is None or not self._guard.is_left(route) or await self._guard.remove(route)

    def forget(self, route: RouteKey) -> None:
        """Forgets the last run of a route. Another operator may continue."""
        self._polled.pop(route, None)
        self._refreshed.pop(route, None)

    def _can_annotate(self, route: Route) -> bool:
        return self._annotates and is_annotator(route, self._route_store.routes_to(route.workload_key))

    def _is_shared(self, route: Route) -> bool:
        routes = self._route_store.routes_to(route.workload_key)
        return any(each.name != route.name and not each.is_deleting for each in routes)

    def _current_pods(self, view: RouteView) -> list[Pod]:
        """Returns the current versions of a route's pods; a view does not follow changes that decide nothing."""
        cache = self._informers.pods.cache
        pods = (cache.get(view.route.namespace, pod.pod.name) for pod in view.pods.values())
        return [pod for pod in pods if pod is not None]

    def _reachable_pods(self, view: RouteView) -> list[Pod]:
        """Returns the pods that can be polled."""
        return [pod for pod in self._current_pods(view) if pod.is_ready and pod.ip]

    async def _poll(self, route: RouteKey, pods: Sequence[Pod], http: HTTPLoad) -> None:
        await _run_concurrently(lambda pod: self._poll_pod(route, pod, http), pods)

    async def _poll_pod(self, route: RouteKey, pod: Pod, http: HTTPLoad) -> None:
        try:
            response = await self._load_client.get_load(pod.ip, http, route)
        except LoadUnreadableError as error:
            self._route_store.observe_load_error(route, pod, str(error))
        else:
            report = LoadReport(response.load_state, response.waiting_tasks, self._clock())
            self._route_store.observe_load(route, pod, report, response.routing_state)

    async def _annotate_pods(self, view: RouteView) -> bool:
        """Annotates the pods; returns whether there was anything to write."""
        if not self._can_annotate(view.route):
            return False
        now, pods = self._clock(), self._current_pods(view)
        by_name = {pod.pod.name: pod for pod in view.pods.values()}
        changes = ((pod, pod_annotations(view, by_name[pod.name], pod.annotations, now)) for pod in pods)
        due = [change for change in changes if change[1]]
        if due:
            await self._write_annotations(view.route.key, due)
        return bool(due)

    async def _write_annotations(
        self, route: RouteKey, changes: Sequence[tuple[Pod, Mapping[str, str | None]]]
    ) -> bool:
        """Annotates pods; returns False if the API server failed for any of them."""
        return all(await _run_concurrently(lambda change: self._write_pod_annotations(route, *change), changes))

    async def _write_pod_annotations(self, route: RouteKey, pod: Pod, annotations: Mapping[str, str | None]) -> bool:
        async with self._annotation_limiter.slot(route):
            if not self._annotation_pauses.allows(route.namespace):
                return False
            try:
                await _finish(self._writer.annotate(pod, annotations))
            except (ConflictError, NotFoundError):
                pass  # the pod is gone, and its annotations with it
            except ClusterError as error:
                log.info(
                    "the annotations of a pod were not written", pod=pod.name, namespace=pod.namespace, error=str(error)
                )
                self._annotation_pauses.pause(route.namespace, retry_pause(0.0, error.retry_after_seconds))
                return not is_outage(error)
        return True
