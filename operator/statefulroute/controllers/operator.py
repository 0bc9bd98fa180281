"""The operator: one asyncio program in which kopf runs what is few and a queue runs what is many."""

import asyncio
import signal
from typing import Any, Literal

import kopf
import structlog

from statefulroute.api.group import FINALIZER
from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from statefulroute.cluster.lease import new_identity
from statefulroute.cluster.load_client import LoadClient
from statefulroute.cluster.request_metrics import RequestObserver
from statefulroute.controllers.assembly import Components, assemble
from statefulroute.controllers.leadership import Leadership, OnStoppedLeading, leader_election
from statefulroute.controllers.monitoring.tracing import tracing
from statefulroute.controllers.routes.persistence import GenerationStorage, NoProgressStorage
from statefulroute.controllers.routes.session import login_with
from statefulroute.controllers.settings import Settings
from statefulroute.monitoring.api_requests import APIRequestMetrics
from statefulroute.monitoring.health import Health
from statefulroute.monitoring.server import serve_probes_and_metrics

log = structlog.get_logger(__name__)

#: Requests of kopf under way at the same time: kopf's own session has no limit.
_KOPF_CONNECTIONS = 16

#: Connections beside those of the links' writes: the routes' status, notes on pods and workloads.
_OTHER_CONNECTIONS = 11


async def run(settings: Settings, on_stopped_leading: OnStoppedLeading) -> None:
    """Run the operator until SIGTERM or SIGINT.

    Args:
        settings: how it runs.
        on_stopped_leading: called when this operator has lost the Lease; ends the process at once, because it may
            write nothing any more.

    Raises:
        NotConnectedError: no cluster is configured.
        NotTracingError: traces are asked for and cannot be made.
        NotListeningError: the address for probes and Prometheus cannot be listened at.
        NoLeaseNamespaceError: the namespace that the Lease is to be in does not exist.
    """
    stop = asyncio.Event()
    _on_signals(stop)
    requests = APIRequestMetrics()
    connections = settings.parallel_writes + _OTHER_CONNECTIONS
    async with (
        tracing(settings.uid_redactor) as spans,  # left last: what was done to the end is told of
        connect(settings.kubeconfig, settings.context) as connection,
        leader_election(
            connection, settings.leader_election, on_stopped_leading, requests
        ) as lead,  # left when all writing has ended
        Client(lead.connection, connections, spans.combined_with(requests)) as client,
        LoadClient() as endpoints,
    ):
        parts = assemble(settings, lead, client, endpoints, spans)
        health, collectors = Health(parts.informers.reflectors), (*parts.collectors, requests)
        async with serve_probes_and_metrics(settings.bind_address, health, collectors), parts.informers.run():
            # Every task of ours is made before kopf begins: kopf ends the ones that are made later.
            stopping = asyncio.create_task(stop.wait())
            await _wait_for_first(stopping, asyncio.create_task(parts.informers.wait_synced()))
            if not stop.is_set():
                log.info("the caches are synced", server=connection.server, links=len(parts.informers.links.cache))
                await _wait_for_first(stopping, lead.start_election(), asyncio.create_task(lead.elected.wait()))
            if lead.elected.is_set() and not stop.is_set():
                await _run_as_leader(settings, lead, parts, requests, stop, stopping)
    log.info("stopped")


async def _run_as_leader(  # noqa: PLR0913, PLR0917 - what is run, and how it is known when to end
    settings: Settings,
    lead: Leadership,
    parts: Components,
    observe: RequestObserver,
    stop: asyncio.Event,
    stopping: asyncio.Task[Literal[True]],
) -> None:
    """Bind links and keep routes until it is time to stop; then end the work on links first, and kopf after it."""
    parts.links.start()
    background = [asyncio.create_task(each.run()) for each in (parts.expiry, parts.recorder)]
    end, ready = asyncio.Event(), asyncio.Event()
    is_ready = asyncio.create_task(ready.wait())
    # Of kopf's own type, which it does not publish. Left to itself it asks for the user's name, which a user that a
    # platform has made up does not have; who works is settled by our Lease anyhow.
    identity: Any = new_identity()
    ours = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=_registry(settings, lead.connection, parts, observe),
        settings=kopf_settings(),
        clusterwide=not settings.namespaces,
        namespaces=settings.namespaces,
        standalone=True,
        identity=identity,
        ready_flag=ready,
        stop_flag=end,
    )
    _on_signals(stop)  # kopf has taken the signals for itself
    operator = asyncio.create_task(kopf.run_tasks(tasks, ignored=ours))
    await _wait_for_first(is_ready, operator)
    await _wait_for_first(stopping, operator, lead.start_election())
    await parts.links.stop()
    end.set()
    await operator  # an error that has ended it is raised here
    await parts.recorder.shut_down()  # the Lease is released once nothing is under way
    for task in background:
        task.cancel()
    await asyncio.wait(background)


def _registry(
    settings: Settings, connection: Connection, parts: Components, observe: RequestObserver
) -> kopf.OperatorRegistry:
    """What kopf is to call."""
    registry = kopf.OperatorRegistry()
    connections = _KOPF_CONNECTIONS + len(settings.namespaces)
    kopf.on.login(registry=registry)(login_with(connection, connections, observe))
    parts.routes.register(registry)
    return registry


def kopf_settings() -> kopf.OperatorSettings:
    """Settings of kopf: quiet, alone, and marking a route in its status only."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True  # the kinds are known: their definitions need not be watched
    settings.persistence.finalizer = FINALIZER
    settings.persistence.diffbase_storage = GenerationStorage()
    settings.persistence.progress_storage = NoProgressStorage()
    settings.background.instant_exit_timeout = 2.0  # a deleted route's daemons end before its handlers go on
    settings.queueing.idle_timeout = 1.0
    settings.networking.error_backoffs = (0.1, 0.3, 1, 2, 3, *(5,) * 10)  # what lasts is asked for every five seconds
    settings.process.ultimate_exiting_timeout = None  # never kill the process: it has work to finish
    return settings


def _on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


async def _wait_for_first(*tasks: asyncio.Task[Any]) -> None:
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
