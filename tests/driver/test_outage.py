"""Tests drivers while the API server is killed or frozen."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from pykube.objects import Pod

from driver.recording import RecordingLogger
from localcluster import LocalCluster
from statefulroute import (
    ClientDriver,
    Configuration,
    DeadlineExceededError,
    ErrorCode,
    PodNotAvailableError,
    RoutingState,
    ServerDriver,
    ServerInformation,
    ServerParts,
)
from statefulroute.cluster.client import Client
from statefulroute.cluster.connection import connect
from statefulroute.cluster.link_store import LinkStore
from statefulroute.driver.publishers import AnnotationPublisher
from statefulroute.driver.routes import RouteCache
from support.independent_client import IndependentClient, PodLink, StatefulRoute
from support.kubectl import Kubectl
from support.namespaces import fresh_namespace
from support.objects import stateful_route
from support.scale import IS_LONG
from support.waiting import eventually, wait_until, wait_until_in_thread

pytestmark = pytest.mark.asyncio(loop_scope="module")


#: The minimal duration of an outage.
OUTAGE_SECONDS = 20.0 if IS_LONG else 2.0

#: The deadline of the server's operations: the default, which the long outage exceeds, or one that the short outage
#: does not exceed even if the API server needs long to start again, beside other tests.
SERVER_DEADLINE_SECONDS = 10.0 if IS_LONG else 60.0

#: The deadline of operations that fail during an outage, and the tolerance.
DEADLINE_SECONDS, SLACK_SECONDS = 1.0, 1.0

WRITERS = 4

#: The time limit of the recovery: a watch is retried after at most 30 s.
RECOVERY_SECONDS = 40.0

STATUS = {
    "routingState": "Ready",
    "pods": [{"name": "game-0", "index": 0, "serviceState": "Ready", "routingState": "Ready", "links": 0}],
}


@dataclass
class Outage:
    """A cluster without an operator, and its drivers.

    Attributes:
        cluster: the cluster.
        namespace: the namespace of the pod and of the drivers.
        independent_client: a client that shares no code with the product.
        server: the driver of the pod game-0, with long deadlines.
        caller: a client driver with long deadlines.
        hasty: a client driver with deadlines of one second.
        logger: the logger of the server's driver.
    """

    cluster: LocalCluster
    namespace: str
    independent_client: IndependentClient
    server: ServerDriver
    caller: ClientDriver
    hasty: ClientDriver
    logger: RecordingLogger
    acknowledged: dict[str, int] = field(default_factory=dict)

    async def kill(self) -> None:
        await asyncio.to_thread(self.cluster.part("apiserver").kill)

    async def restart(self) -> None:
        await asyncio.to_thread(self.cluster.part("apiserver").restart)

    def send(self, number: int) -> None:
        self.cluster.guardian.signal("apiserver", number)

    async def write(self, number: int) -> None:
        """Binds users one after the other, and records the acknowledged ones."""
        user = 0
        while True:
            uid, user = f"w{number}-{user}", user + 1
            with suppress(DeadlineExceededError):
                self.acknowledged[uid] = await self.caller.link_if_absent(uid, "game", user % 3)

    def stored(self) -> dict[str, int]:
        links = self.independent_client.all(PodLink, self.namespace)
        return {link["spec"]["uid"]: link["spec"]["podIndex"] for link in links}

    def published(self) -> dict[str, str]:
        pod = self.independent_client.get(Pod, "game-0", self.namespace)
        return dict(pod["metadata"].get("annotations", {}))


@pytest.fixture(scope="module")
def namespace(killable_cluster: LocalCluster, installed: Kubectl) -> Iterator[str]:
    """The name of a namespace with a pod and a route without an operator."""
    with fresh_namespace(installed) as name:
        here = installed.within(name)
        eventually(lambda: not here.run("get", "serviceaccount/default").code, "pods can be made")
        here.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "game-0"}, "spec": _POD})
        here.create(stateful_route())
        client = IndependentClient(killable_cluster.kubeconfig)
        client.patch_status(StatefulRoute, "game", name, STATUS)
        client.patch_status(Pod, "game-0", name, _POD_STATUS)
        yield name


_POD_STATUS = {
    "phase": "Running",
    "podIP": "10.9.0.1",
    "podIPs": [{"ip": "10.9.0.1"}],
    "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
}

_POD = {"schedulerName": "none", "containers": [{"name": "room", "image": "room.invalid/room"}]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outage(killable_cluster: LocalCluster, namespace: str) -> AsyncIterator[Outage]:
    logger = RecordingLogger()
    async with (
        connect(killable_cluster.kubeconfig) as connection,
        Client(connection) as client,
        RouteCache(client, namespace) as routes,
        ClientDriver(client, namespace, logger=RecordingLogger(), deadline_seconds=60) as caller,
        ClientDriver(client, namespace, logger=RecordingLogger(), deadline_seconds=DEADLINE_SECONDS) as hasty,
    ):
        information = ServerInformation(namespace=namespace, service="game", pod_name="game-0", pod=0)
        store = LinkStore(client, namespace, deadline_seconds=SERVER_DEADLINE_SECONDS)
        pod = AnnotationPublisher(client, information)
        server = ServerDriver(
            namespace,
            ServerParts(store, routes, pod, information),
            configuration=Configuration(state_period_seconds=0.5, deadline_seconds=SERVER_DEADLINE_SECONDS),
            logger=logger,
        )
        await server.start()
        await caller.link_if_absent("alice", "game", 0)
        await wait_until(lambda: hasty._cached_link("alice", "game"), "both drivers have the link")  # noqa: SLF001
        client_of_tests = IndependentClient(killable_cluster.kubeconfig)
        yield Outage(killable_cluster, namespace, client_of_tests, server, caller, hasty, logger)
        await server.close()
    await asyncio.sleep(0.25)


async def fails_in_time(work: Any) -> None:
    """Checks that an operation times out at its deadline."""
    loop = asyncio.get_running_loop()
    started_at = loop.time()
    with pytest.raises(
        DeadlineExceededError, match=f"^the API server did not answer within {DEADLINE_SECONDS:g} s$"
    ) as late:
        await work
    assert late.value.code is ErrorCode.TIMEOUT
    assert DEADLINE_SECONDS * 0.9 <= loop.time() - started_at < DEADLINE_SECONDS + SLACK_SECONDS


def is_chosen(outage: Outage) -> bool:
    """Returns whether the driver knows that the pod accepts new users."""
    with suppress(PodNotAvailableError):
        return outage.hasty.best_pod("game") == 0
    return False


async def reads_work(outage: Outage) -> None:
    """Checks that reads from the caches work."""
    assert await outage.hasty.get_linked_pod("alice", "game") == 0
    assert await outage.hasty.get_linked_pod("nobody", "game") is None
    assert await outage.hasty.links_of("alice") == {"game": 0}
    assert await outage.hasty.batch_get(["alice", "nobody"], "game") == {0: ["alice"]}
    assert outage.hasty.best_pod("game") == 0
    assert outage.hasty.is_available("game", 0)
    assert outage.hasty.alive_pods("game") == [0]


async def writes_fail(outage: Outage) -> None:
    """Checks that operations with requests fail at their deadline."""
    await asyncio.gather(
        fails_in_time(outage.hasty.link_if_absent("bob", "game", 1)),
        fails_in_time(outage.hasty.compute_link_if_absent("carol", "game")),
        fails_in_time(outage.hasty.get_linked_pod("alice", "game", fresh=True)),
        fails_in_time(outage.hasty.renew("alice", "game")),
    )


async def recovers(outage: Outage, uid: str) -> None:
    """Checks that everything works again without an intervention."""
    await asyncio.to_thread(outage.cluster.wait_ready)
    assert await outage.caller.link_if_absent(uid, "game", 2) == 2
    await wait_until(lambda: outage.hasty._cached_link(uid, "game"), "the watches work again", seconds=RECOVERY_SECONDS)  # noqa: SLF001
    await wait_until(lambda: outage.hasty.is_healthy, "every watch works again", seconds=RECOVERY_SECONDS)
    outage.server.set_load_state(load := outage.server.get_load_state() + 1)
    await wait_until_in_thread(
        lambda: outage.published().get("statefulroute.io/load-state") == str(load), "the load is published again"
    )
    stored = await asyncio.to_thread(outage.stored)
    assert {uid: pod for uid, pod in outage.acknowledged.items() if stored.get(uid) != pod} == {}


@asynccontextmanager
async def writing(outage: Outage) -> AsyncIterator[None]:
    """Binds users while the context lasts."""
    writers = [asyncio.create_task(outage.write(number)) for number in range(WRITERS)]
    try:
        yield
    finally:
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)


async def test_reads_work_while_the_api_server_is_dead_and_no_acknowledged_link_is_lost(outage: Outage) -> None:
    async with writing(outage):
        await wait_until(lambda: len(outage.acknowledged) > 50, "users are bound")
        await outage.kill()
        outage_started_at = asyncio.get_running_loop().time()
        await reads_work(outage)
        await writes_fail(outage)
        pending = [
            asyncio.create_task(outage.caller.link_if_absent("dave", "game", 1)),
            asyncio.create_task(outage.caller.compute_link_if_absent("erin", "game")),
            asyncio.create_task(outage.server.set_linked_pod(outage.namespace, "frank", "game", 2)),
            asyncio.create_task(outage.server.set_routing_state(RoutingState.DENY_NEW_CALL)),
        ]
        await asyncio.sleep(max(0.0, OUTAGE_SECONDS - (asyncio.get_running_loop().time() - outage_started_at)))
        await reads_work(outage)
        assert not outage.hasty.is_healthy
        assert outage.hasty.staleness_seconds > OUTAGE_SECONDS / 2
        before = len(outage.acknowledged)
        await outage.restart()
        answers = await asyncio.gather(*pending, return_exceptions=True)
        if IS_LONG:
            assert answers[:2] == [1, 0]
            assert [type(answer) for answer in answers[2:]] == [DeadlineExceededError] * 2
        else:
            assert answers == [1, 0, None, None]
        await wait_until(lambda: len(outage.acknowledged) > before + 50, "users are bound again")
    await recovers(outage, "grace")
    assert (await asyncio.to_thread(outage.published))["statefulroute.io/routing-state"] == "DenyNewCall"


async def test_reads_work_and_stop_returns_while_the_api_server_hangs(outage: Outage) -> None:
    loop = asyncio.get_running_loop()
    await outage.server.set_routing_state(RoutingState.READY)
    await wait_until(lambda: is_chosen(outage), "the pod accepts users again")
    outage.send(signal.SIGSTOP)
    try:
        await reads_work(outage)
        await writes_fail(outage)
        started_at = loop.time()
        await outage.server.stop()
        assert loop.time() - started_at < 5
        assert not outage.server.is_running
    finally:
        outage.send(signal.SIGCONT)
    await outage.server.start()
    await recovers(outage, "heidi")


@pytest.mark.parametrize("trouble", ["dead", "hanging"])
async def test_server_starts_without_the_api_server_and_reports_when_it_is_back(
    outage: Outage, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    await outage.server.stop(0)
    environment = {
        "KUBECONFIG": str(outage.cluster.kubeconfig),
        "POD_NAME": "game-0",
        "POD_NAMESPACE": outage.namespace,
    }
    for name, value in {**environment, "STATEFULROUTE_NAME": "game"}.items():
        monkeypatch.setenv(name, value)
    logger, loop = RecordingLogger(), asyncio.get_running_loop()
    configuration = Configuration(deadline_seconds=1, state_period_seconds=0.5)
    load = outage.server.get_load_state() + 100
    if trouble == "dead":
        await outage.kill()
    else:
        outage.send(signal.SIGSTOP)
    try:
        driver = ServerDriver.from_environment(configuration=configuration, logger=logger)
        started_at = loop.time()
        await driver.start()
        assert loop.time() - started_at < 1 + SLACK_SECONDS
        assert driver.is_running
        assert any("without the API server" in line["event"] for line in logger.entries)
        driver.set_load_state(load)
        await driver.set_routing_state(RoutingState.DENY_NEW_CALL)
        started_at = loop.time()
        with pytest.raises(DeadlineExceededError):
            await driver.set_linked_pod(outage.namespace, "ivan", "game", 0)
        assert loop.time() - started_at < 1 + SLACK_SECONDS
        if trouble == "dead":
            await wait_until(lambda: logger.of("the API server is unavailable: trying again"), "it says so")
    finally:
        if trouble == "dead":
            await outage.restart()
        else:
            outage.send(signal.SIGCONT)
    await asyncio.to_thread(outage.cluster.wait_ready)
    await wait_until_in_thread(
        lambda: outage.published().get("statefulroute.io/load-state") == str(load), "the load is published"
    )
    assert (await asyncio.to_thread(outage.published))["statefulroute.io/routing-state"] == "DenyNewCall"
    assert await driver.set_linked_pod(outage.namespace, f"ivan-{trouble}", "game", 0) is None
    await driver.close()
    assert not driver.is_running


async def test_server_that_never_reached_the_api_server_stops_at_once(
    outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(outage.cluster.kubeconfig))
    monkeypatch.setenv("POD_NAME", "game-0")
    monkeypatch.setenv("POD_NAMESPACE", outage.namespace)
    outage.send(signal.SIGSTOP)
    try:
        configuration = Configuration(deadline_seconds=0.2)
        async with ServerDriver.from_environment(configuration=configuration, logger=RecordingLogger()) as driver:
            assert driver.is_running
            stopping_at = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - stopping_at < SLACK_SECONDS
        assert not driver.is_running
    finally:
        outage.send(signal.SIGCONT)
    await asyncio.sleep(0.25)
