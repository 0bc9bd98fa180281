"""Measures what leader election costs: bindings per second and CPU time per link, with and without it.

    python benchmarks/fence.py [--links 2000] [--pods 10] [--rounds 3]

In each round, links wait for a pod until their route accepts new users; the benchmark takes the time until all are
bound. Rounds with and without leader election alternate in one cluster, each with a new operator.
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
    """Runs one round."""
    await service.edit_route(routingState="DenyNewCall")
    async with running_operator(service.kubeconfig, *options) as process:
        await process.wait_synced()
        await run_concurrently(lambda number: service.create_link(f"user-{number}"), range(links))
        await service.recorder.wait_until(lambda: all(link.status for link in service.recorder.links.values()))
        await process.wait_idle(2.0)
        cpu, started = process.cpu_seconds, time.monotonic()
        await service.edit_route(routingState="Ready")
        await service.recorder.wait_until(lambda: not service.recorder.unbound)
        elapsed = time.monotonic() - started
        await process.wait_idle()
        figures = {RATE: links / elapsed, CPU: (process.cpu_seconds - cpu) * 1000 / links}
    await service.clear()
    return figures


async def measure(report: Report) -> None:
    """Runs all rounds."""
    options = report.options
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, options["pods"]) as service:
            await warm_up(service)
            turns = {mode: partial(bind, service, arguments, options["links"]) for mode, arguments in MODES.items()}
            report.rounds = await alternate(turns, options["rounds"])
    without_lease, with_lease = (report.rounds[mode] for mode in MODES)
    report.extra["timesAlone"] = {figure: ratio(with_lease, without_lease, figure).median for figure in (RATE, CPU)}


def main() -> None:
    """Runs the benchmark and reports its figures."""
    parser = argument_parser(__doc__)
    parser.add_argument("--links", type=int, default=2000)
    parser.add_argument("--pods", type=int, default=10)
    options = parser.parse_args()
    report = Report("fence", vars(options))
    asyncio.run(measure(report))
    finish(report, options)


if __name__ == "__main__":
    main()
