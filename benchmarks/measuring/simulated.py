"""An operator or a resolver among links that a simulated API server holds, in a process of its own.

    python -m measuring.simulated operator|temporary|resolver|heap LINKS PODS

It prints figures as JSON. CPU time is what the process has used without that of the simulated API server.
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

from measuring.heap import KINDS, held
from measuring.processes import Usage
from measuring.simulated_server import NAMESPACE, ROUTE, SimulatedServer, utc
from statefulroute.cli.logs import LogFormat, LogLevel, set_up_logging
from statefulroute.controllers.assembly import Parts, assemble
from statefulroute.controllers.monitoring.spans import Spans
from statefulroute.controllers.settings import Settings
from statefulroute.domain.keys import RouteKey
from statefulroute.driver.cache import MAX_LINKS
from statefulroute.monitoring.address import Address
from statefulroute.resolver import assembly as resolver_assembly
from statefulroute.resolver.settings import Settings as ResolverSettings

KEY = RouteKey(NAMESPACE, ROUTE)
READ, JUDGED, START = "CPU s to read all", "CPU s to judge all", "CPU s of the whole start"
WROTE, PEAK, LISTED = "writes at the start", "MiB at the peak", "listed bytes a link"
BIND, CHOOSE, RENEW, REMOVE = "CPU ms to bind", "CPU ms to choose", "CPU ms a renewal", "CPU ms a removal"
EDIT, STALL, LOOKUPS = "CPU s after an edit of the route", "s of the longest stall", "look-ups a CPU second"
PEAK_TEMPORARY, PEAK_RESOLVER = "MiB at the peak, temporary links", "MiB at the peak, resolver"
READ_RESOLVER = "CPU s to read all, resolver"

_TRIES, _LOOKUPS = 2000, 200_000
_LOOK_SECONDS = 0.002
_FAR_AHEAD = 86_400.0


class Meter:
    """The CPU time of this process without the simulated API server's, and how long the event loop stood still."""

    def __init__(self, server: SimulatedServer) -> None:
        self._server = server
        self._own = Usage(os.getpid())
        self.stall = 0.0

    def used(self) -> float:
        """CPU seconds until now."""
        return time.process_time() - self._server.cpu_seconds

    def peak(self) -> float:
        """MiB of memory."""
        return self._own.mebibytes[1]

    async def watch(self) -> None:
        """Note the most CPU time that was used while nobody else had a turn, the simulation's own left out."""
        while True:
            before = self.used()
            await asyncio.sleep(0)
            self.stall = max(self.stall, self.used() - before)
            await asyncio.sleep(0)


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - many things are waited for, and few have an event
        await asyncio.sleep(_LOOK_SECONDS)


class Operating:
    """An operator's parts at work in this process, as its assembly makes them."""

    def __init__(self, server: SimulatedServer) -> None:
        self.server, self.meter = server, Meter(server)
        lead: Any = SimpleNamespace(leads=True)
        self.parts: Parts = assemble(Settings(), lead, cast("Any", server), cast("Any", None), Spans())
        self.links = self.parts.mirror.links.cache

    async def idle(self) -> None:
        """Wait until there is nothing left to do."""
        await asyncio.sleep(5 * _LOOK_SECONDS)
        await _until(lambda: not self.parts.links.backlog().depth)

    @asynccontextmanager
    async def begun(self) -> AsyncIterator[dict[str, float]]:
        """From the start until all was judged; gives the figures of that."""
        before, end = self.meter.used(), asyncio.Event()
        looking = asyncio.create_task(self.meter.watch())
        async with self.parts.mirror.running():
            await self.parts.mirror.wait_synced()
            read = self.meter.used()
            self.parts.links.start()
            serving = asyncio.create_task(self.parts.links.serve(KEY, end.wait))
            expiring = asyncio.create_task(self.parts.expiry.run())
            await self.idle()
            judged = self.meter.used()
            yield {
                READ: read - before,
                JUDGED: judged - read,
                START: judged,
                WROTE: self.server.writes,
                PEAK: self.meter.peak(),
            }
            end.set()
            await serving
            expiring.cancel()
        looking.cancel()

    async def each(self, numbers: Iterable[int], make: Callable[[int], None]) -> float:
        """Have something happen to each of some links, a few at a time; gives the CPU ms of one until all is done."""
        before, made = self.meter.used(), 0
        for made, number in enumerate(numbers, start=1):
            make(number)
            if made % 16 == 0:
                await asyncio.sleep(0)
        await self.idle()
        return (self.meter.used() - before) * 1000 / made


async def operator(links: int, pods: int) -> Mapping[str, float]:
    """Persistent links: a start, some that come, and an edit of the route after which all are judged anew."""
    server = SimulatedServer(links, pods)
    at_work = Operating(server)
    async with at_work.begun() as figures:
        if not links:
            return figures
        figures[LISTED] = server.listed_bytes / links
        named, chosen = range(links, links + _TRIES), range(links + _TRIES, links + 2 * _TRIES)
        figures[BIND] = await at_work.each(named, lambda number: server.create(number, number % pods))
        figures[CHOOSE] = await at_work.each(chosen, lambda number: server.create(number, None))
        _expect(at_work, chosen)
        before, writes = at_work.meter.used(), server.writes
        server.edit_route({"port": 7777, "tags": ["lobby"]})
        await at_work.idle()
        figures[EDIT] = at_work.meter.used() - before
        if server.writes != writes:
            raise SystemExit(f"an edit that changes no decision has caused {server.writes - writes} writes")
        figures[STALL] = at_work.meter.stall
    return figures


def _expect(at_work: Operating, numbers: range) -> None:
    """That these links are bound."""
    for number in numbers:
        link = at_work.links.get(KEY, f"{ROUTE}.user-{number}")
        if link is None or link.acknowledged is None or link.acknowledged.pod is None:
            raise SystemExit(f"user-{number} was not bound")


async def temporary(links: int, pods: int) -> Mapping[str, float]:
    """Temporary links: a start, renewals, and removals of those whose time is over."""
    server = SimulatedServer(links, pods, expire_from=utc(time.time() + _FAR_AHEAD))
    at_work = Operating(server)
    async with at_work.begun() as started:
        figures = {PEAK_TEMPORARY: started[PEAK]}
        tries = range(min(_TRIES, links // 2))
        now = utc(time.time())
        figures[RENEW] = await at_work.each(tries, lambda number: server.renew(number, now))
        ended = utc(time.time()) - timedelta(days=1)
        before = len(at_work.links)
        figures[REMOVE] = await at_work.each(tries, lambda number: server.renew(number, ended))
        if before - len(at_work.links) != len(tries):
            raise SystemExit(f"{len(tries)} links were to be removed, and {before - len(at_work.links)} were")
    return figures


async def resolver(links: int, pods: int) -> Mapping[str, float]:
    """A resolver's directory: reading all, and looking users up."""
    server = SimulatedServer(links, pods)
    meter = Meter(server)
    parts = resolver_assembly.assemble(ResolverSettings(http_address=Address("127.0.0.1", 0)), cast("Any", server))
    directory, before = parts.directory, meter.used()
    async with directory.running():
        await directory.wait_synced()
        figures = {READ_RESOLVER: meter.used() - before, PEAK_RESOLVER: meter.peak()}
        begun = time.process_time()
        for turn in range(_LOOKUPS):
            link = directory.link(KEY, f"user-{turn * 7919 % links}")
            if link is None:
                raise SystemExit("a link was not found")
            directory.address(link)
        figures[LOOKUPS] = _LOOKUPS / (time.process_time() - begun)
    return figures


async def heap(links: int, pods: int) -> Mapping[str, float]:
    """The bytes of Python's heap that each kind of process takes for a link."""
    found: dict[str, float] = {}
    for kind in KINDS:
        if kind == "driver" and links > MAX_LINKS:
            continue  # it holds none then, and asks
        (_, empty), (count, full) = [await held(kind, cast("Any", SimulatedServer(size, pods))) for size in (0, links)]
        found[f"bytes a link, {kind}"] = (full - empty) / count
    return found


ROLES: dict[str, Callable[[int, int], Awaitable[Mapping[str, float]]]] = {
    "operator": operator,
    "temporary": temporary,
    "resolver": resolver,
    "heap": heap,
}


def main() -> None:
    """Measure, and print the figures."""
    role, links, pods = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    set_up_logging(LogLevel.INFO, LogFormat.JSON)  # as the processes do that are simulated

    async def measure() -> Mapping[str, float]:
        return await ROLES[role](links, pods)

    sys.stdout.write(json.dumps(asyncio.run(measure())) + "\n")


if __name__ == "__main__":
    main()
