"""Measures how fast links without a pod are bound, compared with a ceiling.

    python benchmarks/choose.py [--links 5000] [--pods 10] [--rounds 3]

As `bind`, but for links without a pod: the clients of the ceiling make the same three writes themselves and assign the
pods in turn. The operator must also spread the links: the benchmark compares the fullest pod with the mean. Another
operator keeps the managedFields of the links, which the choice of a pod otherwise removes.
"""

import asyncio
from functools import partial

from measuring.bench_service import start_cluster, start_service
from measuring.binding import CHOSEN, CHOSEN_WITH_MANAGED_FIELDS, FULLEST, RATE, bind, warm_up
from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import alternate, ratio, spreads

_KEEPING = "operator, with managedFields"


async def measure(report: Report) -> None:
    """Runs all rounds."""
    options = report.options
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, options["pods"]) as service:
            await warm_up(service)
            variants = CHOSEN | {_KEEPING: CHOSEN_WITH_MANAGED_FIELDS}
            turns = {name: partial(bind, service, variant, options["links"]) for name, variant in variants.items()}
            report.rounds = await alternate(turns, options["rounds"])
    operator, ceiling = report.rounds["operator"], report.rounds["ceiling"]
    report.goals = [
        Goal("links/s, of the ceiling's", ratio(operator, ceiling, RATE).median, 0.90, at_least=True),
        Goal("the fullest pod, of the mean", spreads(operator)[FULLEST].maximum, 1.1),
        Goal(
            "links/s, of those with managedFields",
            ratio(operator, report.rounds[_KEEPING], RATE).median,
            1.15,
            at_least=True,
        ),
    ]


def main() -> None:
    """Runs the benchmark and reports its figures."""
    parser = argument_parser(__doc__)
    parser.add_argument("--links", type=int, default=5000, help="for each variant and round")
    parser.add_argument("--pods", type=int, default=10)
    options = parser.parse_args()
    report = Report("choose", vars(options))
    asyncio.run(measure(report))
    finish(report, options)


if __name__ == "__main__":
    main()
