"""What a link costs where there are few others and where there are many: it is to be the same.

    python benchmarks/growth.py [--sizes 1000 10000 100000] [--links 1000] [--pods 10] [--rounds 3]

At each size so many links are bound already. In each round, `--links` more are bound that name their pod, as many
that leave the choice, and as many are removed when their time is over. Users are looked up in a driver's cache, and by
a resolver. Then an operator starts among all links, and processes tell how much they hold. Of a start and of what is
held, the part that is there without links is taken off.
"""

import asyncio
from collections.abc import Mapping

from measuring.bench_service import BenchService, start_cluster, start_service
from measuring.binding import CHOSEN, CPU, NAMED, create_and_wait, idle_operator, warm_up
from measuring.link_expiry import REMOVAL_CPU, expire
from measuring.lookup_cost import microseconds_to_get, microseconds_to_look_up
from measuring.operator_start import PROCESSES, START_CPU, adopt, heap_sizes, restart
from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import Figures, spreads

BOUND, CHOICE = "CPU ms to bind", "CPU ms to choose"
STARTED = "CPU ms a link at a start"
GOT, LOOKED_UP = "µs to get, driver", "CPU µs to look up, resolver"

#: By how many times a link may cost more among the most others than among the fewest.
LIMIT = 1.3

_REMOVALS_PER_SECOND, _BOUND_PER_SECOND = 100, 50


def _heap_figure(kind: str) -> str:
    return f"bytes, {kind}"


class GrowthBenchmark:
    """Measures what a link costs among others.

    Args:
        service: where.
        links: how many are made for it.
        idle: the CPU seconds of an operator's start among no links.
        empty: the bytes that each kind of process holds without links.
    """

    def __init__(self, service: BenchService, links: int, idle: float, empty: Mapping[str, int]) -> None:
        self._service = service
        self._links = links
        self._idle = idle
        self._empty = empty

    async def measure_at(self, size: int) -> Figures:
        """Each cost, among so many links; afterwards there are these only."""
        users = range(size, size + self._links)
        found = {
            BOUND: await self._measure_binding("named", users),
            CHOICE: await self._measure_binding("chosen", users),
            REMOVAL_CPU: (await expire(self._service, users, _REMOVALS_PER_SECOND, _BOUND_PER_SECOND))[REMOVAL_CPU],
            GOT: await microseconds_to_get(self._service, size),
            LOOKED_UP: await microseconds_to_look_up(self._service, size),
            STARTED: ((await restart(self._service))[START_CPU] - self._idle) * 1000 / size,
        }
        held = await heap_sizes(self._service)
        return found | {
            _heap_figure(kind): (bytes_ - self._empty[kind]) / links for kind, (links, bytes_) in held.items()
        }

    async def _measure_binding(self, kind: str, users: range) -> float:
        way = (NAMED if kind == "named" else CHOSEN)["operator"]
        async with idle_operator(self._service) as process:
            found = await create_and_wait(self._service, way, users, None, process)
        await self._service.remove(self._service.recorder.created_at)
        return found[CPU]


async def measure(report: Report) -> None:
    """Size after size, upwards: links stay."""
    options = report.options
    sizes = report.extra["sizes"] = sorted(options["sizes"])
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, options["pods"]) as here:
            await warm_up(here)
            await adopt(here)
            idle = (await restart(here))[START_CPU]
            empty = {kind: held for kind, (_, held) in (await heap_sizes(here)).items()}
            costs = GrowthBenchmark(here, options["links"], idle, empty)
            for size in sizes:
                await here.populate(size)
                found = [await costs.measure_at(size) for _ in range(options["rounds"])]
                report.rounds[f"{size:,} links"] = found
    few, many = (spreads(report.rounds[f"{size:,} links"]) for size in (sizes[0], sizes[-1]))
    names = (BOUND, CHOICE, REMOVAL_CPU, GOT, LOOKED_UP, *map(_heap_figure, PROCESSES))
    report.goals = [
        Goal(f"{name}, of that among the fewest", many[name].median / few[name].median, LIMIT) for name in names
    ]


def main() -> None:
    """Measure, and say what was found."""
    options = argument_parser(__doc__)
    options.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000], metavar="LINKS")
    options.add_argument("--links", type=int, default=1000, help="that are made among them")
    options.add_argument("--pods", type=int, default=10)
    asked = options.parse_args()
    report = Report("growth", vars(asked))
    asyncio.run(measure(report))
    finish(report, asked)


if __name__ == "__main__":
    main()
