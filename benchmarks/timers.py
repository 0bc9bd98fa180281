"""What the timers cost: the operator's CPU time with many routes and pods, whose loads stand still or move.

    python benchmarks/timers.py [--routes 200] [--pods 25] [--period 30] [--seconds 90]

Three phases in one run, over the same objects: periods of a day (the baseline: nothing is due), then periods of
`--period` seconds while every load stays as it is, then the same while every load changes between two rounds.
The pods are objects without containers; one process of this program answers for all of them on loopback.
"""

import argparse
import asyncio
import contextlib
import json
import random
import re
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from measuring.place import await_kinds, body, cluster, every
from measuring.processes import Measured, operating
from statefulroute.api.group import API_VERSION
from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect

PORT = 18080
_DAY = 86_400
_REQUESTS = re.compile(r'^apiserver_request_total\{.*?resource="(\w*)",.*?verb="(\w+)".*\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True)
class Phase:
    """One row of the table.

    Attributes:
        name: what was measured.
        core_percent: the operator's CPU time, in percent of one core.
        asked: how often a pod was asked for its load, a second.
        writes: patches of routes and pods, a second.
    """

    name: str
    core_percent: float
    asked: float
    writes: float


class Pods:
    """Answers for every pod."""

    def __init__(self) -> None:
        self.asked = 0
        self.changing = False

    async def load(self, _: web.Request) -> web.Response:
        """A pod's load."""
        self.asked += 1
        return web.json_response({"loadState": random.randint(0, 100) if self.changing else 5, "waitingTasks": 0})

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Listen on every loopback address."""
        app = web.Application()
        app.router.add_get("/load", self.load)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "0.0.0.0", PORT, backlog=1024).start()  # noqa: S104 - a pod's address is any of 127.0.0.0/8
        yield
        await runner.cleanup()


async def fill(client: Client, routes: int, pods: int) -> None:
    """Make namespaces, StatefulSets, their pods, and routes."""
    namespaces = [f"bench-{number}" for number in range(max(1, routes // 50))]
    for name in namespaces:
        await client.post("/api/v1/namespaces", body({"metadata": {"name": name}}))
        account = {"metadata": {"name": "default"}}
        await client.post(f"/api/v1/namespaces/{name}/serviceaccounts", body(account))

    async def make(number: int) -> None:
        namespace, name = namespaces[number % len(namespaces)], f"game-{number}"
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "room", "image": "room"}]}}
        spec = {"serviceName": name, "replicas": pods, "selector": {"matchLabels": labels}, "template": template}
        sets = f"/apis/apps/v1/namespaces/{namespace}/statefulsets"
        made = json.loads(await client.post(sets, body({"metadata": {"name": name}, "spec": spec})))
        owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": name, "uid": made["metadata"]["uid"]}
        for index in range(pods):
            place = number * pods + index
            ip = f"127.60.{place // 250}.{place % 250 + 1}"
            metadata = {
                "name": f"{name}-{index}",
                "labels": labels,
                "ownerReferences": [{**owner, "controller": True}],
            }
            pod = {"metadata": metadata, "spec": template["spec"]}
            path = f"/api/v1/namespaces/{namespace}/pods"
            await client.post(path, body(pod))
            status = {
                "phase": "Running",
                "podIP": ip,
                "podIPs": [{"ip": ip}],
                "conditions": [{"type": "Ready", "status": "True"}],
            }
            await client.merge_patch(f"{path}/{name}-{index}/status", body({"status": status}))
        await client.post(_routes(namespace), body(_route(name)))

    await every(make, range(routes))


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
        await client.merge_patch(path, body({"spec": _periods(seconds)}))

    await every(edit, range(len(listed)))


async def _writes(client: Client) -> float:
    metrics = (await client.get("/metrics")).decode()
    found = _REQUESTS.findall(metrics)
    return sum(float(n) for resource, verb, n in found if verb == "PATCH" and resource in {"statefulroutes", "pods"})


async def measure(name: str, seconds: float, process: Measured, pods: Pods, client: Client) -> Phase:
    """One phase."""
    cpu, asked, writes, begun = process.cpu_seconds, pods.asked, await _writes(client), time.monotonic()
    await asyncio.sleep(seconds)
    passed = time.monotonic() - begun
    return Phase(
        name,
        round((process.cpu_seconds - cpu) / passed * 100, 2),
        round((pods.asked - asked) / passed, 1),
        round((await _writes(client) - writes) / passed, 1),
    )


async def _largest_status(client: Client) -> int:
    listed = json.loads(await client.get(f"/apis/{API_VERSION}/statefulroutes"))["items"]
    return max(len(msgspec.json.encode(each)) for each in listed)


async def bench(options: argparse.Namespace, kubeconfig: Path) -> dict[str, Any]:
    """All phases; gives what was found."""
    pods, phases = Pods(), []
    async with pods.serving(), connect(kubeconfig, None) as connection, Client(connection) as client:
        await await_kinds(client)
        begun = time.monotonic()
        await fill(client, options.routes, options.pods)
        filled = time.monotonic() - begun
        async with operating(kubeconfig) as operator:
            await asyncio.sleep(5)
            await operator.settled(5)
            phases.append(await measure("nothing due", options.seconds, operator, pods, client))
            await _edit_periods(client, options.period)
            await asyncio.sleep(2 * options.period)  # until every timer has had its second turn
            phases.append(await measure("loads stand still", options.seconds, operator, pods, client))
            pods.changing = True
            await asyncio.sleep(options.period)
            phases.append(await measure("every load changes", options.seconds, operator, pods, client))
            _, peak = operator.mebibytes
        return {
            "routes": options.routes,
            "pods": options.routes * options.pods,
            "periodSeconds": options.period,
            "fillSeconds": round(filled, 1),
            "peakMemoryMiB": round(peak, 1),
            "largestRouteBytes": await _largest_status(client),
            "phases": [phase.__dict__ for phase in phases],
        }


def main() -> None:
    """Measure, print a table, and JSON after it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--routes", type=int, default=200)
    parser.add_argument("--pods", type=int, default=25, help="of each route")
    parser.add_argument("--period", type=int, default=30, help="seconds")
    parser.add_argument("--seconds", type=float, default=90, help="how long each phase is measured")
    options = parser.parse_args()
    with cluster() as kubeconfig:
        found = asyncio.run(bench(options, kubeconfig))
    sys.stdout.write(f"{'':24}{'% of a core':>12}{'asked/s':>10}{'patches/s':>11}\n")
    for phase in found["phases"]:
        sys.stdout.write(f"{phase['name']:24}{phase['core_percent']:>12}{phase['asked']:>10}{phase['writes']:>11}\n")
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
