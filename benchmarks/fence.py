"""What it costs to write only while a Lease is held: bindings a second, and CPU time a link, with and without.

    python benchmarks/fence.py [--links 2000] [--rounds 3]

In each round, links wait for a pod until their route takes new users; then the time is taken until all are bound.
Rounds without leader election and rounds with it alternate, in one cluster and with an operator of their own each.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from localcluster import LocalCluster
from statefulroute.api.group import API_VERSION
from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from statefulroute.cluster.errors import APIError
from statefulroute.cluster.reflector import Reflector
from statefulroute.cluster.wire import LINKS
from statefulroute.domain.link import Link

ROOT = Path(__file__).parents[1]
PROGRAM = Path(sys.executable).with_name("statefulroute")
MODES = {"alone": "--no-leader-elect", "holding a Lease": "--leader-elect"}
PODS = 10
_HERE = f"/apis/{API_VERSION}/namespaces/default"
_AT_A_TIME = 24
_TICKS = os.sysconf("SC_CLK_TCK")


def _body(item: dict[str, Any]) -> bytes:
    return msgspec.json.encode(item)


async def _all(work: Iterable[Awaitable[Any]]) -> None:
    slots = asyncio.Semaphore(_AT_A_TIME)

    async def one(each: Awaitable[Any]) -> None:
        async with slots:
            await each

    await asyncio.gather(*map(one, work))


async def make_service(client: Client) -> None:
    """A StatefulSet whose pods run, and a route that takes nobody yet."""
    labels = {"app": "game"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "room", "image": "room.invalid/room"}]},
    }
    own = {"serviceName": "game", "podManagementPolicy": "Parallel", "replicas": PODS}
    spec = {**own, "selector": {"matchLabels": labels}, "template": template}
    await client.post(
        "/apis/apps/v1/namespaces/default/statefulsets", _body({"metadata": {"name": "game"}, "spec": spec})
    )
    route = {"apiVersion": API_VERSION, "kind": "StatefulRoute", "metadata": {"name": "game"}, "spec": {}}
    while True:
        with suppress(APIError):  # the kind is not served yet
            await client.post(f"{_HERE}/statefulroutes", _body(route))
            return
        await asyncio.sleep(0.2)


async def take_users(client: Client, state: str) -> None:
    """Have the route take new users, or not."""
    await client.merge_patch(f"{_HERE}/statefulroutes/game", _body({"spec": {"routingState": state}}))


async def make_links(client: Client, number: int) -> None:
    """So many links that leave the choice of the pod."""

    def link(uid: str) -> dict[str, Any]:
        spec = {"routeName": "game", "uid": uid}
        return {"apiVersion": API_VERSION, "kind": "PodLink", "metadata": {"name": f"game.{uid}"}, "spec": spec}

    await _all(client.post(f"{_HERE}/podlinks", _body(link(f"user-{each}"))) for each in range(number))


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@asynccontextmanager
async def operator(kubeconfig: Path, option: str) -> AsyncIterator[int]:
    """An operator that runs as long as the context lasts; gives the id of its process."""
    process = subprocess.Popen([PROGRAM, "operator", "--kubeconfig", kubeconfig, option], stderr=subprocess.DEVNULL)  # noqa: ASYNC220 - it only starts
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


class Watched:
    """How many links there are in each phase, as the API server tells."""

    def __init__(self, links: Reflector[Link]) -> None:
        self._phases: Counter[str | None] = Counter()
        self._news = asyncio.Event()
        links.cache.listen(self._changed)

    def _changed(self, old: Link | None, new: Link | None) -> None:
        for link, more in ((old, -1), (new, 1)):
            if link is not None:
                self._phases[link.acknowledged.phase if link.acknowledged else None] += more
        self._news.set()

    async def until(self, **numbers: int) -> None:
        """Wait until there are so many links in each phase, and no others."""
        while self._phases != Counter(numbers):
            self._news.clear()
            await self._news.wait()


async def bind(client: Client, watched: Watched, links: int, kubeconfig: Path, option: str) -> tuple[float, float]:
    """One round; gives the bindings a second, and the operator's milliseconds of CPU time a link."""
    await take_users(client, "DenyNewCall")
    async with operator(kubeconfig, option) as pid:
        await make_links(client, links)
        await watched.until(Pending=links)
        await asyncio.sleep(2)  # until nothing is left to do
        cpu, begun = _cpu_seconds(pid), time.monotonic()
        await take_users(client, "Ready")
        await watched.until(Bound=links)
        found = links / (time.monotonic() - begun), (_cpu_seconds(pid) - cpu) / links * 1000
    await _all([client.delete(f"{_HERE}/podlinks", b"{}")])
    await watched.until()
    return found


async def bench(options: argparse.Namespace, kubeconfig: Path) -> dict[str, dict[str, float]]:
    """All rounds; gives the medians of each mode."""
    rounds: dict[str, list[tuple[float, float]]] = {mode: [] for mode in MODES}
    async with connect(kubeconfig) as connection, Client(connection) as client, Client(connection, 1) as watcher:
        await make_service(client)
        links = Reflector(watcher, LINKS)
        watched, following = Watched(links), asyncio.create_task(links.run())
        for _ in range(options.rounds):
            for mode, option in MODES.items():
                rounds[mode].append(await bind(client, watched, options.links, kubeconfig, option))
        following.cancel()
    return {
        mode: {
            "bindingsPerSecond": round(statistics.median(rate for rate, _ in found), 1),
            "cpuMillisecondsPerLink": round(statistics.median(cpu for _, cpu in found), 3),
        }
        for mode, found in rounds.items()
    }


def main() -> None:
    """Measure, print a table, and JSON after it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--links", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3, help="of each mode")
    options = parser.parse_args()
    with LocalCluster.start(name=f"bench-{os.getpid()}", nodes=3) as cluster:
        subprocess.run([cluster.kubectl, "--kubeconfig", cluster.kubeconfig, "apply", "-f", ROOT / "crds"], check=True)
        found = asyncio.run(bench(options, cluster.kubeconfig))
    sys.stdout.write(f"{'':20}{'bindings/s':>12}{'ms CPU a link':>16}\n")
    for mode, figures in found.items():
        sys.stdout.write(f"{mode:20}{figures['bindingsPerSecond']:>12}{figures['cpuMillisecondsPerLink']:>16}\n")
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
