"""How many bytes of Python's heap a link takes in the operator, the resolver and a client driver.

    python benchmarks/memory.py [--links 100000] [--pods 10] [--rounds 1]

Each is measured in a process of its own by tracemalloc, which counts what Python's allocators give out: without links,
and with all of them. The difference is what the links take.
"""

import asyncio

from measuring.bench_service import start_cluster, start_service
from measuring.operator_start import PROCESSES, heap_sizes
from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import spreads

BYTES = "bytes a link"
LIMIT = 400


async def measure(report: Report) -> None:
    """Empty, and then full."""
    options = report.options
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, options["pods"]) as here:
            empty = await heap_sizes(here)
            await here.populate(options["links"])
            report.rounds = {kind: [] for kind in PROCESSES}
            for _ in range(options["rounds"]):
                for kind, (links, held) in (await heap_sizes(here)).items():
                    report.rounds[kind].append({BYTES: (held - empty[kind][1]) / links})
    report.goals = [
        Goal(f"bytes a link, {kind}", spreads(found)[BYTES].median, LIMIT) for kind, found in report.rounds.items()
    ]


def main() -> None:
    """Measure, and say what was found."""
    options = argument_parser(__doc__, rounds=1)
    options.add_argument("--links", type=int, default=100_000)
    options.add_argument("--pods", type=int, default=10)
    asked = options.parse_args()
    report = Report("memory", vars(asked))
    asyncio.run(measure(report))
    finish(report, asked)


if __name__ == "__main__":
    main()
