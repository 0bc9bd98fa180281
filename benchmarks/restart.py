"""Measures how soon an operator that starts among bound links is ready, its cost, and that it writes nothing.

    python benchmarks/restart.py [--sizes 1000 10000 100000] [--pods 10] [--rounds 3]

Synced is when it has read everything. CPU time and memory cover the whole start: until every link is decided and the
process is idle. The memory of a resolver, with gRPC as in the chart, is that of a start, too. The API server counts
the writes of links, routes, pods and workloads.
"""

import asyncio

from measuring.bench_service import start_cluster, start_service
from measuring.operator_start import PEAK, START_CPU, SYNCED, WRITES, adopt, restart
from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import Spread, spreads

#: At 100,000 links.
LIMITS = {SYNCED: 6.0, START_CPU: 3.5, PEAK: 170.0}
_LIMITS_AT = 100_000


async def measure(report: Report) -> None:
    """Measures size after size in ascending order; the links stay."""
    options = report.options
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, options["pods"]) as service:
            for size in sorted(options["sizes"]):
                await service.populate(size)
                await adopt(service)
                report.rounds[f"{size:,} links"] = [await restart(service) for _ in range(options["rounds"])]
    report.extra["sizes"] = sorted(options["sizes"])
    report.goals = [Goal(f"writes, {size}", _spreads_at(report, size)[WRITES].maximum, 0) for size in report.rounds]
    largest = f"{_LIMITS_AT:,} links"
    if largest in report.rounds:
        figures = _spreads_at(report, largest)
        report.goals += [Goal(f"{name}, {largest}", figures[name].median, limit) for name, limit in LIMITS.items()]


def _spreads_at(report: Report, size: str) -> dict[str, Spread]:
    return spreads(report.rounds[size])


def main() -> None:
    """Runs the benchmark and reports its figures."""
    parser = argument_parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, _LIMITS_AT], metavar="LINKS")
    parser.add_argument("--pods", type=int, default=10)
    options = parser.parse_args()
    report = Report("restart", vars(options))
    asyncio.run(measure(report))
    finish(report, options)


if __name__ == "__main__":
    main()
