"""A service to measure, in a local cluster whose pods run no containers, and its links."""

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

#: A merge patch of the metadata that removes the managedFields.
WITHOUT_MANAGED_FIELDS: Mapping[str, Any] = {"managedFields": [{}]}

#: The number of clients that create links.
CLIENTS = 16

_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
_SETTLED_STATE_SECONDS = 86_400
_REQUESTS = re.compile(r"^apiserver_request_total\{(.*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE", "APPLY"})
_COUNTED = frozenset({"podlinks", "statefulroutes", "pods", "statefulsets"})


def json_body(item: Mapping[str, Any]) -> bytes:
    """Encodes the body of a request."""
    return msgspec.json.encode(item)


async def run_concurrently(work: Callable[[int], Awaitable[Any]], items: Iterable[int], clients: int = CLIENTS) -> None:
    """Processes items with `clients` concurrent clients, each one item after the other."""
    remaining = iter(items)

    async def client() -> None:
        for item in remaining:
            await work(item)

    await asyncio.gather(*(client() for _ in range(clients)))


@contextmanager
def start_cluster(*, low_priority: bool = False) -> Iterator[Path]:
    """Starts a cluster with the CRDs; yields its kubeconfig. Nothing in it creates, schedules or runs pods.

    Args:
        low_priority: whether its processes yield the processors to others, as if they ran on another machine.
    """
    with LocalCluster.start(name=f"bench-{os.getpid()}", nodes=1) as cluster:
        for part in ("controller-manager", "scheduler", "kwok"):
            cluster.part(part).kill()
        command: list[str | Path] = [cluster.kubectl, "--kubeconfig", cluster.kubeconfig, "apply", "-f", ROOT / "crds"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        if low_priority:
            for part in ("apiserver", "etcd"):
                machine.lower_priority(cluster.part(part).pid)
        yield cluster.kubeconfig


@dataclass(frozen=True, slots=True)
class BenchService:
    """A service whose pods are Ready, in a cluster.

    Attributes:
        kubeconfig: the kubeconfig of the cluster.
        connection: the connection to its API server.
        client: the client that creates links.
        recorder: records the history of each link from a separate watch.
        pods: the number of pods of the service.
    """

    kubeconfig: Path
    connection: Connection
    client: Client
    recorder: LinkRecorder
    pods: int

    async def create_link(self, uid: str, pod: int | None = None, **spec: Any) -> None:  # noqa: ANN401 - fields of any type
        """Creates a link."""
        name = f"{ROUTE}.{uid}"
        pod_index = {} if pod is None else {"podIndex": pod}
        item = {
            "apiVersion": API_VERSION,
            "kind": "PodLink",
            "metadata": {"name": name},
            "spec": {"routeName": ROUTE, "uid": uid, **pod_index, **spec},
        }
        self.recorder.record_creation(name)
        await self.client.post(f"{NAMESPACE_PATH}/podlinks", json_body(item))

    async def set_pod(self, uid: str, pod: int) -> None:
        """Writes a pod into the spec of a link and removes its managedFields, as the operator does."""
        await self.client.merge_patch(
            f"{NAMESPACE_PATH}/podlinks/{ROUTE}.{uid}",
            json_body({"metadata": WITHOUT_MANAGED_FIELDS, "spec": {"podIndex": pod}}),
        )

    async def remove_managed_fields(self, uid: str) -> None:
        """Removes the managedFields of a link."""
        await self.client.merge_patch(
            f"{NAMESPACE_PATH}/podlinks/{ROUTE}.{uid}", json_body({"metadata": WITHOUT_MANAGED_FIELDS})
        )

    async def write_bound_status(self, uid: str, pod: int, generation: int = 1) -> None:
        """Writes the status that the operator writes for a bound link."""
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

    async def edit_route(self, **spec: Any) -> None:  # noqa: ANN401 - fields of any type
        """Changes fields of the route's spec."""
        await self.client.merge_patch(f"{NAMESPACE_PATH}/statefulroutes/{ROUTE}", json_body({"spec": spec}))

    async def bind_slots(self, slots: int) -> None:
        """Gives the route slots, and waits until the operator has bound all."""
        await self.edit_route(slots=slots)
        await self.recorder.wait_until(lambda: len(self.recorder.bound_at) == slots)

    async def populate(self, number: int) -> None:
        """Creates links until there are `number`, each bound with the status that the operator writes."""

        async def create(user: int) -> None:
            await self.create_link(f"user-{user}", user % self.pods)
            await self.write_bound_status(f"user-{user}", user % self.pods)

        await run_concurrently(create, range(len(self.recorder.links), number))
        await self.recorder.wait_until(lambda: len(self.recorder.links) >= number)

    async def remove(self, names: Iterable[str]) -> None:
        """Deletes links by name."""
        remaining = tuple(names)
        await run_concurrently(
            lambda index: self.client.delete(f"{NAMESPACE_PATH}/podlinks/{remaining[index]}", b"{}"),
            range(len(remaining)),
        )
        await self.recorder.wait_until(lambda: not self.recorder.links.keys() & remaining)
        self.recorder.reset()

    async def clear(self) -> None:
        """Deletes every link. The API server stops after a minute, which is too short for 100,000 links."""
        while self.recorder.links:
            with suppress(APIError):
                await self.client.delete(f"{NAMESPACE_PATH}/podlinks", b"{}")
            with suppress(TimeoutError):
                await asyncio.wait_for(self.recorder.wait_until(lambda: not self.recorder.links), 5)
        self.recorder.reset()

    async def count_writes(self) -> Counter[str]:
        """Counts the writes that the API server has processed or refused, by verb and resource, from its metrics."""
        counts: Counter[str] = Counter()
        for labels, number in _REQUESTS.findall((await self.client.get("/metrics")).decode()):
            values = dict(_LABEL.findall(labels))
            if values["verb"] in _WRITES and values["resource"] in _COUNTED:
                resource = "/".join(filter(None, (values["resource"], values["subresource"])))
                counts[f"{values['verb']} {resource}"] += int(float(number))
        return counts


async def wait_for_crds(client: Client) -> None:
    """Waits until the API server serves the CRDs."""
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
    stateful_sets = f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets"
    created = json.loads(await client.post(stateful_sets, json_body({"metadata": {"name": ROUTE}, "spec": spec})))
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": ROUTE, "uid": created["metadata"]["uid"]}

    async def create_pod(index: int) -> None:
        metadata = {
            "name": f"{ROUTE}-{index}",
            "labels": labels,
            "ownerReferences": [{**owner, "controller": True}],
        }
        await client.post(_PODS, json_body({"metadata": metadata, "spec": template["spec"]}))
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        await client.merge_patch(f"{_PODS}/{ROUTE}-{index}/status", json_body({"status": status}))

    await run_concurrently(create_pod, range(pods))
    periods = {"statePeriodSeconds": _SETTLED_STATE_SECONDS, "workloadPeriodSeconds": _SETTLED_STATE_SECONDS}
    route = {"apiVersion": API_VERSION, "kind": "StatefulRoute", "metadata": {"name": ROUTE}, "spec": periods}
    await client.post(f"{NAMESPACE_PATH}/statefulroutes", json_body(route))


@asynccontextmanager
async def start_service(kubeconfig: Path, pods: int) -> AsyncIterator[BenchService]:
    """Creates a service with `pods` pods in an empty cluster. Its timers are not due for a day."""
    async with connect(kubeconfig) as connection, Client(connection, 64) as client, Client(connection, 1) as watcher:
        await wait_for_crds(client)
        await _create_service(client, pods)
        links = Reflector(watcher, LINKS)
        watch = asyncio.create_task(links.run())
        try:
            await links.synced.wait()
            yield BenchService(kubeconfig, connection, client, LinkRecorder(links.cache), pods)
        finally:
            watch.cancel()
