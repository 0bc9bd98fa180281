"""Measures many drivers in one process, with one client and one cache of routes."""

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

#: The number of drivers, each with its own pod; a thousand with STATEFULROUTE_LONG.
DRIVERS = sized(100, 1000)

#: The state period, and the number of measured periods.
PERIOD_SECONDS = sized(1, 10)
PERIODS = 3

MOST_MEMORY_MIB = 300
_AT_A_TIME = 24

log = logging.getLogger(__name__)


def memory_mib() -> float:
    """Returns the memory of this process."""
    gc.collect()
    result = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text(encoding="utf-8"))
    assert result is not None
    return int(result[1]) / 1024


@dataclass(frozen=True, slots=True)
class ManyDrivers:
    """Drivers of pods that exist only as objects.

    Attributes:
        drivers: the drivers; none is started.
        client: the one client of all of them.
        namespace: where the pods are.
    """

    drivers: list[ServerDriver]
    client: RecordingClient
    namespace: str

    def publications(self) -> Counter[str]:
        """Returns the number of writes to each pod, by path."""
        return Counter(request.path for request in self.client.recorded("PATCH", about="/pods/"))


@pytest.fixture
def empty_namespace(installed: Kubectl) -> Iterator[str]:
    """A namespace in which no controller or node manages the pods."""
    with fresh_namespace(installed) as name:
        installed.within(name).create(
            {"apiVersion": API_VERSION, "kind": "StatefulRoute", "metadata": {"name": "game"}}
        )
        yield name
        installed.within(name).run("delete", "statefulroute", "game", "--wait=false").expect_success()


@pytest_asyncio.fixture(loop_scope="module")
async def many_drivers(cluster: LocalCluster, empty_namespace: str) -> AsyncIterator[ManyDrivers]:
    async with (
        connect(cluster.kubeconfig) as connection,
        RecordingClient(connection) as client,
        RouteCache(client, empty_namespace) as routes,
    ):
        await routes.wait_synced()
        await make_pods(client, empty_namespace)
        links = LinkStore(client, empty_namespace)
        settings = Configuration(state_period_seconds=PERIOD_SECONDS, workload_period_seconds=PERIOD_SECONDS)
        drivers = []
        for index in range(DRIVERS):
            server = ServerInformation(namespace=empty_namespace, service="game", pod_name=f"game-{index}", pod=index)
            parts = ServerParts(links, routes, AnnotationPublisher(client, server), server)
            drivers.append(ServerDriver(empty_namespace, parts, configuration=settings, logger=RecordingLogger()))
        yield ManyDrivers(drivers, client, empty_namespace)
        await client.delete(
            f"/api/v1/namespaces/{empty_namespace}/pods", msgspec.json.encode({"gracePeriodSeconds": 0})
        )
    await asyncio.sleep(0.25)


async def make_pods(client: RecordingClient, namespace: str) -> None:
    """Creates the pods, on a node that does not exist."""
    slots = asyncio.Semaphore(_AT_A_TIME)
    await until_possible(client, namespace)

    async def make(index: int) -> None:
        spec = {"nodeName": "nowhere", "containers": [{"name": "room", "image": "room.invalid/room"}]}
        pod = {"metadata": {"name": f"game-{index}"}, "spec": spec}
        async with slots:
            await client.post(f"/api/v1/namespaces/{namespace}/pods", msgspec.json.encode(pod))

    await asyncio.gather(*(make(index) for index in range(DRIVERS)))


async def until_possible(client: RecordingClient, namespace: str) -> None:
    """Waits until the namespace has the ServiceAccount that pods need."""

    async def accounts() -> int:
        listed = await client.get(f"/api/v1/namespaces/{namespace}/serviceaccounts")
        return len(msgspec.json.decode(listed)["items"])

    async with asyncio.timeout(30):
        while not await accounts():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.1)


@pytest.mark.timeout(300)
async def test_many_drivers_publish_once_a_period_within_the_memory_limit(many_drivers: ManyDrivers) -> None:
    assert (
        len(many_drivers.client.recorded("GET", about="/statefulroutes")) == 1
    )  # all drivers share one read of the routes
    before = memory_mib()
    loop = asyncio.get_running_loop()
    many_drivers.client.requests.clear()
    started_at = loop.time()
    await asyncio.gather(*(driver.start() for driver in many_drivers.drivers))
    started = loop.time() - started_at
    # Each driver publishes once at its start; if the starts take long, the first timers publish, too.
    assert set(many_drivers.publications().values()) <= set(range(1, 2 + int(started / (PERIOD_SECONDS / 2))))
    assert len(many_drivers.publications()) == DRIVERS
    assert len(many_drivers.client.requests) == many_drivers.publications().total()

    many_drivers.client.requests.clear()
    started_at = loop.time()
    await asyncio.sleep(PERIODS * PERIOD_SECONDS)
    passed, published = loop.time() - started_at, many_drivers.publications()
    # The first pause is at least half a period; on a slow machine drivers publish less often, never more often.
    assert len(published) == DRIVERS
    assert max(published.values()) <= passed / PERIOD_SECONDS + 1
    assert len(many_drivers.client.requests) == published.total()  # no other requests
    held = memory_mib()

    many_drivers.client.requests.clear()
    for number, driver in enumerate(many_drivers.drivers):
        driver.set_load_state(number)
    assert len(many_drivers.client.requests) == 0
    started_at = loop.time()
    await asyncio.gather(*(driver.stop(0) for driver in many_drivers.drivers))
    stopped = loop.time() - started_at
    assert {driver.is_running for driver in many_drivers.drivers} == {False}
    many_drivers.client.requests.clear()
    await wait_until(lambda: len(asyncio.all_tasks()) < DRIVERS, "their tasks have ended")
    await asyncio.sleep(min(PERIOD_SECONDS, 2))
    assert many_drivers.client.requests == []

    result = {
        "drivers": DRIVERS,
        "periodSeconds": PERIOD_SECONDS,
        "startSeconds": round(started, 2),
        "stopSeconds": round(stopped, 2),
        "publicationsPerSecond": round(published.total() / passed, 1),
        "memoryMiB": round(held, 1),
        "memoryOfDriversMiB": round(held - before, 1),
    }
    log.info("many drivers: %s", result)
    assert held - before < MOST_MEMORY_MIB, result
