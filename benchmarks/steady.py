"""How long users wait who come at an even rate, beside who acknowledges their links himself (the ceiling).

    python benchmarks/steady.py [--rate 100] [--seconds 60] [--pods 10] [--rounds 3]

Each round has four turns: the ceiling and the operator, with links that name their pod and with links that do not. The
wait is from before a link is made until a watch says that it is bound.
"""

import asyncio
from functools import partial

from measuring.bench_service import start_cluster, start_service
from measuring.binding import CHOSEN, NAMED, P50, P99, bind, warm_up
from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import alternate, ratio

#: How many times the ceiling's wait is let pass: half of the users, and all but a hundredth of them.
LIMITS = {"named": {P50: 1.2, P99: 2.0}, "chosen": {P50: 2.0, P99: 4.0}}


async def measure(report: Report) -> None:
    """All rounds."""
    options = report.options
    links = round(options["rate"] * options["seconds"])
    ways = {f"{kind}, {name}": way for kind, two in (("named", NAMED), ("chosen", CHOSEN)) for name, way in two.items()}
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, options["pods"]) as here:
            await warm_up(here)
            turns = {name: partial(bind, here, way, links, options["rate"]) for name, way in ways.items()}
            report.rounds = await alternate(turns, options["rounds"])
    report.goals = [
        Goal(f"{kind}: {figure}, of the ceiling's", _times(report, kind, figure), limit)
        for kind, limits in LIMITS.items()
        for figure, limit in limits.items()
    ]


def _times(report: Report, kind: str, figure: str) -> float:
    return ratio(report.rounds[f"{kind}, operator"], report.rounds[f"{kind}, ceiling"], figure).median


def main() -> None:
    """Measure, and say what was found."""
    options = argument_parser(__doc__)
    options.add_argument("--rate", type=float, default=100, help="links a second")
    options.add_argument("--seconds", type=float, default=60, help="of each way in a round")
    options.add_argument("--pods", type=int, default=10)
    asked = options.parse_args()
    report = Report("steady", vars(asked))
    asyncio.run(measure(report))
    finish(report, asked)


if __name__ == "__main__":
    main()
