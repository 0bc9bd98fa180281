"""Measures how evenly the links of a lost pod are moved, and how long new users wait meanwhile.

    python benchmarks/move.py [--links 5000] [--pace 200] [--rate 20] [--pods 10] [--rounds 3]

One pod has `--links` links and shuts down; the operator moves them at `--pace` per second. New users arrive at `--rate`
per second before and during the moves. The benchmark compares the moves in each whole second with `--pace`.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Sequence

from measuring.bench_service import BenchService, run_concurrently, start_cluster, start_service
from measuring.binding import P99, BindVariant, create_and_wait, no_process
from measuring.processes import running_operator
from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import Figures, spreads

RATE, BUSIEST, IDLEST = "moves/s", "most in a second", "least in a second"
BEFORE, MEANWHILE, TIMES = "p99 ms before", "p99 ms meanwhile", "times"
_LOST_POD = 0
_TOLERANCE = 0.1


async def _link_to_other_pod(service: BenchService, number: int) -> None:
    await service.create_link(f"user-{number}", 1 + number % (service.pods - 1))


async def _fill_lost_pod(service: BenchService, links: int) -> None:
    await run_concurrently(lambda number: service.create_link(f"user-{number}", _LOST_POD), range(links))
    await service.recorder.wait_until(lambda: not service.recorder.unbound)


async def move(service: BenchService, links: int, moves_per_second: int, rate: float) -> Figures:
    """Shuts the pod down and waits until its links are all on other pods."""
    recorder, variant = service.recorder, BindVariant(no_process, _link_to_other_pod)
    await service.clear()
    await service.edit_route(pods=None, onPodLost={"action": "Rebind", "graceSeconds": 0})
    users = range(links, links + math.ceil(links / moves_per_second * rate))
    async with running_operator(service.kubeconfig, "--moves-per-second", str(moves_per_second)) as process:
        await _fill_lost_pod(service, links)
        await process.wait_idle()
        before = await create_and_wait(service, variant, users, rate)
        await process.wait_idle()
        await service.edit_route(pods=[{"index": _LOST_POD, "routingState": "Shutdown"}])
        during = await create_and_wait(service, variant, range(users.stop, users.stop + len(users)), rate)
        await recorder.wait_until(lambda: _LOST_POD not in recorder.links_per_pod())
    return {
        **evenness(recorder.moved_at),
        BEFORE: before[P99],
        MEANWHILE: during[P99],
        TIMES: during[P99] / before[P99],
    }


def evenness(moved: Sequence[float]) -> Figures:
    """Returns the moves per second: the average, and the most and fewest in a whole second."""
    seconds = Counter(int(moment - moved[0]) for moment in moved)
    whole = [seconds[moment] for moment in range(max(seconds))] or [len(moved)]
    return {RATE: (len(moved) - 1) / (moved[-1] - moved[0]), BUSIEST: max(whole), IDLEST: min(whole)}


async def measure(report: Report) -> None:
    """Runs all rounds."""
    options = report.options
    arguments = options["links"], options["pace"], options["rate"]
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, options["pods"]) as service:
            rounds = [await move(service, *arguments) for _ in range(options["rounds"])]
    report.rounds["operator"] = rounds
    figures, moves_per_second = spreads(rounds), options["pace"]
    report.goals = [
        Goal(RATE, figures[RATE].median, moves_per_second * (1 + _TOLERANCE)),
        Goal(RATE, figures[RATE].median, moves_per_second * (1 - _TOLERANCE), at_least=True),
        Goal("p99 of new links meanwhile, of before", figures[TIMES].median, 3.0),
    ]


def main() -> None:
    """Runs the benchmark and reports its figures."""
    parser = argument_parser(__doc__)
    parser.add_argument("--links", type=int, default=5000, help="of the pod that is lost")
    parser.add_argument("--pace", type=int, default=200, help="the operator's --moves-per-second")
    parser.add_argument("--rate", type=float, default=20, help="how many users arrive per second")
    parser.add_argument("--pods", type=int, default=10, help="at least two")
    options = parser.parse_args()
    report = Report("move", vars(options))
    asyncio.run(measure(report))
    finish(report, options)


if __name__ == "__main__":
    main()
