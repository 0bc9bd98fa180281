"""Runs the operator: one asyncio program, which follows the cluster all the time and works while it leads."""

from collections.abc import Callable
from typing import NoReturn

import structlog

from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from statefulroute.cluster.load_client import LoadClient
from statefulroute.controllers.assembly import assemble
from statefulroute.controllers.leader import Leader
from statefulroute.controllers.leadership import Leadership, leader_election
from statefulroute.controllers.links.controller import link_slots
from statefulroute.controllers.monitoring.tracing import tracing
from statefulroute.controllers.routes.preparation import RoutePreparation
from statefulroute.controllers.settings import Settings
from statefulroute.controllers.stop_signal import StopSignal
from statefulroute.monitoring.api_requests import APIRequestMetrics
from statefulroute.monitoring.health import Health
from statefulroute.monitoring.otlp_metrics import send_metrics
from statefulroute.monitoring.profiling import serve_profiles
from statefulroute.monitoring.secure_metrics import serve_secure_metrics
from statefulroute.monitoring.server import serve_probes_and_metrics

log = structlog.get_logger(__name__)

#: The connections besides those for writes of links: for lists, the status of routes, reads of workloads and of lost
#: pods, annotations and events. They are enough for all requests that may be in progress, so that none waits for a
#: connection behind those of another route.
_OTHER_CONNECTIONS = 180


async def run(settings: Settings, kill: Callable[[], NoReturn]) -> None:
    """Runs the operator until SIGTERM or SIGINT.

    Args:
        settings: the settings of the operator.
        kill: ends the process at once; called when this operator leads no more and its work does not end.

    Raises:
        NotConnectedError: no cluster is configured.
        OtlpUnavailableError: traces or metrics are enabled over OTLP and cannot be sent.
        BindError: an address for probes, metrics or profiles cannot be bound.
        UnusableCertificateError: the TLS files of the metrics are invalid.
        LeaseNamespaceNotFoundError: the namespace of the Lease does not exist.
    """
    stop = StopSignal()
    requests = APIRequestMetrics()
    connections = link_slots(settings.parallel_writes) + _OTHER_CONNECTIONS
    async with (
        # Exited last, so that all work is traced and counted.
        send_metrics("operator") as start_metrics,
        tracing(settings.uid_redactor) as trace_hooks,
        connect(settings.kubeconfig, settings.context) as connection,
        # Exited when all writes have ended.
        leader_election(connection, settings.leader_election, requests, settings.namespaces) as leadership,
        Client(leadership.connection, connections, trace_hooks.combined_with(requests)) as client,
        LoadClient() as load_client,
    ):
        components = assemble(settings, leadership, client, load_client, trace_hooks)
        health, collectors = Health(components.informers.reflectors), (*components.collectors, requests)
        start_metrics(collectors)
        async with (
            serve_secure_metrics(settings.metrics, collectors, connection, requests),
            serve_profiles(settings.profiling_address, "operator"),
            serve_probes_and_metrics(settings.bind_address, health, None if settings.metrics else collectors),
            components.informers.run(),
        ):
            if not await stop.comes_before(components.informers.wait_synced()):
                links = len(components.informers.links.cache)
                log.info("the caches are synced", server=connection.server, links=links)
                leader = Leader(settings, leadership, components, requests, kill)
                while not await stop.comes_before(_stand_by(leadership, components.preparation)):
                    await leader.work(stop)
    log.info("stopped")


async def _stand_by(leadership: Leadership, preparation: RoutePreparation) -> None:
    """Waits until this operator leads, and prepares the work on routes meanwhile."""
    async with preparation.run():
        await leadership.acquire()
