"""How evenly the links of a lost pod are moved, and how long new users wait meanwhile.

    python benchmarks/move.py [--links 5000] [--pace 200] [--rate 20] [--pods 10] [--rounds 3]

One pod carries `--links` links and is shut down; the operator moves them at `--pace` a second. Users come at `--rate` a
second before and meanwhile. Even is how many links are moved in each whole second, beside the pace.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Sequence

from measuring.binding import P99, Way, arrivals, nobody
from measuring.place import Place, cluster, every, place
from measuring.processes import operating
from measuring.report import Goal, Report, finish, parser
from measuring.rounds import Figures, spreads

RATE, BUSIEST, IDLEST = "moves/s", "most in a second", "least in a second"
BEFORE, MEANWHILE, TIMES = "p99 ms before", "p99 ms meanwhile", "times"
_LOST = 0
_TOLERANCE = 0.1


async def _come_elsewhere(place: Place, number: int) -> None:
    await place.link(f"user-{number}", 1 + number % (place.pods - 1))


async def _fill(place: Place, links: int) -> None:
    await every(lambda number: place.link(f"user-{number}", _LOST), range(links))
    await place.journal.until(lambda: not place.journal.waiting)


async def move(place: Place, links: int, pace: int, rate: float) -> Figures:
    """Lose the pod, and wait until its links are all on others."""
    journal, elsewhere = place.journal, Way(nobody, _come_elsewhere)
    await place.clear()
    await place.edit_route(pods=None, onPodLost={"action": "Rebind", "graceSeconds": 0})
    users = range(links, links + math.ceil(links / pace * rate))
    async with operating(place.kubeconfig, "--moves-per-second", str(pace)) as process:
        await _fill(place, links)
        await process.settled()
        before = await arrivals(place, elsewhere, users, rate)
        await process.settled()
        await place.edit_route(pods=[{"index": _LOST, "routingState": "Shutdown"}])
        during = await arrivals(place, elsewhere, range(users.stop, users.stop + len(users)), rate)
        await journal.until(lambda: _LOST not in journal.carried())
    return {**evenness(journal.moved), BEFORE: before[P99], MEANWHILE: during[P99], TIMES: during[P99] / before[P99]}


def evenness(moved: Sequence[float]) -> Figures:
    """How many moves there were in a second: overall, and in the whole seconds that had the most and the least."""
    seconds = Counter(int(each - moved[0]) for each in moved)
    whole = [seconds[each] for each in range(max(seconds))] or [len(moved)]
    return {RATE: (len(moved) - 1) / (moved[-1] - moved[0]), BUSIEST: max(whole), IDLEST: min(whole)}


async def measure(report: Report) -> None:
    """All rounds."""
    options = report.options
    asked = options["links"], options["pace"], options["rate"]
    with cluster() as kubeconfig:
        async with place(kubeconfig, options["pods"]) as here:
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
    options = parser(__doc__)
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
