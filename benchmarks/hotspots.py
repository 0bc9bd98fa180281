"""Where the operator's time goes, as py-spy sees it: while links are bound, or while it starts among many.

    python benchmarks/hotspots.py [bind|choose|restart] [--links 5000] [--pods 10] [--keep FOLDER]

py-spy looks many times a second at what the operator is doing and stops it for a moment each time: shares are right,
times are not. The tables have the share of each package (of ours: each layer) in what was being done, C code counted to
the Python function that called it, and the functions that most was done in. `--keep` writes the stacks in the collapsed
form that every viewer of flame graphs reads.
"""

import argparse
import asyncio
import re
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from measuring.bench_service import BenchService, start_cluster, start_service
from measuring.binding import CHOSEN, NAMED, BindVariant, create_and_wait, no_process, warm_up
from measuring.machine import load
from measuring.operator_start import adopt
from measuring.processes import MeasuredProcess, running_operator

_SPY = Path(sys.executable).with_name("py-spy")
_PER_SECOND = 250
_MAX_ROWS = 25
_STARTUP_SECONDS = 3.0
_FILE = re.compile(r"\(([^():]*)(?::\d+)?\)$")

VARIANTS: dict[str, BindVariant] = {"bind": NAMED["operator"], "choose": CHOSEN["operator"]}


@asynccontextmanager
async def recorded(process: MeasuredProcess, stacks: Path) -> AsyncIterator[None]:
    """Have py-spy look at a process from now until it has ended; it has to end before this context is left."""
    asked = ["--pid", str(process.process.pid), "--rate", str(_PER_SECOND), "--duration", "unlimited", "--function"]
    command: list[str | Path] = [_SPY, "record", "--format", "raw", "--output", stacks, *asked]
    silent = asyncio.subprocess.DEVNULL
    spy = await asyncio.create_subprocess_exec(*command, stdout=silent, stderr=silent)
    yield
    process.process.terminate()
    if await spy.wait() or not stacks.exists():
        raise SystemExit(
            "py-spy could not look at the operator: as another user than root, allow it to by ptrace_scope"
        )


async def profile(service: BenchService, what: str, links: int, stacks: Path) -> None:
    """Do it once, with py-spy looking."""
    if what == "restart":
        await service.populate(links)
        await adopt(service)
        async with running_operator(service.kubeconfig) as process, recorded(process, stacks):
            await process.wait_synced()
            await asyncio.sleep(_STARTUP_SECONDS)
            await process.wait_idle()
        return
    await warm_up(service)
    async with running_operator(service.kubeconfig) as process:
        await process.wait_synced()
        await asyncio.sleep(_STARTUP_SECONDS)
        await process.wait_idle()
        async with recorded(process, stacks):
            await create_and_wait(service, replace(VARIANTS[what], start_process=no_process), range(links))
            await asyncio.sleep(_STARTUP_SECONDS)


def _package(frame: str) -> str:
    """The package that a frame is of; of ours, the layer."""
    found = _FILE.search(frame)
    parts = found[1].split("/") if found else []
    if "statefulroute" in parts:
        at = len(parts) - 1 - parts[::-1].index("statefulroute")
        return f"statefulroute.{parts[at + 1].removesuffix('.py')}" if len(parts) > at + 1 else "statefulroute"
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1].removesuffix(".py")
    return parts[0].removesuffix(".py") if parts else "Python"


def shares(lines: Iterable[str]) -> tuple[Counter[str], Counter[str], int]:
    """How often each package and each function was at work itself, and how often anything was."""
    packages, functions = Counter[str](), Counter[str]()
    for line in lines:
        stack, _, number = line.rpartition(" ")
        frame = stack.split(";")[-1]
        if not frame:
            continue  # a thread that runs no Python
        packages[_package(frame)] += int(number)
        functions[frame] += int(number)
    return packages, functions, packages.total()


def show(stacks: Path, what: str, before: float) -> None:
    """Print both tables."""
    packages, functions, total = shares(stacks.read_text().splitlines())
    console = Console(width=None if sys.stdout.isatty() else 140)
    for title, found in (("package", packages), ("function", functions)):
        table = Table(title, "% of the samples", caption=f"{what}: {total} samples; load {before:.1f} before")
        for name, number in found.most_common(_MAX_ROWS):
            table.add_row(name, f"{number / total:.1%}")
        console.print(table)


async def _run(options: argparse.Namespace, stacks: Path) -> None:
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, options.pods) as here:
            await profile(here, options.what, options.links, stacks)


def main() -> None:
    """Look, and say where the time went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=[*VARIANTS, "restart"], default="bind")
    parser.add_argument("--links", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=10)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the stacks are to be kept")
    options = parser.parse_args()
    before = load()
    with tempfile.TemporaryDirectory() as folder:
        kept = options.keep or Path(folder)
        kept.mkdir(parents=True, exist_ok=True)
        stacks = kept / f"{options.what}.stacks"
        asyncio.run(_run(options, stacks))
        show(stacks, options.what, before)


if __name__ == "__main__":
    main()
