"""Many drivers in one process: what they cost, with one client and one copy of the routes for all of them."""

import asyncio
import gc
import logging
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from driver.recording import RecordingClient, RecordingLogger
from localcluster import LocalCluster
from statefulroute import Configuration, ServerDriver, ServerInformation, ServerParts
from statefulroute.api.group import API_VERSION
from statefulroute.cluster.connection import connect
from statefulroute.cluster.link_store import LinkStore
from statefulroute.driver.publishers import AnnotationPublisher
from statefulroute.driver.routes import RouteCache
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace
from support.scale import scaled as sized
from support.waiting import wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: How many drivers, each of a pod of its own; a thousand with STATEFULROUTE_LONG.
DRIVERS = sized(100, 1000)

#: How long their state periods are, and how many are measured.
PERIOD_SECONDS = sized(1, 10)
PERIODS = 3

MOST_MEMORY_MIB = 300
_AT_A_TIME = 24

log = logging.getLogger(__name__)


def memory_mib() -> float:
    """What this process holds in memory now."""
    gc.collect()
    found = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text(encoding="utf-8"))
    assert found is not None
    return int(found[1]) / 1024


@dataclass(frozen=True, slots=True)
class ManyDrivers:
    """Drivers of pods that are only objects.

    Attributes:
        drivers: the drivers; none is started.
        client: the one client of all of them.
        namespace: where the pods are.
    """

    drivers: list[ServerDriver]
    client: RecordingClient
    namespace: str

    def publications(self) -> Counter[str]:
        """How often each pod was written on."""
        return Counter(asked.path for asked in self.client.recorded("PATCH", about="/pods/"))


@pytest.fixture
def crowded(installed: Kubectl) -> Iterator[str]:
    """A namespace in which no controller and no node looks after pods."""
    with fresh_namespace(installed) as name:
        installed.within(name).create(
            {"apiVersion": API_VERSION, "kind": "StatefulRoute", "metadata": {"name": "game"}}
        )
        yield name
        installed.within(name).run("delete", "statefulroute", "game", "--wait=false").expect_success()


@pytest_asyncio.fixture(loop_scope="module")
async def crowd(cluster: LocalCluster, crowded: str) -> AsyncIterator[ManyDrivers]:
    async with (
        connect(cluster.kubeconfig) as connection,
        RecordingClient(connection) as client,
        RouteCache(client, crowded) as routes,
    ):
        await routes.wait_synced()
        await make_pods(client, crowded)
        links = LinkStore(client, crowded)
        settings = Configuration(state_period_seconds=PERIOD_SECONDS, workload_period_seconds=PERIOD_SECONDS)
        drivers = []
        for index in range(DRIVERS):
            server = ServerInformation(namespace=crowded, service="game", pod_name=f"game-{index}", pod=index)
            parts = ServerParts(links, routes, AnnotationPublisher(client, server), server)
            drivers.append(ServerDriver(crowded, parts, configuration=settings, logger=RecordingLogger()))
        yield ManyDrivers(drivers, client, crowded)
        await client.delete(f"/api/v1/namespaces/{crowded}/pods", msgspec.json.encode({"gracePeriodSeconds": 0}))
    await asyncio.sleep(0.25)


async def make_pods(client: RecordingClient, namespace: str) -> None:
    """Make the pods, on a node that there is not."""
    slots = asyncio.Semaphore(_AT_A_TIME)
    await until_possible(client, namespace)

    async def make(index: int) -> None:
        spec = {"nodeName": "nowhere", "containers": [{"name": "room", "image": "room.invalid/room"}]}
        pod = {"metadata": {"name": f"game-{index}"}, "spec": spec}
        async with slots:
            await client.post(f"/api/v1/namespaces/{namespace}/pods", msgspec.json.encode(pod))

    await asyncio.gather(*(make(index) for index in range(DRIVERS)))


async def until_possible(client: RecordingClient, namespace: str) -> None:
    """Wait until the namespace has the account that pods need."""

    async def accounts() -> int:
        listed = await client.get(f"/api/v1/namespaces/{namespace}/serviceaccounts")
        return len(msgspec.json.decode(listed)["items"])

    async with asyncio.timeout(30):
        while not await accounts():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.1)


@pytest.mark.timeout(300)
async def test_many_drivers_publish_once_a_period_each_and_need_little(crowd: ManyDrivers) -> None:
    assert len(crowd.client.recorded("GET", about="/statefulroutes")) == 1  # the routes are read once for all of them
    before = memory_mib()
    loop = asyncio.get_running_loop()
    crowd.client.requests.clear()
    begun = loop.time()
    await asyncio.gather(*(driver.start() for driver in crowd.drivers))
    started = loop.time() - begun
    # Each tells all once; where all starts together take longer than that, the first timers have their turn already.
    assert set(crowd.publications().values()) <= set(range(1, 2 + int(started / (PERIOD_SECONDS / 2))))
    assert len(crowd.publications()) == DRIVERS
    assert len(crowd.client.requests) == crowd.publications().total()

    crowd.client.requests.clear()
    begun = loop.time()
    await asyncio.sleep(PERIODS * PERIOD_SECONDS)
    passed, published = loop.time() - begun, crowd.publications()
    # The first pause is half a period at the least; a slow machine publishes less often, but nobody more often.
    assert len(published) == DRIVERS
    assert max(published.values()) <= passed / PERIOD_SECONDS + 1
    assert len(crowd.client.requests) == published.total()  # and nothing else is asked for
    held = memory_mib()

    crowd.client.requests.clear()
    for number, driver in enumerate(crowd.drivers):
        driver.set_load_state(number)
    assert len(crowd.client.requests) == 0
    begun = loop.time()
    await asyncio.gather(*(driver.stop(0) for driver in crowd.drivers))
    stopped = loop.time() - begun
    assert {driver.is_running for driver in crowd.drivers} == {False}
    crowd.client.requests.clear()
    await wait_until(lambda: len(asyncio.all_tasks()) < DRIVERS, "their tasks are gone")
    await asyncio.sleep(min(PERIOD_SECONDS, 2))
    assert crowd.client.requests == []

    found = {
        "drivers": DRIVERS,
        "periodSeconds": PERIOD_SECONDS,
        "startSeconds": round(started, 2),
        "stopSeconds": round(stopped, 2),
        "publicationsPerSecond": round(published.total() / passed, 1),
        "memoryMiB": round(held, 1),
        "memoryOfDriversMiB": round(held - before, 1),
    }
    log.info("many drivers: %s", found)
    assert held - before < MOST_MEMORY_MIB, found
