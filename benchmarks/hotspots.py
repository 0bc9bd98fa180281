"""Shows where the operator spends its time: while it binds links or slots, or while it starts among many.

    python benchmarks/hotspots.py [bind|choose|slots|restart] [--links 5000] [--pods 10] [--keep FOLDER]

py-spy samples the operator many times per second and pauses it for each sample: shares are right, absolute times are
not. The tables show the share of each package (of statefulroute: each layer) and the functions with the most samples. C
code counts for the Python function that called it. `--keep` writes the stacks in the collapsed format, which flame
graph viewers read.
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
    """Samples a process with py-spy until the process stops, which is when this context exits."""
    sampling = ["--pid", str(process.process.pid), "--rate", str(_PER_SECOND), "--duration", "unlimited", "--function"]
    command: list[str | Path] = [_SPY, "record", "--format", "raw", "--output", stacks, *sampling]
    silent = asyncio.subprocess.DEVNULL
    spy = await asyncio.create_subprocess_exec(*command, stdout=silent, stderr=silent)
    yield
    process.process.terminate()
    if await spy.wait() or not stacks.exists():
        raise SystemExit("py-spy cannot sample the operator: run as root, or allow it with kernel.yama.ptrace_scope")


async def profile(service: BenchService, workload: str, links: int, stacks: Path) -> None:
    """Runs the workload once under py-spy."""
    if workload == "restart":
        await service.populate(links)
        await adopt(service)
        async with running_operator(service.kubeconfig) as process, recorded(process, stacks):
            await process.wait_synced()
            await asyncio.sleep(_STARTUP_SECONDS)
            await process.wait_idle()
        return
    if workload != "slots":  # the links of users would be on some pods
        await warm_up(service)
    async with running_operator(service.kubeconfig) as process:
        await process.wait_synced()
        await asyncio.sleep(_STARTUP_SECONDS)
        await process.wait_idle()
        async with recorded(process, stacks):
            if workload == "slots":
                await service.bind_slots(links)
            else:
                await create_and_wait(service, replace(VARIANTS[workload], start_process=no_process), range(links))
            await asyncio.sleep(_STARTUP_SECONDS)


def _package(frame: str) -> str:
    """Returns the package of a frame; for statefulroute, the layer."""
    match = _FILE.search(frame)
    parts = match[1].split("/") if match else []
    if "statefulroute" in parts:
        index = len(parts) - 1 - parts[::-1].index("statefulroute")
        return f"statefulroute.{parts[index + 1].removesuffix('.py')}" if len(parts) > index + 1 else "statefulroute"
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1].removesuffix(".py")
    return parts[0].removesuffix(".py") if parts else "Python"


def shares(lines: Iterable[str]) -> tuple[Counter[str], Counter[str], int]:
    """Counts the samples of each package and of each function, and all samples."""
    packages, functions = Counter[str](), Counter[str]()
    for line in lines:
        stack, _, number = line.rpartition(" ")
        frame = stack.split(";")[-1]
        if not frame:
            continue  # a thread that runs no Python
        packages[_package(frame)] += int(number)
        functions[frame] += int(number)
    return packages, functions, packages.total()


def show(stacks: Path, workload: str, load_before: float) -> None:
    """Prints both tables."""
    packages, functions, total = shares(stacks.read_text().splitlines())
    console = Console(width=None if sys.stdout.isatty() else 140)
    for title, counts in (("package", packages), ("function", functions)):
        table = Table(title, "% of the samples", caption=f"{workload}: {total} samples; load {load_before:.1f} before")
        for name, number in counts.most_common(_MAX_ROWS):
            table.add_row(name, f"{number / total:.1%}")
        console.print(table)


async def _run(options: argparse.Namespace, stacks: Path) -> None:
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, options.pods) as service:
            await profile(service, options.what, options.links, stacks)


def main() -> None:
    """Samples the operator and prints where the time went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=[*VARIANTS, "slots", "restart"], default="bind")
    parser.add_argument("--links", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=10)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="the folder to keep the stacks in")
    options = parser.parse_args()
    load_before = load()
    with tempfile.TemporaryDirectory() as folder:
        kept_folder = options.keep or Path(folder)
        kept_folder.mkdir(parents=True, exist_ok=True)
        stacks = kept_folder / f"{options.what}.stacks"
        asyncio.run(_run(options, stacks))
        show(stacks, options.what, load_before)


if __name__ == "__main__":
    main()
