"""Carries out plans of disruptions: scales routes and workloads, and evicts pods."""

import asyncio
import random
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from statefulroute.cluster.errors import APIError, ClusterError, ConflictError, NotFoundError, is_outage
from statefulroute.cluster.events import EventRecorder
from statefulroute.cluster.evictions import Evictor
from statefulroute.cluster.retry_after import retry_pause
from statefulroute.cluster.scales import NotScalableError
from statefulroute.cluster.workloads import Workloads
from statefulroute.cluster.writes import RouteWriter
from statefulroute.controllers.disruption.autoscaler import Autoscaler
from statefulroute.domain.backoff import Backoff
from statefulroute.domain.disruption.contested_scale import ContestedScale
from statefulroute.domain.disruption.events import replaced_event, scaled_event
from statefulroute.domain.disruption.plan import Action, EvictPod, Plan, SetReplicas, SetRouteReplicas
from statefulroute.domain.keys import PodKey
from statefulroute.domain.route import Route
from statefulroute.domain.workload import Workload

log = structlog.get_logger(__name__)

#: How soon a write is repeated that failed, was refused, or whose effect is not seen; and one of a changed workload.
_RETRY_SECONDS, _REFUSED_SECONDS, _UNSEEN_SECONDS, _CONFLICT_SECONDS = 1.0, 15.0, 5.0, 0.2

#: How soon an eviction is repeated that failed: a budget may refuse it for hours.
_EVICTION_BACKOFF = Backoff(_UNSEEN_SECONDS, 60.0, random.random)

#: The key of the change of a number of pods, among the UIDs of pods that are evicted.
_SCALE = ""


class _FailedEviction(NamedTuple):
    """The failures of the eviction of a pod.

    Attributes:
        attempts: how often it failed.
        error: why it failed the last time.
    """

    attempts: int = 0
    error: str = ""


@dataclass(slots=True)
class Writes:
    """What is kept of the writes for a workload. A process that starts needs none of it.

    Attributes:
        written_version: the version of the workload after the last write.
        scale_refusal: why the API server refused the last change of the number of pods.
        eviction_refusals: why the API server refused the last eviction of pods.
        failed_evictions: the evictions that failed, by the UIDs of pods.
        planned_evictions: the UIDs of the pods that the last plan evicts.
        retry_at: before when a write is not repeated, by the clock of the event loop: that of a number of pods (the
            empty key), and the evictions of pods by their UIDs.
        route_scale: whether something else sets `spec.replicas`, too.
        workload_scale: whether something else scales the workload, too.
    """

    written_version: int = 0
    scale_refusal: str | None = None
    eviction_refusals: dict[PodKey, str] = field(default_factory=dict)
    failed_evictions: dict[str, _FailedEviction] = field(default_factory=dict)
    planned_evictions: frozenset[str] = frozenset()
    retry_at: dict[str, float] = field(default_factory=dict)
    route_scale: ContestedScale = field(default_factory=ContestedScale)
    workload_scale: ContestedScale = field(default_factory=ContestedScale)

    def observe_scales(self, replicas: int, workload: Workload, now: float) -> None:
        """Observes the numbers of pods of the route and of the workload.

        Args:
            replicas: the number of the route.
            workload: the workload.
            now: the current time, by the clock of the event loop.
        """
        self.route_scale = self.route_scale.observe(replicas, now)
        if workload.resource_version >= self.written_version:
            self.workload_scale = self.workload_scale.observe(workload.replicas, now)

    def route_edited(self) -> None:
        """Handles an edit of the route: what was refused may be accepted now."""
        self.scale_refusal = None
        self.retry_at.clear()
        self.eviction_refusals.clear()
        self.failed_evictions.clear()

    def observe_plan(self, plan: Plan) -> None:
        """Forgets the refusals of writes that are not planned any more.

        A plan that evicts other pods than the one before repeats the evictions that failed at once.
        """
        evicted = {action.key: action.uid for action in plan.actions if isinstance(action, EvictPod)}
        self.eviction_refusals = {pod: why for pod, why in self.eviction_refusals.items() if pod in evicted}
        if self.planned_evictions != (planned := frozenset(evicted.values())):
            self.planned_evictions = planned
            self.retry_at = {key: at for key, at in self.retry_at.items() if key not in self.failed_evictions}
            self.failed_evictions.clear()
        if len(evicted) == len(plan.actions):
            self.scale_refusal = None

    @property
    def refusals(self) -> tuple[object, ...]:
        """All refusals."""
        return self.scale_refusal, dict(self.eviction_refusals)


class PlanWriter:
    """Carries out plans.

    Args:
        workloads: scales workloads.
        route_writer: writes the numbers of pods of routes with autoscaling.
        evictor: evicts pods.
        autoscaler: counts the decisions of autoscaling.
        recorder: writes events.
    """

    def __init__(
        self,
        *,
        workloads: Workloads,
        route_writer: RouteWriter,
        evictor: Evictor,
        autoscaler: Autoscaler,
        recorder: EventRecorder,
    ) -> None:
        self._workloads = workloads
        self._route_writer = route_writer
        self._evictor = evictor
        self._autoscaler = autoscaler
        self._recorder = recorder

    async def carry_out(self, route: Route, workload: Workload, writes: Writes, plan: Plan) -> float:
        """Carries out the actions of a plan.

        Args:
            route: the route that plans.
            workload: the workload as the plan used it.
            writes: what is kept of earlier writes.
            plan: the plan, with at least one action.

        Returns:
            The seconds until the next plan if nothing changes.
        """
        if workload.resource_version < writes.written_version:
            return _UNSEEN_SECONDS
        now, refused = asyncio.get_running_loop().time(), writes.refusals
        writes.retry_at = {key: at for key, at in writes.retry_at.items() if at > now}
        for action in plan.actions:
            key = action.uid if isinstance(action, EvictPod) else _SCALE
            if key not in writes.retry_at:
                pause = await self._write(route, workload, writes, action)
                if pause > 0:
                    writes.retry_at[key] = now + pause
        if refused != writes.refusals:
            return 0.0
        return min(writes.retry_at.values(), default=now + _UNSEEN_SECONDS) - now

    async def _write(self, route: Route, workload: Workload, writes: Writes, action: Action) -> float:
        """Carries out an action; returns the seconds until that is repeated if nothing changes, 0 if it is not."""
        match action:
            case SetRouteReplicas(replicas):
                return await self._scale_route(route, workload, writes, replicas)
            case SetReplicas(replicas):
                return await self._scale(route, workload, writes, replicas)
            case EvictPod():
                return await self._evict(route, writes, action)

    async def _scale_route(self, route: Route, workload: Workload, writes: Writes, replicas: int) -> float:
        """Sets `spec.replicas` of a route; returns the seconds until that is repeated; 0 if it was set."""
        now = asyncio.get_running_loop().time()
        if pause := writes.route_scale.pause(now):
            return pause
        before = workload.replicas if route.spec.replicas is None else route.spec.replicas
        try:
            await self._route_writer.set_replicas(route, replicas)
        except ConflictError:
            return _CONFLICT_SECONDS
        except ClusterError as error:
            return self._scale_failed(route, writes, error)
        writes.route_scale = writes.route_scale.wrote(replicas, now)
        self._autoscaler.scaled(route.key, before, replicas)
        log.info("a route was scaled", route=route.key, before=before, after=replicas)
        return 0.0

    async def _scale(self, route: Route, workload: Workload, writes: Writes, replicas: int) -> float:
        """Sets the number of pods of a workload; returns the seconds until that is repeated; 0 if it was set."""
        now = asyncio.get_running_loop().time()
        if pause := writes.workload_scale.pause(now):
            return pause
        try:
            writes.written_version = await self._workloads.set_replicas(route, workload, replicas)
        except ConflictError:
            return _CONFLICT_SECONDS
        except ClusterError as error:
            return self._scale_failed(route, writes, error)
        writes.workload_scale = writes.workload_scale.wrote(replicas, now)
        writes.scale_refusal = None
        self._recorder.record(scaled_event(route, workload.replicas, replicas), route.uid)
        return 0.0

    @staticmethod
    def _scale_failed(route: Route, writes: Writes, error: ClusterError) -> float:
        """Handles a failed write of a number of pods; returns the seconds until that is repeated."""
        log.warning("a workload was not scaled: trying again", route=route.key, error=str(error))
        writes.scale_refusal = str(error) if _is_refused(error) else None
        return retry_pause(_REFUSED_SECONDS if _is_refused(error) else _RETRY_SECONDS, error.retry_after_seconds)

    async def _evict(self, route: Route, writes: Writes, pod: EvictPod) -> float:
        """Evicts a pod; returns the seconds until that is repeated if nothing changes."""
        try:
            await self._evictor.evict(route.namespace, pod.name, pod.uid)
        except (ConflictError, NotFoundError):  # the watch shows it soon
            return _UNSEEN_SECONDS
        except ClusterError as error:
            return self._eviction_failed(route, writes, pod, error)
        writes.failed_evictions.pop(pod.uid, None)
        writes.eviction_refusals.pop(pod.key, None)
        self._recorder.record(replaced_event(route, pod.name), route.uid)
        return _UNSEEN_SECONDS

    @staticmethod
    def _eviction_failed(route: Route, writes: Writes, pod: EvictPod, error: ClusterError) -> float:
        """Handles a failed eviction; returns the seconds until that is repeated if nothing changes."""
        failed = writes.failed_evictions.get(pod.uid, _FailedEviction())
        if failed.error != str(error):
            log.warning("a pod was not evicted: trying again", route=route.key, pod=pod.name, error=str(error))
        writes.failed_evictions[pod.uid] = _FailedEviction(failed.attempts + 1, str(error))
        if isinstance(error, NotScalableError | APIError):
            writes.eviction_refusals[pod.key] = str(error)
        pause = _EVICTION_BACKOFF.delay(failed.attempts, error.retry_after_seconds)
        return max(pause, _REFUSED_SECONDS) if _is_refused(error) else pause


def _is_refused(error: ClusterError) -> bool:
    """Returns whether the API server refused a request, and would refuse it again."""
    return isinstance(error, NotScalableError | APIError) and not is_outage(error)
