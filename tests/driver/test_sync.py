"""Tests the blocking drivers."""

import asyncio
import inspect
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pykube.objects import Pod

import statefulroute
from driver.driver_factory import NO_REPORT
from driver.recording import RecordingLogger
from localcluster import LocalCluster
from statefulroute import (
    Attempt,
    Configuration,
    DeadlineExceededError,
    DriverAlreadyRunningError,
    NotLocalNamespaceError,
    RoutingState,
    sync,
)
from statefulroute.driver.events import LinkChanged
from support.independent_client import PodLink
from support.service import Service

THREADS = 8
LIVES = 6

CLASSES = ("ServerDriver", "ClientDriver")


#: The methods that have their own time limit, or none.
UNLIMITED = {"start", "stop", "close"}


def public(kind: type) -> dict[str, Any]:
    return {name: getattr(kind, name) for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize("name", CLASSES)
def test_sync_drivers_have_every_public_name(name: str) -> None:
    asynchronous, waiting = getattr(statefulroute, name), getattr(sync, name)
    assert public(asynchronous).keys() == public(waiting).keys()
    for method, member in public(waiting).items():
        original = getattr(asynchronous, method)
        assert not inspect.iscoroutinefunction(member)
        assert inspect.getdoc(member), method
        if isinstance(member, property):
            continue
        theirs, ours = inspect.signature(original), inspect.signature(member)
        has_limit = inspect.iscoroutinefunction(original) and method not in {*UNLIMITED, "connect"}
        assert list(ours.parameters) == [*theirs.parameters, *(["timeout"] if has_limit else [])], method
        assert {each.name: each.default for each in theirs.parameters.values()} == {
            each.name: each.default for each in ours.parameters.values() if each.name != "timeout" or not has_limit
        }, method


@pytest.fixture
def server(in_a_pod: pytest.MonkeyPatch, shared_service: Service) -> Iterator[sync.ServerDriver]:
    """The running driver of game-0."""
    del in_a_pod
    settings = Configuration(drain_seconds=0)
    with sync.ServerDriver.from_environment(configuration=settings, logger=RecordingLogger()) as driver:
        yield driver
    assert not driver.is_running
    shared_service.annotate(0, NO_REPORT)


@pytest.fixture
def caller(cluster: LocalCluster, shared_service: Service) -> Iterator[sync.ClientDriver]:
    """A client driver that caches all services."""
    with sync.ClientDriver.connect(
        shared_service.namespace, kubeconfig=cluster.kubeconfig, logger=RecordingLogger()
    ) as driver:
        yield driver
    shared_service.client.delete_all(PodLink, shared_service.namespace)


def test_server_driver_is_used_from_eight_threads(server: sync.ServerDriver, shared_service: Service) -> None:
    here = shared_service.namespace
    assert server.init().pod == 0
    with pytest.raises(DriverAlreadyRunningError):
        server.start()
    with pytest.raises(NotLocalNamespaceError):
        server.set_linked_pod("elsewhere", "alice", "game", 0)

    def life(number: int) -> None:
        for turn in range(LIVES):
            uid = f"thread-{number}-{turn}"
            server.set_load_state(number)
            assert server.get_load_state() in range(THREADS)
            server.set_waiting_tasks(number)
            assert server.set_linked_pod(here, uid, "game", 0) is None
            assert server.get_linked_pod(here, uid, "game") == 0
            assert server.links_of(here, uid) == {"game": 0}
            address = server.address_of(here, uid, "game")
            assert address is not None
            assert address.pod == "game-0"
            assert server.try_set_linked_pod(here, uid, "game", 1) == Attempt(won=False, holder=0)
            assert not server.remove_linked_pod_with_id(here, uid, "game", 1)
            assert server.remove_linked_pod_with_id(here, uid, "game", 0, grace_seconds=0)
            assert not server.remove_linked_pod(here, uid, "game", grace_seconds=5)
        server.set_routing_state(RoutingState.DENY_NEW_CALL)

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(life, range(THREADS))) == [None] * THREADS
    assert server.get_routing_state() is RoutingState.DENY_NEW_CALL
    pod = shared_service.client.get(Pod, "game-0", here)
    assert pod["metadata"]["annotations"]["statefulroute.io/routing-state"] == "DenyNewCall"
    assert server.get_waiting_tasks() in range(THREADS)
    server.stop()
    server.start()


def test_client_driver_is_used_from_eight_threads(caller: sync.ClientDriver) -> None:
    assert caller.alive_pods("game") == caller.routable_pods("game") == [0, 1, 2]
    assert caller.services_of_tag("nothing") == []

    def life(number: int) -> list[Any]:
        answers = [caller.compute_link_if_absent(f"wave-{turn}", "game") for turn in range(LIVES)]
        uid = f"mine-{number}"
        assert caller.link_if_absent(uid, "game", 1, ttl_seconds=600) == 1
        assert caller.get_linked_pod(uid, "game") == 1
        assert caller.get_linked_pod_if_persistent(uid, "game") is None
        assert caller.renew(uid, "game")
        assert caller.links_of(uid) == {"game": 1}
        assert caller.batch_get([uid], "game") == {1: [uid]}
        assert caller.is_available("game", caller.best_pod("game"))
        assert caller.is_routable("game", 1)
        assert caller.is_workload_ready("game")
        address = caller.address_of(uid, "game")
        assert address is not None
        assert address.pod == "game-1"
        return answers

    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(life, range(THREADS)))
    assert answers == [answers[0]] * THREADS


def test_thread_iterates_events_until_the_driver_closes(cluster: LocalCluster, shared_service: Service) -> None:
    received: list[Any] = []
    with sync.ClientDriver.connect(
        shared_service.namespace, kubeconfig=cluster.kubeconfig, logger=RecordingLogger()
    ) as driver:
        events = driver.events()
        thread = threading.Thread(target=lambda: received.extend(events))
        thread.start()
        driver.link_if_absent("carol", "game", 2)
    thread.join(10)
    assert not thread.is_alive()
    assert LinkChanged("game", "carol", None, 2) in received


def test_works_beside_an_event_loop_of_the_application(caller: sync.ClientDriver) -> None:
    async def ask() -> Any:
        return await asyncio.to_thread(caller.get_linked_pod, "nobody", "game")

    assert asyncio.run(ask()) is None


def test_call_may_have_its_own_time_limit(caller: sync.ClientDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()  # only the time limit of the call ends it

    monkeypatch.setattr(statefulroute.ClientDriver, "renew", hang)
    with pytest.raises(DeadlineExceededError, match=r"^the call did not end within 0\.2 s$"):
        caller.renew("alice", "game", timeout=0.2)
    assert caller.get_linked_pod("nobody", "game", timeout=5) is None
