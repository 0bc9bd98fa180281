"""Waits for planned disruptions of a route, also while watches end and the API server does not answer."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from statefulroute.api.group import STATEFUL_ROUTE
from statefulroute.cli.cluster import Cluster, CommandError, Object
from statefulroute.cli.output.messages import print_message
from statefulroute.cli.output.wait_display import Progress, WaitDisplay
from statefulroute.cluster.errors import ClusterError, is_outage

#: How soon objects are read again that a watch of the route does not show.
_RETRY_SECONDS = 1.0

#: Returns how far a disruption is by a version of the route. It raises `CommandError` if the wait is in vain.
Measure = Callable[[Object], Awaitable[Progress]]


async def wait_for_progress(cluster: Cluster, route: str, measure: Measure, *, seconds: float, goes_on: str) -> int:
    """Wait until a planned disruption is done, and show its progress; returns the exit code.

    Args:
        cluster: the cluster and the namespace.
        route: the name of the route.
        measure: returns the progress.
        seconds: for how long to wait; 0 is without end.
        goes_on: what goes on after the wait has ended early.

    Raises:
        CommandError: it is not done after the timeout, it cannot be done, or the route was deleted.
    """
    display, last = WaitDisplay(), Progress("")

    async def follow() -> None:
        nonlocal last
        async for version in cluster.follow_object(STATEFUL_ROUTE, route):
            if version is None:
                raise CommandError(f"the route {route!r} was deleted meanwhile")
            last = await _measure(measure(version), last)
            while not last.is_done and not last.is_certain:
                display.show(last)
                await asyncio.sleep(_RETRY_SECONDS)
                last = await _measure(read_and_measure(), last)
            if last.is_done:
                return
            display.show(last)

    async def read_and_measure() -> Progress:
        return await measure(await cluster.route(route))

    try:
        async with asyncio.timeout(seconds or None):
            await follow()
    except TimeoutError:
        display.close()
        raise CommandError(f"{last.line(display.clock())}; not done after {seconds:g} s: {goes_on}") from None
    except asyncio.CancelledError:
        display.close()
        print_message(f"{last.line(display.clock())}; {goes_on}", err=True)
        raise
    finally:
        display.close()
    print_message(last.text)
    return 0


async def _measure(progress: Awaitable[Progress], last: Progress) -> Progress:
    """Returns the progress; during an outage of the API server the last one, which is not certain."""
    try:
        return await progress
    except ClusterError as error:
        if not is_outage(error):
            raise
        return replace(last, is_certain=False)
