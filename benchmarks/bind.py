"""How fast links that name their pod are bound, beside who acknowledges them himself (the ceiling), and plain kopf.

    python benchmarks/bind.py [--links 5000] [--pods 10] [--rounds 3] [--without-kopf]

16 clients make `--links` links as fast as the API server lets them. The ceiling's clients also write the status, so
that nobody has to be told: its links a second are what the machine can do. The ways take turns, in one cluster. A link
is bound when a watch of its own says so, for all ways alike.
"""

import asyncio
from functools import partial

from measuring.bench_service import start_cluster, start_service
from measuring.binding import CPU, KOPF, NAMED, P99, RATE, bind, warm_up
from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import alternate, ratio, spreads


async def measure(report: Report) -> None:
    """All rounds."""
    options = report.options
    ways = NAMED if options["without_kopf"] else {**NAMED, "kopf": KOPF}
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, options["pods"]) as here:
            await warm_up(here)
            turns = {name: partial(bind, here, way, options["links"]) for name, way in ways.items()}
            report.rounds = await alternate(turns, options["rounds"])
    mine, ceiling = report.rounds["operator"], report.rounds["ceiling"]
    report.goals = [
        Goal("links/s, of the ceiling's", ratio(mine, ceiling, RATE).median, 0.95, at_least=True),
        Goal("CPU ms a link", spreads(mine)[CPU].median, 0.45),
        Goal("p99 of creation to Bound, of the ceiling's", ratio(mine, ceiling, P99).median, 3.0),
    ]


def main() -> None:
    """Measure, and say what was found."""
    options = argument_parser(__doc__)
    options.add_argument("--links", type=int, default=5000, help="of each way in a round")
    options.add_argument("--pods", type=int, default=10)
    options.add_argument("--without-kopf", action="store_true", help="leave plain kopf out")
    asked = options.parse_args()
    report = Report("bind", vars(asked))
    asyncio.run(measure(report))
    finish(report, asked)


if __name__ == "__main__":
    main()
