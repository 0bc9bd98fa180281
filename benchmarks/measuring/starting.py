"""An operator starts where links are bound already; and what processes hold of links."""

import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path

from measuring.place import Place
from measuring.processes import operating
from measuring.rounds import Figures

SYNCED, START_CPU, PEAK, SETTLED, WRITES = "s to synced", "CPU s", "MiB at the peak", "MiB settled", "writes"
PROCESSES = ("operator", "resolver", "driver")
_BEGIN_SECONDS = 3.0


async def adopt(place: Place) -> None:
    """Have an operator do once what it does for a route and its links that it has never seen."""
    async with operating(place.kubeconfig) as process:
        await process.synced()
        await asyncio.sleep(_BEGIN_SECONDS)
        await process.settled()


async def restart(place: Place) -> Figures:
    """Start an operator, and wait until it has nothing left to do: every link was judged then."""
    before = await place.writes()
    async with operating(place.kubeconfig) as process:
        seconds = await process.synced()
        await asyncio.sleep(_BEGIN_SECONDS)
        await process.settled()
        settled, peak = process.mebibytes
        found = {SYNCED: seconds, START_CPU: process.cpu_seconds, PEAK: peak, SETTLED: settled}
    return {**found, WRITES: (await place.writes() - before).total()}


async def _heap(kind: str, kubeconfig: Path) -> tuple[int, int]:
    command: list[str | Path] = [sys.executable, "-m", "measuring.heap", kind, kubeconfig]
    folder = Path(__file__).parents[1]
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if process.returncode:
        raise SystemExit(f"the process that holds links as the {kind} does has ended with {process.returncode}")
    links, traced = map(int, output.split())
    return links, traced


async def heaps(place: Place, kinds: Iterable[str] = PROCESSES) -> dict[str, tuple[int, int]]:
    """For each kind of process, how many links it holds and how many bytes it holds altogether."""
    return {kind: await _heap(kind, place.kubeconfig) for kind in kinds}
