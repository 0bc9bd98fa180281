"""How evenly the links of a lost pod are moved, and how long new users wait meanwhile.

    python benchmarks/move.py [--links 5000] [--pace 200] [--rate 20] [--pods 10] [--rounds 3]

One pod carries `--links` links and is shut down; the operator moves them at `--pace` a second. Users come at `--rate` a
second before and meanwhile. Even is how many links are moved in each whole second, beside the pace.
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


async def move(service: BenchService, links: int, pace: int, rate: float) -> Figures:
    """Lose the pod, and wait until its links are all on others."""
    journal, elsewhere = service.recorder, BindVariant(no_process, _link_to_other_pod)
    await service.clear()
    await service.edit_route(pods=None, onPodLost={"action": "Rebind", "graceSeconds": 0})
    users = range(links, links + math.ceil(links / pace * rate))
    async with running_operator(service.kubeconfig, "--moves-per-second", str(pace)) as process:
        await _fill_lost_pod(service, links)
        await process.wait_idle()
        before = await create_and_wait(service, elsewhere, users, rate)
        await process.wait_idle()
        await service.edit_route(pods=[{"index": _LOST_POD, "routingState": "Shutdown"}])
        during = await create_and_wait(service, elsewhere, range(users.stop, users.stop + len(users)), rate)
        await journal.wait_until(lambda: _LOST_POD not in journal.links_per_pod())
    return {**evenness(journal.moved_at), BEFORE: before[P99], MEANWHILE: during[P99], TIMES: during[P99] / before[P99]}


def evenness(moved: Sequence[float]) -> Figures:
    """How many moves there were in a second: overall, and in the whole seconds that had the most and the least."""
    seconds = Counter(int(each - moved[0]) for each in moved)
    whole = [seconds[each] for each in range(max(seconds))] or [len(moved)]
    return {RATE: (len(moved) - 1) / (moved[-1] - moved[0]), BUSIEST: max(whole), IDLEST: min(whole)}


async def measure(report: Report) -> None:
    """All rounds."""
    options = report.options
    asked = options["links"], options["pace"], options["rate"]
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, options["pods"]) as here:
            found = [await move(here, *asked) for _ in range(options["rounds"])]
    report.rounds["operator"] = found
    over, pace = spreads(found), options["pace"]
    report.goals = [
        Goal(RATE, over[RATE].median, pace * (1 + _TOLERANCE)),
        Goal(RATE, over[RATE].median, pace * (1 - _TOLERANCE), at_least=True),
        Goal("p99 of new links meanwhile, of before", over[TIMES].median, 3.0),
    ]


def main() -> None:
    """Measure, and say what was found."""
    options = argument_parser(__doc__)
    options.add_argument("--links", type=int, default=5000, help="of the pod that is lost")
    options.add_argument("--pace", type=int, default=200, help="the operator's --moves-per-second")
    options.add_argument("--rate", type=float, default=20, help="how many users come in a second")
    options.add_argument("--pods", type=int, default=10, help="two at the least")
    asked = options.parse_args()
    report = Report("move", vars(asked))
    asyncio.run(measure(report))
    finish(report, asked)


if __name__ == "__main__":
    main()
