"""What the operator is made of, and how its parts know each other."""

import socket
import time
from dataclasses import dataclass

from prometheus_client.registry import Collector

from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import utc_now
from statefulroute.cluster.events import EventRecorder
from statefulroute.cluster.informers import Informers
from statefulroute.cluster.load_client import LoadClient
from statefulroute.cluster.writes import LinkWriter, PodWriter, RouteWriter
from statefulroute.controllers.leadership import Leadership
from statefulroute.controllers.links.controller import LinkController
from statefulroute.controllers.links.counts import LinkCounts
from statefulroute.controllers.links.expiry import ExpiryController
from statefulroute.controllers.links.move_limiter import MoveLimiter
from statefulroute.controllers.links.reconciler import LinkReconciler
from statefulroute.controllers.monitoring.links import LinkMetrics
from statefulroute.controllers.monitoring.process import ProcessMetrics
from statefulroute.controllers.monitoring.routes import RouteMetrics
from statefulroute.controllers.monitoring.timers import Timer, TimerMetrics
from statefulroute.controllers.monitoring.trace_hooks import TraceHooks
from statefulroute.controllers.routes.assessments import Assessments
from statefulroute.controllers.routes.handlers import RouteHandlers
from statefulroute.controllers.routes.refresh import RouteRefresher
from statefulroute.controllers.routes.state import StateTimer
from statefulroute.controllers.routes.workload import WorkloadTimer
from statefulroute.controllers.settings import Settings
from statefulroute.controllers.state_store import RouteStore
from statefulroute.monitoring.build import BuildMetrics
from statefulroute.monitoring.caches import CacheMetrics

#: How many links of lost pods are moved at the same time, over all routes: of an API server that is slower than the
#: pace, the most part is left to new links.
_MAX_MOVES_IN_FLIGHT = 4


@dataclass(frozen=True, slots=True)
class Components:
    """The parts that are run.

    Attributes:
        informers: the local copy of all that the operator reads.
        links: works on links.
        expiry: ends temporary links.
        recorder: writes events.
        routes: what kopf calls.
        collectors: tell of them all.
    """

    informers: Informers
    links: LinkController
    expiry: ExpiryController
    recorder: EventRecorder
    routes: RouteHandlers
    collectors: tuple[Collector, ...]


def assemble(
    settings: Settings, leadership: Leadership, client: Client, load_client: LoadClient, trace_hooks: TraceHooks
) -> Components:
    """Make the parts; none of them runs yet.

    Args:
        settings: how the operator runs.
        leadership: whether this operator leads.
        client: how to reach the API server.
        load_client: how to ask pods for their load.
        trace_hooks: how their work is traced.
    """
    mirror = Informers(client, settings.namespaces)
    counts, timers, assessments = LinkCounts(), TimerMetrics(trace_hooks.timer_span), Assessments()
    metrics = LinkMetrics(lambda: leadership.is_leader)
    mirror.links.cache.listen(counts.link_changed)
    mirror.links.cache.listen(metrics.link_changed)
    mirror.routes.cache.listen(metrics.route_changed)
    views = RouteStore(mirror, counts.of, utc_now)
    counts.listen_for_first_link(views.observe_first_link)
    mirror.routes.cache.listen(counts.route_changed)
    recorder = EventRecorder(client, socket.gethostname())
    reconciler = LinkReconciler(
        links=mirror.links.cache,
        route_store=views,
        counts=counts,
        writer=LinkWriter(client, mirror.links),
        move_limiter=MoveLimiter(settings.moves_per_second, _MAX_MOVES_IN_FLIGHT, time.monotonic),
        recorder=recorder,
        metrics=metrics,
        clock=utc_now,
    )
    links = LinkController(mirror, views, trace_hooks.wrap_reconcile(reconciler.reconcile), settings.parallel_writes)
    refresh = RouteRefresher(mirror, views, load_client, PodWriter(client, mirror.pods), utc_now)
    state = StateTimer(
        mirror, views, refresh, RouteWriter(client, mirror.routes), assessments, timers.of(Timer.STATE), utc_now
    )
    workload = WorkloadTimer(mirror, views, state, assessments, recorder, timers.of(Timer.WORKLOAD), utc_now)
    routes = RouteHandlers(
        informers=mirror,
        route_store=views,
        links=links,
        state=state,
        workload=workload,
        assessments=assessments,
        refresh=refresh,
        clock=utc_now,
    )
    collectors: tuple[Collector, ...] = (
        BuildMetrics("operator"),
        ProcessMetrics(lambda: leadership.is_leader, links.backlog),
        metrics,
        RouteMetrics(mirror.routes.cache, views, assessments, lambda: leadership.is_leader, utc_now),
        *timers.collectors,
        CacheMetrics(mirror.reflectors),
    )
    return Components(
        mirror, links, ExpiryController(mirror.links.cache, links.add, utc_now), recorder, routes, collectors
    )
