"""The operator: one asyncio program in which kopf runs what is few and a queue runs what is many."""

import asyncio
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import kopf
import structlog

from statefulroute.api.group import GROUP
from statefulroute.cluster.client import Client
from statefulroute.cluster.clock import utc_now
from statefulroute.cluster.connection import connect
from statefulroute.cluster.events import EventRecorder
from statefulroute.cluster.load_endpoints import LoadEndpoints
from statefulroute.cluster.mirror import Mirror
from statefulroute.cluster.server import Connection
from statefulroute.cluster.writes import LinkWriter, PodWriter, RouteWriter
from statefulroute.controllers.links.controller import LinkController
from statefulroute.controllers.links.counts import LinkCounts
from statefulroute.controllers.links.expiry import Expiry
from statefulroute.controllers.links.pace import Pace
from statefulroute.controllers.links.reconciler import LinkReconciler
from statefulroute.controllers.routes.assessments import Assessments
from statefulroute.controllers.routes.handlers import RouteHandlers
from statefulroute.controllers.routes.persistence import GenerationStorage, NoProgressStorage
from statefulroute.controllers.routes.refresh import Refresh
from statefulroute.controllers.routes.state import StateTimer
from statefulroute.controllers.routes.workload import WorkloadTimer
from statefulroute.controllers.views import RouteViews

log = structlog.get_logger(__name__)

#: Requests of kopf under way at the same time: kopf's own session has no limit.
_KOPF_CONNECTIONS = 16

#: Connections beside those of the links' writes: the watches, the routes' status, notes on pods and workloads.
_OTHER_CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Settings:
    """How the operator runs.

    Attributes:
        kubeconfig: the path of a kubeconfig; None looks where kubectl looks.
        context: the kubeconfig's context; None is its current one.
        parallel_writes: how many links of one route are written at the same time.
        moves_per_second: how many links of lost pods are moved in a second, at the most.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    parallel_writes: int = 16
    moves_per_second: int = 200


async def run(settings: Settings) -> None:
    """Run the operator until SIGTERM or SIGINT.

    Raises:
        NotConnectedError: no cluster is configured.
    """
    stop = asyncio.Event()
    _on_signals(stop)
    async with (
        connect(settings.kubeconfig, settings.context) as connection,
        Client(connection, settings.parallel_writes + _OTHER_CONNECTIONS) as client,
        LoadEndpoints() as endpoints,
    ):
        mirror = Mirror(client)
        counts = LinkCounts()
        mirror.links.cache.listen(counts.observe)
        views = RouteViews(mirror, counts.of, utc_now)
        counts.listen_first(views.carries)
        moves = Pace(settings.moves_per_second, time.monotonic)
        writer = LinkWriter(client, mirror.links)
        recorder = EventRecorder(client, socket.gethostname())
        reconciler = LinkReconciler(
            links=mirror.links.cache,
            views=views,
            counts=counts,
            writer=writer,
            moves=moves,
            recorder=recorder,
            clock=utc_now,
        )
        links = LinkController(mirror, views, reconciler, settings.parallel_writes)
        expiry = Expiry(mirror.links.cache, links.add, utc_now)
        assessments = Assessments()
        refresh = Refresh(mirror, views, endpoints, PodWriter(client, mirror.pods), utc_now)
        state = StateTimer(mirror, views, refresh, RouteWriter(client, mirror.routes), assessments, utc_now)
        routes = RouteHandlers(
            mirror=mirror,
            views=views,
            links=links,
            state=state,
            workload=WorkloadTimer(mirror, views, state, assessments, recorder, utc_now),
            assessments=assessments,
            refresh=refresh,
            clock=utc_now,
        )
        async with mirror.running():
            # Every task of ours is made before kopf begins: kopf ends the ones that are made later.
            stopping = asyncio.create_task(stop.wait())
            await _first(stopping, asyncio.create_task(mirror.wait_synced()))
            if not stop.is_set():
                log.info("the caches are synced", server=connection.server, links=len(mirror.links.cache))
                links.start()
                background = [asyncio.create_task(each.run()) for each in (expiry, recorder)]
                await _run_kopf(connection, routes, links, stop, stopping)
                for task in background:
                    task.cancel()
    log.info("stopped")


async def _run_kopf(
    connection: Connection,
    routes: RouteHandlers,
    links: LinkController,
    stop: asyncio.Event,
    stopping: asyncio.Task[Literal[True]],
) -> None:
    """Run kopf until it is time to stop; then end the work on links first, and kopf with its daemons after it."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(_login_with(connection))
    routes.register(registry)
    end, ready = asyncio.Event(), asyncio.Event()
    is_ready = asyncio.create_task(ready.wait())
    ours = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=registry,
        settings=kopf_settings(),
        clusterwide=True,
        standalone=True,
        ready_flag=ready,
        stop_flag=end,
    )
    _on_signals(stop)  # kopf has taken the signals for itself
    operator = asyncio.create_task(kopf.run_tasks(tasks, ignored=ours))
    await _first(is_ready, operator)
    await _first(stopping, operator)
    await links.stop()
    end.set()
    await operator  # an error that has ended it is raised here


def kopf_settings() -> kopf.OperatorSettings:
    """Settings of kopf: quiet, alone, and marking a route in its status only."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True  # the kinds are known: their definitions need not be watched
    settings.persistence.finalizer = f"{GROUP}/operator"
    settings.persistence.diffbase_storage = GenerationStorage()
    settings.persistence.progress_storage = NoProgressStorage()
    settings.background.instant_exit_timeout = 2.0  # a deleted route's daemons end before its handlers go on
    settings.queueing.idle_timeout = 1.0
    settings.networking.error_backoffs = (0.1, 0.3, 1, 2, 3, 5, 8, 13, 21)
    settings.process.ultimate_exiting_timeout = None  # never kill the process: it has work to finish
    return settings


def _login_with(connection: Connection) -> Callable[..., Awaitable[kopf.AiohttpSession]]:
    async def login(**_: Any) -> kopf.AiohttpSession:  # noqa: ANN401 - kopf's own
        return kopf.AiohttpSession(
            aiohttp_session=connection.session(_KOPF_CONNECTIONS), server=connection.server, default_namespace=None
        )

    return login


def _on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


async def _first(*tasks: asyncio.Task[Any]) -> None:
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
