"""Measures how long users wait when the leader is killed among many bound links, and that no write is repeated.

    python benchmarks/takeover.py [--links 100000] [--rate 20] [--pods 10] [--rounds 3]

Two operators share a Lease, with the chart's default durations. Users arrive at `--rate` per second while the leader is
killed; the wait lasts from the kill until the first link is bound again. A new link takes one write of its status,
whichever operator makes it: the API server counts the writes.
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
    """Waits until an operator is ready and the Lease has a holder."""
    await process.wait_synced()
    while await _holder(service) is None:  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.1)


async def _create_links(service: BenchService, rate: float) -> None:
    number, started = 0, time.monotonic()
    async with asyncio.TaskGroup() as creations:
        while True:
            await asyncio.sleep(started + number / rate - time.monotonic())
            creations.create_task(service.create_link(f"late-{number}", number % service.pods))
            number += 1


async def take_over(service: BenchService, rate: float) -> Figures:
    """Kills the leader, and waits until the other operator has bound all new links."""
    recorder = service.recorder
    options = ("--leader-elect", "--lease-namespace", NAMESPACE)
    async with running_operator(service.kubeconfig, *options) as leader:
        await _wait_until_leading(service, leader)
        async with running_operator(service.kubeconfig, *options) as standby:
            await standby.wait_synced()
            await standby.wait_idle()
            recorder.reset()
            writes_before = await service.count_writes()
            creations = asyncio.create_task(_create_links(service, rate))
            await recorder.wait_until(lambda: len(recorder.bound_at) > rate * _WARM_UP_SECONDS)
            leader.process.send_signal(signal.SIGKILL)
            killed = time.monotonic()
            await asyncio.to_thread(leader.process.wait)
            await asyncio.sleep(_WARM_UP_SECONDS / 2)  # until the watch has delivered what the leader wrote
            before = len(recorder.bound_at)
            await recorder.wait_until(lambda: len(recorder.bound_at) > before)
            wait = list(recorder.bound_at.values())[before] - killed
            creations.cancel()
            await asyncio.wait([creations])
            await recorder.wait_until(lambda: not recorder.unbound)
            await standby.wait_idle()
    status_writes = (await service.count_writes() - writes_before)["PATCH podlinks/status"]
    rewrites = sum(number for name, number in recorder.versions.items() if name not in recorder.created_at)
    return {WAIT: wait, REPEATED: status_writes - len(recorder.created_at), OTHERS: rewrites}


async def measure(report: Report) -> None:
    """Runs all rounds, each with two new operators."""
    options = report.options
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, options["pods"]) as service:
            await service.populate(options["links"])
            await adopt(service)
            rounds = []
            for _ in range(options["rounds"]):
                rounds.append(await take_over(service, options["rate"]))
                await service.remove(service.recorder.created_at)
    report.rounds["operator"] = rounds
    figures = spreads(rounds)
    report.goals = [
        Goal(WAIT, figures[WAIT].maximum, LEASE_SECONDS + 1),
        Goal(REPEATED, figures[REPEATED].maximum, 0),
        Goal(OTHERS, figures[OTHERS].maximum, 0),
    ]


def main() -> None:
    """Runs the benchmark and reports its figures."""
    parser = argument_parser(__doc__)
    parser.add_argument("--links", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=20, help="how many users arrive per second")
    parser.add_argument("--pods", type=int, default=10)
    options = parser.parse_args()
    report = Report("takeover", vars(options))
    asyncio.run(measure(report))
    finish(report, options)


if __name__ == "__main__":
    main()
