"""What it costs to remove temporary links, and how late they are removed.

    python benchmarks/expiry.py [--links 100000] [--rate 200] [--making 150] [--pods 10] [--rounds 1]

`--links` links are bound; then their time is over one after the other, `--rate` in a second. CPU time is the
operator's, from the first removal to the last; late is by how much a removal is seen after the time that the link was
to end at. That time is of whole milliseconds and by this machine's clock, which the operator reads as well.
"""

import asyncio

from measuring.bench_service import start_cluster, start_service
from measuring.link_expiry import LATEST, REMOVAL_CPU, expire
from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import spreads


async def measure(report: Report) -> None:
    """All rounds."""
    options = report.options
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, options["pods"]) as here:
            found = [
                await expire(here, range(options["links"]), options["rate"], options["making"])
                for _ in range(options["rounds"])
            ]
    report.rounds["operator"] = found
    report.goals = [
        Goal(REMOVAL_CPU, spreads(found)[REMOVAL_CPU].median, 0.8),
        Goal("late by at most, s", spreads(found)[LATEST].median, 1.0),
    ]


def main() -> None:
    """Measure, and say what was found."""
    options = argument_parser(__doc__, rounds=1)
    options.add_argument("--links", type=int, default=100_000)
    options.add_argument("--rate", type=float, default=200, help="how many end in a second")
    options.add_argument("--making", type=float, default=150, help="how many are surely bound in a second")
    options.add_argument("--pods", type=int, default=10)
    asked = options.parse_args()
    report = Report("expiry", vars(asked))
    asyncio.run(measure(report))
    finish(report, asked)


if __name__ == "__main__":
    main()
