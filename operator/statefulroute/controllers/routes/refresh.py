"""One turn of a route's state timer: where nobody announces a change, ask; then note on the pods what has moved."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog

from statefulroute.api.statefulroute import HTTPLoad
from statefulroute.api.vocabulary import LoadSource
from statefulroute.cluster.clock import Clock
from statefulroute.cluster.errors import ClusterError, ConflictError, NotFoundError
from statefulroute.cluster.load_endpoints import LoadEndpoints, LoadUnreadableError
from statefulroute.cluster.mirror import Mirror
from statefulroute.cluster.writes import PodWriter
from statefulroute.controllers.views import RouteViews
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.load import Report
from statefulroute.domain.notes import ON_PODS, ON_WORKLOADS, notes_for_workload, pod_notes
from statefulroute.domain.pod import Notes, Pod
from statefulroute.domain.route import Route, RouteView, Workload

log = structlog.get_logger(__name__)

#: Pods of one route that are asked at the same time: if all of them hang, other routes are still served.
_ASKED_AT_A_TIME = 16

#: Notes on pods of all routes that are written at the same time: nobody waits for them, and links go first.
_NOTES_AT_A_TIME = 4


@dataclass(frozen=True, slots=True)
class _Asked:
    """That a pod was asked for its load: after an edit of where, all pods are new.

    Attributes:
        uid: the pod's `metadata.uid`.
        where: None where pods report by themselves, and nobody was asked.
    """

    uid: str
    where: HTTPLoad | None


def _endpoint(view: RouteView) -> HTTPLoad | None:
    """Where each pod is asked for its load; None where pods report it by themselves."""
    load = view.route.spec.load
    return load.http if load.source is LoadSource.HTTP else None


class Refresh:
    """Reads what changes without an announcement: the scale of a workload, and loads that have to be asked for.

    Args:
        mirror: the caches.
        views: the routes as decisions see them; told what was heard.
        endpoints: asks pods for their load.
        writer: writes notes on pods.
        clock: the time of day.
    """

    def __init__(
        self, mirror: Mirror, views: RouteViews, endpoints: LoadEndpoints, writer: PodWriter, clock: Clock
    ) -> None:
        self._mirror = mirror
        self._views = views
        self._endpoints = endpoints
        self._writer = writer
        self._clock = clock
        self._asked: dict[RouteKey, frozenset[_Asked]] = {}
        """Of each route: who was asked, and where."""
        self._turned: dict[RouteKey, Route] = {}
        """Each route as it was at its last turn."""
        self._note_slots = asyncio.Semaphore(_NOTES_AT_A_TIME)

    async def turn(self, route: Route) -> None:
        """Read everything anew, and note on the pods what has moved."""
        before = self._turned.get(route.key)
        if before is not None and before.workload_key != route.workload_key:
            await self.release(before)
        self._turned[route.key] = route
        await self._mirror.workloads.refresh(route)
        view = self._views.get(route.key)
        if view is None:
            return
        pods = self._answering(view)
        self._asked[route.key] = frozenset(_Asked(pod.uid, _endpoint(view)) for pod in pods)
        await self._ask(view, pods)
        view = self._views.get(route.key)
        if view is not None:
            await self._note_all(view)

    def reads(self, route: Route) -> bool:
        """Whether anything of a route has to be asked for: else everything is announced."""
        return route.spec.load.source is LoadSource.HTTP or not self._mirror.workloads.watches(route)

    async def newcomers(self, route: Route) -> None:
        """Read the workload anew where it is not watched, and ask the pods that were not asked yet."""
        await self._mirror.workloads.refresh(route)
        view = self._views.get(route.key)
        if view is None:
            return
        pods, asked = self._answering(view), self._asked.get(route.key, frozenset())
        self._asked[route.key] = frozenset(_Asked(pod.uid, _endpoint(view)) for pod in pods)
        # Of whom nothing is known was forgotten since: the pods have reported by themselves for a while.
        heard = {pod.pod.name for pod in view.pods.values() if pod.key in view.loads or pod.key in view.faults}
        new = [pod for pod in pods if _Asked(pod.uid, _endpoint(view)) not in asked or pod.name not in heard]
        await self._ask(view, new)

    async def release(self, route: Route) -> None:
        """Take the notes away from the pods and the workload that a route leaves, or is deleted from, if possible."""
        workload = self._mirror.workloads.find(route)
        if isinstance(workload, Workload) and self._notes(route):
            pods = self._mirror.pods.cache.in_group(route.group).values()
            noted = [pod for pod in pods if pod.notes != Notes() and workload.owns(pod)]
            await self._write((pod, dict.fromkeys(ON_PODS)) for pod in noted)
            try:
                await self._mirror.workloads.release(route, workload, ON_WORKLOADS)
            except ClusterError as error:
                log.info("the notes on a workload were not removed", route=route.key, error=str(error))
        self._mirror.workloads.forget(route)
        self._asked.pop(route.key, None)
        self._turned.pop(route.key, None)

    def _notes(self, route: Route) -> bool:
        return notes_for_workload(route, self._mirror.routes.cache.in_group(route.group).values())

    def _present(self, view: RouteView) -> list[Pod]:
        """The route's pods in their present version: the view's own leave out what decides nothing."""
        cache = self._mirror.pods.cache
        found = (cache.get(view.route.group, pod.pod.name) for pod in view.pods.values())
        return [pod for pod in found if pod is not None]

    def _answering(self, view: RouteView) -> list[Pod]:
        """The pods that can be asked."""
        return [pod for pod in self._present(view) if pod.is_ready and pod.ip]

    async def _ask(self, view: RouteView, pods: Iterable[Pod]) -> None:
        if (http := _endpoint(view)) is not None:
            slots = asyncio.Semaphore(_ASKED_AT_A_TIME)
            await asyncio.gather(*(self._ask_one(view.route.key, pod, http, slots) for pod in pods))

    async def _ask_one(self, route: RouteKey, pod: Pod, http: HTTPLoad, slots: asyncio.Semaphore) -> None:
        try:
            async with slots:
                answer = await self._endpoints.ask(pod.ip, http)
        except LoadUnreadableError as error:
            self._views.unheard(route, pod, str(error))
        else:
            report = Report(answer.load_state, answer.waiting_tasks, self._clock())
            self._views.heard(route, pod, report, answer.routing_state)

    async def _note_all(self, view: RouteView) -> None:
        if not self._notes(view.route):
            return
        now, pods = self._clock(), self._present(view)
        by_name = {pod.pod.name: pod for pod in view.pods.values()}
        changes = ((pod, pod_notes(view, by_name[pod.name], pod.notes, now)) for pod in pods)
        await self._write((pod, notes) for pod, notes in changes if notes)

    async def _write(self, changes: Iterable[tuple[Pod, Mapping[str, str | None]]]) -> None:
        await asyncio.gather(*(self._write_one(pod, notes) for pod, notes in changes))

    async def _write_one(self, pod: Pod, notes: Mapping[str, str | None]) -> None:
        async with self._note_slots:
            try:
                await self._writer.note(pod, notes)
            except (ConflictError, NotFoundError):
                pass  # the pod has gone in between, and its notes with it
            except ClusterError as error:
                log.info("a note on a pod was not written", pod=pod.name, namespace=pod.group, error=str(error))
