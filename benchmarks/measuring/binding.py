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

from measuring.bench_service import NAMESPACE, BenchService, run_concurrently
from measuring.processes import MeasuredProcess, running_operator, running_process
from measuring.rounds import Figures, quantile

RATE, P50, P99, CPU, FULLEST = "links/s", "p50 ms", "p99 ms", "CPU ms a link", "fullest pod, of the mean"

_KOPF = Path(__file__).with_name("plain_kopf.py")
_STARTUP_SECONDS = 3.0
_WARM_UP_LINKS = 300


@asynccontextmanager
async def _wait_idle(process: AbstractAsyncContextManager[MeasuredProcess]) -> AsyncIterator[MeasuredProcess]:
    async with process as begun:
        await asyncio.sleep(_STARTUP_SECONDS)
        await begun.wait_idle()
        yield begun


def idle_operator(service: BenchService) -> AbstractAsyncContextManager[MeasuredProcess]:
    """An operator that has nothing left to do."""
    return _wait_idle(running_operator(service.kubeconfig))


def plain_kopf(service: BenchService) -> AbstractAsyncContextManager[MeasuredProcess]:
    """Plain handlers, run by kopf as it comes."""
    command: list[str | Path] = [sys.executable, "-m", "kopf", "run", "--quiet", "--namespace", NAMESPACE, _KOPF]
    return _wait_idle(running_process(command, {"KUBECONFIG": str(service.kubeconfig)}))


def no_process(_: BenchService) -> AbstractAsyncContextManager[None]:
    """No process: who makes a link does everything."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class BindVariant:
    """A way to bind.

    Attributes:
        start_process: the process that works on links, where there is one.
        create_link: what a client does for a user, whose number it is given.
    """

    start_process: Callable[[BenchService], AbstractAsyncContextManager[MeasuredProcess | None]]
    create_link: Callable[[BenchService, int], Coroutine[Any, Any, None]]


async def _create_named(service: BenchService, number: int) -> None:
    await service.create_link(f"user-{number}", number % service.pods)


async def _create_named_with_status(service: BenchService, number: int) -> None:
    await _create_named(service, number)
    await service.write_bound_status(f"user-{number}", number % service.pods)


async def _create_unnamed(service: BenchService, number: int) -> None:
    await service.create_link(f"user-{number}")


async def _create_chosen_with_status(service: BenchService, number: int) -> None:
    await _create_unnamed(service, number)
    await service.set_pod(f"user-{number}", number % service.pods)
    await service.write_bound_status(f"user-{number}", number % service.pods, generation=2)


#: Links that name their pod: two writes each.
NAMED = {
    "ceiling": BindVariant(no_process, _create_named_with_status),
    "operator": BindVariant(idle_operator, _create_named),
}

#: The same, acknowledged by plain kopf.
KOPF = BindVariant(plain_kopf, _create_named)

#: Links that leave the choice of their pod: three writes each.
CHOSEN = {
    "ceiling": BindVariant(no_process, _create_chosen_with_status),
    "operator": BindVariant(idle_operator, _create_unnamed),
}


async def warm_up(service: BenchService) -> None:
    """Have the API server do what it is slow at for the first time."""
    await bind(service, CHOSEN["ceiling"], _WARM_UP_LINKS)


async def bind(service: BenchService, variant: BindVariant, links: int, rate: float | None = None) -> Figures:
    """Have so many users come, and wait until each is bound; afterwards there is no link.

    Args:
        service: where.
        variant: how they are bound.
        links: how many come.
        rate: how many come in a second; None is as many as there are clients for.
    """
    async with variant.start_process(service) as process:
        found = await create_and_wait(service, variant, range(links), rate, process)
    await service.clear()
    return found


async def create_and_wait(
    service: BenchService,
    variant: BindVariant,
    users: range,
    rate: float | None = None,
    process: MeasuredProcess | None = None,
) -> Figures:
    """Have users come, and wait until each is bound; their links stay."""
    journal, before = service.recorder, process.cpu_seconds if process else 0.0
    journal.reset()
    begun = time.monotonic()
    if rate is None:
        await run_concurrently(lambda number: variant.create_link(service, number), users)
    else:
        await _create_at_rate(service, variant, users, rate)
    await journal.wait_until(lambda: not journal.unbound)
    latencies = journal.latencies()
    found = {
        RATE: len(users) / (max(journal.bound_at[name] for name in journal.created_at) - begun),
        P50: quantile(latencies, 0.5),
        P99: quantile(latencies, 0.99),
        FULLEST: max(journal.links_per_pod().values())
        / mean(journal.links_per_pod().get(pod, 0) for pod in range(service.pods)),
    }
    if process is not None:
        await process.wait_idle()  # events and the route's status come after the links, and are a part of their cost
        found[CPU] = (process.cpu_seconds - before) * 1000 / len(users)
    return found


async def _create_at_rate(service: BenchService, variant: BindVariant, users: range, rate: float) -> None:
    begun = time.monotonic()
    async with asyncio.TaskGroup() as coming:
        for turn, number in enumerate(users):
            await asyncio.sleep(begun + turn / rate - time.monotonic())
            coming.create_task(variant.create_link(service, number))
