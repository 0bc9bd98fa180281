"""Measures what links cost the API server and etcd: CPU time, memory, storage, lists and watches.

    python benchmarks/apiserver.py [--sizes 1000 10000 100000] [--renewals 1000] [--watchers 10] [--rounds 3]

No operator runs. The benchmark creates links, writes their status, renews them, lists them in pages of 2,000 and
watches them, as operators and resolvers do. The cost of a write includes one watch. The cost of a watch is the
difference that `--watchers` more watches make. etcd does not sync to disk here, so its time is CPU time only.

At the largest size, it also restarts the API server, whose watch cache then has no history: up to about 100,000 events
with two versions of their object each, which are no cost of a link. Then it removes the managedFields of the links, and
measures again.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from measuring.bench_service import (
    NAMESPACE_PATH,
    ROUTE,
    BenchService,
    json_body,
    run_concurrently,
    start_cluster,
    start_service,
)
from measuring.control_plane import ControlPlane
from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import Figures
from statefulroute.cluster.client import Client
from statefulroute.cluster.pager import list_metadata, list_pages

WRITE, ETCD_WRITE = "apiserver CPU ms a write", "etcd CPU ms a write"
RENEWAL, ETCD_RENEWAL = "apiserver CPU ms a renewal", "etcd CPU ms a renewal"
STORED_RENEWAL, EVENT = "stored bytes a renewal", "apiserver CPU ms an event and watch"
LIST_SECONDS, LIST_CPU, LISTED = "s to list 1,000", "apiserver CPU ms to list 1,000", "listed bytes a link"
HISTORY, RESTARTED = "MiB of the history, apiserver", "live bytes a link after a restart, apiserver"
LEAN_SUFFIX = ", without managedFields"
USAGE_FIGURES = {
    "apiserver live": "live bytes a link, apiserver",
    "apiserver resident": "resident bytes a link, apiserver",
    "etcd resident": "resident bytes a link, etcd",
    "stored": "stored bytes a link",
}
_PAGE = 2_000
_TTL_SECONDS = 3600
_MIB = 2**20


class ApiServerBenchmark:
    """Measures what links cost as their number grows.

    Args:
        service: the service whose links are measured.
        servers: the API server and etcd.
        empty: the resource usage of both without links, after a restart of the API server.
        renewals: how many renewals each measurement makes.
        watchers: how many watches are opened to measure the cost of an event.
    """

    def __init__(
        self, service: BenchService, servers: ControlPlane, empty: Figures, renewals: int, watchers: int
    ) -> None:
        self._service = service
        self._servers = servers
        self._empty = empty
        self._renewals = renewals
        self._watchers = watchers

    async def grow_to(self, size: int) -> Figures:
        """Creates links until there are `size`; returns the cost of a write and what each link takes at the end."""
        new_links = size - len(self._service.recorder.links)
        before = self._servers.cpu_time()
        await self._service.populate(size)
        apiserver, etcd = self._servers.cpu_time().milliseconds_per_operation(before, 2 * new_links)
        usage = await self._servers.resource_usage()
        figures = {name: (usage[part] - self._empty[part]) * _MIB / size for part, name in USAGE_FIGURES.items()}
        return {WRITE: apiserver, ETCD_WRITE: etcd, **figures}

    async def measure_at(self, size: int) -> Figures:
        """Returns the other costs of a link among `size` links."""
        figures = dict(await self._measure_list(size))
        stored = (await self._servers.resource_usage())["stored"]
        apiserver, etcd = await self._measure_renewals()
        figures[STORED_RENEWAL] = ((await self._servers.resource_usage())["stored"] - stored) * _MIB / self._renewals
        async with _open_watches(self._service.client, self._watchers):
            await self._servers.wait_idle()
            watched, _ = await self._measure_renewals()
        return figures | {RENEWAL: apiserver, ETCD_RENEWAL: etcd, EVENT: (watched - apiserver) / self._watchers}

    async def measure_restarted(self, size: int) -> Figures:
        """Restarts the API server with and without managedFields of all links; returns the costs that this changes."""
        live = (await self._servers.resource_usage())["apiserver live"]
        kept = await self._measure_restart(size)
        history = live - (await self._servers.resource_usage())["apiserver live"]
        await run_concurrently(lambda number: self._service.remove_managed_fields(f"user-{number}"), range(size))
        listed = await self._measure_list(size)
        stored = (await self._servers.resource_usage())["stored"]
        apiserver, etcd = await self._measure_renewals()
        stored_renewal = ((await self._servers.resource_usage())["stored"] - stored) * _MIB / self._renewals
        lean = {LISTED: listed[LISTED], STORED_RENEWAL: stored_renewal, RENEWAL: apiserver, ETCD_RENEWAL: etcd}
        lean |= await self._measure_restart(size)
        return {HISTORY: history} | kept | {name + LEAN_SUFFIX: value for name, value in lean.items()}

    async def _measure_restart(self, size: int) -> dict[str, float]:
        await self._servers.restart_apiserver()
        await self._measure_list(size)  # fills the watch cache
        live = (await self._servers.resource_usage())["apiserver live"]
        return {RESTARTED: (live - self._empty["apiserver live"]) * _MIB / size}

    async def _measure_renewals(self) -> tuple[float, float]:
        """Returns the CPU milliseconds of one renewal, of the API server and of etcd."""
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        patch = json_body({"spec": {"ttlSeconds": _TTL_SECONDS, "renewTime": now}})

        async def renew(number: int) -> None:
            await self._service.client.merge_patch(f"{NAMESPACE_PATH}/podlinks/{ROUTE}.user-{number}", patch)

        await self._servers.wait_idle()
        before = self._servers.cpu_time()
        await run_concurrently(renew, range(self._renewals))
        await asyncio.sleep(1)  # until the watches have received the events
        return self._servers.cpu_time().milliseconds_per_operation(before, self._renewals)

    async def _measure_list(self, size: int) -> Figures:
        await self._servers.wait_idle()
        before, started, listed = self._servers.cpu_time(), time.monotonic(), 0
        async for page in list_pages(self._service.client, f"{NAMESPACE_PATH}/podlinks", page_size=_PAGE):
            listed += len(page)
        seconds, (apiserver, _) = (
            time.monotonic() - started,
            self._servers.cpu_time().milliseconds_per_operation(before, size),
        )
        return {LIST_SECONDS: seconds * 1000 / size, LIST_CPU: apiserver * 1000, LISTED: listed / size}


@asynccontextmanager
async def _open_watches(client: Client, number: int) -> AsyncIterator[None]:
    """Opens `number` watches of all links and discards their events."""
    first = list_metadata(await client.get(f"{NAMESPACE_PATH}/podlinks", {"limit": "1"}))
    params = {"resourceVersion": first.resource_version, "allowWatchBookmarks": "true"}

    async def watch() -> None:
        async with client.watch(f"{NAMESPACE_PATH}/podlinks", params) as lines:
            async for _ in lines:
                pass

    tasks = [asyncio.create_task(watch()) for _ in range(number)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def measure(report: Report) -> None:
    """Measures size after size in ascending order; the links stay."""
    options = report.options
    sizes: Sequence[int] = sorted(options["sizes"])
    with start_cluster() as kubeconfig:
        async with start_service(kubeconfig, options["pods"]) as service:
            servers = ControlPlane(service.client)
            await service.populate(1)  # the first link has one-time costs
            await servers.restart_apiserver()
            benchmark = ApiServerBenchmark(
                service, servers, await servers.resource_usage(), options["renewals"], options["watchers"]
            )
            for size in sizes:
                growth = await benchmark.grow_to(size)
                measurements = [await benchmark.measure_at(size) for _ in range(options["rounds"])]
                report.rounds[f"{size:,} links"] = [{**growth, **figures} for figures in measurements]
            restarted = await benchmark.measure_restarted(sizes[-1])
            largest = report.rounds[f"{sizes[-1]:,} links"]
            report.rounds[f"{sizes[-1]:,} links"] = [{**figures, **restarted} for figures in largest]
    report.goals = [Goal(RESTARTED + LEAN_SUFFIX, restarted[RESTARTED + LEAN_SUFFIX], 3500)]
    report.extra["sizes"] = sizes


def main() -> None:
    """Runs the benchmark and reports its figures."""
    parser = argument_parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000], metavar="LINKS")
    parser.add_argument("--renewals", type=int, default=1000)
    parser.add_argument("--watchers", type=int, default=10)
    parser.add_argument("--pods", type=int, default=10)
    options = parser.parse_args()
    report = Report("apiserver", vars(options))
    asyncio.run(measure(report))
    finish(report, options)


if __name__ == "__main__":
    main()
