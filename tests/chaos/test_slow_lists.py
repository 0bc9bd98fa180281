"""Tests that a list ends although the API server compacts its version while it is read."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping

import pytest
import requests

from chaos.system import store_url
from localcluster import LocalCluster
from statefulroute.cli import cluster as cli_cluster
from statefulroute.cli.cluster import Cluster
from statefulroute.cluster import reflector as reflector_module
from statefulroute.cluster.api_server import Connection
from statefulroute.cluster.client import Client
from statefulroute.cluster.codec import LINKS
from statefulroute.cluster.connection import connect
from statefulroute.cluster.reflector import Reflector
from support.independent_client import IndependentClient, PodLink
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace
from support.objects import pod_link
from support.waiting import wait_until

NAMES = [f"game.user-{number}" for number in range(6)]
PAGE_SIZE = 2

#: The cluster's programs may have to be built first, which takes minutes.
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def namespace(installed: Kubectl, killable_cluster: LocalCluster) -> Iterator[str]:
    """The name of a namespace with six links, in a cluster whose API server the tests restart."""
    with fresh_namespace(installed) as name:
        client = IndependentClient(killable_cluster.kubeconfig)
        for link in NAMES:
            client.create(pod_link(uid=link.removeprefix("game."), podIndex=0), name)
        yield name


def forget_versions(cluster: LocalCluster, namespace: str) -> None:
    """Compacts all versions before a new one; the API server still has recent ones, so it is restarted."""
    client = IndependentClient(cluster.kubeconfig)
    link = client.get(PodLink, NAMES[0], namespace)
    ttl_seconds = link["spec"].get("ttlSeconds", 60) + 1
    client.patch(PodLink, NAMES[0], namespace, {"spec": {"ttlSeconds": ttl_seconds}})
    revision = client.get(PodLink, NAMES[0], namespace)["metadata"]["resourceVersion"]
    compaction = f"{store_url(cluster)}/v3/kv/compaction"
    requests.post(compaction, json={"revision": revision}, timeout=10).raise_for_status()
    cluster.part("apiserver").kill()
    cluster.part("apiserver").restart()


class SlowClient(Client):
    """A client that continues its first list when its version is forgotten, and records the parameters of requests."""

    def __init__(self, connection: Connection, cluster: LocalCluster, namespace: str) -> None:
        super().__init__(connection)
        self.requests: list[Mapping[str, str]] = []
        self.namespace = namespace
        self._cluster = cluster
        self._is_slow = True

    async def get(self, path: str, params: Mapping[str, str] | None = None, *, attempts: int | None = None) -> bytes:
        self.requests.append(params or {})
        if self._is_slow and "continue" in self.requests[-1]:
            self._is_slow = False
            await asyncio.to_thread(forget_versions, self._cluster, self.namespace)
        return await super().get(path, params, attempts=attempts)


@pytest.fixture
async def client(killable_cluster: LocalCluster, namespace: str) -> AsyncIterator[SlowClient]:
    async with (
        connect(killable_cluster.kubeconfig) as connection,
        SlowClient(connection, killable_cluster, namespace) as client,
    ):
        yield client


async def test_a_cache_is_filled_although_its_list_expires(client: SlowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector_module, "_PAGE_SIZE", PAGE_SIZE)
    reflector = Reflector(client, LINKS.in_namespace(client.namespace))
    task = asyncio.create_task(reflector.run())
    await wait_until(reflector.synced.is_set, "the cache is filled", seconds=60)
    task.cancel()
    await asyncio.wait([task])
    assert {name for _, name in reflector.cache} == {*NAMES}
    requested = [each.get("resourceVersionMatch", "continue" if "continue" in each else "") for each in client.requests]
    assert requested == ["", "continue", "NotOlderThan"]


async def test_a_command_lists_every_link_once_although_its_list_expires(
    client: SlowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_cluster, "_PAGE_SIZE", PAGE_SIZE)
    names = [link["metadata"]["name"] async for page in Cluster(client, client.namespace).link_pages() for link in page]
    assert names == NAMES
    assert len(client.requests) == len(NAMES) / PAGE_SIZE + 1
