"""Measures how fast the resolver answers, compared with a server that returns a constant response.

    python benchmarks/lookups.py [--links 100000] [--seconds 10] [--rounds 3]

One resolver follows `--links` links while 100 of them change each second. It gets 5,000 look-ups per second, in turns
with an nginx, and then as many as it answers. The load generator and the resolver share the machine with the API
server, which runs at a low priority: in production it runs on another machine, and its garbage collection uses both
cores for half a second. `--beside` runs the API server at the normal priority.
"""

import asyncio
import tempfile
from functools import partial
from pathlib import Path

from localcluster.ports import free_port
from localgateways import programs
from measuring.bench_service import start_cluster, start_service
from measuring.load_generator import (
    FAILED,
    P99,
    RATE,
    LoadGenerator,
    make_reachable,
    moving_links,
    pod_server,
    running_resolver,
)
from measuring.report import Goal, Report, argument_parser, finish
from measuring.requirements import require
from measuring.rounds import alternate, spreads

LOOKUPS_PER_SECOND = 5_000
RESOLVER, NGINX, FASTEST = "resolver", "nginx", "resolver, as fast as it answers"
MEMORY = "MiB"
LIMIT_P99, LIMIT_RATE, LIMIT_MEMORY = 10, 15_000, 150


async def measure(report: Report, folder: Path) -> None:
    """Runs all rounds."""
    links, rounds = report.options["links"], report.options["rounds"]
    generator = LoadGenerator(folder, report.options["seconds"], links)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with start_cluster(low_priority=not report.options["beside"]) as kubeconfig, pod_server(folder) as nginx_url:
        async with start_service(kubeconfig, report.options["pods"]) as service:
            await make_reachable(service)
            await service.populate(links)
            async with running_resolver(kubeconfig, port, free_port()) as process, moving_links(service, links):
                turns = {
                    variant: partial(
                        generator.run_at_rate, variant, LOOKUPS_PER_SECOND, generator.lookup_targets(target)
                    )
                    for variant, target in ((RESOLVER, url), (NGINX, nginx_url))
                }
                report.rounds = await alternate(turns, rounds)
                report.rounds[FASTEST] = [await generator.run_closed_loop(url) for _ in range(rounds)]
                _, peak = process.mebibytes
    report.extra |= {"codes": generator.codes, MEMORY: peak}
    report.goals = [
        Goal(f"p99 at {LOOKUPS_PER_SECOND:,} a second, ms", spreads(report.rounds[RESOLVER])[P99].median, LIMIT_P99),
        Goal("look-ups a second", spreads(report.rounds[FASTEST])[RATE].median, LIMIT_RATE, at_least=True),
        Goal("MiB at the peak", peak, LIMIT_MEMORY),
        Goal(
            "not answered by 200",
            sum(figures[FAILED] for runs in report.rounds.values() for figures in runs),
            0,
        ),
    ]


def main() -> None:
    """Runs the benchmark and reports its figures."""
    parser = argument_parser(__doc__)
    parser.add_argument("--links", type=int, default=100_000)
    parser.add_argument("--pods", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=10, help="of each run")
    parser.add_argument("--beside", action="store_true", help="run the API server at the normal priority")
    options = parser.parse_args()
    require(programs.vegeta, programs.nginx, programs.wrk)
    report = Report("lookups", vars(options))
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(report, Path(folder)))
    finish(report, options)


if __name__ == "__main__":
    main()
