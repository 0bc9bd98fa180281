"""Passes the events of the driver on to the event log."""

import asyncio
from collections.abc import Iterable

import structlog

from statefulroute.domain.errors import StatefulRouteError
from statefulroute.domain.keys import UidOrSlot
from statefulroute.driver.events import EventsLost
from statefulroute.driver.server import ServerDriver
from statefulroute.sidecar.event_log import EventLog

log = structlog.get_logger(__name__)

#: The pause after a failed attempt to reach the API server; the attempt itself has the driver's time limit.
_RETRY_SECONDS = 1.0


async def follow_users(driver: ServerDriver, further_routes: Iterable[str], events: EventLog) -> None:
    """Passes the events of the users and slots on, until the driver closes.

    Args:
        driver: the driver of the pod.
        further_routes: the routes beside the pod's own whose users it follows.
        events: takes the events.
    """
    routes = (await _own_route(driver), *further_routes)
    subscription = driver.events()
    # Nothing may run in between: the events that follow are those after this state.
    events.replace(_held(driver, routes), is_cut_off=driver.is_cut_off)
    async for event in subscription:
        if isinstance(event, EventsLost):
            log.warning("events of users and slots were lost: reading them again", number=event.number)
            events.replace(_held(driver, routes), is_cut_off=driver.is_cut_off, missed=event.number)
        else:
            events.append(event)


def _held(driver: ServerDriver, routes: Iterable[str]) -> list[tuple[str, UidOrSlot]]:
    """Returns the route, and the uid or the slot, of each user and slot of the pod."""
    users = [(route, uid) for route in routes for uid in sorted(driver.users(route))]
    slots = [(route, slot) for route in routes for slot in sorted(driver.slots(route))]
    return [*users, *slots]


async def _own_route(driver: ServerDriver) -> str:
    """Returns the pod's own route, once the driver has reached the API server."""
    while True:
        try:
            return (await driver.init()).service
        except StatefulRouteError as error:
            log.info("waiting for the API server", error=str(error))
        await asyncio.sleep(_RETRY_SECONDS)
