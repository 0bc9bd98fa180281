"""How long users wait when the operator that leads is killed among many bound links, and that no write is repeated.

    python benchmarks/takeover.py [--links 100000] [--rate 20] [--pods 10] [--rounds 3]

Two operators share a Lease, with the times of the chart. Users come at `--rate` a second while the leader is killed;
the wait is from the kill until the first link is bound again. A link that comes costs one write, whoever makes it:
the API server counts them.
"""

import asyncio
import json
import signal
import time
from contextlib import suppress

from measuring.place import NAMESPACE, Place, cluster, place
from measuring.processes import Measured, operating
from measuring.report import Goal, Report, finish, parser
from measuring.rounds import Figures, spreads
from measuring.starting import adopt
from statefulroute.api.rbac import LEASE
from statefulroute.cluster.errors import NotFoundError

WAIT, REPEATED, OTHERS = "s to the first binding", "writes beyond one a link", "writes of links that were bound"
LEASE_SECONDS = 15.0
_LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{LEASE}"
_FAR_SECONDS = 1.0


async def _holder(place: Place) -> str | None:
    with suppress(NotFoundError):
        return str(json.loads(await place.client.get(_LEASE))["spec"].get("holderIdentity") or "") or None
    return None


async def _leads(place: Place, process: Measured) -> None:
    """Wait until an operator has begun, and somebody holds the Lease."""
    await process.synced()
    while await _holder(place) is None:  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.1)


async def _come(place: Place, rate: float) -> None:
    number, begun = 0, time.monotonic()
    async with asyncio.TaskGroup() as coming:
        while True:
            await asyncio.sleep(begun + number / rate - time.monotonic())
            coming.create_task(place.link(f"late-{number}", number % place.pods))
            number += 1


async def take_over(place: Place, rate: float) -> Figures:
    """Kill the one that leads, and wait for the other to bind all who have come."""
    journal = place.journal
    options = ("--leader-elect", "--lease-namespace", NAMESPACE)
    async with operating(place.kubeconfig, *options) as leader:
        await _leads(place, leader)
        async with operating(place.kubeconfig, *options) as standby:
            await standby.synced()
            await standby.settled()
            journal.forget()
            written = await place.writes()
            coming = asyncio.create_task(_come(place, rate))
            await journal.until(lambda: len(journal.bound) > rate * _FAR_SECONDS)
            leader.process.send_signal(signal.SIGKILL)
            killed = time.monotonic()
            await asyncio.to_thread(leader.process.wait)
            await asyncio.sleep(_FAR_SECONDS / 2)  # until the watch has brought what the leader has written
            before = len(journal.bound)
            await journal.until(lambda: len(journal.bound) > before)
            wait = list(journal.bound.values())[before] - killed
            coming.cancel()
            await asyncio.wait([coming])
            await journal.until(lambda: not journal.waiting)
            await standby.settled()
    acknowledged = (await place.writes() - written)["PATCH podlinks/status"]
    old = sum(number for name, number in journal.versions.items() if name not in journal.begun)
    return {WAIT: wait, REPEATED: acknowledged - len(journal.begun), OTHERS: old}


async def measure(report: Report) -> None:
    """All rounds: in each, both operators are new."""
    options = report.options
    with cluster() as kubeconfig:
        async with place(kubeconfig, options["pods"]) as here:
            await here.populate(options["links"])
            await adopt(here)
            found = []
            for _ in range(options["rounds"]):
                found.append(await take_over(here, options["rate"]))
                await here.remove(here.journal.begun)
    report.rounds["operator"] = found
    over = spreads(found)
    report.goals = [
        Goal(WAIT, over[WAIT].most, LEASE_SECONDS + 1),
        Goal(REPEATED, over[REPEATED].most, 0),
        Goal(OTHERS, over[OTHERS].most, 0),
    ]


def main() -> None:
    """Measure, and say what was found."""
    options = parser(__doc__)
    options.add_argument("--links", type=int, default=100_000)
    options.add_argument("--rate", type=float, default=20, help="how many users come in a second")
    options.add_argument("--pods", type=int, default=10)
    asked = options.parse_args()
    report = Report("takeover", vars(asked))
    asyncio.run(measure(report))
    finish(report, asked)


if __name__ == "__main__":
    main()
