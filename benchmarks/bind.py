"""Measures how fast links that name their pod are bound, compared with a ceiling and with plain operators.

    python benchmarks/bind.py [--links 5000] [--pods 10] [--rounds 3] [--without-kopf] [--without-go]

16 clients create `--links` links as fast as the API server allows. The clients of the ceiling also write the status
themselves, so no operator has to react: their rate is what the machine can do. The plain operators only write the
status: one of kopf with default settings (measuring/plain_kopf.py), and one in Go of controller-runtime with 16 workers
(plain_operator). The variants take turns in one cluster. A link counts as bound when a separate watch shows it, for all
variants alike.
"""

import asyncio
from functools import partial

from measuring.bench_service import start_cluster, start_service
from measuring.binding import CPU, GO, KOPF, NAMED, P99, RATE, bind, build_plain_go, warm_up
from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import alternate, ratio, spreads


async def measure(report: Report) -> None:
    """Runs all rounds."""
    options = report.options
    plain = {} if options["without_go"] else {"go": GO}
    if plain:
        build_plain_go()  # before anything is measured
    if not options["without_kopf"]:
        plain["kopf"] = KOPF
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, options["pods"]) as service:
            await warm_up(service)
            variants = {**NAMED, **plain}
            turns = {name: partial(bind, service, variant, options["links"]) for name, variant in variants.items()}
            report.rounds = await alternate(turns, options["rounds"])
    operator, ceiling = report.rounds["operator"], report.rounds["ceiling"]
    report.goals = [
        Goal("links/s, of the ceiling's", ratio(operator, ceiling, RATE).median, 0.92, at_least=True),
        Goal("CPU ms a link", spreads(operator)[CPU].median, 0.40),
        Goal("p99 of creation to Bound, of the ceiling's", ratio(operator, ceiling, P99).median, 2.0),
    ]


def main() -> None:
    """Runs the benchmark and reports its figures."""
    parser = argument_parser(__doc__)
    parser.add_argument("--links", type=int, default=5000, help="for each variant and round")
    parser.add_argument("--pods", type=int, default=10)
    parser.add_argument("--without-kopf", action="store_true", help="skip plain kopf")
    parser.add_argument("--without-go", action="store_true", help="skip the plain Go operator")
    options = parser.parse_args()
    report = Report("bind", vars(options))
    asyncio.run(measure(report))
    finish(report, options)


if __name__ == "__main__":
    main()
