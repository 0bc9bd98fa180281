"""Binds links by the client (the ceiling), the operator or a plain one of kopf or Go, at full speed or a fixed rate."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from localcluster.programs import Recipe, ensure_built
from localcluster.progress import PlainProgress
from localcluster.toolchain import find_go
from measuring.bench_service import NAMESPACE, BenchService, run_concurrently
from measuring.processes import MeasuredProcess, running_operator, running_process
from measuring.rounds import Figures, quantile

RATE, P50, P99, CPU, FULLEST = "links/s", "p50 ms", "p99 ms", "CPU ms a link", "fullest pod, of the mean"

_KOPF = Path(__file__).with_name("plain_kopf.py")
_GO = Recipe("plain_operator", Path(__file__).parents[1] / "plain_operator", ".", "-s -w")
_STARTUP_SECONDS = 3.0
_WARM_UP_LINKS = 300


@asynccontextmanager
async def _wait_idle(process: AbstractAsyncContextManager[MeasuredProcess]) -> AsyncIterator[MeasuredProcess]:
    async with process as started:
        await asyncio.sleep(_STARTUP_SECONDS)
        await started.wait_idle()
        yield started


def idle_operator(service: BenchService, *options: str) -> AbstractAsyncContextManager[MeasuredProcess]:
    """Starts an operator and waits until it is idle."""
    return _wait_idle(running_operator(service.kubeconfig, *options))


def _operator_that_keeps_managed_fields(service: BenchService) -> AbstractAsyncContextManager[MeasuredProcess]:
    return idle_operator(service, "--keep-managed-fields")


def plain_kopf(service: BenchService) -> AbstractAsyncContextManager[MeasuredProcess]:
    """Starts kopf with plain handlers and default settings."""
    command: list[str | Path] = [sys.executable, "-m", "kopf", "run", "--quiet", "--namespace", NAMESPACE, _KOPF]
    return _wait_idle(running_process(command, {"KUBECONFIG": str(service.kubeconfig)}))


def plain_go(service: BenchService) -> AbstractAsyncContextManager[MeasuredProcess]:
    """Starts the plain Go operator."""
    return _wait_idle(running_process([build_plain_go(), "--kubeconfig", service.kubeconfig]))


def build_plain_go() -> Path:
    """Returns the plain Go operator; the first call builds it from source, into the cache of the local clusters.

    Raises:
        LocalClusterError: it cannot be built.
    """
    progress = PlainProgress()
    return ensure_built(_GO, find_go(progress), progress)


def no_process(_: BenchService) -> AbstractAsyncContextManager[None]:
    """Starts no process: the client that creates a link does everything."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class BindVariant:
    """A way to bind links.

    Attributes:
        start_process: starts the process that binds links, if any.
        create_link: what a client does for a user, given the user's number.
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

#: The same, bound by plain kopf and by a plain Go operator.
KOPF, GO = BindVariant(plain_kopf, _create_named), BindVariant(plain_go, _create_named)

#: Links without a pod: three writes each.
CHOSEN = {
    "ceiling": BindVariant(no_process, _create_chosen_with_status),
    "operator": BindVariant(idle_operator, _create_unnamed),
}

#: The same, with links that stay twice as large.
CHOSEN_WITH_MANAGED_FIELDS = BindVariant(_operator_that_keeps_managed_fields, _create_unnamed)


async def warm_up(service: BenchService) -> None:
    """Runs what is slow in the API server the first time."""
    await bind(service, CHOSEN["ceiling"], _WARM_UP_LINKS)


async def bind(service: BenchService, variant: BindVariant, links: int, rate: float | None = None) -> Figures:
    """Creates links and waits until each is bound; then deletes all links.

    Args:
        service: the service whose links are created.
        variant: how they are bound.
        links: how many links are created.
        rate: links per second; None creates them as fast as the clients can.
    """
    async with variant.start_process(service) as process:
        figures = await create_and_wait(service, variant, range(links), rate, process)
    await service.clear()
    return figures


async def create_and_wait(
    service: BenchService,
    variant: BindVariant,
    users: range,
    rate: float | None = None,
    process: MeasuredProcess | None = None,
) -> Figures:
    """Creates links and waits until each is bound; the links stay."""
    recorder, before = service.recorder, process.cpu_seconds if process else 0.0
    recorder.reset()
    started = time.monotonic()
    if rate is None:
        await run_concurrently(lambda number: variant.create_link(service, number), users)
    else:
        await _create_at_rate(service, variant, users, rate)
    await recorder.wait_until(lambda: not recorder.unbound)
    latencies = recorder.latencies()
    figures = {
        RATE: len(users) / (max(recorder.bound_at[name] for name in recorder.created_at) - started),
        P50: quantile(latencies, 0.5),
        P99: quantile(latencies, 0.99),
        FULLEST: max(recorder.links_per_pod().values())
        / mean(recorder.links_per_pod().get(pod, 0) for pod in range(service.pods)),
    }
    if process is not None:
        await process.wait_idle()  # events and the route's status follow the links, and are part of their cost
        figures[CPU] = (process.cpu_seconds - before) * 1000 / len(users)
    return figures


async def _create_at_rate(service: BenchService, variant: BindVariant, users: range, rate: float) -> None:
    started = time.monotonic()
    async with asyncio.TaskGroup() as creations:
        for turn, number in enumerate(users):
            await asyncio.sleep(started + turn / rate - time.monotonic())
            creations.create_task(variant.create_link(service, number))
