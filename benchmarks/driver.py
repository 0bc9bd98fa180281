"""Measures what the drivers cost: cached look-ups per second on one core, and a binding compared with a bare PATCH.

    python benchmarks/driver.py [--links 10000] [--rounds 9] [--writes 400]

The links are written through the driver, which keeps them in its cache. Bindings and bare patches of the same link
alternate, one at a time, in one process: each changes the pod, with the resourceVersion as the precondition. A server
driver has no cache of links, so it reads a link before it writes it; a GET and a bare PATCH show the cost of that
without a driver. Bindings are measured with several loggers: the driver's own (of the logging module, which no
application has configured), and with a `logger=` of structlog as it comes (lines are rendered for the console and
discarded), one that renders JSON, one that filters the level out, and none.
"""

import asyncio
import gc
import io
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog
from prometheus_client import CollectorRegistry

from measuring.bench_service import run_concurrently, start_cluster, wait_for_crds
from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import Figures, quantile
from statefulroute import ClientDriver, DriverMetrics, ServerDriver, ServerInformation, ServerParts
from statefulroute.api.group import API_VERSION
from statefulroute.cluster.client import Client
from statefulroute.cluster.codec import LINKS
from statefulroute.cluster.connection import connect
from statefulroute.cluster.link_store import LinkStore
from statefulroute.driver.publishers import AnnotationPublisher
from statefulroute.driver.routes import RouteCache

NAMESPACE = "bench"
GOAL_READS, GOAL_RATIO = 500_000, 1.3
READS, P50, P99 = "a second", "p50 ms", "p99 ms"
READ = "cached get_linked_pod"
BARE, CACHED = "a bare PATCH", "set_linked_pod, cached, log: as it comes"
_WARM_UP_ROUNDS = 20
"""Rounds until connections are open and caches are warm."""


class NullLogger:
    """A logger that does nothing: shows what the driver costs without logging."""

    def info(self, event: str, **fields: Any) -> None:  # noqa: ANN401 - structlog's signature
        """Does nothing."""

    def warning(self, event: str, **fields: Any) -> None:  # noqa: ANN401
        """Does nothing."""


def loggers() -> dict[str, Any]:
    """The loggers that the drivers are measured with, by name."""
    discarding = structlog.PrintLoggerFactory(io.StringIO())
    timestamp = structlog.processors.TimeStamper("iso")
    as_json: list[Any] = [structlog.processors.add_log_level, timestamp, structlog.processors.JSONRenderer()]
    return {
        "as it comes": structlog.wrap_logger(discarding()),
        "JSON": structlog.wrap_logger(discarding(), processors=as_json),
        "warnings only": structlog.wrap_logger(
            discarding(), wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING)
        ),
        "none": NullLogger(),
        "the driver's own": None,
    }


async def measure_reads(drivers: Mapping[str, ClientDriver], uids: list[str], rounds: int) -> dict[str, list[Figures]]:
    """Returns the cached look-ups per second of each round. The best round counts because the machine is shared."""
    rates: dict[str, list[Figures]] = {name: [] for name in drivers}
    for _ in range(rounds):
        for name, driver in drivers.items():
            gc.collect()
            started = time.perf_counter()
            for uid in uids:
                await driver.get_linked_pod(uid, "game")
            rates[name].append({READS: len(uids) / (time.perf_counter() - started)})
    return rates


async def milliseconds(work: Awaitable[Any]) -> float:
    """Returns how many milliseconds the work takes."""
    started = time.perf_counter()
    await work
    return (time.perf_counter() - started) * 1000


class BarePatcher:
    """Patches one link without a driver, on the condition that it has not changed.

    Args:
        client: the client that sends the requests.
        uid: the uid of the link.
    """

    def __init__(self, client: Client, uid: str) -> None:
        self._client = client
        self._path = f"/apis/{API_VERSION}/namespaces/{NAMESPACE}/podlinks/game.{uid}"
        self._version = ""

    async def read(self) -> None:
        """Reads the resourceVersion."""
        self._version = str(LINKS.decode(await self._client.get(self._path)).resource_version)

    async def read_and_patch(self, pod: int) -> None:
        """Reads the link, then changes its pod."""
        await self.read()
        await self.patch(pod)

    async def patch(self, pod: int) -> None:
        """Changes the pod."""
        body = {"metadata": {"resourceVersion": self._version}, "spec": {"podIndex": pod}}
        answer = await self._client.merge_patch(self._path, msgspec.json.encode(body))
        self._version = str(LINKS.decode(answer).resource_version)


async def measure_writes(binders: dict[str, Callable[[int], Awaitable[Any]]], number: int) -> dict[str, Figures]:
    """Runs all binders in turn; returns the quantiles of each."""
    times: dict[str, list[float]] = {name: [] for name in binders}
    gc.collect()
    gc.freeze()
    for turn in range(number + _WARM_UP_ROUNDS):
        for name, work in binders.items():
            duration = await milliseconds(work(turn % 3))
            if turn >= _WARM_UP_ROUNDS:
                times[name].append(duration)
    return {
        name: {P50: quantile(sorted(durations), 0.5), P99: quantile(sorted(durations), 0.99)}
        for name, durations in times.items()
    }


async def measure(report: Report, kubeconfig: Path) -> None:
    """Measures look-ups and writes."""
    options = report.options
    uids = [f"user-{number}" for number in range(options["links"])]
    async with connect(kubeconfig) as connection, Client(connection) as client:
        await wait_for_crds(client)
        await client.post("/api/v1/namespaces", msgspec.json.encode({"metadata": {"name": NAMESPACE}}))
        async with (
            RouteCache(client, NAMESPACE) as routes,
            ClientDriver(client, NAMESPACE, logger=NullLogger()) as driver,
        ):
            started = time.perf_counter()
            await run_concurrently(lambda number: driver.link_if_absent(uids[number], "game", 0), range(len(uids)))
            links_per_second = len(uids) / (time.perf_counter() - started)
            metrics = DriverMetrics(CollectorRegistry())
            async with ClientDriver(client, NAMESPACE, logger=NullLogger(), metrics=metrics) as counting:
                rates = await measure_reads({READ: driver, f"{READ}, with metrics": counting}, uids, options["rounds"])
            patcher = BarePatcher(client, uids[0])
            await patcher.read()
            reading_patcher = BarePatcher(client, uids[8])

            def binder(uid: str, store: LinkStore, logger: Any) -> Callable[[int], Awaitable[Any]]:  # noqa: ANN401
                server = ServerInformation(namespace=NAMESPACE, service="game", pod_name="game-0", pod=0)
                parts = ServerParts(store, routes, AnnotationPublisher(client, server), server)
                server_driver = ServerDriver(NAMESPACE, parts, logger=logger)
                return lambda pod: server_driver.set_linked_pod(NAMESPACE, uid, "game", pod)

            cached_store = LinkStore(client, NAMESPACE, links=driver._cache)  # noqa: SLF001 - the store that a client's own writes use
            store = LinkStore(client, NAMESPACE)
            binders: dict[str, Callable[[int], Awaitable[Any]]] = {
                BARE: patcher.patch,
                "a GET and a bare PATCH": reading_patcher.read_and_patch,
            }
            for number, (name, logger) in enumerate(loggers().items()):
                binders[f"set_linked_pod, log: {name}"] = binder(uids[number + 1], store, logger)
            binders[CACHED] = binder(uids[9], cached_store, loggers()["as it comes"])
            rows = await measure_writes(binders, options["writes"])
    report.extra["linksPerSecond"] = links_per_second
    report.rounds = rates | {name: [row] for name, row in rows.items()}
    report.goals = [
        Goal(f"{READ} a second, best round", max(round_[READS] for round_ in rates[READ]), GOAL_READS, at_least=True),
        Goal(f"{CACHED}: p50, of {BARE}", rows[CACHED][P50] / rows[BARE][P50], GOAL_RATIO),
    ]


def main() -> None:
    """Runs the benchmark and reports its figures."""
    parser = argument_parser(__doc__, rounds=9)
    parser.add_argument("--links", type=int, default=10_000)
    parser.add_argument("--writes", type=int, default=400, help="of each kind")
    options = parser.parse_args()
    report = Report("driver", vars(options))
    with start_cluster() as kubeconfig:
        asyncio.run(measure(report, kubeconfig))
    finish(report, options)


if __name__ == "__main__":
    main()
