"""Creates the components of the operator and connects them."""

import socket
from dataclasses import dataclass

from prometheus_client.registry import Collector

from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import process_clock, utc_now
from statefulroute.cluster.events import EventRecorder
from statefulroute.cluster.evictions import Evictor
from statefulroute.cluster.informers import Informers
from statefulroute.cluster.load_client import LoadClient
from statefulroute.cluster.writes import LinkWriter, PodWriter, RouteWriter
from statefulroute.controllers.disruption.controller import DisruptionController
from statefulroute.controllers.disruption.guard import EvictionGuard
from statefulroute.controllers.disruption.statuses import DisruptionStatuses
from statefulroute.controllers.leadership import Leadership
from statefulroute.controllers.links.controller import LinkController
from statefulroute.controllers.links.counts import LinkCounts
from statefulroute.controllers.links.expiry import ExpiryController
from statefulroute.controllers.links.hand_overs import HandOvers
from statefulroute.controllers.links.reconciler import LinkReconciler
from statefulroute.controllers.links.turn_limiter import TurnLimiter
from statefulroute.controllers.loss_verifier import LossVerifier
from statefulroute.controllers.monitoring.disruptions import DisruptionMetrics
from statefulroute.controllers.monitoring.hand_overs import HandOverMetrics
from statefulroute.controllers.monitoring.links import LinkMetrics
from statefulroute.controllers.monitoring.process import ProcessMetrics
from statefulroute.controllers.monitoring.routes import RouteMetrics
from statefulroute.controllers.monitoring.timers import Timer, TimerMetrics
from statefulroute.controllers.monitoring.trace_hooks import TraceHooks
from statefulroute.controllers.routes.assessments import Assessments
from statefulroute.controllers.routes.foreign_writes import ForeignWrites
from statefulroute.controllers.routes.handlers import RouteHandlers
from statefulroute.controllers.routes.lost_pods import LostPodTracker
from statefulroute.controllers.routes.preparation import RoutePreparation
from statefulroute.controllers.routes.refresh import RouteRefresher
from statefulroute.controllers.routes.scheduler import RouteScheduler
from statefulroute.controllers.routes.status_updates import StatusUpdater
from statefulroute.controllers.routes.statuses import RouteStatuses
from statefulroute.controllers.routes.workload import WorkloadAssessor
from statefulroute.controllers.settings import Settings
from statefulroute.controllers.slots.balancer import SlotBalancer
from statefulroute.controllers.slots.controller import SlotController
from statefulroute.controllers.slots.moves import SlotMoves
from statefulroute.controllers.slots.statuses import SlotStatuses
from statefulroute.controllers.state_store import RouteStore
from statefulroute.domain.keys import RouteKey
from statefulroute.monitoring.build import BuildMetrics
from statefulroute.monitoring.caches import CacheMetrics
from statefulroute.monitoring.clock import ClockMetrics

#: How many links of lost pods are written at the same time, over all routes, and four of them in a single namespace;
#: and how many at the end of their hand-over. An
#: API server that is slower than the rate of moves keeps most of its capacity for new links.
_MAX_MOVES_IN_FLIGHT = 6

#: How many moves there may be for each status that is rewritten although nothing has changed that clients depend on,
#: and how many such statuses are written at the same time, two of them in a single namespace.
_MOVES_PER_REWRITE, _MAX_REWRITES_IN_FLIGHT = 10, 3


@dataclass(frozen=True, slots=True)
class Components:
    """The components that run.

    Attributes:
        informers: the caches of all objects that the operator reads.
        links: the controller of links.
        losses: verifies losses of pods.
        expiry: reconciles temporary links when they expire.
        disruptions: closes pods that are removed on purpose; None if that is switched off.
        slots: creates the links of slots.
        recorder: writes events.
        scheduler: works on routes.
        preparation: prepares the work on routes before this operator leads.
        routes: the handlers that kopf and the scheduler call.
        collectors: the metrics of all components.
    """

    informers: Informers
    links: LinkController
    losses: LossVerifier
    expiry: ExpiryController
    disruptions: DisruptionController | None
    slots: SlotController
    recorder: EventRecorder
    scheduler: RouteScheduler
    preparation: RoutePreparation
    routes: RouteHandlers
    collectors: tuple[Collector, ...]


def assemble(
    settings: Settings, leadership: Leadership, client: Client, load_client: LoadClient, trace_hooks: TraceHooks
) -> Components:
    """Creates the components; none of them runs yet.

    Args:
        settings: the settings of the operator.
        leadership: whether this operator leads.
        client: the client of the API server.
        load_client: requests the load of pods.
        trace_hooks: how work is traced.
    """
    informers = Informers(client, settings.namespaces)
    counts, timers, assessments = LinkCounts(), TimerMetrics(trace_hooks.timer_span), Assessments()
    metrics = LinkMetrics(lambda: leadership.is_leader)
    informers.links.cache.listen(counts.link_changed)
    informers.links.cache.listen(metrics.link_changed)
    informers.routes.cache.listen(metrics.route_changed)
    route_store = RouteStore(
        informers,
        counts.of,
        counts.arriving,
        utc_now,
        slots_of=counts.slots.of,
        plans_disruptions=settings.plans_disruptions,
    )
    counts.listen(route_store.observe_links)
    informers.routes.cache.listen(counts.route_changed)
    recorder = EventRecorder(client, socket.gethostname())
    lost_pods = LostPodTracker(recorder, utc_now)
    route_store.listen(lost_pods.observe)
    route_writer = RouteWriter(client, informers.routes, leadership.identity)
    disruption_statuses = DisruptionStatuses(is_switched_off=not settings.plans_disruptions)
    disruption_statuses.listen(route_store.status_changed)
    guard, disruptions = EvictionGuard(client, informers, route_store), None
    if settings.plans_disruptions:
        disruptions = DisruptionController(
            informers=informers,
            route_store=route_store,
            counts=counts,
            statuses=disruption_statuses,
            route_writer=route_writer,
            evictor=Evictor(client),
            recorder=recorder,
            clock=utc_now,
            guard=guard,
            annotates=settings.annotates,
        )
    slot_statuses = SlotStatuses(counts.slots)
    slot_statuses.listen(route_store.status_changed)
    statuses = RouteStatuses(assessments, lost_pods, disruption_statuses, recorder, utc_now, slot_statuses)
    foreign_writes = ForeignWrites(leadership, recorder)
    informers.routes.cache.listen(foreign_writes.route_changed)
    move_limiter = TurnLimiter(settings.moves_per_second, _MAX_MOVES_IN_FLIGHT)
    hand_over_limiter = TurnLimiter(settings.moves_per_second, _MAX_MOVES_IN_FLIGHT)
    rewrite_limiter = TurnLimiter(settings.moves_per_second / _MOVES_PER_REWRITE, _MAX_REWRITES_IN_FLIGHT)
    hand_overs, hand_over_metrics = HandOvers(), HandOverMetrics()
    informers.links.cache.listen(hand_overs.link_changed)
    slot_moves = SlotMoves()
    link_writer = LinkWriter(client, informers.links, keep_managed_fields=settings.keep_managed_fields)
    expiry_now = client.expiry_clock.now
    reconciler = LinkReconciler(
        links=informers.links.cache,
        route_store=route_store,
        counts=counts,
        writer=link_writer,
        move_limiter=move_limiter,
        rewrite_limiter=rewrite_limiter,
        hand_over_limiter=hand_over_limiter,
        recorder=recorder,
        metrics=metrics,
        hand_overs=hand_overs,
        hand_over_metrics=hand_over_metrics,
        clock=utc_now,
        expiry_clock=expiry_now,
        slot_moves=slot_moves,
    )
    links = LinkController(
        informers,
        route_store,
        trace_hooks.wrap_reconcile(reconciler.reconcile),
        settings.parallel_writes,
        reconciler.is_expected,
    )
    move_limiter.listen(links.resume)
    hand_over_limiter.listen(links.resume)
    rewrite_limiter.listen(links.resume_rewrite)
    hand_overs.listen(links.resume)
    refresher = RouteRefresher(
        informers,
        route_store,
        load_client,
        PodWriter(client, informers.pods),
        utc_now,
        annotates=settings.annotates,
        guard=guard if settings.plans_disruptions else None,
    )

    def forget(key: RouteKey) -> None:
        refresher.forget(key)
        lost_pods.forget(key)
        statuses.forget(key)
        assessments.forget(key)  # if this operator leads again, the status has the assessment of another one

    scheduler = RouteScheduler(informers, route_store, links, assessments, timers, forget)
    disruption_statuses.listen(scheduler.invalidate_status)
    slot_statuses.listen(scheduler.invalidate_status)
    routes = RouteHandlers(
        informers=informers,
        route_store=route_store,
        scheduler=scheduler,
        refresher=refresher,
        updater=StatusUpdater(refresher, route_writer, statuses),
        assessor=WorkloadAssessor(
            informers,
            route_store,
            assessments,
            recorder,
            timers.of(Timer.WORKLOAD),
            utc_now,
            annotates=settings.annotates,
        ),
        writer=route_writer,
        statuses=statuses,
    )
    collectors: tuple[Collector, ...] = (
        BuildMetrics("operator"),
        ProcessMetrics(
            lambda: leadership.is_leader, lambda: leadership.losses, lambda: foreign_writes.count, links.backlog
        ),
        metrics,
        *hand_over_metrics.collectors,
        RouteMetrics(
            informers.routes.cache,
            route_store,
            assessments,
            lambda: leadership.is_leader,
            utc_now,
            counts.slots.bound,
        ),
        DisruptionMetrics(
            informers.routes.cache,
            route_store,
            disruption_statuses,
            None if disruptions is None else disruptions.autoscaler,
            lambda: leadership.is_leader,
        ),
        *timers.collectors,
        CacheMetrics(informers.reflectors),
        ClockMetrics(process_clock),
    )
    return Components(
        informers,
        links,
        LossVerifier(informers, route_store),
        ExpiryController(informers.links.cache, links.add, expiry_now),
        disruptions,
        SlotController(
            informers,
            route_store,
            counts,
            link_writer,
            slot_statuses,
            SlotBalancer(informers.links.cache, route_store, slot_moves, links.resume),
        ),
        recorder,
        scheduler,
        RoutePreparation(informers.routes.cache, route_store),
        routes,
        collectors,
    )
