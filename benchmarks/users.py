"""Measures what server drivers that follow their users cost the API server, in CPU time.

    python benchmarks/users.py [--links 5000] [--watches 200] [--writes 400] [--rounds 3]

Renewals of links are written by turns without and with `--watches` drivers, each of which follows the users of another
pod: the difference is what an event costs for each watch that does not select it. Then it measures the list at the
start of such a watch, and the request of `fence_after_seconds`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial

from measuring.bench_service import (
    NAMESPACE,
    ROUTE,
    BenchService,
    json_body,
    run_concurrently,
    start_cluster,
    start_service,
)
from measuring.control_plane import ControlPlane
from measuring.report import Report, argument_parser, finish
from measuring.rounds import Figures, alternate, ratio
from statefulroute.cluster.codec import LINKS, ROUTES
from statefulroute.cluster.pager import collection_version
from statefulroute.driver.pod_users import PodUsers

WRITE, EVENT = "CPU ms a write", "CPU us an event and watch"
REQUESTS = 200
IDLE_SECONDS = 5


async def idle_milliseconds(plane: ControlPlane) -> float:
    """Returns the CPU time that the API server uses in a second without requests."""
    before = plane.cpu_time()
    await asyncio.sleep(IDLE_SECONDS)
    return plane.cpu_time().milliseconds_per_operation(before, IDLE_SECONDS)[0]


async def cpu_milliseconds(plane: ControlPlane, times: int, work: Callable[[], Awaitable[None]]) -> float:
    """Returns the CPU time that the API server uses for some work, per time and beyond that of an idle one."""
    idle = await idle_milliseconds(plane)
    before, started_at = plane.cpu_time(), time.monotonic()
    await work()
    used = plane.cpu_time().milliseconds_per_operation(before, times)[0]
    return used - idle * (time.monotonic() - started_at) / times


async def write(service: BenchService, plane: ControlPlane, watches: int, writes: int) -> Figures:
    """Runs one round with a number of drivers."""
    async with AsyncExitStack() as stack:
        for pod in range(watches):
            users = PodUsers(service.client, NAMESPACE, 1_000_000 + pod, [ROUTE])
            await users.open(stack, 60)

        async def renew(user: int) -> None:
            path = f"{LINKS.in_namespace(NAMESPACE).path}/{ROUTE}.user-{user}"
            change = {"spec": {"ttlSeconds": 86_400, "renewTime": datetime.now(UTC).isoformat()}}
            await service.client.merge_patch(path, json_body(change))

        await asyncio.sleep(1)
        return {WRITE: await cpu_milliseconds(plane, writes, partial(run_concurrently, renew, range(writes)))}


async def measure(report: Report) -> None:
    """Runs all rounds."""
    options = report.options
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, options["pods"]) as service:
            await service.populate(options["links"])
            plane = ControlPlane(service.client)
            none, many = "no watch", f"{options['watches']} watches"
            turns = {
                name: partial(write, service, plane, watches, options["writes"])
                for name, watches in ((none, 0), (many, options["watches"]))
            }
            report.rounds = await alternate(turns, options["rounds"])
            without, beside = (
                sorted(figures[WRITE] for figures in report.rounds[name])[options["rounds"] // 2]
                for name in (none, many)
            )
            report.extra["timesWithout"] = ratio(report.rounds[many], report.rounds[none], WRITE).median
            report.extra[EVENT] = (beside - without) * 1000 / options["watches"]
            for figure, send in requests(service).items():
                sending = partial(run_concurrently, send, range(REQUESTS), 4)
                report.extra[figure] = await cpu_milliseconds(plane, REQUESTS, sending)


def requests(service: BenchService) -> dict[str, Callable[[int], Awaitable[object]]]:
    """Returns the requests of a driver by the name of their figure."""
    client, routes = service.client, ROUTES.in_namespace(NAMESPACE, f"metadata.name={ROUTE}")

    def list_users(pod: int) -> Awaitable[object]:
        links = LINKS.in_namespace(NAMESPACE, f"spec.routeName={ROUTE},spec.podIndex={pod}")
        return client.get(links.path, {**links.selector_params, "limit": "2000"})

    return {
        "CPU ms a list of a pod without users": lambda _: list_users(1_000_000),
        "CPU ms a list of a pod with its share of the users": lambda _: list_users(0),
        "CPU ms a request of the fence": lambda _: collection_version(
            client.metadata_only(), routes.path, routes.selector_params
        ),
        "CPU ms a link by name": lambda _: client.get(f"{LINKS.in_namespace(NAMESPACE).path}/{ROUTE}.user-0"),
    }


def main() -> None:
    """Runs the benchmark and reports its figures."""
    parser = argument_parser(__doc__)
    parser.add_argument("--links", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=10)
    parser.add_argument("--watches", type=int, default=200)
    parser.add_argument("--writes", type=int, default=400)
    options = parser.parse_args()
    report = Report("users", vars(options))
    asyncio.run(measure(report))
    finish(report, options)


if __name__ == "__main__":
    main()
