"""What it costs to write only while a Lease is held: bindings a second, and CPU time a link, with and without.

    python benchmarks/fence.py [--links 2000] [--pods 10] [--rounds 3]

In each round, links wait for a pod until their route takes new users; then the time is taken until all are bound.
Rounds without leader election and rounds with it alternate, in one cluster and with an operator of their own each.
"""

import asyncio
import time
from functools import partial

from measuring.bench_service import NAMESPACE, BenchService, run_concurrently, start_cluster, start_service
from measuring.binding import CPU, RATE, warm_up
from measuring.processes import running_operator
from measuring.report import Report, argument_parser, finish
from measuring.rounds import Figures, alternate, ratio

MODES = {
    "alone": ("--no-leader-elect",),
    "holding a Lease": ("--leader-elect", "--lease-namespace", NAMESPACE),
}


async def bind(service: BenchService, options: tuple[str, ...], links: int) -> Figures:
    """One round."""
    await service.edit_route(routingState="DenyNewCall")
    async with running_operator(service.kubeconfig, *options) as process:
        await process.wait_synced()
        await run_concurrently(lambda number: service.create_link(f"user-{number}"), range(links))
        await service.recorder.wait_until(lambda: all(link.status for link in service.recorder.links.values()))
        await process.wait_idle(2.0)
        cpu, begun = process.cpu_seconds, time.monotonic()
        await service.edit_route(routingState="Ready")
        await service.recorder.wait_until(lambda: not service.recorder.unbound)
        passed = time.monotonic() - begun
        await process.wait_idle()
        found = {RATE: links / passed, CPU: (process.cpu_seconds - cpu) * 1000 / links}
    await service.clear()
    return found


async def measure(report: Report) -> None:
    """All rounds."""
    options = report.options
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, options["pods"]) as here:
            await warm_up(here)
            turns = {mode: partial(bind, here, each, options["links"]) for mode, each in MODES.items()}
            report.rounds = await alternate(turns, options["rounds"])
    alone, holding = (report.rounds[mode] for mode in MODES)
    report.extra["timesAlone"] = {figure: ratio(holding, alone, figure).median for figure in (RATE, CPU)}


def main() -> None:
    """Measure, and say what was found."""
    options = argument_parser(__doc__)
    options.add_argument("--links", type=int, default=2000)
    options.add_argument("--pods", type=int, default=10)
    asked = options.parse_args()
    report = Report("fence", vars(asked))
    asyncio.run(measure(report))
    finish(report, asked)


if __name__ == "__main__":
    main()
