"""Where it is measured: a local cluster whose pods are objects only, a service in it, and its links."""

import asyncio
import json
import os
import re
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from localcluster import LocalCluster
from measuring import machine
from measuring.link_recorder import LinkRecorder
from statefulroute.api.group import API_VERSION
from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.client import Client
from statefulroute.cluster.codec import LINKS
from statefulroute.cluster.connection import connect
from statefulroute.cluster.errors import APIError
from statefulroute.cluster.reflector import Reflector

ROOT = Path(__file__).parents[2]
NAMESPACE, ROUTE = "bench", "game"
NAMESPACE_PATH = f"/apis/{API_VERSION}/namespaces/{NAMESPACE}"

#: How many clients there are that make links.
CLIENTS = 16

_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
_SETTLED_STATE_SECONDS = 86_400
_REQUESTS = re.compile(r"^apiserver_request_total\{(.*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE", "APPLY"})
_COUNTED = frozenset({"podlinks", "statefulroutes", "pods", "statefulsets"})


def json_body(item: Mapping[str, Any]) -> bytes:
    """A request's body."""
    return msgspec.json.encode(item)


async def run_concurrently(work: Callable[[int], Awaitable[Any]], items: Iterable[int], clients: int = CLIENTS) -> None:
    """Have so many clients work on items, each on one after the other."""
    rest = iter(items)

    async def client() -> None:
        for item in rest:
            await work(item)

    await asyncio.gather(*(client() for _ in range(clients)))


@contextmanager
def start_cluster(*, low_priority: bool = False) -> Iterator[Path]:
    """A cluster of its own that knows our kinds; gives its kubeconfig. Nobody in it makes, places or runs pods.

    Args:
        low_priority: whether its processes leave the processors to others, as if they were on another machine.
    """
    with LocalCluster.start(name=f"bench-{os.getpid()}", nodes=1) as made:
        for part in ("controller-manager", "scheduler", "kwok"):
            made.part(part).kill()
        command: list[str | Path] = [made.kubectl, "--kubeconfig", made.kubeconfig, "apply", "-f", ROOT / "crds"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        if low_priority:
            for part in ("apiserver", "etcd"):
                machine.lower_priority(made.part(part).pid)
        yield made.kubeconfig


@dataclass(frozen=True, slots=True)
class BenchService:
    """A service whose pods are Ready, in a cluster.

    Attributes:
        kubeconfig: the cluster's.
        connection: how its API server is reached.
        client: of those who make links.
        recorder: what has become of each link, by a watch of its own.
        pods: how many the service has.
    """

    kubeconfig: Path
    connection: Connection
    client: Client
    recorder: LinkRecorder
    pods: int

    async def create_link(self, uid: str, pod: int | None = None, **spec: Any) -> None:  # noqa: ANN401 - fields of any kind
        """Make a link."""
        name = f"{ROUTE}.{uid}"
        chosen = {} if pod is None else {"podIndex": pod}
        item = {
            "apiVersion": API_VERSION,
            "kind": "PodLink",
            "metadata": {"name": name},
            "spec": {"routeName": ROUTE, "uid": uid, **chosen, **spec},
        }
        self.recorder.record_creation(name)
        await self.client.post(f"{NAMESPACE_PATH}/podlinks", json_body(item))

    async def set_pod(self, uid: str, pod: int) -> None:
        """Write a pod into a link's spec."""
        await self.client.merge_patch(
            f"{NAMESPACE_PATH}/podlinks/{ROUTE}.{uid}", json_body({"spec": {"podIndex": pod}})
        )

    async def write_bound_status(self, uid: str, pod: int, generation: int = 1) -> None:
        """Write the status that the operator would write for a link that is bound."""
        now = datetime.now(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")
        name = f"{ROUTE}-{pod}"
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "Bound",
            "message": f"bound to pod {name!r}",
            "observedGeneration": generation,
            "lastTransitionTime": now,
        }
        status = {
            "phase": "Bound",
            "podIndex": pod,
            "podName": name,
            "host": f"{name}.{ROUTE}.{NAMESPACE}.svc",
            "boundTime": now,
            "observedGeneration": generation,
            "conditions": [ready],
        }
        await self.client.merge_patch(f"{NAMESPACE_PATH}/podlinks/{ROUTE}.{uid}/status", json_body({"status": status}))

    async def edit_route(self, **spec: Any) -> None:  # noqa: ANN401 - fields of any kind
        """Change fields of the route's spec."""
        await self.client.merge_patch(f"{NAMESPACE_PATH}/statefulroutes/{ROUTE}", json_body({"spec": spec}))

    async def populate(self, number: int) -> None:
        """See that there are so many links that are bound, and acknowledged as the operator would."""

        async def come(each: int) -> None:
            await self.create_link(f"user-{each}", each % self.pods)
            await self.write_bound_status(f"user-{each}", each % self.pods)

        await run_concurrently(come, range(len(self.recorder.links), number))
        await self.recorder.wait_until(lambda: len(self.recorder.links) >= number)

    async def remove(self, names: Iterable[str]) -> None:
        """Delete some links."""
        rest = tuple(names)
        await run_concurrently(
            lambda each: self.client.delete(f"{NAMESPACE_PATH}/podlinks/{rest[each]}", b"{}"), range(len(rest))
        )
        await self.recorder.wait_until(lambda: not self.recorder.links.keys() & rest)
        self.recorder.reset()

    async def clear(self) -> None:
        """Delete every link. The API server gives up after a minute, with a part of a hundred thousand done."""
        while self.recorder.links:
            with suppress(APIError):
                await self.client.delete(f"{NAMESPACE_PATH}/podlinks", b"{}")
            with suppress(TimeoutError):
                await asyncio.wait_for(self.recorder.wait_until(lambda: not self.recorder.links), 5)
        self.recorder.reset()

    async def count_writes(self) -> Counter[str]:
        """The writes that the API server has carried out or refused, by verb and resource, from its own account."""
        found: Counter[str] = Counter()
        for labels, number in _REQUESTS.findall((await self.client.get("/metrics")).decode()):
            named = dict(_LABEL.findall(labels))
            if named["verb"] in _WRITES and named["resource"] in _COUNTED:
                what = "/".join(filter(None, (named["resource"], named["subresource"])))
                found[f"{named['verb']} {what}"] += int(float(number))
        return found


async def wait_for_crds(client: Client) -> None:
    """Wait until the API server serves our kinds, which it was told of a moment ago."""
    while True:
        with suppress(APIError):
            for kind in ("podlinks", "statefulroutes"):
                await client.get(f"/apis/{API_VERSION}/{kind}")
            return
        await asyncio.sleep(0.2)


async def _create_service(client: Client, pods: int) -> None:
    await client.post("/api/v1/namespaces", json_body({"metadata": {"name": NAMESPACE}}))
    await client.post(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", json_body({"metadata": {"name": "default"}}))
    labels = {"app": ROUTE}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "room", "image": "room"}]}}
    spec = {"serviceName": ROUTE, "replicas": pods, "selector": {"matchLabels": labels}, "template": template}
    sets = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets"
    made = json.loads(await client.post(sets, json_body({"metadata": {"name": ROUTE}, "spec": spec})))
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": ROUTE, "uid": made["metadata"]["uid"]}

    async def make(index: int) -> None:
        metadata = {
            "name": f"{ROUTE}-{index}",
            "labels": labels,
            "ownerReferences": [{**owner, "controller": True}],
        }
        await client.post(_PODS, json_body({"metadata": metadata, "spec": template["spec"]}))
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        await client.merge_patch(f"{_PODS}/{ROUTE}-{index}/status", json_body({"status": status}))

    await run_concurrently(make, range(pods))
    periods = {"statePeriodSeconds": _SETTLED_STATE_SECONDS, "workloadPeriodSeconds": _SETTLED_STATE_SECONDS}
    route = {"apiVersion": API_VERSION, "kind": "StatefulRoute", "metadata": {"name": ROUTE}, "spec": periods}
    await client.post(f"{NAMESPACE_PATH}/statefulroutes", json_body(route))


@asynccontextmanager
async def start_service(kubeconfig: Path, pods: int) -> AsyncIterator[BenchService]:
    """A service with so many pods in a cluster that has none yet. Its timers have nothing to do for a day."""
    async with connect(kubeconfig) as connection, Client(connection, 64) as client, Client(connection, 1) as watcher:
        await wait_for_crds(client)
        await _create_service(client, pods)
        links = Reflector(watcher, LINKS)
        following = asyncio.create_task(links.run())
        try:
            await links.synced.wait()
            yield BenchService(kubeconfig, connection, client, LinkRecorder(links.cache), pods)
        finally:
            following.cancel()
