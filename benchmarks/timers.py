"""Measures what the timers cost: the operator's CPU time with many routes and pods, with constant and changing loads.

    python benchmarks/timers.py [--routes 200] [--pods 25] [--period 30] [--seconds 90] [--rounds 1]

Each round has three phases over the same objects: periods of a day (the baseline: nothing is due), then periods of
`--period` seconds with constant loads, then the same with a change of every load between two polls. The pods run no
containers; this program answers for all of them on loopback.
"""

import asyncio
import contextlib
import json
import random
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from aiohttp import web

from measuring.bench_service import json_body, run_concurrently, start_cluster, wait_for_crds
from measuring.processes import MeasuredProcess, running_operator
from measuring.report import Goal, Report, argument_parser, finish
from measuring.rounds import Figures, alternate, spreads
from statefulroute.api.group import API_VERSION
from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect

PORT = 18080
_DAY = 86_400
_REQUESTS = re.compile(r'^apiserver_request_total\{.*?resource="(\w*)",.*?verb="(\w+)".*\} (\S+)$', re.MULTILINE)


CORE, LOAD_REQUESTS, WRITES = "% of a core", "pods asked a second", "patches a second"
IDLE, UNCHANGED, CHANGING = "nothing due", "loads stand still", "every load changes"
LIMIT_CORE = 25


class LoadEndpoint:
    """Serves the load of every pod."""

    def __init__(self) -> None:
        self.request_count = 0
        self.is_changing = False

    async def load(self, _: web.Request) -> web.Response:
        """Returns a pod's load."""
        self.request_count += 1
        return web.json_response({"loadState": random.randint(0, 100) if self.is_changing else 5, "waitingTasks": 0})

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Listens on every loopback address."""
        app = web.Application()
        app.router.add_get("/load", self.load)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "0.0.0.0", PORT, backlog=1024).start()  # noqa: S104 - a pod's address is any of 127.0.0.0/8
        yield
        await runner.cleanup()


async def create_objects(client: Client, routes: int, pods: int) -> None:
    """Creates namespaces, StatefulSets, their pods, and routes."""
    namespaces = [f"bench-{number}" for number in range(max(1, routes // 50))]
    for name in namespaces:
        await client.post("/api/v1/namespaces", json_body({"metadata": {"name": name}}))
        account = {"metadata": {"name": "default"}}
        await client.post(f"/api/v1/namespaces/{name}/serviceaccounts", json_body(account))

    async def create_route(number: int) -> None:
        namespace, name = namespaces[number % len(namespaces)], f"game-{number}"
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "room", "image": "room"}]}}
        spec = {"serviceName": name, "replicas": pods, "selector": {"matchLabels": labels}, "template": template}
        stateful_sets = f"/apis/apps/v1/namespaces/{namespace}/statefulsets"
        created = json.loads(await client.post(stateful_sets, json_body({"metadata": {"name": name}, "spec": spec})))
        owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": name, "uid": created["metadata"]["uid"]}
        for index in range(pods):
            pod_number = number * pods + index
            ip = f"127.60.{pod_number // 250}.{pod_number % 250 + 1}"
            metadata = {
                "name": f"{name}-{index}",
                "labels": labels,
                "ownerReferences": [{**owner, "controller": True}],
            }
            pod = {"metadata": metadata, "spec": template["spec"]}
            path = f"/api/v1/namespaces/{namespace}/pods"
            await client.post(path, json_body(pod))
            status = {
                "phase": "Running",
                "podIP": ip,
                "podIPs": [{"ip": ip}],
                "conditions": [{"type": "Ready", "status": "True"}],
            }
            await client.merge_patch(f"{path}/{name}-{index}/status", json_body({"status": status}))
        await client.post(_routes(namespace), json_body(_route(name)))

    await run_concurrently(create_route, range(routes))


def _routes(namespace: str) -> str:
    return f"/apis/{API_VERSION}/namespaces/{namespace}/statefulroutes"


def _route(name: str) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "StatefulRoute",
        "metadata": {"name": name},
        "spec": {"load": {"source": "HTTP", "http": {"port": PORT}, "staleAfterSeconds": _DAY}, **_periods(_DAY)},
    }


def _periods(seconds: int) -> dict[str, int]:
    return {"statePeriodSeconds": seconds, "workloadPeriodSeconds": seconds}


async def _edit_periods(client: Client, seconds: int) -> None:
    listed = json.loads(await client.get(f"/apis/{API_VERSION}/statefulroutes"))["items"]

    async def edit(number: int) -> None:
        metadata = listed[number]["metadata"]
        path = f"{_routes(metadata['namespace'])}/{metadata['name']}"
        await client.merge_patch(path, json_body({"spec": _periods(seconds)}))

    await run_concurrently(edit, range(len(listed)))


async def _writes(client: Client) -> float:
    metrics = (await client.get("/metrics")).decode()
    counts = _REQUESTS.findall(metrics)
    return sum(
        float(count) for resource, verb, count in counts if verb == "PATCH" and resource in {"statefulroutes", "pods"}
    )


class TimersBenchmark:
    """Measures the phases.

    Args:
        operator: an idle operator.
        pods: the endpoint of the pods' loads.
        client: a client of the cluster.
        seconds: how long each phase is measured.
        period: the timers' period in the phases with work, in seconds.
    """

    def __init__(
        self, operator: MeasuredProcess, pods: LoadEndpoint, client: Client, seconds: float, period: int
    ) -> None:
        self._operator = operator
        self._pods = pods
        self._client = client
        self._seconds = seconds
        self._period = period

    async def idle(self) -> Figures:
        """Measures while nothing is due."""
        await _edit_periods(self._client, _DAY)
        await self._operator.wait_idle(5)
        return await self._measure()

    async def unchanged(self) -> Figures:
        """Measures while loads are polled and stay constant."""
        self._pods.is_changing = False
        await _edit_periods(self._client, self._period)
        await asyncio.sleep(2 * self._period)  # until every timer has fired twice
        return await self._measure()

    async def changing(self) -> Figures:
        """Measures while every load changes."""
        self._pods.is_changing = True
        await _edit_periods(self._client, self._period)
        await asyncio.sleep(self._period)
        return await self._measure()

    async def _measure(self) -> Figures:
        cpu, requests, writes = self._operator.cpu_seconds, self._pods.request_count, await _writes(self._client)
        started = time.monotonic()
        await asyncio.sleep(self._seconds)
        elapsed = time.monotonic() - started
        return {
            CORE: (self._operator.cpu_seconds - cpu) / elapsed * 100,
            LOAD_REQUESTS: (self._pods.request_count - requests) / elapsed,
            WRITES: (await _writes(self._client) - writes) / elapsed,
        }


async def _largest_status(client: Client) -> int:
    listed = json.loads(await client.get(f"/apis/{API_VERSION}/statefulroutes"))["items"]
    return max(len(msgspec.json.encode(each)) for each in listed)


async def measure(report: Report) -> None:
    """Runs all phases."""
    options = report.options
    pods = LoadEndpoint()
    with start_cluster() as kubeconfig:
        async with pods.serving(), connect(kubeconfig, None) as connection, Client(connection) as client:
            await wait_for_crds(client)
            await create_objects(client, options["routes"], options["pods"])
            async with running_operator(kubeconfig) as operator:
                await operator.wait_synced()
                bench = TimersBenchmark(operator, pods, client, options["seconds"], options["period"])
                phases = {IDLE: bench.idle, UNCHANGED: bench.unchanged, CHANGING: bench.changing}
                report.rounds = await alternate(phases, options["rounds"])
                report.extra["peakMemoryMiB"] = operator.mebibytes[1]
            report.extra["largestRouteBytes"] = await _largest_status(client)
    still, moving = (spreads(report.rounds[phase]) for phase in (UNCHANGED, CHANGING))
    report.goals = [
        Goal(f"{CORE}, {UNCHANGED}", still[CORE].median, LIMIT_CORE),
        Goal(f"{CORE}, {CHANGING}", moving[CORE].median, LIMIT_CORE),
        Goal(f"patches, {UNCHANGED}", still[WRITES].maximum, 0),
    ]


def main() -> None:
    """Runs the benchmark and reports its figures."""
    parser = argument_parser(__doc__, rounds=1)
    parser.add_argument("--routes", type=int, default=200)
    parser.add_argument("--pods", type=int, default=25, help="of each route")
    parser.add_argument("--period", type=int, default=30, help="seconds")
    parser.add_argument("--seconds", type=float, default=90, help="how long each phase is measured")
    options = parser.parse_args()
    report = Report("timers", vars(options))
    asyncio.run(measure(report))
    finish(report, options)


if __name__ == "__main__":
    main()
