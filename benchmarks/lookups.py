"""How fast the resolver answers, beside a server that gives everybody the same answer.

    python benchmarks/lookups.py [--links 100000] [--seconds 10] [--rounds 3]

One resolver follows `--links` links while 100 of them change each second. By turns with an nginx it is asked 5,000
times a second, and then as often as it answers. Load and resolver share the machine with the API server, which gives
way to them: it would be on another machine, and when it cleans its heap up it takes both cores for half a second.
`--beside` has it take what it can.
"""

import asyncio
import tempfile
from functools import partial
from pathlib import Path

from measuring.bench_service import start_cluster, start_service
from measuring.load_generator import (
    FAILED,
    P99,
    RATE,
    LoadGenerator,
    free_port,
    make_reachable,
    moving_links,
    pod_server,
    running_resolver,
)
from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import alternate, spreads

LOOKUPS_PER_SECOND = 5_000
RESOLVER, NGINX, FASTEST = "resolver", "nginx", "resolver, as fast as it answers"
MEMORY = "MiB"
LIMIT_P99, LIMIT_RATE, LIMIT_MEMORY = 10, 15_000, 150


async def measure(report: Report, folder: Path) -> None:
    """All rounds."""
    links, rounds = report.options["links"], report.options["rounds"]
    pressure = LoadGenerator(folder, report.options["seconds"], links)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with start_cluster(low_priority=not report.options["beside"]) as kubeconfig, pod_server(folder) as plain:
        async with start_service(kubeconfig, report.options["pods"]) as here:
            await make_reachable(here)
            await here.populate(links)
            async with running_resolver(kubeconfig, port, free_port()) as process, moving_links(here, links):
                turns = {
                    way: partial(pressure.run_at_rate, way, LOOKUPS_PER_SECOND, pressure.lookup_targets(asked))
                    for way, asked in ((RESOLVER, url), (NGINX, plain))
                }
                report.rounds = await alternate(turns, rounds)
                report.rounds[FASTEST] = [await pressure.run_closed_loop(url) for _ in range(rounds)]
                _, peak = process.mebibytes
    report.extra |= {"codes": pressure.codes, MEMORY: peak}
    report.goals = [
        Goal(f"p99 at {LOOKUPS_PER_SECOND:,} a second, ms", spreads(report.rounds[RESOLVER])[P99].median, LIMIT_P99),
        Goal("look-ups a second", spreads(report.rounds[FASTEST])[RATE].median, LIMIT_RATE, at_least=True),
        Goal("MiB at the peak", peak, LIMIT_MEMORY),
        Goal("not answered by 200", sum(each[FAILED] for found in report.rounds.values() for each in found), 0),
    ]


def main() -> None:
    """Measure, and say what was found."""
    options = argument_parser(__doc__)
    options.add_argument("--links", type=int, default=100_000)
    options.add_argument("--pods", type=int, default=10)
    options.add_argument("--seconds", type=float, default=10, help="of each run")
    options.add_argument("--beside", action="store_true", help="the API server does not give way")
    asked = options.parse_args()
    report = Report("lookups", vars(asked))
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(report, Path(folder)))
    finish(report, asked)


if __name__ == "__main__":
    main()
