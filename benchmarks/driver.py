"""What the drivers cost: cached look-ups a second on one core, and a binding beside a bare PATCH of the same link.

    python benchmarks/driver.py [--links 10000] [--rounds 9] [--writes 400]

The links are written through the driver, which keeps them in its cache. Bindings and bare patches alternate, one at a
time, in one process: each changes the pod, with the resourceVersion as the precondition. A server driver has no cache
of links, so it reads a link before it writes it; a GET and a bare PATCH are what that costs without it. Bindings are
measured with several loggers: structlog as it comes (lines are rendered for a person and printed, here to nowhere),
one that renders JSON, one that filters the level out, and none.
"""

import asyncio
import gc
import io
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import structlog

from measuring.bench_service import run_concurrently, start_cluster, wait_for_crds
from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import Figures, quantile
from statefulroute import ClientDriver, ServerDriver, ServerInformation, ServerParts
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
BARE, CACHED = "a bare PATCH", "set_linked_pod, cached, log: as it comes"
_WARM_UP_ROUNDS = 20
"""Turns until connections are open and caches are warm."""


class NullLogger:
    """A logger that does nothing: what the driver costs without one."""

    def info(self, event: str, **fields: Any) -> None:  # noqa: ANN401 - structlog's own
        """Nothing."""

    def warning(self, event: str, **fields: Any) -> None:  # noqa: ANN401
        """Nothing."""


def loggers() -> dict[str, Any]:
    """What drivers may be given."""
    nowhere = structlog.PrintLoggerFactory(io.StringIO())
    stamp = structlog.processors.TimeStamper("iso")
    as_json: list[Any] = [structlog.processors.add_log_level, stamp, structlog.processors.JSONRenderer()]
    return {
        "as it comes": structlog.wrap_logger(nowhere()),
        "JSON": structlog.wrap_logger(nowhere(), processors=as_json),
        "warnings only": structlog.wrap_logger(
            nowhere(), wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING)
        ),
        "none": NullLogger(),
    }


async def measure_reads(driver: ClientDriver, uids: list[str], rounds: int) -> list[float]:
    """Cached look-ups a second, round by round; the best round counts, for others share the machine."""
    rates = []
    for _ in range(rounds):
        gc.collect()
        begun = time.perf_counter()
        for uid in uids:
            await driver.get_linked_pod(uid, "game")
        rates.append(len(uids) / (time.perf_counter() - begun))
    return rates


async def milliseconds(work: Awaitable[Any]) -> float:
    """The milliseconds that it took."""
    begun = time.perf_counter()
    await work
    return (time.perf_counter() - begun) * 1000


class BarePatcher:
    """Patches one link without a driver, on the condition that it is still as it was.

    Args:
        client: carries the requests out.
        uid: whose link.
    """

    def __init__(self, client: Client, uid: str) -> None:
        self._client = client
        self._path = f"/apis/{API_VERSION}/namespaces/{NAMESPACE}/podlinks/game.{uid}"
        self._version = ""

    async def read(self) -> None:
        """Learn the version."""
        self._version = str(LINKS.decode(await self._client.get(self._path)).resource_version)

    async def read_and_patch(self, pod: int) -> None:
        """Change the pod after a look."""
        await self.read()
        await self.patch(pod)

    async def patch(self, pod: int) -> None:
        """Change the pod."""
        body = {"metadata": {"resourceVersion": self._version}, "spec": {"podIndex": pod}}
        answer = await self._client.merge_patch(self._path, msgspec.json.encode(body))
        self._version = str(LINKS.decode(answer).resource_version)


async def measure_writes(binders: dict[str, Callable[[int], Awaitable[Any]]], number: int) -> dict[str, Figures]:
    """All of them by turns."""
    times: dict[str, list[float]] = {name: [] for name in binders}
    gc.collect()
    gc.freeze()
    for turn in range(number + _WARM_UP_ROUNDS):
        for name, work in binders.items():
            took = await milliseconds(work(turn % 3))
            if turn >= _WARM_UP_ROUNDS:
                times[name].append(took)
    return {
        name: {P50: quantile(sorted(taken), 0.5), P99: quantile(sorted(taken), 0.99)} for name, taken in times.items()
    }


async def measure(report: Report, kubeconfig: Path) -> None:
    """All of it."""
    options = report.options
    uids = [f"user-{number}" for number in range(options["links"])]
    async with connect(kubeconfig) as connection, Client(connection) as client:
        await wait_for_crds(client)
        await client.post("/api/v1/namespaces", msgspec.json.encode({"metadata": {"name": NAMESPACE}}))
        async with (
            RouteCache(client, NAMESPACE) as routes,
            ClientDriver(client, NAMESPACE, logger=NullLogger()) as driver,
        ):
            begun = time.perf_counter()
            await run_concurrently(lambda number: driver.link_if_absent(uids[number], "game", 0), range(len(uids)))
            made = len(uids) / (time.perf_counter() - begun)
            rates = await measure_reads(driver, uids, options["rounds"])
            bare = BarePatcher(client, uids[0])
            await bare.read()
            looking = BarePatcher(client, uids[8])

            def binder(uid: str, store: LinkStore, logger: Any) -> Callable[[int], Awaitable[Any]]:  # noqa: ANN401
                server = ServerInformation(namespace=NAMESPACE, service="game", pod_name="game-0", pod=0)
                parts = ServerParts(store, routes, AnnotationPublisher(client, server), server)
                made = ServerDriver(NAMESPACE, parts, logger=logger)
                return lambda pod: made.set_linked_pod(NAMESPACE, uid, "game", pod)

            known = LinkStore(client, NAMESPACE, links=driver._cache)  # noqa: SLF001 - what a client's own writes go through
            plain = LinkStore(client, NAMESPACE)
            binders: dict[str, Callable[[int], Awaitable[Any]]] = {
                BARE: bare.patch,
                "a GET and a bare PATCH": looking.read_and_patch,
            }
            for number, (name, logger) in enumerate(loggers().items()):
                binders[f"set_linked_pod, log: {name}"] = binder(uids[number + 1], plain, logger)
            binders[CACHED] = binder(uids[9], known, loggers()["as it comes"])
            rows = await measure_writes(binders, options["writes"])
    report.extra["linksPerSecond"] = made
    report.rounds = {"cached get_linked_pod": [{READS: rate} for rate in rates]}
    report.rounds |= {name: [row] for name, row in rows.items()}
    report.goals = [
        Goal("cached get_linked_pod a second, best round", max(rates), GOAL_READS, at_least=True),
        Goal(f"{CACHED}: p50, of {BARE}", rows[CACHED][P50] / rows[BARE][P50], GOAL_RATIO),
    ]


def main() -> None:
    """Measure, and say what was found."""
    options = argument_parser(__doc__, rounds=9)
    options.add_argument("--links", type=int, default=10_000)
    options.add_argument("--writes", type=int, default=400, help="of each kind")
    asked = options.parse_args()
    report = Report("driver", vars(asked))
    with start_cluster() as kubeconfig:
        asyncio.run(measure(report, kubeconfig))
    finish(report, asked)


if __name__ == "__main__":
    main()
