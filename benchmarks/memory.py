"""Measures how many bytes of Python's heap a link takes in the operator, the resolver and a client driver.

    python benchmarks/memory.py [--links 100000] [--pods 10] [--rounds 1]

tracemalloc measures each in a separate process: it counts what Python's allocators hand out, without links and with all
of them. The difference is what the links take.
"""

import asyncio

from measuring.bench_service import start_cluster, start_service
from measuring.operator_start import PROCESSES, heap_sizes
from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import spreads

BYTES = "bytes a link"
LIMIT = 400


async def measure(report: Report) -> None:
    """Measures without links, then with all links."""
    options = report.options
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, options["pods"]) as service:
            empty = await heap_sizes(service)
            await service.populate(options["links"])
            report.rounds = {kind: [] for kind in PROCESSES}
            for _ in range(options["rounds"]):
                for kind, (links, heap) in (await heap_sizes(service)).items():
                    report.rounds[kind].append({BYTES: (heap - empty[kind][1]) / links})
    report.goals = [
        Goal(f"bytes a link, {kind}", spreads(rounds)[BYTES].median, LIMIT) for kind, rounds in report.rounds.items()
    ]


def main() -> None:
    """Runs the benchmark and reports its figures."""
    parser = argument_parser(__doc__, rounds=1)
    parser.add_argument("--links", type=int, default=100_000)
    parser.add_argument("--pods", type=int, default=10)
    options = parser.parse_args()
    report = Report("memory", vars(options))
    asyncio.run(measure(report))
    finish(report, options)


if __name__ == "__main__":
    main()
