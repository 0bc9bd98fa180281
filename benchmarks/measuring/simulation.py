"""Runs an operator or a resolver against a simulated API server, in a separate process.

    python -m measuring.simulation operator|temporary|resolver|heap LINKS PODS

It prints figures as JSON. CPU time is that of the process without the simulated API server's.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

from measuring.heap import KINDS, measure_heap
from measuring.processes import Usage
from measuring.simulated_server import NAMESPACE, ROUTE, SimulatedServer, utc
from statefulroute.cli.logs import LogFormat, LogLevel, set_up_logging
from statefulroute.controllers.assembly import Components, assemble
from statefulroute.controllers.monitoring.trace_hooks import TraceHooks
from statefulroute.controllers.settings import Settings
from statefulroute.domain.keys import RouteKey
from statefulroute.driver.link_cache import MAX_LINKS
from statefulroute.monitoring.bind_address import BindAddress
from statefulroute.resolver import assembly as resolver_assembly
from statefulroute.resolver.settings import Settings as ResolverSettings

KEY = RouteKey(NAMESPACE, ROUTE)
READ, JUDGED, START = "CPU s to read all", "CPU s to judge all", "CPU s of the whole start"
WROTE, PEAK, LISTED = "writes at the start", "MiB at the peak", "listed bytes a link"
BIND, CHOOSE, RENEW, REMOVE = "CPU ms to bind", "CPU ms to choose", "CPU ms a renewal", "CPU ms a removal"
EDIT, STALL, LOOKUPS = "CPU s after an edit of the route", "s of the longest stall", "look-ups a CPU second"
PEAK_TEMPORARY, PEAK_RESOLVER = "MiB at the peak, temporary links", "MiB at the peak, resolver"
READ_RESOLVER = "CPU s to read all, resolver"

_SAMPLES, _LOOKUPS = 2000, 200_000
_POLL_SECONDS = 0.002
_EXPIRY_LEAD_SECONDS = 86_400.0


class Meter:
    """Measures this process's CPU time without the simulated API server's, and the longest event loop stall."""

    def __init__(self, server: SimulatedServer) -> None:
        self._server = server
        self._own = Usage(os.getpid())
        self.stall = 0.0

    def cpu_seconds(self) -> float:
        """Returns the CPU seconds used so far."""
        return time.process_time() - self._server.cpu_seconds

    def peak_mebibytes(self) -> float:
        """Returns the peak of the memory, in MiB."""
        return self._own.mebibytes[1]

    async def watch(self) -> None:
        """Records the most CPU time used between two turns of this task, without the simulation's."""
        while True:
            before = self.cpu_seconds()
            await asyncio.sleep(0)
            self.stall = max(self.stall, self.cpu_seconds() - before)
            await asyncio.sleep(0)


async def _wait_until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - the conditions have no common event
        await asyncio.sleep(_POLL_SECONDS)


class SimulatedOperator:
    """The components of an operator, assembled and run in this process."""

    def __init__(self, server: SimulatedServer) -> None:
        self.server, self.meter = server, Meter(server)
        lead: Any = SimpleNamespace(
            is_leader=True, losses=0, identity="simulation", predecessors=(), acquired_version=None
        )
        self.components: Components = assemble(Settings(), lead, cast("Any", server), cast("Any", None), TraceHooks())
        self.links = self.components.informers.links.cache

    async def wait_idle(self) -> None:
        """Waits until the queue of links is empty."""
        await asyncio.sleep(5 * _POLL_SECONDS)
        await _wait_until(lambda: not self.components.links.backlog().depth)

    @asynccontextmanager
    async def started(self) -> AsyncIterator[dict[str, float]]:
        """Runs the components until every link is decided; yields the figures of the start."""
        before = self.meter.cpu_seconds()
        stall_meter = asyncio.create_task(self.meter.watch())
        async with self.components.informers.run():
            await self.components.informers.wait_synced()
            read = self.meter.cpu_seconds()
            self.components.links.start()
            self.components.links.add_route(KEY)
            expiring = asyncio.create_task(self.components.expiry.run())
            await self.wait_idle()
            judged = self.meter.cpu_seconds()
            yield {
                READ: read - before,
                JUDGED: judged - read,
                START: judged,
                WROTE: self.server.writes,
                PEAK: self.meter.peak_mebibytes(),
            }
            await self.components.links.stop()
            expiring.cancel()
        stall_meter.cancel()

    async def for_each(self, numbers: Iterable[int], apply: Callable[[int], None]) -> float:
        """Applies `make` to numbers, a few at a time; returns the CPU ms per number until the queue is empty."""
        before, count = self.meter.cpu_seconds(), 0
        for count, number in enumerate(numbers, start=1):
            apply(number)
            if count % 16 == 0:
                await asyncio.sleep(0)
        await self.wait_idle()
        return (self.meter.cpu_seconds() - before) * 1000 / count


async def operator(links: int, pods: int) -> Mapping[str, float]:
    """Measures persistent links: a start, new links, and an edit of the route, which decides all links again."""
    server = SimulatedServer(links, pods)
    simulated = SimulatedOperator(server)
    async with simulated.started() as figures:
        if not links:
            return figures
        figures[LISTED] = server.listed_bytes / links
        named, chosen = range(links, links + _SAMPLES), range(links + _SAMPLES, links + 2 * _SAMPLES)
        figures[BIND] = await simulated.for_each(named, lambda number: server.create(number, number % pods))
        figures[CHOOSE] = await simulated.for_each(chosen, lambda number: server.create(number, None))
        _check_bound(simulated, chosen)
        before, writes = simulated.meter.cpu_seconds(), server.writes
        server.edit_route({"port": 7777, "tags": ["lobby"]})
        await simulated.wait_idle()
        figures[EDIT] = simulated.meter.cpu_seconds() - before
        if server.writes != writes:
            raise SystemExit(f"an edit that changes no decision caused {server.writes - writes} writes")
        figures[STALL] = simulated.meter.stall
    return figures


def _check_bound(simulated: SimulatedOperator, numbers: range) -> None:
    """Fails unless these links are bound."""
    for number in numbers:
        link = simulated.links.get(KEY, f"{ROUTE}.user-{number}")
        if link is None or link.status is None or link.status.pod is None:
            raise SystemExit(f"user-{number} is not bound")


async def temporary(links: int, pods: int) -> Mapping[str, float]:
    """Measures temporary links: a start, renewals, and removals of expired links."""
    server = SimulatedServer(links, pods, expire_from=utc(time.time() + _EXPIRY_LEAD_SECONDS))
    simulated = SimulatedOperator(server)
    async with simulated.started() as started:
        figures = {PEAK_TEMPORARY: started[PEAK]}
        sample = range(min(_SAMPLES, links // 2))
        now = utc(time.time())
        figures[RENEW] = await simulated.for_each(sample, lambda number: server.renew(number, now))
        expired = utc(time.time()) - timedelta(days=1)
        before = len(simulated.links)
        figures[REMOVE] = await simulated.for_each(sample, lambda number: server.renew(number, expired))
        if before - len(simulated.links) != len(sample):
            raise SystemExit(f"{len(sample)} links had to be removed, and {before - len(simulated.links)} were")
    return figures


async def resolver(links: int, pods: int) -> Mapping[str, float]:
    """Measures a resolver: reading all links, and looking users up."""
    server = SimulatedServer(links, pods)
    meter = Meter(server)
    components = resolver_assembly.assemble(
        ResolverSettings(http_address=BindAddress("127.0.0.1", 0)), cast("Any", server)
    )
    cache, before = components.cache, meter.cpu_seconds()
    async with cache.run():
        await cache.wait_synced()
        figures = {READ_RESOLVER: meter.cpu_seconds() - before, PEAK_RESOLVER: meter.peak_mebibytes()}
        started = time.process_time()
        for turn in range(_LOOKUPS):
            link = cache.link(KEY, f"user-{turn * 7919 % links}")
            if link is None:
                raise SystemExit("a link was not found")
            cache.address(link)
        figures[LOOKUPS] = _LOOKUPS / (time.process_time() - started)
    return figures


async def heap(links: int, pods: int) -> Mapping[str, float]:
    """Measures the bytes of Python's heap that each kind of process needs for a link."""
    figures: dict[str, float] = {}
    for kind in KINDS:
        if kind == "driver" and links > MAX_LINKS:
            continue  # with more links it caches none and sends requests
        (_, empty), (count, full) = [
            await measure_heap(kind, cast("Any", SimulatedServer(size, pods))) for size in (0, links)
        ]
        figures[f"bytes a link, {kind}"] = (full - empty) / count
    return figures


ROLES: dict[str, Callable[[int, int], Awaitable[Mapping[str, float]]]] = {
    "operator": operator,
    "temporary": temporary,
    "resolver": resolver,
    "heap": heap,
}


def main() -> None:
    """Runs the simulation and prints its figures."""
    role, links, pods = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    set_up_logging(LogLevel.INFO, LogFormat.JSON)  # the same as in the simulated processes

    async def measure() -> Mapping[str, float]:
        return await ROLES[role](links, pods)

    sys.stdout.write(json.dumps(asyncio.run(measure())) + "\n")


if __name__ == "__main__":
    main()
