"""One turn of a route's state timer: where nobody announces a change, ask; then note on the pods what has moved."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog

from statefulroute.api.statefulroute import HTTPLoad
from statefulroute.api.vocabulary import LoadSource
from statefulroute.cluster.clock import Clock
from statefulroute.cluster.errors import ClusterError, ConflictError, NotFoundError
from statefulroute.cluster.informers import Informers
from statefulroute.cluster.load_client import LoadClient, LoadUnreadableError
from statefulroute.cluster.writes import PodWriter
from statefulroute.controllers.state_store import RouteStore
from statefulroute.domain.annotations import POD_ANNOTATIONS, WORKLOAD_ANNOTATIONS, is_annotator, pod_annotations
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.load import LoadReport
from statefulroute.domain.pod import Pod, PodAnnotations
from statefulroute.domain.route import Route, RouteView, Workload

log = structlog.get_logger(__name__)

#: Pods of one route that are asked at the same time: if all of them hang, other routes are still served.
_POLL_CONCURRENCY = 16

#: Notes on pods of all routes that are written at the same time: nobody waits for them, and links go first.
_ANNOTATION_CONCURRENCY = 4


@dataclass(frozen=True, slots=True)
class _PolledPod:
    """That a pod was asked for its load: after an edit of where, all pods are new.

    Attributes:
        uid: the pod's `metadata.uid`.
        endpoint: None where pods report by themselves, and nobody was asked.
    """

    uid: str
    endpoint: HTTPLoad | None


def _endpoint(view: RouteView) -> HTTPLoad | None:
    """Where each pod is asked for its load; None where pods report it by themselves."""
    load = view.route.spec.load
    return load.http if load.source is LoadSource.HTTP else None


class RouteRefresher:
    """Reads what changes without an announcement: the scale of a workload, and loads that have to be asked for.

    Args:
        informers: the caches.
        route_store: the routes as decisions see them; told what was heard.
        load_client: asks pods for their load.
        writer: writes notes on pods.
        clock: the time of day.
    """

    def __init__(
        self, informers: Informers, route_store: RouteStore, load_client: LoadClient, writer: PodWriter, clock: Clock
    ) -> None:
        self._informers = informers
        self._route_store = route_store
        self._load_client = load_client
        self._writer = writer
        self._clock = clock
        self._polled: dict[RouteKey, frozenset[_PolledPod]] = {}
        """Of each route: who was asked, and where."""
        self._refreshed: dict[RouteKey, Route] = {}
        """Each route as it was at its last turn."""
        self._annotation_slots = asyncio.Semaphore(_ANNOTATION_CONCURRENCY)

    async def refresh(self, route: Route) -> None:
        """Read everything anew, and note on the pods what has moved."""
        before = self._refreshed.get(route.key)
        if before is not None and before.workload_key != route.workload_key:
            await self.remove_annotations(before)
        self._refreshed[route.key] = route
        await self._informers.workloads.refresh(route)
        view = self._route_store.get(route.key)
        if view is None:
            return
        pods = self._reachable_pods(view)
        self._polled[route.key] = frozenset(_PolledPod(pod.uid, _endpoint(view)) for pod in pods)
        await self._poll(view, pods)
        view = self._route_store.get(route.key)
        if view is not None:
            await self._annotate_pods(view)

    def needs_polling(self, route: Route) -> bool:
        """Whether anything of a route has to be asked for: else everything is announced."""
        return route.spec.load.source is LoadSource.HTTP or not self._informers.workloads.is_watched(route)

    async def poll_new_pods(self, route: Route) -> None:
        """Read the workload anew where it is not watched, and ask the pods that were not asked yet."""
        await self._informers.workloads.refresh(route)
        view = self._route_store.get(route.key)
        if view is None:
            return
        pods, asked = self._reachable_pods(view), self._polled.get(route.key, frozenset())
        self._polled[route.key] = frozenset(_PolledPod(pod.uid, _endpoint(view)) for pod in pods)
        # Of whom nothing is known was forgotten since: the pods have reported by themselves for a while.
        heard = {pod.pod.name for pod in view.pods.values() if pod.key in view.loads or pod.key in view.load_errors}
        new = [pod for pod in pods if _PolledPod(pod.uid, _endpoint(view)) not in asked or pod.name not in heard]
        await self._poll(view, new)

    async def remove_annotations(self, route: Route) -> None:
        """Take the notes away from the pods and the workload that a route leaves, or is deleted from, if possible."""
        workload = self._informers.workloads.get(route)
        if isinstance(workload, Workload) and self._can_annotate(route):
            pods = self._informers.pods.cache.in_partition(route.namespace).values()
            noted = [pod for pod in pods if pod.annotations != PodAnnotations() and workload.owns(pod)]
            await self._write_annotations((pod, dict.fromkeys(POD_ANNOTATIONS)) for pod in noted)
            try:
                await self._informers.workloads.remove_annotations(route, workload, WORKLOAD_ANNOTATIONS)
            except ClusterError as error:
                log.info("the notes on a workload were not removed", route=route.key, error=str(error))
        self._informers.workloads.forget(route)
        self._polled.pop(route.key, None)
        self._refreshed.pop(route.key, None)

    def _can_annotate(self, route: Route) -> bool:
        return is_annotator(route, self._informers.routes.cache.in_partition(route.namespace).values())

    def _current_pods(self, view: RouteView) -> list[Pod]:
        """The route's pods in their present version: the view's own leave out what decides nothing."""
        cache = self._informers.pods.cache
        found = (cache.get(view.route.namespace, pod.pod.name) for pod in view.pods.values())
        return [pod for pod in found if pod is not None]

    def _reachable_pods(self, view: RouteView) -> list[Pod]:
        """The pods that can be asked."""
        return [pod for pod in self._current_pods(view) if pod.is_ready and pod.ip]

    async def _poll(self, view: RouteView, pods: Iterable[Pod]) -> None:
        if (http := _endpoint(view)) is not None:
            slots = asyncio.Semaphore(_POLL_CONCURRENCY)
            await asyncio.gather(*(self._poll_pod(view.route.key, pod, http, slots) for pod in pods))

    async def _poll_pod(self, route: RouteKey, pod: Pod, http: HTTPLoad, slots: asyncio.Semaphore) -> None:
        try:
            async with slots:
                answer = await self._load_client.get_load(pod.ip, http)
        except LoadUnreadableError as error:
            self._route_store.observe_load_error(route, pod, str(error))
        else:
            report = LoadReport(answer.load_state, answer.waiting_tasks, self._clock())
            self._route_store.observe_load(route, pod, report, answer.routing_state)

    async def _annotate_pods(self, view: RouteView) -> None:
        if not self._can_annotate(view.route):
            return
        now, pods = self._clock(), self._current_pods(view)
        by_name = {pod.pod.name: pod for pod in view.pods.values()}
        changes = ((pod, pod_annotations(view, by_name[pod.name], pod.annotations, now)) for pod in pods)
        await self._write_annotations((pod, notes) for pod, notes in changes if notes)

    async def _write_annotations(self, changes: Iterable[tuple[Pod, Mapping[str, str | None]]]) -> None:
        await asyncio.gather(*(self._write_pod_annotations(pod, notes) for pod, notes in changes))

    async def _write_pod_annotations(self, pod: Pod, notes: Mapping[str, str | None]) -> None:
        async with self._annotation_slots:
            try:
                await self._writer.annotate(pod, notes)
            except (ConflictError, NotFoundError):
                pass  # the pod has gone in between, and its notes with it
            except ClusterError as error:
                log.info("a note on a pod was not written", pod=pod.name, namespace=pod.namespace, error=str(error))
