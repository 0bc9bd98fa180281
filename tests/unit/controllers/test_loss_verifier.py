"""Losses of pods are verified with reads from the API server before links move."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from statefulroute.api.vocabulary import RoutingState, ServiceState
from statefulroute.cluster.errors import UnreachableError
from statefulroute.cluster.informer import Informer
from statefulroute.controllers.loss_verifier import LossVerifier
from statefulroute.domain.keys import RouteKey
from statefulroute.domain.pod import Node
from unit.controllers.environment import GAME, Environment, eventually, idle, link, pod, route, running_route, workload

#: Lost at once, because the pod is shut down by its annotation.
SHUT_DOWN = pod(50, 1, reported_routing_state=RoutingState.SHUTDOWN)

ALL_READS = ["routes game", "stateful_sets game", "pods game-1"]


class FakeAPIServer:
    """The API server behind the caches, which may have newer versions than they."""

    def __init__(self, environment: Environment) -> None:
        self.reads: list[str] = []
        self.failures: list[Exception] = []
        self._objects: dict[str, Any] = {}
        for kind in ("routes", "stateful_sets", "pods", "nodes"):
            informer = getattr(environment.informers, kind)
            informer.read = self._reader(kind, informer)

    def has(self, key: str, item: object) -> None:
        """Gives the API server another version of an object than the caches; None is a deleted one."""
        self._objects[key] = item

    def _reader(self, kind: str, informer: Informer[Any]) -> Any:
        async def read(partition: Hashable, name: str) -> object:
            key = f"{kind} {name}"
            self.reads.append(key)
            if self.failures:
                raise self.failures.pop(0)
            item = self._objects.get(key, cached := informer.cache.get(partition, name))
            if item is None:
                informer.cache.delete(partition, name, 1000)
            elif item is not cached:
                informer.cache.put(item)
            return item

        return read


class VerifiedEnvironment(Environment):
    """The controller of links, whose losses are verified."""

    def __init__(self, **users: int) -> None:
        super().__init__()
        self.api_server = FakeAPIServer(self)
        self.verifier = LossVerifier(self.informers, self.route_store)
        self.with_pods(0, 1, 2)
        for version, (user, index) in enumerate(users.items(), start=100):
            self.links.put(link(version, user, pod=index))

    def elapse(self, seconds: float) -> None:
        """Lets time pass, and something happen that is no reason."""
        self.now += timedelta(seconds=seconds)
        self.pods.put(pod(900 + int(self.now.timestamp()) % 1000, 0, uid=str(self.now)))


@asynccontextmanager
async def running(environment: VerifiedEnvironment) -> AsyncIterator[None]:
    environment.verifier.start()
    async with running_route(environment):
        environment.writer.written.clear()
        yield
    await environment.verifier.stop()


async def test_links_of_a_lost_pod_move_after_one_read_of_it() -> None:
    environment = VerifiedEnvironment(alice=1, bob=1, carol=1)
    async with running(environment):
        environment.pods.put(SHUT_DOWN)
        await idle()
        assert sorted(user for user, what in environment.writer.written if what == "PodLost") == [
            "alice",
            "bob",
            "carol",
        ]
        assert environment.api_server.reads == ALL_READS


async def test_nothing_is_read_while_no_pod_is_lost() -> None:
    environment = VerifiedEnvironment(alice=1)
    async with running(environment):
        environment.pods.put(pod(50, 2, reported_routing_state=RoutingState.SHUTDOWN))  # it has no links
        environment.pods.delete("games", "game-1", 51)  # its grace period runs
        await idle()
        assert environment.api_server.reads == []


BACK: dict[str, tuple[str, object]] = {
    "not shut down": ("pods game-1", pod(60, 1)),
    "created again": ("pods game-1", pod(60, 1, uid="another")),
}


@pytest.mark.parametrize("case", BACK)
async def test_stale_cache_of_pods_moves_no_link(case: str) -> None:
    environment = VerifiedEnvironment(alice=1)
    async with running(environment):
        environment.api_server.has(*BACK[case])
        with capture_logs() as logs:
            environment.pods.put(SHUT_DOWN)
            await idle()
        assert (environment.writer.written, environment.api_server.reads) == ([], ALL_READS)
        assert [(line["event"], line["pod"]) for line in logs] == [
            ("a pod that looked lost is not: the cache may be stale", "game-1")
        ]


async def test_pod_that_was_created_again_unseen_keeps_its_links() -> None:
    environment = VerifiedEnvironment(alice=1)
    async with running(environment):
        environment.pods.delete("games", "game-1", 50)
        await idle()
        environment.api_server.has("pods game-1", pod(60, 1, uid="another"))
        environment.elapse(30)
        await idle()
        assert (environment.writer.written, environment.api_server.reads) == ([], ALL_READS)


async def test_node_that_is_ready_again_unseen_keeps_the_links_of_its_pods() -> None:
    environment = VerifiedEnvironment(alice=1)
    nodes = environment.informers.nodes
    assert nodes is not None
    nodes.cache.put(Node(name="n1", resource_version=1, is_ready=False))
    environment.pods.put(pod(50, 1, node_name="n1"))
    async with running(environment):
        environment.api_server.has("nodes n1", Node(name="n1", resource_version=2, is_ready=True))
        environment.elapse(30)
        await idle()
        assert (environment.writer.written, environment.api_server.reads) == ([], [*ALL_READS, "nodes n1"])


async def test_workload_that_was_scaled_up_again_unseen_keeps_its_links() -> None:
    environment = VerifiedEnvironment(alice=2)
    async with running(environment):
        environment.api_server.has("stateful_sets game", workload(60))
        environment.workloads.put(workload(50, replicas=2))
        environment.pods.delete("games", "game-2", 51)
        await idle()
        assert environment.writer.written == []


async def test_route_that_no_longer_shuts_its_pods_down_keeps_its_links() -> None:
    environment = VerifiedEnvironment(alice=1)
    async with running(environment):
        environment.api_server.has("routes game", route(60, generation=3))
        environment.routes.put(route(50, generation=2, spec={"routingState": "Shutdown"}))
        await idle()
        assert environment.writer.written == []


async def test_pod_that_is_absent_for_another_reason_has_the_period_of_that_reason() -> None:
    environment = VerifiedEnvironment(alice=1)
    async with running(environment):
        environment.pods.delete("games", "game-1", 50)
        await idle()
        environment.api_server.has("pods game-1", pod(60, 1, service_state=ServiceState.PENDING))
        environment.elapse(30)
        await idle()
        assert environment.writer.written == []
        environment.elapse(300)
        await idle()
        assert ("alice", "PodLost") in environment.writer.written


async def test_links_stay_until_the_api_server_can_be_read() -> None:
    environment = VerifiedEnvironment(alice=1)
    async with running(environment):
        environment.api_server.failures += [UnreachableError("no answer")] * 3
        with capture_logs() as logs:
            environment.pods.put(SHUT_DOWN)
            await idle()
            assert environment.writer.written == []
            await eventually(lambda: ("alice", "PodLost") in environment.writer.written)
    warnings = {line["event"] for line in logs if line["log_level"] == "warning"}
    assert warnings == {"a lost pod was not read: trying again"}


async def test_pod_that_cannot_be_read_delays_no_other() -> None:
    environment = VerifiedEnvironment(alice=1, bob=2)
    async with running(environment):
        read = environment.informers.pods.read

        async def read_or_fail(partition: Hashable, name: str) -> Any:
            if name == "game-2":
                raise UnreachableError("no answer")
            return await read(partition, name)

        environment.informers.pods.read = read_or_fail  # type: ignore[method-assign]
        environment.pods.put(SHUT_DOWN)
        environment.pods.put(msgspec.structs.replace(SHUT_DOWN, name="game-2", index=2))
        await idle()
        assert {user for user, _ in environment.writer.written} == {"alice"}


async def test_read_that_hangs_holds_up_no_other_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("statefulroute.controllers.loss_verifier._BATCH_SECONDS", 0.02)
    environment = VerifiedEnvironment(alice=1, bob=2)
    async with running(environment):
        read, blocked = environment.informers.pods.read, asyncio.Event()

        async def read_or_hang(partition: Hashable, name: str) -> Any:
            if name == "game-2":
                await blocked.wait()
            return await read(partition, name)

        environment.informers.pods.read = read_or_hang  # type: ignore[method-assign]
        environment.pods.put(SHUT_DOWN)
        environment.pods.put(msgspec.structs.replace(SHUT_DOWN, name="game-2", index=2))
        await eventually(lambda: ("alice", "PodLost") in environment.writer.written)
        assert {user for user, _ in environment.writer.written} == {"alice"}
        blocked.set()
        await eventually(lambda: ("bob", "PodLost") in environment.writer.written)


async def test_verification_that_was_stopped_is_repeated_after_the_next_start() -> None:
    environment = VerifiedEnvironment(alice=1)
    verifier, pods = environment.verifier, environment.informers.pods
    read, blocked = pods.read, asyncio.Event()

    async def read_when_unblocked(partition: Hashable, name: str) -> Any:
        await blocked.wait()
        return await read(partition, name)

    pods.read = read_when_unblocked  # type: ignore[method-assign]
    async with running(environment):
        environment.pods.put(SHUT_DOWN)
        await idle()
        await verifier.stop()
        blocked.set()
        await idle()
        assert environment.writer.written == []
        verifier.start()
        await idle()
        assert ("alice", "PodLost") in environment.writer.written


async def test_loss_that_begins_again_is_verified_again() -> None:
    environment = VerifiedEnvironment(alice=1)
    environment.routes.put(route(20, generation=2, spec={"onPodLost": {"action": "Keep"}}))
    async with running(environment):
        for version in (60, 70):
            environment.api_server.reads.clear()
            environment.pods.put(pod(version, 1, reported_routing_state=RoutingState.SHUTDOWN))
            await idle()
            assert environment.reason_of("alice") == "PodLost"
            assert environment.api_server.reads == ALL_READS
            environment.pods.put(pod(version + 1, 1))
            await idle()
            assert environment.reason_of("alice") == "Bound"
            environment.now += timedelta(seconds=1)


async def test_routes_whose_reads_hang_delay_no_other_namespace() -> None:
    environment = VerifiedEnvironment()
    verifier, verified = environment.verifier, list[RouteKey]()

    async def verify(key: RouteKey) -> None:
        if key.namespace == "hanging":
            await asyncio.Event().wait()
        verified.append(key)

    verifier._verify = verify  # type: ignore[method-assign] # noqa: SLF001 - reads of some routes hang
    verifier.start()
    for number in range(100):
        verifier._add(RouteKey("hanging", f"game-{number}"))  # noqa: SLF001
    verifier._add(GAME)  # noqa: SLF001
    await idle()
    assert verified == [GAME]
    await verifier.stop()
