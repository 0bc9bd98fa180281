"""Measures what a link costs among few and among many other links; the cost must not grow.

    python benchmarks/growth.py [--sizes 1000 10000 100000] [--links 1000] [--pods 10] [--rounds 3]

At each size, that many links are bound already. Each round binds `--links` more links that name their pod and as many
without a pod, and removes as many expired links. It looks users up in a driver's cache and through a resolver. Then it
starts an operator among all links and measures the heap of each kind of process. The costs of a start and of the heap
without links are subtracted.
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

#: The cost of a link among the most links may be at most this many times its cost among the fewest.
LIMIT = 1.3

_REMOVALS_PER_SECOND, _BOUND_PER_SECOND = 100, 50


def _heap_figure(kind: str) -> str:
    return f"bytes, {kind}"


class GrowthBenchmark:
    """Measures what a link costs among others.

    Args:
        service: the service whose links are measured.
        links: how many links each measurement creates.
        idle: the CPU seconds of an operator's start without links.
        empty: the heap bytes of each kind of process without links.
    """

    def __init__(self, service: BenchService, links: int, idle: float, empty: Mapping[str, int]) -> None:
        self._service = service
        self._links = links
        self._idle = idle
        self._empty = empty

    async def measure_at(self, size: int) -> Figures:
        """Returns each cost among `size` links; afterwards only these links remain."""
        users = range(size, size + self._links)
        figures = {
            BOUND: await self._measure_binding("named", users),
            CHOICE: await self._measure_binding("chosen", users),
            REMOVAL_CPU: (await expire(self._service, users, _REMOVALS_PER_SECOND, _BOUND_PER_SECOND))[REMOVAL_CPU],
            GOT: await microseconds_to_get(self._service, size),
            LOOKED_UP: await microseconds_to_look_up(self._service, size),
            STARTED: ((await restart(self._service))[START_CPU] - self._idle) * 1000 / size,
        }
        heap = await heap_sizes(self._service)
        return figures | {
            _heap_figure(kind): (bytes_ - self._empty[kind]) / links for kind, (links, bytes_) in heap.items()
        }

    async def _measure_binding(self, kind: str, users: range) -> float:
        variant = (NAMED if kind == "named" else CHOSEN)["operator"]
        async with idle_operator(self._service) as process:
            figures = await create_and_wait(self._service, variant, users, None, process)
        await self._service.remove(self._service.recorder.created_at)
        return figures[CPU]


async def measure(report: Report) -> None:
    """Measures size after size in ascending order; the links stay."""
    options = report.options
    sizes = report.extra["sizes"] = sorted(options["sizes"])
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, options["pods"]) as service:
            await warm_up(service)
            await adopt(service)
            idle = (await restart(service))[START_CPU]
            empty = {kind: heap for kind, (_, heap) in (await heap_sizes(service)).items()}
            benchmark = GrowthBenchmark(service, options["links"], idle, empty)
            for size in sizes:
                await service.populate(size)
                rounds = [await benchmark.measure_at(size) for _ in range(options["rounds"])]
                report.rounds[f"{size:,} links"] = rounds
    fewest, most = (spreads(report.rounds[f"{size:,} links"]) for size in (sizes[0], sizes[-1]))
    names = (BOUND, CHOICE, REMOVAL_CPU, GOT, LOOKED_UP, *map(_heap_figure, PROCESSES))
    report.goals = [
        Goal(f"{name}, of that among the fewest", most[name].median / fewest[name].median, LIMIT) for name in names
    ]


def main() -> None:
    """Runs the benchmark and reports its figures."""
    parser = argument_parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000], metavar="LINKS")
    parser.add_argument("--links", type=int, default=1000, help="how many links each measurement creates")
    parser.add_argument("--pods", type=int, default=10)
    options = parser.parse_args()
    report = Report("growth", vars(options))
    asyncio.run(measure(report))
    finish(report, options)


if __name__ == "__main__":
    main()
