"""Tests the ends and the places of drivers: other loops, forks, other processes of a pod, and refusals."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from statefulroute import (
    ClientDriver,
    Configuration,
    DriverAlreadyRunningError,
    DriverNotOpenError,
    ForbiddenError,
    RoutingState,
    ServerDriver,
    ServerParts,
    ServiceNotFoundError,
)
from statefulroute.cluster.errors import APIError
from statefulroute.driver.events import Change, Subscription
from statefulroute.testing import InMemoryCluster
from statefulroute.testing.in_memory_client import InMemoryClient
from support.own_loop import run_in_own_loop

HERE = "play"
#: Of a driver that is connected at once, and of one that starts before the API server answers.
STEADY = Configuration(drain_seconds=0.1)
SOON = Configuration(state_period_seconds=0.05, deadline_seconds=0.1, drain_seconds=0.1)


@pytest.fixture
def cluster() -> InMemoryCluster:
    cluster = InMemoryCluster(HERE)
    cluster.add_service("game", pods=2)
    return cluster


def worker(cluster: InMemoryCluster, configuration: Configuration) -> ServerDriver:
    """Returns the driver of a process of the pod game-0; unlike a pod in memory, it has a UID."""
    source = cluster.server_driver("game", 0)._parts._source  # noqa: SLF001 - the parts of the driver in memory

    async def open_parts(stack: AsyncExitStack) -> ServerParts:
        assert not isinstance(source, ServerParts)
        parts = await source(stack)
        return replace(parts, server=replace(parts.server, pod_uid=f"pod-of-{os.getpid()}"))

    return ServerDriver(HERE, open_parts, configuration=configuration)


def published(cluster: InMemoryCluster) -> str:
    pods = cluster._client.objects(cluster._pods)  # noqa: SLF001 - drivers write the annotations there
    annotations: dict[str, str] = pods[0]["metadata"]["annotations"]
    return annotations["statefulroute.io/routing-state"]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


async def test_worker_that_started_in_an_outage_does_not_drain_the_pod_of_another(
    cluster: InMemoryCluster, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = worker(cluster, STEADY), worker(cluster, SOON)
    async with first:
        cluster.set_available(is_available=False)
        await second.start()
        cluster.set_available(is_available=True)
        await until(lambda: "already running in another process" in caplog.text)
        with pytest.raises(DriverAlreadyRunningError):
            await second.set_routing_state(RoutingState.SHUTDOWN)
        await second.close()
        assert (published(cluster), first.is_running, second.is_running) == ("Ready", True, False)
    assert published(cluster) == "DenyNewCall"


async def test_worker_takes_over_from_one_that_has_ended(cluster: InMemoryCluster) -> None:
    first, second = worker(cluster, STEADY), worker(cluster, SOON)
    await first.start()
    cluster.set_available(is_available=False)
    async with second:
        cluster.set_available(is_available=True)
        await first.close()
        await until(lambda: published(cluster) == "Ready")
    assert published(cluster) == "DenyNewCall"


async def test_worker_waits_for_one_that_stops(cluster: InMemoryCluster, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    first, second, third = worker(cluster, STEADY), worker(cluster, SOON), worker(cluster, SOON)
    await first.start()
    await first.set_linked_pod(HERE, "alice", "game", 0)
    stopping = asyncio.create_task(first.stop(20))
    await until(lambda: published(cluster) == "DenyNewCall")
    await second.start()  # returns after its time limit: it serves users, and does not report yet
    assert "reports as soon as that in another process has stopped" in caplog.text
    await second.set_routing_state(RoutingState.SHUTDOWN)
    async with third:  # so does a third, which stops before
        assert (published(cluster), stopping.done()) == ("DenyNewCall", False)
    await first.stop(0)
    await stopping
    await until(lambda: published(cluster) == "Shutdown")
    with pytest.raises(DriverAlreadyRunningError, match="in another process of this pod"):
        await worker(cluster, Configuration(deadline_seconds=2.0)).start()
    for driver in (first, second, third):
        await driver.close()


async def test_worker_starts_when_another_stops_soon(cluster: InMemoryCluster) -> None:
    first, second = worker(cluster, STEADY), worker(cluster, STEADY)
    await first.start()
    starting = asyncio.create_task(second.start())
    await until(lambda: second._parts.opened is not None)  # noqa: SLF001 - it tries to report
    await asyncio.sleep(0.02)
    assert not starting.done()
    await first.stop()
    await starting
    assert published(cluster) == "Ready"
    await second.close()


async def test_missing_route_is_an_error_also_with_a_short_time_limit(cluster: InMemoryCluster) -> None:
    driver = cluster.server_driver("missing", 0, configuration=Configuration(deadline_seconds=1.0))
    with pytest.raises(ServiceNotFoundError):
        await driver.start()
    assert not driver.is_running
    await driver.close()


def test_driver_that_connected_late_may_be_opened_in_another_loop(cluster: InMemoryCluster) -> None:
    driver = cluster.server_driver("game", 0, configuration=SOON)

    async def life(*, is_available: bool) -> None:
        cluster.set_available(is_available=is_available)
        async with driver:
            cluster.set_available(is_available=True)
            await until(lambda: driver._parts.opened is not None)  # noqa: SLF001 - it has connected

    for is_available in (False, True):
        run_in_own_loop(life(is_available=is_available))


async def test_operation_is_told_that_the_driver_was_closed(cluster: InMemoryCluster) -> None:
    cluster.set_available(is_available=False)
    driver = cluster.server_driver("game", 0)
    binding = asyncio.create_task(driver.set_linked_pod(HERE, "alice", "game", 0))
    await asyncio.sleep(0.01)
    await driver.close()
    with pytest.raises(DriverNotOpenError, match="was closed"):  # and not a cancellation that nobody asked for
        await binding


async def test_close_of_a_client_ends_its_start(cluster: InMemoryCluster) -> None:
    cluster.set_available(is_available=False)
    driver = cluster.client_driver(deadline_seconds=600)
    starting = asyncio.create_task(driver.start())
    await asyncio.sleep(0.01)
    await driver.close()
    async with asyncio.timeout(5):
        with pytest.raises(DriverNotOpenError, match="was closed"):
            await starting
    assert not driver.is_healthy


async def test_cancelled_start_of_a_client_is_cancelled(cluster: InMemoryCluster) -> None:
    cluster.set_available(is_available=False)
    driver = cluster.client_driver()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await driver.start()
    with pytest.raises(DriverNotOpenError, match="is closed"):
        driver.best_pod("game")


def test_close_and_events_name_another_loop_and_a_fork(cluster: InMemoryCluster) -> None:
    driver = cluster.client_driver()

    async def opened() -> Subscription[Change]:
        await driver.start()
        return driver.events()

    async def next_event(events: Subscription[Change]) -> None:
        async with asyncio.timeout(1):
            await anext(events)

    loop = asyncio.new_event_loop()
    events = loop.run_until_complete(opened())
    for call in (driver.close, lambda: next_event(events)):
        with pytest.raises(DriverNotOpenError, match="another event loop"):
            run_in_own_loop(call())
    child = os.fork()
    if child == 0:
        try:
            run_in_own_loop(next_event(events))
        except DriverNotOpenError as error:
            os._exit(0 if "was forked" in str(error) else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    loop.run_until_complete(driver.close())
    loop.close()


class _ListsOnly(InMemoryClient):
    @asynccontextmanager
    async def watch(self, path: str, params: Mapping[str, str]) -> AsyncIterator[AsyncIterator[bytes]]:
        """Refuses all watches."""
        raise APIError(403, "Forbidden", f"cannot watch {path} with {params}")
        yield


async def test_account_that_may_list_but_not_watch_is_forbidden() -> None:
    with pytest.raises(ForbiddenError, match="cannot watch"):
        await ClientDriver(_ListsOnly(lambda _: None), HERE).start()
