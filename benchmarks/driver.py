"""What the drivers cost: cached look-ups a second on one core, and a binding beside a bare PATCH of the same link.

    python benchmarks/driver.py [--links 10000] [--rounds 5] [--writes 400]

The links are written through the driver, which keeps them in its cache. Bindings and bare patches alternate, one at a
time, in one process: each changes the pod, with the resourceVersion as the precondition. A server driver has no cache
of links, so it reads a link before it writes it; a GET and a bare PATCH are what that costs without it. Bindings are
measured with several loggers: structlog as it comes (lines are rendered for a person and printed, here to nowhere),
one that renders JSON, one that filters the level out, and none.
"""

import argparse
import asyncio
import gc
import io
import json
import logging
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import structlog

from localcluster import LocalCluster
from statefulroute import ClientDriver, ServerDriver, ServerInformation, ServerParts
from statefulroute.api.group import API_VERSION
from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from statefulroute.cluster.errors import APIError
from statefulroute.cluster.link_store import LinkStore
from statefulroute.cluster.wire import LINKS
from statefulroute.driver.publishers import AnnotationPublisher
from statefulroute.driver.routes import RouteCache

ROOT = Path(__file__).parents[1]
NAMESPACE = "bench"
GOAL_READS, GOAL_RATIO = 500_000, 1.3
_AT_A_TIME = 24


class Silent:
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
        "none": Silent(),
    }


async def reads(driver: ClientDriver, uids: list[str], rounds: int) -> dict[str, float]:
    """Cached look-ups a second, round by round; the best round counts, for others share the machine."""
    rates = []
    for _ in range(rounds):
        gc.collect()
        begun = time.perf_counter()
        for uid in uids:
            await driver.get_linked_pod(uid, "game")
        rates.append(len(uids) / (time.perf_counter() - begun))
    return {"best": round(max(rates)), "median": round(statistics.median(rates))}


async def timed(work: Awaitable[Any]) -> float:
    """The milliseconds that it took."""
    begun = time.perf_counter()
    await work
    return (time.perf_counter() - begun) * 1000


class Bare:
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


async def writes(binders: dict[str, Callable[[int], Awaitable[Any]]], number: int) -> list[dict[str, float | str]]:
    """All of them by turns; gives the figures of each, held against the first."""
    times: dict[str, list[float]] = {name: [] for name in binders}
    gc.collect()
    gc.freeze()
    for turn in range(number + 20):
        for name, work in binders.items():
            took = await timed(work(turn % 3))
            if turn >= 20:  # noqa: PLR2004 - until connections are open and caches are warm
                times[name].append(took)
    base = statistics.median(next(iter(times.values())))
    rows: list[dict[str, float | str]] = []
    for name, taken in times.items():
        p50, p99 = statistics.median(taken), statistics.quantiles(taken, n=100)[98]
        rows.append({"what": name, "p50": round(p50, 3), "p99": round(p99, 3), "ratio": round(p50 / base, 2)})
    return rows


async def _all(work: Callable[[str], Awaitable[Any]], items: list[str]) -> None:
    slots = asyncio.Semaphore(_AT_A_TIME)

    async def one(item: str) -> None:
        async with slots:
            await work(item)

    await asyncio.gather(*(one(item) for item in items))


async def _ready(client: Client) -> None:
    while True:
        with suppress(APIError):
            await client.get(f"/apis/{API_VERSION}/podlinks")
            await client.get(f"/apis/{API_VERSION}/statefulroutes")
            return
        await asyncio.sleep(0.2)


async def bench(options: argparse.Namespace, kubeconfig: Path) -> dict[str, Any]:
    """All of it; gives what was found."""
    uids = [f"user-{number}" for number in range(options.links)]
    async with connect(kubeconfig) as connection, Client(connection) as client:
        await _ready(client)
        await client.post("/api/v1/namespaces", msgspec.json.encode({"metadata": {"name": NAMESPACE}}))
        async with (
            RouteCache(client, NAMESPACE) as routes,
            ClientDriver(client, NAMESPACE, logger=Silent()) as driver,
        ):
            begun = time.perf_counter()
            await _all(lambda uid: driver.link_if_absent(uid, "game", 0), uids)
            made = len(uids) / (time.perf_counter() - begun)
            found_reads = await reads(driver, uids, options.rounds)
            bare = Bare(client, uids[0])
            await bare.read()
            looking = Bare(client, uids[8])

            def binder(uid: str, store: LinkStore, logger: Any) -> Callable[[int], Awaitable[Any]]:  # noqa: ANN401
                server = ServerInformation(namespace=NAMESPACE, service="game", pod_name="game-0", pod=0)
                parts = ServerParts(store, routes, AnnotationPublisher(client, server), server)
                made = ServerDriver(NAMESPACE, parts, logger=logger)
                return lambda pod: made.set_linked_pod(NAMESPACE, uid, "game", pod)

            known = LinkStore(client, NAMESPACE, links=driver._cache)  # noqa: SLF001 - what a client's own writes go through
            plain = LinkStore(client, NAMESPACE)
            binders: dict[str, Callable[[int], Awaitable[Any]]] = {
                "a bare PATCH": bare.patch,
                "a GET and a bare PATCH": looking.read_and_patch,
            }
            for number, (name, logger) in enumerate(loggers().items()):
                binders[f"set_linked_pod, log: {name}"] = binder(uids[number + 1], plain, logger)
            binders["set_linked_pod, cached, log: as it comes"] = binder(uids[9], known, loggers()["as it comes"])
            rows = await writes(binders, options.writes)
    return {"links": options.links, "linksPerSecond": round(made), "readsPerSecond": found_reads, "writes": rows}


def main() -> None:
    """Measure, print a table, and JSON after it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--links", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=9, help="over all links, of look-ups")
    parser.add_argument("--writes", type=int, default=400, help="of each kind")
    options = parser.parse_args()
    with LocalCluster.start(name=f"bench-{os.getpid()}", nodes=0) as cluster:
        subprocess.run([cluster.kubectl, "--kubeconfig", cluster.kubeconfig, "apply", "-f", ROOT / "crds"], check=True)
        found = asyncio.run(bench(options, cluster.kubeconfig))
    per_second = found["readsPerSecond"]
    sys.stdout.write(f"cached get_linked_pod a second: {per_second['best']:,} (median {per_second['median']:,}; ")
    sys.stdout.write(f"the goal is {GOAL_READS:,})\n{'milliseconds':44}{'p50':>9}{'p99':>9}{'ratio':>8}\n")
    for row in found["writes"]:
        sys.stdout.write(f"{row['what']:44}{row['p50']:>9}{row['p99']:>9}{row['ratio']:>8}\n")
    sys.stdout.write(f"the goal of the ratio is {GOAL_RATIO}\n{json.dumps(found)}\n")


if __name__ == "__main__":
    main()
