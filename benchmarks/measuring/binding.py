"""Links are bound: by who makes them (the ceiling), by the operator, by plain kopf; as fast as can be, or evenly."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from measuring.place import NAMESPACE, Place, every
from measuring.processes import Measured, operating, running
from measuring.rounds import Figures, quantile

RATE, P50, P99, CPU, FULLEST = "links/s", "p50 ms", "p99 ms", "CPU ms a link", "fullest pod, of the mean"

_KOPF = Path(__file__).with_name("plain_kopf.py")
_BEGIN_SECONDS = 3.0
_WARMING = 300


@asynccontextmanager
async def _settled(process: AbstractAsyncContextManager[Measured]) -> AsyncIterator[Measured]:
    async with process as begun:
        await asyncio.sleep(_BEGIN_SECONDS)
        await begun.settled()
        yield begun


def operator(place: Place) -> AbstractAsyncContextManager[Measured]:
    """An operator that has nothing left to do."""
    return _settled(operating(place.kubeconfig))


def plain_kopf(place: Place) -> AbstractAsyncContextManager[Measured]:
    """Plain handlers, run by kopf as it comes."""
    command: list[str | Path] = [sys.executable, "-m", "kopf", "run", "--quiet", "--namespace", NAMESPACE, _KOPF]
    return _settled(running(command, {"KUBECONFIG": str(place.kubeconfig)}))


def nobody(_: Place) -> AbstractAsyncContextManager[None]:
    """No process: who makes a link does everything."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Way:
    """A way to bind.

    Attributes:
        works: the process that works on links, where there is one.
        come: what a client does for a user, whose number it is given.
    """

    works: Callable[[Place], AbstractAsyncContextManager[Measured | None]]
    come: Callable[[Place, int], Coroutine[Any, Any, None]]


async def _named(place: Place, number: int) -> None:
    await place.link(f"user-{number}", number % place.pods)


async def _named_and_acknowledged(place: Place, number: int) -> None:
    await _named(place, number)
    await place.acknowledge(f"user-{number}", number % place.pods)


async def _unnamed(place: Place, number: int) -> None:
    await place.link(f"user-{number}")


async def _chosen_and_acknowledged(place: Place, number: int) -> None:
    await _unnamed(place, number)
    await place.choose(f"user-{number}", number % place.pods)
    await place.acknowledge(f"user-{number}", number % place.pods, generation=2)


#: Links that name their pod: two writes each.
NAMED = {"ceiling": Way(nobody, _named_and_acknowledged), "operator": Way(operator, _named)}

#: The same, acknowledged by plain kopf.
KOPF = Way(plain_kopf, _named)

#: Links that leave the choice of their pod: three writes each.
CHOSEN = {"ceiling": Way(nobody, _chosen_and_acknowledged), "operator": Way(operator, _unnamed)}


async def warm_up(place: Place) -> None:
    """Have the API server do what it is slow at for the first time."""
    await bind(place, CHOSEN["ceiling"], _WARMING)


async def bind(place: Place, way: Way, links: int, rate: float | None = None) -> Figures:
    """Have so many users come, and wait until each is bound; afterwards there is no link.

    Args:
        place: where.
        way: how they are bound.
        links: how many come.
        rate: how many come in a second; None is as many as there are clients for.
    """
    async with way.works(place) as process:
        found = await arrivals(place, way, range(links), rate, process)
    await place.clear()
    return found


async def arrivals(
    place: Place, way: Way, users: range, rate: float | None = None, process: Measured | None = None
) -> Figures:
    """Have users come, and wait until each is bound; their links stay."""
    journal, before = place.journal, process.cpu_seconds if process else 0.0
    journal.forget()
    begun = time.monotonic()
    if rate is None:
        await every(lambda number: way.come(place, number), users)
    else:
        await _evenly(place, way, users, rate)
    await journal.until(lambda: not journal.waiting)
    latencies = journal.latencies()
    found = {
        RATE: len(users) / (max(journal.bound[name] for name in journal.begun) - begun),
        P50: quantile(latencies, 0.5),
        P99: quantile(latencies, 0.99),
        FULLEST: max(journal.carried().values()) / mean(journal.carried().get(pod, 0) for pod in range(place.pods)),
    }
    if process is not None:
        await process.settled()  # events and the route's status come after the links, and are a part of their cost
        found[CPU] = (process.cpu_seconds - before) * 1000 / len(users)
    return found


async def _evenly(place: Place, way: Way, users: range, rate: float) -> None:
    begun = time.monotonic()
    async with asyncio.TaskGroup() as coming:
        for turn, number in enumerate(users):
            await asyncio.sleep(begun + turn / rate - time.monotonic())
            coming.create_task(way.come(place, number))
