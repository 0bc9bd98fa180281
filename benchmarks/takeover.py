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

from measuring.bench_service import NAMESPACE, BenchService, start_cluster, start_service
from measuring.operator_start import adopt
from measuring.processes import MeasuredProcess, running_operator
from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import Figures, spreads
from statefulroute.api.rbac import DEFAULT_LEASE_NAME
from statefulroute.cluster.errors import NotFoundError

WAIT, REPEATED, OTHERS = "s to the first binding", "writes beyond one a link", "writes of links that were bound"
LEASE_SECONDS = 15.0
_LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{DEFAULT_LEASE_NAME}"
_WARM_UP_SECONDS = 1.0


async def _holder(service: BenchService) -> str | None:
    with suppress(NotFoundError):
        return str(json.loads(await service.client.get(_LEASE))["spec"].get("holderIdentity") or "") or None
    return None


async def _wait_until_leading(service: BenchService, process: MeasuredProcess) -> None:
    """Wait until an operator has begun, and somebody holds the Lease."""
    await process.wait_synced()
    while await _holder(service) is None:  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.1)


async def _create_links(service: BenchService, rate: float) -> None:
    number, begun = 0, time.monotonic()
    async with asyncio.TaskGroup() as coming:
        while True:
            await asyncio.sleep(begun + number / rate - time.monotonic())
            coming.create_task(service.create_link(f"late-{number}", number % service.pods))
            number += 1


async def take_over(service: BenchService, rate: float) -> Figures:
    """Kill the one that leads, and wait for the other to bind all who have come."""
    journal = service.recorder
    options = ("--leader-elect", "--lease-namespace", NAMESPACE)
    async with running_operator(service.kubeconfig, *options) as leader:
        await _wait_until_leading(service, leader)
        async with running_operator(service.kubeconfig, *options) as standby:
            await standby.wait_synced()
            await standby.wait_idle()
            journal.reset()
            written = await service.count_writes()
            coming = asyncio.create_task(_create_links(service, rate))
            await journal.wait_until(lambda: len(journal.bound_at) > rate * _WARM_UP_SECONDS)
            leader.process.send_signal(signal.SIGKILL)
            killed = time.monotonic()
            await asyncio.to_thread(leader.process.wait)
            await asyncio.sleep(_WARM_UP_SECONDS / 2)  # until the watch has brought what the leader has written
            before = len(journal.bound_at)
            await journal.wait_until(lambda: len(journal.bound_at) > before)
            wait = list(journal.bound_at.values())[before] - killed
            coming.cancel()
            await asyncio.wait([coming])
            await journal.wait_until(lambda: not journal.unbound)
            await standby.wait_idle()
    acknowledged = (await service.count_writes() - written)["PATCH podlinks/status"]
    old = sum(number for name, number in journal.versions.items() if name not in journal.created_at)
    return {WAIT: wait, REPEATED: acknowledged - len(journal.created_at), OTHERS: old}


async def measure(report: Report) -> None:
    """All rounds: in each, both operators are new."""
    options = report.options
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, options["pods"]) as here:
            await here.populate(options["links"])
            await adopt(here)
            found = []
            for _ in range(options["rounds"]):
                found.append(await take_over(here, options["rate"]))
                await here.remove(here.recorder.created_at)
    report.rounds["operator"] = found
    over = spreads(found)
    report.goals = [
        Goal(WAIT, over[WAIT].maximum, LEASE_SECONDS + 1),
        Goal(REPEATED, over[REPEATED].maximum, 0),
        Goal(OTHERS, over[OTHERS].maximum, 0),
    ]


def main() -> None:
    """Measure, and say what was found."""
    options = argument_parser(__doc__)
    options.add_argument("--links", type=int, default=100_000)
    options.add_argument("--rate", type=float, default=20, help="how many users come in a second")
    options.add_argument("--pods", type=int, default=10)
    asked = options.parse_args()
    report = Report("takeover", vars(asked))
    asyncio.run(measure(report))
    finish(report, asked)


if __name__ == "__main__":
    main()
