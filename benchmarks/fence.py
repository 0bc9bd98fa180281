"""What it costs to write only while a Lease is held: bindings a second, and CPU time a link, with and without.

    python benchmarks/fence.py [--links 2000] [--pods 10] [--rounds 3]

In each round, links wait for a pod until their route takes new users; then the time is taken until all are bound.
Rounds without leader election and rounds with it alternate, in one cluster and with an operator of their own each.
"""

import asyncio
import time
from functools import partial

from measuring.binding import CPU, RATE, warm_up
from measuring.place import NAMESPACE, Place, cluster, every, place
from measuring.processes import operating
from measuring.report import Report, finish, parser
from measuring.rounds import Figures, alternate, ratio

MODES = {
    "alone": ("--no-leader-elect",),
    "holding a Lease": ("--leader-elect", "--lease-namespace", NAMESPACE),
}


async def bind(place: Place, options: tuple[str, ...], links: int) -> Figures:
    """One round."""
    await place.edit_route(routingState="DenyNewCall")
    async with operating(place.kubeconfig, *options) as process:
        await process.synced()
        await every(lambda number: place.link(f"user-{number}"), range(links))
        await place.journal.until(lambda: all(link.acknowledged for link in place.journal.links.values()))
        await process.settled(2.0)
        cpu, begun = process.cpu_seconds, time.monotonic()
        await place.edit_route(routingState="Ready")
        await place.journal.until(lambda: not place.journal.waiting)
        passed = time.monotonic() - begun
        await process.settled()
        found = {RATE: links / passed, CPU: (process.cpu_seconds - cpu) * 1000 / links}
    await place.clear()
    return found


async def measure(report: Report) -> None:
    """All rounds."""
    options = report.options
    with cluster() as kubeconfig:
        async with place(kubeconfig, options["pods"]) as here:
            await warm_up(here)
            turns = {mode: partial(bind, here, each, options["links"]) for mode, each in MODES.items()}
            report.rounds = await alternate(turns, options["rounds"])
    alone, holding = (report.rounds[mode] for mode in MODES)
    report.more["timesAlone"] = {figure: ratio(holding, alone, figure).median for figure in (RATE, CPU)}


def main() -> None:
    """Measure, and say what was found."""
    options = parser(__doc__)
    options.add_argument("--links", type=int, default=2000)
    options.add_argument("--pods", type=int, default=10)
    asked = options.parse_args()
    report = Report("fence", vars(asked))
    asyncio.run(measure(report))
    finish(report, asked)


if __name__ == "__main__":
    main()
