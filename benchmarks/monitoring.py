"""What it costs to be watched: the operator's CPU time a binding with metrics, hashed uids and traces, and a scrape's.

    python benchmarks/monitoring.py [--links 1000] [--rate 50] [--routes 10] [--pods 10] [--rounds 3]

Two operators run at the same time, each in a namespace of its own and with the same work: a plain one, and one that is
watched. To each, `--links` users without a pod come at a steady `--rate` a second, it chooses their pods, and the links
are deleted. Whatever else the machine does slows both; the median of the rounds' ratios counts, and two plain ones show
how far that can be trusted. `--rounds 0` measures the scrape only.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from localcluster import LocalCluster
from statefulroute.api.group import API_VERSION
from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from statefulroute.cluster.errors import APIError

ROOT = Path(__file__).parents[1]
NAMESPACES = ("bench-1", "bench-2")
ADDRESS, COLLECTOR_PORT = "127.0.0.1:18081", 18082
SCRAPE_SECONDS = 5.0
SCRAPES = 20
_AT_A_TIME = 24
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Way:
    """A way to run the operator.

    Attributes:
        options: of the command.
        environment: variables besides.
        is_scraped: whether its metrics are read every few seconds.
    """

    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    is_scraped: bool = False


PLAIN = Way()
DEBUG = Way(("--log-level", "debug"))
SCRAPED = Way(("--bind-address", ADDRESS), is_scraped=True)

#: What is measured, and beside what.
PAIRS = {
    "plain, beside plain": (PLAIN, PLAIN),
    "metrics, scraped each 5 s, beside plain": (SCRAPED, PLAIN),
    "hashed uids, beside plain": (Way(("--hash-uids",)), PLAIN),
    "traces, beside plain": (
        Way(environment={"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{COLLECTOR_PORT}"}),
        PLAIN,
    ),
    "debug, beside plain": (DEBUG, PLAIN),
    "debug and hashed uids, beside debug": (Way((*DEBUG.options, "--hash-uids")), DEBUG),
}


async def _all(work: Callable[[int], Awaitable[Any]], items: Iterable[int]) -> None:
    slots = asyncio.Semaphore(_AT_A_TIME)

    async def one(item: int) -> None:
        async with slots:
            await work(item)

    await asyncio.gather(*(one(item) for item in items))


def _body(item: dict[str, Any]) -> bytes:
    return msgspec.json.encode(item)


def _path(namespace: str, resource: str, group: str = API_VERSION) -> str:
    return f"/apis/{group}/namespaces/{namespace}/{resource}"


async def fill(client: Client, namespace: str, routes: int, pods: int) -> None:
    """Make a namespace, StatefulSets, pods that are Ready, and routes."""
    await client.post("/api/v1/namespaces", _body({"metadata": {"name": namespace}}))
    await client.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", _body({"metadata": {"name": "default"}}))

    async def make(number: int) -> None:
        name = f"game-{number}"
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "room", "image": "room"}]}}
        spec = {"serviceName": name, "replicas": pods, "selector": {"matchLabels": labels}, "template": template}
        sets = _path(namespace, "statefulsets", "apps/v1")
        made = json.loads(await client.post(sets, _body({"metadata": {"name": name}, "spec": spec})))
        owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": name, "uid": made["metadata"]["uid"]}
        owners = [{**owner, "controller": True}]
        for index in range(pods):
            metadata = {"name": f"{name}-{index}", "labels": labels, "ownerReferences": owners}
            path = f"/api/v1/namespaces/{namespace}/pods"
            await client.post(path, _body({"metadata": metadata, "spec": template["spec"]}))
            status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
            await client.merge_patch(f"{path}/{name}-{index}/status", _body({"status": status}))
        route = {"apiVersion": API_VERSION, "kind": "StatefulRoute", "metadata": {"name": name}, "spec": {}}
        await client.post(_path(namespace, "statefulroutes"), _body(route))

    await _all(make, range(routes))


async def bind(client: Client, namespace: str, options: argparse.Namespace) -> None:
    """Users come at a steady rate; wait until each has a pod."""
    path = _path(namespace, "podlinks")

    async def come(number: int) -> None:
        route = f"game-{number % options.routes}"
        spec = {"routeName": route, "uid": f"user-{number}"}
        metadata = {"name": f"{route}.user-{number}"}
        await client.post(
            path, _body({"apiVersion": API_VERSION, "kind": "PodLink", "metadata": metadata, "spec": spec})
        )

    begun, coming = time.monotonic(), []
    for number in range(options.links):
        await asyncio.sleep(begun + number / options.rate - time.monotonic())
        coming.append(asyncio.create_task(come(number)))
    await asyncio.gather(*coming)
    while await _bound(client, path) < options.links:  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.5)


async def _bound(client: Client, path: str) -> int:
    listed = json.loads(await client.get(path, {"fieldSelector": "status.phase=Bound"}))
    return len(listed["items"])


async def _scrape() -> None:
    """Read the metrics as Prometheus does, until cancelled."""
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"http://{ADDRESS}/metrics") as response:
                await response.read()
            await asyncio.sleep(SCRAPE_SECONDS)


@contextlib.asynccontextmanager
async def collecting() -> AsyncIterator[None]:
    """A collector of traces, which takes everything."""

    async def take(request: web.Request) -> web.Response:
        await request.read()
        return web.Response()

    application = web.Application(client_max_size=2**26)
    application.router.add_post("/v1/traces", take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", COLLECTOR_PORT).start()
    yield
    await runner.cleanup()


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


async def _settle(pid: int) -> None:
    """Wait until the operator has begun, and has nothing left to do."""
    await asyncio.sleep(3)
    while True:
        before = _cpu_seconds(pid)
        await asyncio.sleep(1)
        if _cpu_seconds(pid) - before < 0.02:  # noqa: PLR2004 - two percent of a core
            return


@contextlib.asynccontextmanager
async def operating(way: Way, namespace: str, kubeconfig: Path) -> AsyncIterator[int]:
    """An operator that has begun and has nothing to do; gives its process id."""
    program = Path(sys.executable).with_name("statefulroute")
    command: list[str | Path] = [program, "operator", "--kubeconfig", kubeconfig, "--no-leader-elect"]
    command += ["--log-format", "json", "--watch-namespace", namespace, *way.options]
    environment = {**os.environ, **way.environment}
    operator = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)  # noqa: ASYNC220 - it only starts
    try:
        await _settle(operator.pid)
        yield operator.pid
    finally:
        operator.terminate()
        operator.wait(30)


@contextlib.asynccontextmanager
async def scraping(*ways: Way) -> AsyncIterator[None]:
    """Read the metrics of whichever serves them."""
    task = asyncio.create_task(_scrape()) if any(way.is_scraped for way in ways) else None
    yield
    if task is not None:
        if task.done():
            await task  # it says why the metrics could not be read
        task.cancel()


class Bench:
    """Measures on a cluster that is filled.

    Args:
        client: of the cluster.
        kubeconfig: the cluster's.
        options: of this program.
    """

    def __init__(self, client: Client, kubeconfig: Path, options: argparse.Namespace) -> None:
        self._client = client
        self._kubeconfig = kubeconfig
        self._options = options

    async def pair(self, ways: tuple[Way, Way], namespaces: tuple[str, ...]) -> tuple[float, ...]:
        """The CPU milliseconds a binding of two ways that run at the same time, each in its namespace."""
        async with (
            operating(ways[0], namespaces[0], self._kubeconfig) as first,
            operating(ways[1], namespaces[1], self._kubeconfig) as second,
        ):
            pids = (first, second)
            before = [_cpu_seconds(pid) for pid in pids]
            async with scraping(*ways):
                await asyncio.gather(*(bind(self._client, each, self._options) for each in namespaces))
            spent = [_cpu_seconds(pid) - begun for pid, begun in zip(pids, before, strict=True)]
        for each in namespaces:
            await self._client.delete(_path(each, "podlinks"), b"{}")
        return tuple(seconds / self._options.links * 1000 for seconds in spent)

    async def scrape(self) -> dict[str, Any]:
        """The CPU milliseconds of one scrape, and its size."""
        async with operating(SCRAPED, NAMESPACES[0], self._kubeconfig) as pid, aiohttp.ClientSession() as session:
            before, size = _cpu_seconds(pid), 0
            for _ in range(SCRAPES):
                async with session.get(f"http://{ADDRESS}/metrics") as response:
                    size = len(await response.read())
            cost = (_cpu_seconds(pid) - before) / SCRAPES * 1000
        return {"milliseconds": round(cost, 1), "bytes": size}


async def bench(options: argparse.Namespace, cluster: LocalCluster) -> dict[str, Any]:
    """All rounds; gives a row for each pair, and what one scrape costs."""
    costs: dict[str, list[tuple[float, ...]]] = {name: [] for name in PAIRS}
    async with collecting(), connect(cluster.kubeconfig, None) as connection, Client(connection) as client:
        while True:
            with contextlib.suppress(APIError):
                await client.get(f"/apis/{API_VERSION}/statefulroutes")
                break
            await asyncio.sleep(0.2)
        for namespace in NAMESPACES:
            await fill(client, namespace, options.routes, options.pods)
        made = Bench(client, cluster.kubeconfig, options)
        scrape = await made.scrape()
        for number in range(options.rounds):
            for name, ways in PAIRS.items():
                costs[name].append(await made.pair(ways, NAMESPACES if number % 2 else NAMESPACES[::-1]))
    return {**vars(options), "scrape": scrape, "pairs": [_row(name, each) for name, each in costs.items() if each]}


def _row(name: str, costs: list[tuple[float, ...]]) -> dict[str, Any]:
    ratios = [mine / other for mine, other in costs]
    return {
        "name": name,
        "milliseconds": round(statistics.median(mine for mine, _ in costs), 2),
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
    }


def main() -> None:
    """Measure, print a table, and JSON after it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--links", type=int, default=1000, help="of each operator in a round")
    parser.add_argument("--rate", type=float, default=50, help="links a second, for each operator")
    parser.add_argument("--routes", type=int, default=10)
    parser.add_argument("--pods", type=int, default=10, help="of each route")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with LocalCluster.start(name=f"bench-{os.getpid()}", nodes=0) as cluster:
        subprocess.run([cluster.kubectl, "--kubeconfig", cluster.kubeconfig, "apply", "-f", ROOT / "crds"], check=True)
        cluster.part("controller-manager").kill()  # the pods are only objects: nobody is to make others
        found = asyncio.run(bench(options, cluster))
    sys.stdout.write(f"{'':42}{'CPU ms a binding':>18}{'times':>8}  each round\n")
    for row in found["pairs"]:
        sys.stdout.write(f"{row['name']:42}{row['milliseconds']:>18}{row['ratio']:>8}  {row['ratios']}\n")
    scrape = found["scrape"]
    sys.stdout.write(f"a scrape: {scrape['milliseconds']} ms of CPU, {scrape['bytes']} bytes\n")
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
