"""An operator starts where links are bound already; and what processes hold of links."""

import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path

from measuring.bench_service import BenchService
from measuring.processes import running_operator
from measuring.rounds import Figures

SYNCED, START_CPU, PEAK, SETTLED, WRITES = "s to synced", "CPU s", "MiB at the peak", "MiB settled", "writes"
PROCESSES = ("operator", "resolver", "driver")
_STARTUP_SECONDS = 3.0


async def adopt(service: BenchService) -> None:
    """Have an operator do once what it does for a route and its links that it has never seen."""
    async with running_operator(service.kubeconfig) as process:
        await process.wait_synced()
        await asyncio.sleep(_STARTUP_SECONDS)
        await process.wait_idle()


async def restart(service: BenchService) -> Figures:
    """Start an operator, and wait until it has nothing left to do: every link was judged then."""
    before = await service.count_writes()
    async with running_operator(service.kubeconfig) as process:
        seconds = await process.wait_synced()
        await asyncio.sleep(_STARTUP_SECONDS)
        await process.wait_idle()
        settled, peak = process.mebibytes
        found = {SYNCED: seconds, START_CPU: process.cpu_seconds, PEAK: peak, SETTLED: settled}
    return {**found, WRITES: (await service.count_writes() - before).total()}


async def _heap_size(kind: str, kubeconfig: Path) -> tuple[int, int]:
    command: list[str | Path] = [sys.executable, "-m", "measuring.heap", kind, kubeconfig]
    folder = Path(__file__).parents[1]
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode:
        raise SystemExit(f"the process that holds links as the {kind} does has ended with {process.returncode}")
    links, traced = map(int, output.split())
    return links, traced


async def heap_sizes(service: BenchService, kinds: Iterable[str] = PROCESSES) -> dict[str, tuple[int, int]]:
    """For each kind of process, how many links it holds and how many bytes it holds altogether."""
    return {kind: await _heap_size(kind, service.kubeconfig) for kind in kinds}
