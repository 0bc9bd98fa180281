"""Measures the starts of an operator and a resolver among bound links, and the heap of each kind of process."""

import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path

from localcluster.ports import free_port
from measuring.bench_service import BenchService
from measuring.load_generator import running_resolver
from measuring.processes import running_operator
from measuring.rounds import Figures

SYNCED, START_CPU, PEAK, SETTLED, WRITES = "s to synced", "CPU s", "MiB at the peak", "MiB settled", "writes"
PEAK_RESOLVER = "MiB at the peak, resolver"
PROCESSES = ("operator", "resolver", "driver")
_STARTUP_SECONDS = 3.0


async def adopt(service: BenchService) -> None:
    """Runs an operator once on a route and links that no operator has seen before."""
    async with running_operator(service.kubeconfig) as process:
        await process.wait_synced()
        await asyncio.sleep(_STARTUP_SECONDS)
        await process.wait_idle()


async def restart(service: BenchService) -> Figures:
    """Starts an operator and waits until it is idle, after it has decided every link."""
    before = await service.count_writes()
    async with running_operator(service.kubeconfig) as process:
        seconds = await process.wait_synced()
        await asyncio.sleep(_STARTUP_SECONDS)
        await process.wait_idle()
        settled, peak = process.mebibytes
        figures = {SYNCED: seconds, START_CPU: process.cpu_seconds, PEAK: peak, SETTLED: settled}
    async with running_resolver(service.kubeconfig, free_port(), free_port()) as process:
        await process.wait_idle()
        figures[PEAK_RESOLVER] = process.mebibytes[1]
    return {**figures, WRITES: (await service.count_writes() - before).total()}


async def _heap_size(kind: str, kubeconfig: Path) -> tuple[int, int]:
    command: list[str | Path] = [sys.executable, "-m", "measuring.heap", kind, kubeconfig]
    folder = Path(__file__).parents[1]
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode:
        raise SystemExit(f"the process that measures the heap of the {kind} failed with exit code {process.returncode}")
    links, traced = map(int, output.split())
    return links, traced


async def heap_sizes(service: BenchService, kinds: Iterable[str] = PROCESSES) -> dict[str, tuple[int, int]]:
    """Returns for each kind of process how many links it holds and its heap bytes in total."""
    return {kind: await _heap_size(kind, service.kubeconfig) for kind in kinds}
