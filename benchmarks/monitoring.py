"""Measures what monitoring costs: CPU time per binding with metrics, hashed uids or traces, and one scrape.

    python benchmarks/monitoring.py [--links 1000] [--rate 50] [--routes 10] [--pods 10] [--rounds 3]

Two operators run at the same time, each in a separate namespace with the same work: a plain one, and a monitored one.
For each, `--links` users without a pod arrive at `--rate` per second; the operator chooses their pods, and the links
are deleted. Other load on the machine slows both. The median of the rounds' ratios counts, and two plain operators show
its error. `--rounds 0` measures the scrape only.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from measuring.bench_service import json_body, run_concurrently, start_cluster, wait_for_crds
from measuring.processes import PROGRAM, MeasuredProcess, running_process
from statefulroute.api.group import API_VERSION
from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect

NAMESPACES = ("bench-1", "bench-2")
ADDRESS, COLLECTOR_PORT = "127.0.0.1:18081", 18082
SCRAPE_SECONDS = 5.0
SCRAPES = 20


@dataclass(frozen=True)
class OperatorVariant:
    """A way to run the operator.

    Attributes:
        options: options of the command.
        environment: further environment variables.
        is_scraped: whether its metrics are read every few seconds.
    """

    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    is_scraped: bool = False


PLAIN = OperatorVariant()
DEBUG = OperatorVariant(("--log-level", "debug"))
SCRAPED = OperatorVariant(("--bind-address", ADDRESS), is_scraped=True)

#: The pairs that are compared: the measured variant and its baseline.
PAIRS = {
    "plain, beside plain": (PLAIN, PLAIN),
    "metrics, scraped each 5 s, beside plain": (SCRAPED, PLAIN),
    "hashed uids, beside plain": (OperatorVariant(("--hash-uids",)), PLAIN),
    "traces, beside plain": (
        OperatorVariant(environment={"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{COLLECTOR_PORT}"}),
        PLAIN,
    ),
    "debug, beside plain": (DEBUG, PLAIN),
    "debug and hashed uids, beside debug": (OperatorVariant((*DEBUG.options, "--hash-uids")), DEBUG),
}


def _path(namespace: str, resource: str, api_version: str = API_VERSION) -> str:
    return f"/apis/{api_version}/namespaces/{namespace}/{resource}"


async def create_objects(client: Client, namespace: str, routes: int, pods: int) -> None:
    """Creates a namespace, StatefulSets, Ready pods, and routes."""
    await client.post("/api/v1/namespaces", json_body({"metadata": {"name": namespace}}))
    await client.post(f"/api/v1/namespaces/{namespace}/serviceaccounts", json_body({"metadata": {"name": "default"}}))

    async def create_route(number: int) -> None:
        name = f"game-{number}"
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "room", "image": "room"}]}}
        spec = {"serviceName": name, "replicas": pods, "selector": {"matchLabels": labels}, "template": template}
        stateful_sets = _path(namespace, "statefulsets", "apps/v1")
        created = json.loads(await client.post(stateful_sets, json_body({"metadata": {"name": name}, "spec": spec})))
        owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": name, "uid": created["metadata"]["uid"]}
        owners = [{**owner, "controller": True}]
        for index in range(pods):
            metadata = {"name": f"{name}-{index}", "labels": labels, "ownerReferences": owners}
            path = f"/api/v1/namespaces/{namespace}/pods"
            await client.post(path, json_body({"metadata": metadata, "spec": template["spec"]}))
            status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
            await client.merge_patch(f"{path}/{name}-{index}/status", json_body({"status": status}))
        route = {"apiVersion": API_VERSION, "kind": "StatefulRoute", "metadata": {"name": name}, "spec": {}}
        await client.post(_path(namespace, "statefulroutes"), json_body(route))

    await run_concurrently(create_route, range(routes))


async def bind(client: Client, namespace: str, options: argparse.Namespace) -> None:
    """Creates links at a fixed rate and waits until each is bound."""
    path = _path(namespace, "podlinks")

    async def create_link(number: int) -> None:
        route = f"game-{number % options.routes}"
        spec = {"routeName": route, "uid": f"user-{number}"}
        metadata = {"name": f"{route}.user-{number}"}
        await client.post(
            path, json_body({"apiVersion": API_VERSION, "kind": "PodLink", "metadata": metadata, "spec": spec})
        )

    started, creations = time.monotonic(), []
    for number in range(options.links):
        await asyncio.sleep(started + number / options.rate - time.monotonic())
        creations.append(asyncio.create_task(create_link(number)))
    await asyncio.gather(*creations)
    while await _count_bound(client, path) < options.links:  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0.5)


async def _count_bound(client: Client, path: str) -> int:
    listed = json.loads(await client.get(path, {"fieldSelector": "status.phase=Bound"}))
    return len(listed["items"])


async def _scrape_forever() -> None:
    """Reads the metrics as Prometheus does, until cancelled."""
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"http://{ADDRESS}/metrics") as response:
                await response.read()
            await asyncio.sleep(SCRAPE_SECONDS)


@contextlib.asynccontextmanager
async def trace_collector() -> AsyncIterator[None]:
    """Runs a trace collector that accepts everything."""

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


@contextlib.asynccontextmanager
async def running_variant(variant: OperatorVariant, namespace: str, kubeconfig: Path) -> AsyncIterator[MeasuredProcess]:
    """Runs an operator; yields it when it is idle."""
    command: list[str | Path] = [PROGRAM, "operator", "--kubeconfig", kubeconfig, "--no-leader-elect"]
    command += ["--log-format", "json", "--watch-namespace", namespace, *variant.options]
    async with running_process(command, variant.environment) as operator:
        await asyncio.sleep(3)
        await operator.wait_idle()
        yield operator


@contextlib.asynccontextmanager
async def scraped(*variants: OperatorVariant) -> AsyncIterator[None]:
    """Reads the metrics of the variant that serves them."""
    task = asyncio.create_task(_scrape_forever()) if any(variant.is_scraped for variant in variants) else None
    yield
    if task is not None:
        if task.done():
            await task  # raises the error of the scrape
        task.cancel()


class MonitoringBenchmark:
    """Measures pairs of variants on a cluster with objects.

    Args:
        client: a client of the cluster.
        kubeconfig: the kubeconfig of the cluster.
        options: the options of this program.
    """

    def __init__(self, client: Client, kubeconfig: Path, options: argparse.Namespace) -> None:
        self._client = client
        self._kubeconfig = kubeconfig
        self._options = options

    async def measure_pair(
        self, variants: tuple[OperatorVariant, OperatorVariant], namespaces: tuple[str, ...]
    ) -> tuple[float, ...]:
        """Returns the CPU milliseconds per binding of two variants that run at the same time, each in its namespace."""
        async with (
            running_variant(variants[0], namespaces[0], self._kubeconfig) as first,
            running_variant(variants[1], namespaces[1], self._kubeconfig) as second,
        ):
            operators = (first, second)
            before = [each.cpu_seconds for each in operators]
            async with scraped(*variants):
                await asyncio.gather(*(bind(self._client, each, self._options) for each in namespaces))
            cpu_seconds = [each.cpu_seconds - start for each, start in zip(operators, before, strict=True)]
        for each in namespaces:
            await self._client.delete(_path(each, "podlinks"), b"{}")
        return tuple(seconds / self._options.links * 1000 for seconds in cpu_seconds)

    async def measure_scrape(self) -> dict[str, Any]:
        """Returns the CPU milliseconds of one scrape, and its size."""
        async with (
            running_variant(SCRAPED, NAMESPACES[0], self._kubeconfig) as process,
            aiohttp.ClientSession() as session,
        ):
            before, size = process.cpu_seconds, 0
            for _ in range(SCRAPES):
                async with session.get(f"http://{ADDRESS}/metrics") as response:
                    size = len(await response.read())
            cost = (process.cpu_seconds - before) / SCRAPES * 1000
        return {"milliseconds": round(cost, 1), "bytes": size}


async def bench(options: argparse.Namespace, kubeconfig: Path) -> dict[str, Any]:
    """Runs all rounds; returns a row for each pair, and the cost of one scrape."""
    costs: dict[str, list[tuple[float, ...]]] = {name: [] for name in PAIRS}
    async with trace_collector(), connect(kubeconfig, None) as connection, Client(connection) as client:
        await wait_for_crds(client)
        for namespace in NAMESPACES:
            await create_objects(client, namespace, options.routes, options.pods)
        benchmark = MonitoringBenchmark(client, kubeconfig, options)
        scrape = await benchmark.measure_scrape()
        for number in range(options.rounds):
            for name, variants in PAIRS.items():
                costs[name].append(
                    await benchmark.measure_pair(variants, NAMESPACES if number % 2 else NAMESPACES[::-1])
                )
    return {**vars(options), "scrape": scrape, "pairs": [_row(name, each) for name, each in costs.items() if each]}


def _row(name: str, costs: list[tuple[float, ...]]) -> dict[str, Any]:
    ratios = [measured / baseline for measured, baseline in costs]
    return {
        "name": name,
        "milliseconds": round(statistics.median(measured for measured, _ in costs), 2),
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
    }


def main() -> None:
    """Runs the benchmark; prints a table, then JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--links", type=int, default=1000, help="of each operator in a round")
    parser.add_argument("--rate", type=float, default=50, help="links per second, for each operator")
    parser.add_argument("--routes", type=int, default=10)
    parser.add_argument("--pods", type=int, default=10, help="of each route")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with start_cluster() as kubeconfig:
        results = asyncio.run(bench(options, kubeconfig))
    sys.stdout.write(f"{'':42}{'CPU ms a binding':>18}{'times':>8}  each round\n")
    for row in results["pairs"]:
        sys.stdout.write(f"{row['name']:42}{row['milliseconds']:>18}{row['ratio']:>8}  {row['ratios']}\n")
    scrape = results["scrape"]
    sys.stdout.write(f"a scrape: {scrape['milliseconds']} ms of CPU, {scrape['bytes']} bytes\n")
    sys.stdout.write(json.dumps(results) + "\n")


if __name__ == "__main__":
    main()
