"""Runs the sidecar: starts the driver of the pod and serves the API until it is asked to stop."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from prometheus_client.registry import CollectorRegistry

from statefulroute.driver.environment import namespace_of_pod
from statefulroute.driver.lifetime import cancel
from statefulroute.driver.metrics import DriverMetrics
from statefulroute.driver.server import ServerDriver
from statefulroute.monitoring.server import RequestHandler, serve_http, serve_probes_and_metrics
from statefulroute.sidecar.assembly import SidecarComponents, assemble, driver_from_environment
from statefulroute.sidecar.dispatcher import MAX_BODY_BYTES
from statefulroute.sidecar.hand_overs import RefusedStateError
from statefulroute.sidecar.health import SidecarHealth
from statefulroute.sidecar.settings import Settings
from statefulroute.sidecar.user_follower import follow_users

log = structlog.get_logger(__name__)


async def run(settings: Settings) -> None:
    """Runs the sidecar until SIGTERM or SIGINT; a second one ends the wait for the users.

    Args:
        settings: the settings of the sidecar.

    Raises:
        StatefulRouteError: the driver cannot start.
        BindError: a server cannot listen on its address.
        TokenUnreadableError: the file of the token cannot be read.
    """
    stop, hurry = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _set_first, stop, hurry)
    if not settings.http_address.is_loopback:
        log.warning("the API is open to other pods: only the token protects it", address=str(settings.http_address))
    registry, health = CollectorRegistry(), SidecarHealth()
    driver = driver_from_environment(settings, DriverMetrics(registry))
    components = assemble(settings, driver, namespace_of_pod())
    asyncio.get_running_loop().set_exception_handler(_handle_exception)
    async with (
        serve_probes_and_metrics(settings.bind_address, health, (*components.collectors, registry)),
        serve_api(settings, components),
    ):
        stopping, following = asyncio.create_task(stop.wait()), asyncio.create_task(_follow(settings, components))
        try:
            if await _start(driver, stopping):
                health.has_started = True
                await asyncio.wait((stopping, following), return_when=asyncio.FIRST_COMPLETED)
                if following.done():
                    following.result()  # an error: it does not end before the driver is closed
                await _stop(driver, hurry)
        finally:
            await _cancel(stopping, following)
            components.log.end()
            await driver.close()
    log.info("stopped")


@asynccontextmanager
async def serve_api(settings: Settings, components: SidecarComponents) -> AsyncIterator[list[str]]:
    """Serves the API while the context lasts; yields the addresses that it listens on."""
    bare = RequestHandler(components.dispatcher.handle, MAX_BODY_BYTES)
    async with serve_http(bare, settings.http_address, option="--http-address") as addresses:
        log.info("serving the driver", addresses=addresses, token=settings.token_file is not None)
        try:
            yield addresses
        finally:
            components.log.end()


def _handle_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Logs an error of the event loop. That the application has taken no state is none of the sidecar's."""
    error = context.get("exception")
    if isinstance(error, RefusedStateError):
        log.info("a state of another pod was refused", error=str(error))
    else:
        loop.default_exception_handler(context)


def _set_first(*events: asyncio.Event) -> None:
    """Sets the first event that is not set."""
    for event in events:
        if not event.is_set():
            event.set()
            return


async def _follow(settings: Settings, components: SidecarComponents) -> None:
    await follow_users(components.driver, settings.follow_routes, components.log)


async def _start(driver: ServerDriver, stopping: asyncio.Task[bool]) -> bool:
    """Starts the driver; returns False if the process is asked to stop first."""
    starting = asyncio.create_task(driver.start())
    try:
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            return False
        await starting
        return True
    finally:
        await _cancel(starting)


async def _stop(driver: ServerDriver, hurry: asyncio.Event) -> None:
    """Stops the driver; it waits for the users until the process is asked to hurry."""
    draining, hurrying = asyncio.create_task(driver.stop()), asyncio.create_task(hurry.wait())
    try:
        await asyncio.wait((draining, hurrying), return_when=asyncio.FIRST_COMPLETED)
        if not draining.done():
            await driver.stop(0)
        await draining
    finally:
        await _cancel(hurrying)


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancels tasks and waits for their ends."""
    for task in tasks:
        await cancel(task)
