"""Measures how long users wait who arrive at a fixed rate, compared with a ceiling.

    python benchmarks/steady.py [--rate 100] [--seconds 60] [--pods 10] [--rounds 3]

Each round has four turns: the ceiling and the operator, with links that name their pod and with links that do not. The
clients of the ceiling write the status themselves. The wait lasts from before a link is created until a watch shows it
as bound.
"""

import asyncio
from functools import partial

from measuring.bench_service import start_cluster, start_service
from measuring.binding import CHOSEN, NAMED, P50, P99, bind, warm_up
from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import alternate, ratio

#: How many times as long as with the ceiling the wait may be: for half of the users, and for 99 percent of them.
LIMITS = {"named": {P50: 1.2, P99: 2.0}, "chosen": {P50: 2.0, P99: 4.0}}


async def measure(report: Report) -> None:
    """Runs all rounds."""
    options = report.options
    links = round(options["rate"] * options["seconds"])
    variants = {
        f"{kind}, {name}": variant
        for kind, variants_of_kind in (("named", NAMED), ("chosen", CHOSEN))
        for name, variant in variants_of_kind.items()
    }
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, options["pods"]) as service:
            await warm_up(service)
            turns = {
                name: partial(bind, service, variant, links, options["rate"]) for name, variant in variants.items()
            }
            report.rounds = await alternate(turns, options["rounds"])
    report.goals = [
        Goal(f"{kind}: {figure}, of the ceiling's", _times(report, kind, figure), limit)
        for kind, limits in LIMITS.items()
        for figure, limit in limits.items()
    ]


def _times(report: Report, kind: str, figure: str) -> float:
    return ratio(report.rounds[f"{kind}, operator"], report.rounds[f"{kind}, ceiling"], figure).median


def main() -> None:
    """Runs the benchmark and reports its figures."""
    parser = argument_parser(__doc__)
    parser.add_argument("--rate", type=float, default=100, help="links per second")
    parser.add_argument("--seconds", type=float, default=60, help="of each variant in a round")
    parser.add_argument("--pods", type=int, default=10)
    options = parser.parse_args()
    report = Report("steady", vars(options))
    asyncio.run(measure(report))
    finish(report, options)


if __name__ == "__main__":
    main()
