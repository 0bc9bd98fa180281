"""Plans the disruptions of workloads."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from statefulroute.api.vocabulary import ConditionType
from statefulroute.cluster.clock import Clock
from statefulroute.cluster.events import EventRecorder
from statefulroute.cluster.evictions import Evictor
from statefulroute.cluster.informers import Informers
from statefulroute.cluster.writes import RouteWriter
from statefulroute.controllers.disruption.autoscaler import Autoscaler
from statefulroute.controllers.disruption.gathering import FallingLinks, gather_pods
from statefulroute.controllers.disruption.guard import EvictionGuard
from statefulroute.controllers.disruption.plan_writer import PlanWriter, Writes
from statefulroute.controllers.disruption.planners import Planners
from statefulroute.controllers.disruption.statuses import DisruptionStatuses
from statefulroute.controllers.disruption.unplaced_links import UnplacedLinks
from statefulroute.controllers.links.counts import LinkCounts
from statefulroute.controllers.state_store import RouteStore
from statefulroute.controllers.turns import RouteTurns
from statefulroute.domain.disruption.events import closing_events, empty_event
from statefulroute.domain.disruption.facts import DisruptionFacts
from statefulroute.domain.disruption.features import plans_disruptions, protects_pods
from statefulroute.domain.disruption.plan import Plan, plan_disruptions
from statefulroute.domain.disruption.status import (
    DisruptionStatus,
    other_planner_status,
    stored_status,
    unplanned_status,
)
from statefulroute.domain.keys import PodKey, RouteKey
from statefulroute.domain.route import Route, RouteView
from statefulroute.domain.workload import Workload

log = structlog.get_logger(__name__)

#: For how many routes there are plans and their writes at the same time, half of them in a single namespace.
_ROUTES = 16

#: How soon a plan follows a change, at least, and for how many pods a second of routes that change all the time.
_SETTLE_SECONDS, _PODS_A_SECOND = 0.05, 5_000

#: How soon the guard of a workload is removed again that could not be removed.
_REMOVAL_SECONDS = 15.0

#: How soon a plan follows the one before, at least, if only the number of links has changed, for which pods are added.
_DEMAND_SECONDS = 1.0


@dataclass(slots=True)
class _Planned:
    """What is kept of a workload between two plans. A process that starts needs none of it.

    Attributes:
        falling: when links of closing pods became fewer.
        occupied: the closing pods that had links by the last plan.
        writes: what is kept of the writes.
        planned_at: when the last plan was made, by the clock of the event loop.
        generation: the generation of the route by the last plan.
    """

    falling: FallingLinks = field(default_factory=FallingLinks)
    occupied: Mapping[PodKey, str] = field(default_factory=dict)
    writes: Writes = field(default_factory=Writes)
    planned_at: float = 0.0
    generation: int = 0


class DisruptionController:
    """Plans for the workloads of routes that configure planned disruptions, while this operator leads.

    A plan follows each change of what it depends on, and each deadline. Routes without such a configuration cost one
    lookup for each change.

    Args:
        informers: the caches.
        route_store: the views of routes, which show the closing pods.
        counts: the number of links of each pod.
        statuses: what the plans state.
        route_writer: writes the numbers of pods of routes with autoscaling.
        evictor: evicts pods.
        recorder: writes events.
        clock: the time of day.
        annotates: whether the operator writes the deletion costs of pods.
        guard: guards pods with links against evictions.
    """

    def __init__(  # noqa: PLR0913 - all that plans need
        self,
        *,
        informers: Informers,
        route_store: RouteStore,
        counts: LinkCounts,
        statuses: DisruptionStatuses,
        route_writer: RouteWriter,
        evictor: Evictor,
        recorder: EventRecorder,
        clock: Clock,
        guard: EvictionGuard,
        annotates: bool = True,
    ) -> None:
        self._informers = informers
        self._route_store = route_store
        self._statuses = statuses
        self._recorder = recorder
        self._clock = clock
        self._annotates = annotates
        self._counts = counts
        self._guard = guard
        guard.listen(self._add)
        self._planners = Planners(route_store.routes_to)
        self._planned: dict[RouteKey, _Planned] = {}
        self._due_soon: dict[RouteKey, float] = {}
        """When the plans of routes are due that follow a change, and not a deadline, by the clock of the event loop."""
        self.autoscaler = Autoscaler(counts, UnplacedLinks(informers.links.cache, self._demand_changed))
        self._plan_writer = PlanWriter(
            workloads=informers.workloads,
            route_writer=route_writer,
            evictor=evictor,
            autoscaler=self.autoscaler,
            recorder=recorder,
        )
        self._turns = RouteTurns(self._turn, _ROUTES, lambda: None)
        informers.routes.cache.listen(self._route_changed)
        route_store.watch_all(self._add)
        counts.listen(self._links_changed)

    def start(self) -> None:
        """Starts to plan for all routes; all caches must be synced."""
        self._due_soon.clear()
        self.autoscaler.clear()
        self._turns.start()
        for key in self._planners.routes():
            self._turns.add(key)

    async def stop(self) -> None:
        """Ends the plans, and finishes the writes in progress."""
        await self._turns.stop()
        for key in self._planners.routes():
            self._forget(key)
        self._guard.clear()

    def _route_changed(self, old: Route | None, new: Route | None) -> None:
        if old and new and old.decision_inputs == new.decision_inputs:
            self._add(new.key)  # its status may show a closing pod now
            return
        for workload in self._planners.update(old, new):
            if self._planners.of(workload) is None:
                self._route_store.open_pods(workload)
            for key in self._planners.routes_to(workload):
                self._turns.add(key)
        if old is not None and (new is None or new.is_deleting or not plans_disruptions(new.spec)):
            self._turns.drop(old.key)
            self._forget(old.key)
        if old is not None and new is not None and self._guard.is_guarding(new.key):
            self._turns.add(new.key)  # it may not protect its pods any more

    def _links_changed(self, route: RouteKey, pod: PodKey) -> None:
        workload, planner = self._planners.workload_of(route), self._planners.planner_of(route)
        if workload is None or planner is None:
            return
        is_guarded = self._guard.is_guarding(planner) and self._counts.of(route).get(pod, 0) <= 1
        if is_guarded or pod in self._route_store.closing(workload):
            self._add(route)
        else:
            self._demand_changed(route)

    def _demand_changed(self, route: RouteKey) -> None:
        """Plans for the workload of a route with more links or fewer, if it has autoscaling.

        That is at most once a second, but at once for the first users of a workload without pods.
        """
        planner = self._planners.planner_of(route)
        recommended = None if planner is None else self.autoscaler.recommended(planner)
        if planner is None or recommended is None:
            return
        planned = self._planned.get(planner)
        if planned is None or not recommended:
            self._add_within(planner, 0.0)
        else:
            since = asyncio.get_running_loop().time() - planned.planned_at
            self._add_within(planner, _DEMAND_SECONDS - since)

    def _add(self, route: RouteKey) -> None:
        """Plans in a moment for the workload of a route that has changed."""
        if (planner := self._planners.planner_of(route)) is not None:
            self._add_within(planner, 0.0)

    def _add_within(self, planner: RouteKey, seconds: float) -> None:
        """Plans for a workload after some seconds, but not before changes of the same moment are seen."""
        now, due = asyncio.get_running_loop().time(), self._due_soon.get(planner)
        if due is not None and due <= now + seconds:
            return
        seconds = max(seconds, _SETTLE_SECONDS, self._route_store.pod_count(planner) / _PODS_A_SECOND)
        if due is None or now + seconds < due:
            self._due_soon[planner] = now + seconds
            self._turns.add_after(planner, seconds)

    def _forget(self, route: RouteKey) -> None:
        self._planned.pop(route, None)
        self._due_soon.pop(route, None)
        self._statuses.forget(route)
        self.autoscaler.forget(route)

    async def _turn(self, key: RouteKey) -> None:
        """Plans for the workload of a route, and carries out the plan."""
        self._due_soon.pop(key, None)
        view, planner = self._route_store.get(key), self._planners.planner_of(key)
        if (
            view is not None
            and self._guard.is_guarding(key)
            and not (planner == key and protects_pods(view.route.spec))
        ):
            await self._remove_guard(view.route)
        if view is None or planner is None or not plans_disruptions(view.route.spec):
            return
        if planner != key:
            self._statuses.put(key, other_planner_status(view.route, planner.name))
        elif view.workload is not None:
            await self._plan(view, view.workload)
        elif view.missing_workload is not None:
            self._statuses.put(key, unplanned_status(view.route, view.missing_workload))

    async def _remove_guard(self, route: Route) -> None:
        if not await self._guard.remove(route):
            self._turns.add_after(route.key, _REMOVAL_SECONDS)

    async def _plan(self, view: RouteView, workload: Workload) -> None:
        key, now = view.route.key, self._clock()
        planned = self._planned.setdefault(key, _Planned())
        if planned.generation != view.route.generation:
            planned.generation = view.route.generation
            planned.writes.route_edited()
        planned.planned_at = asyncio.get_running_loop().time()
        facts = self._gather(view, workload, planned, now)
        plan = plan_disruptions(facts)
        planned.writes.observe_plan(plan)
        self._record_changes(view, planned, plan, facts)
        self._route_store.close_pods(view.route.workload_key, plan.closing)
        self._statuses.put(key, self._status(view, plan))
        checks = [plan.next_check]
        if protects_pods(view.route.spec):
            checks.append(await self._guard.apply(view, facts, plan.closing))
            self._statuses.put(key, self._status(view, plan))
        pauses = [max((check - now).total_seconds(), _SETTLE_SECONDS) for check in checks if check is not None]
        if plan.actions:
            pause = await self._plan_writer.carry_out(view.route, workload, planned.writes, plan)
            pauses.append(max(pause, _SETTLE_SECONDS))
        if pauses and key not in self._due_soon:
            self._turns.add_after(key, min(pauses))

    def _status(self, view: RouteView, plan: Plan) -> DisruptionStatus:
        conditions, guarded = dict(plan.conditions), ConditionType.EVICTIONS_GUARDED
        if protects_pods(view.route.spec):
            state = self._guard.state(view.route.key)
            if state is None:  # it is not known yet what guards the pods
                state = stored_status(view.route.status).conditions.get(guarded)
            conditions |= {} if state is None else {guarded: state}
        return DisruptionStatus(view.route.generation, conditions, plan.desired_replicas)

    def _gather(self, view: RouteView, workload: Workload, planned: _Planned, now: datetime) -> DisruptionFacts:
        route = view.route
        routes = [each for each in self._route_store.routes_to(route.workload_key) if not each.is_deleting]
        pods = gather_pods(view, routes, self._informers.pods.cache, planned.falling, now)
        replicas = workload.replicas if route.spec.replicas is None else route.spec.replicas
        writes = planned.writes
        writes.observe_scales(replicas, workload, planned.planned_at)
        return DisruptionFacts(
            route_name=route.name,
            spec=route.spec,
            workload=workload,
            pods=pods,
            now=now,
            can_rank_pods=self._annotates and route.has_deletion_cost,
            scale_refusal=writes.scale_refusal,
            recommendation=self.autoscaler.recommend(route, routes, workload, pods, replicas),
            is_route_contested=writes.route_scale.is_contested,
            is_workload_contested=writes.workload_scale.is_contested,
            eviction_refusals=dict(writes.eviction_refusals),
        )

    def _record_changes(self, view: RouteView, planned: _Planned, plan: Plan, facts: DisruptionFacts) -> None:
        """Records the events of pods that close, open, or have no links any more."""
        for event in closing_events(view.route, view.closing, plan.closing, facts.pods):
            self._recorder.record(event, view.route.uid)
        occupied = {key: facts.pods[key].name for key in plan.closing if key in facts.pods and facts.pods[key].links}
        empty = [name for key, name in planned.occupied.items() if key in plan.closing and key not in occupied]
        self._recorder.record(empty_event(view.route, empty), view.route.uid)
        planned.occupied = occupied
