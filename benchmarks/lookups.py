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

from measuring.place import cluster, place
from measuring.pressing import (
    FAILED,
    P99,
    RATE,
    Pressure,
    answering,
    changing,
    free_port,
    make_reachable,
    resolving,
)
from measuring.report import Goal, Report, finish, parser
from measuring.rounds import alternate, spreads

LOOKUPS_PER_SECOND = 5_000
RESOLVER, NGINX, FASTEST = "resolver", "nginx", "resolver, as fast as it answers"
MEMORY = "MiB"
LIMIT_P99, LIMIT_RATE, LIMIT_MEMORY = 10, 15_000, 150


async def measure(report: Report, folder: Path) -> None:
    """All rounds."""
    links, rounds = report.options["links"], report.options["rounds"]
    pressure = Pressure(folder, report.options["seconds"], links)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with cluster(gives_way=not report.options["beside"]) as kubeconfig, answering(folder) as plain:
        async with place(kubeconfig, report.options["pods"]) as here:
            await make_reachable(here)
            await here.populate(links)
            async with resolving(kubeconfig, port, free_port()) as process, changing(here, links):
                turns = {
                    way: partial(pressure.evenly, way, LOOKUPS_PER_SECOND, pressure.lookups(asked))
                    for way, asked in ((RESOLVER, url), (NGINX, plain))
                }
                report.rounds = await alternate(turns, rounds)
                report.rounds[FASTEST] = [await pressure.as_fast_as_answered(url) for _ in range(rounds)]
                _, peak = process.mebibytes
    report.more |= {"codes": pressure.codes, MEMORY: peak}
    report.goals = [
        Goal(f"p99 at {LOOKUPS_PER_SECOND:,} a second, ms", spreads(report.rounds[RESOLVER])[P99].median, LIMIT_P99),
        Goal("look-ups a second", spreads(report.rounds[FASTEST])[RATE].median, LIMIT_RATE, at_least=True),
        Goal("MiB at the peak", peak, LIMIT_MEMORY),
        Goal("not answered by 200", sum(each[FAILED] for found in report.rounds.values() for each in found), 0),
    ]


def main() -> None:
    """Measure, and say what was found."""
    options = parser(__doc__)
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
