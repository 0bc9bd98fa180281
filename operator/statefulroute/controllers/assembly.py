"""What the operator is made of, and how its parts know each other."""

import socket
import time
from dataclasses import dataclass

from prometheus_client.registry import Collector

from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import utc_now
from statefulroute.cluster.events import EventRecorder
from statefulroute.cluster.load_endpoints import LoadEndpoints
from statefulroute.cluster.mirror import Mirror
from statefulroute.cluster.writes import LinkWriter, PodWriter, RouteWriter
from statefulroute.controllers.leadership import Leadership
from statefulroute.controllers.links.controller import LinkController
from statefulroute.controllers.links.counts import LinkCounts
from statefulroute.controllers.links.expiry import Expiry
from statefulroute.controllers.links.pace import Pace
from statefulroute.controllers.links.reconciler import LinkReconciler
from statefulroute.controllers.monitoring.links import LinkMetrics
from statefulroute.controllers.monitoring.process import ProcessMetrics
from statefulroute.controllers.monitoring.routes import RouteMetrics
from statefulroute.controllers.monitoring.spans import Spans
from statefulroute.controllers.monitoring.timers import Timer, TimerMetrics
from statefulroute.controllers.routes.assessments import Assessments
from statefulroute.controllers.routes.handlers import RouteHandlers
from statefulroute.controllers.routes.refresh import Refresh
from statefulroute.controllers.routes.state import StateTimer
from statefulroute.controllers.routes.workload import WorkloadTimer
from statefulroute.controllers.settings import Settings
from statefulroute.controllers.views import RouteViews
from statefulroute.monitoring.build import BuildMetrics
from statefulroute.monitoring.caches import CacheMetrics

#: How many links of lost pods are moved at the same time, over all routes: of an API server that is slower than the
#: pace, the most part is left to new links.
_MOVES_AT_A_TIME = 4


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that are run.

    Attributes:
        mirror: the local copy of all that the operator reads.
        links: works on links.
        expiry: ends temporary links.
        recorder: writes events.
        routes: what kopf calls.
        collectors: tell of them all.
    """

    mirror: Mirror
    links: LinkController
    expiry: Expiry
    recorder: EventRecorder
    routes: RouteHandlers
    collectors: tuple[Collector, ...]


def assemble(settings: Settings, lead: Leadership, client: Client, endpoints: LoadEndpoints, spans: Spans) -> Parts:
    """Make the parts; none of them runs yet.

    Args:
        settings: how the operator runs.
        lead: whether this operator leads.
        client: how to reach the API server.
        endpoints: how to ask pods for their load.
        spans: how their work is traced.
    """
    mirror = Mirror(client, settings.namespaces)
    counts, timers, assessments = LinkCounts(), TimerMetrics(spans.turn), Assessments()
    metrics = LinkMetrics(lambda: lead.leads)
    mirror.links.cache.listen(counts.observe)
    mirror.links.cache.listen(metrics.link_changed)
    mirror.routes.cache.listen(metrics.route_changed)
    views = RouteViews(mirror, counts.of, utc_now)
    counts.listen_first(views.carries)
    mirror.routes.cache.listen(counts.route_changed)
    recorder = EventRecorder(client, socket.gethostname())
    reconciler = LinkReconciler(
        links=mirror.links.cache,
        views=views,
        counts=counts,
        writer=LinkWriter(client, mirror.links),
        moves=Pace(settings.moves_per_second, _MOVES_AT_A_TIME, time.monotonic),
        recorder=recorder,
        metrics=metrics,
        clock=utc_now,
    )
    links = LinkController(mirror, views, spans.links(reconciler.reconcile), settings.parallel_writes)
    refresh = Refresh(mirror, views, endpoints, PodWriter(client, mirror.pods), utc_now)
    state = StateTimer(
        mirror, views, refresh, RouteWriter(client, mirror.routes), assessments, timers.of(Timer.STATE), utc_now
    )
    workload = WorkloadTimer(mirror, views, state, assessments, recorder, timers.of(Timer.WORKLOAD), utc_now)
    routes = RouteHandlers(
        mirror=mirror,
        views=views,
        links=links,
        state=state,
        workload=workload,
        assessments=assessments,
        refresh=refresh,
        clock=utc_now,
    )
    collectors: tuple[Collector, ...] = (
        BuildMetrics("operator"),
        ProcessMetrics(lambda: lead.leads, links.backlog),
        metrics,
        RouteMetrics(mirror.routes.cache, views, assessments, lambda: lead.leads, utc_now),
        *timers.collectors,
        CacheMetrics(mirror.reflectors),
    )
    return Parts(mirror, links, Expiry(mirror.links.cache, links.add, utc_now), recorder, routes, collectors)
