"""Runs the operator: one asyncio program, in which kopf runs the few routes and work queues the many links."""

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

#: How many requests kopf sends at the same time; the session that kopf makes by default has no limit.
_KOPF_CONNECTIONS = 16

#: The connections besides those for writes of links: for the status of routes, and annotations of pods and workloads.
_OTHER_CONNECTIONS = 11


async def run(settings: Settings, on_stopped_leading: OnStoppedLeading) -> None:
    """Runs the operator until SIGTERM or SIGINT.

    Args:
        settings: the settings of the operator.
        on_stopped_leading: called when this operator has lost the Lease; ends the process at once, because it may
            write nothing any more.

    Raises:
        NotConnectedError: no cluster is configured.
        TracingUnavailableError: traces are enabled and cannot be exported.
        BindError: the address for probes and metrics cannot be bound.
        LeaseNamespaceNotFoundError: the namespace of the Lease does not exist.
    """
    stop = asyncio.Event()
    _on_signals(stop)
    requests = APIRequestMetrics()
    connections = settings.parallel_writes + _OTHER_CONNECTIONS
    async with (
        tracing(settings.uid_redactor) as trace_hooks,  # exited last, so that all work is traced
        connect(settings.kubeconfig, settings.context) as connection,
        # Exited when all writes have ended.
        leader_election(connection, settings.leader_election, on_stopped_leading, requests) as leadership,
        Client(leadership.connection, connections, trace_hooks.combined_with(requests)) as client,
        LoadClient() as load_client,
    ):
        components = assemble(settings, leadership, client, load_client, trace_hooks)
        health, collectors = Health(components.informers.reflectors), (*components.collectors, requests)
        async with serve_probes_and_metrics(settings.bind_address, health, collectors), components.informers.run():
            # All of these tasks are created before kopf starts, because kopf stops the tasks that are created later.
            stopping = asyncio.create_task(stop.wait())
            await _wait_for_first(stopping, asyncio.create_task(components.informers.wait_synced()))
            if not stop.is_set():
                log.info("the caches are synced", server=connection.server, links=len(components.informers.links.cache))
                await _wait_for_first(
                    stopping, leadership.start_election(), asyncio.create_task(leadership.elected.wait())
                )
            if leadership.elected.is_set() and not stop.is_set():
                await _run_as_leader(settings, leadership, components, requests, stop, stopping)
    log.info("stopped")


async def _run_as_leader(  # noqa: PLR0913, PLR0917 - what runs, and when it stops
    settings: Settings,
    leadership: Leadership,
    components: Components,
    observer: RequestObserver,
    stop: asyncio.Event,
    stopping: asyncio.Task[Literal[True]],
) -> None:
    """Reconciles links and routes until the operator stops; then stops the work on links first, and kopf last."""
    components.links.start()
    background = [asyncio.create_task(component.run()) for component in (components.expiry, components.recorder)]
    stop_kopf, kopf_is_ready = asyncio.Event(), asyncio.Event()
    ready = asyncio.create_task(kopf_is_ready.wait())
    # The type is kopf's own and not public. Without an identity, kopf reads the user's name, which a user id that a
    # platform assigns does not have; the Lease decides which operator works.
    identity: Any = new_identity()
    own_tasks = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=_registry(settings, leadership.connection, components, observer),
        settings=kopf_settings(),
        clusterwide=not settings.namespaces,
        namespaces=settings.namespaces,
        standalone=True,
        identity=identity,
        ready_flag=kopf_is_ready,
        stop_flag=stop_kopf,
    )
    _on_signals(stop)  # kopf has installed its own handlers
    kopf_task = asyncio.create_task(kopf.run_tasks(tasks, ignored=own_tasks))
    await _wait_for_first(ready, kopf_task)
    await _wait_for_first(stopping, kopf_task, leadership.start_election())
    await components.links.stop()
    stop_kopf.set()
    await kopf_task  # raises the error that has stopped kopf, if one has
    await components.recorder.shut_down()  # the Lease is released when no request is in flight
    for task in background:
        task.cancel()
    await asyncio.wait(background)


def _registry(
    settings: Settings, connection: Connection, components: Components, observer: RequestObserver
) -> kopf.OperatorRegistry:
    """Returns the handlers that kopf calls."""
    registry = kopf.OperatorRegistry()
    connections = _KOPF_CONNECTIONS + len(settings.namespaces)
    kopf.on.login(registry=registry)(login_with(connection, connections, observer))
    components.routes.register(registry)
    return registry


def kopf_settings() -> kopf.OperatorSettings:
    """Returns the settings of kopf: no events, no peering, and no mark on a route but in its status."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True  # the kinds are known, so their definitions are not watched
    settings.persistence.finalizer = FINALIZER
    settings.persistence.diffbase_storage = GenerationStorage()
    settings.persistence.progress_storage = NoProgressStorage()
    settings.background.instant_exit_timeout = 2.0  # the daemons of a deleted route stop before its handlers continue
    settings.queueing.idle_timeout = 1.0
    settings.networking.error_backoffs = (
        0.1,
        0.3,
        1,
        2,
        3,
        *(5,) * 10,
    )  # a lasting error is retried every five seconds
    settings.process.ultimate_exiting_timeout = None  # kopf does not kill the process, which finishes its work
    return settings


def _on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


async def _wait_for_first(*tasks: asyncio.Task[Any]) -> None:
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
