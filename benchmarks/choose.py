"""How fast links that leave the choice of their pod are bound, beside who writes all himself (the ceiling).

    python benchmarks/choose.py [--links 5000] [--pods 10] [--rounds 3]

As `bind`, but for links without a pod: the ceiling's clients make the same three writes themselves, and deal the pods
out by turns. The operator is also to spread the links: the fullest pod is compared with the mean.
"""

import asyncio
from functools import partial

from measuring.bench_service import start_cluster, start_service
from measuring.binding import CHOSEN, FULLEST, RATE, bind, warm_up
from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import alternate, ratio, spreads


async def measure(report: Report) -> None:
    """All rounds."""
    options = report.options
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, options["pods"]) as here:
            await warm_up(here)
            turns = {name: partial(bind, here, way, options["links"]) for name, way in CHOSEN.items()}
            report.rounds = await alternate(turns, options["rounds"])
    mine, ceiling = report.rounds["operator"], report.rounds["ceiling"]
    report.goals = [
        Goal("links/s, of the ceiling's", ratio(mine, ceiling, RATE).median, 0.90, at_least=True),
        Goal("the fullest pod, of the mean", spreads(mine)[FULLEST].maximum, 1.1),
    ]


def main() -> None:
    """Measure, and say what was found."""
    options = argument_parser(__doc__)
    options.add_argument("--links", type=int, default=5000, help="of each way in a round")
    options.add_argument("--pods", type=int, default=10)
    asked = options.parse_args()
    report = Report("choose", vars(asked))
    asyncio.run(measure(report))
    finish(report, asked)


if __name__ == "__main__":
    main()
