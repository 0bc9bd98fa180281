"""Measures what the removal of expired links costs, and how late it is.

    python benchmarks/expiry.py [--links 100000] [--rate 200] [--making 150] [--pods 10] [--rounds 1]

`--links` temporary links are bound; then they expire one after the other, `--rate` per second. CPU time is the
operator's, from the first removal to the last. A removal is late by the time between the link's expireTime and the
event that shows the removal. expireTime has a resolution of one millisecond and follows this machine's clock, which the
operator reads as well.
"""

import asyncio

from measuring.bench_service import start_cluster, start_service
from measuring.link_expiry import LATEST, REMOVAL_CPU, expire
from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import spreads


async def measure(report: Report) -> None:
    """Runs all rounds."""
    options = report.options
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, options["pods"]) as service:
            rounds = [
                await expire(service, range(options["links"]), options["rate"], options["making"])
                for _ in range(options["rounds"])
            ]
    report.rounds["operator"] = rounds
    report.goals = [
        Goal(REMOVAL_CPU, spreads(rounds)[REMOVAL_CPU].median, 0.8),
        Goal("late by at most, s", spreads(rounds)[LATEST].median, 1.0),
    ]


def main() -> None:
    """Runs the benchmark and reports its figures."""
    parser = argument_parser(__doc__, rounds=1)
    parser.add_argument("--links", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=200, help="how many links expire per second")
    parser.add_argument(
        "--making", type=float, default=150, help="how many links the operator certainly binds per second"
    )
    parser.add_argument("--pods", type=int, default=10)
    options = parser.parse_args()
    report = Report("expiry", vars(options))
    asyncio.run(measure(report))
    finish(report, options)


if __name__ == "__main__":
    main()
