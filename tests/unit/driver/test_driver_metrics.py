"""The Prometheus metrics of drivers, with a cluster in memory."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from statefulroute import (
    Configuration,
    DeadlineExceededError,
    DriverMetrics,
    InvalidParameterError,
    NotLocalNamespaceError,
    PodNotRoutableError,
)
from statefulroute.testing import InMemoryCluster

NEVER = Configuration(state_period_seconds=3600, workload_period_seconds=3600, drain_seconds=0)

#: Returns the value of a metric; 0 if it has none.
Value = Callable[..., float]


@pytest.fixture
def cluster() -> InMemoryCluster:
    cluster = InMemoryCluster("play")
    cluster.add_service("game", pods=3, port=7777)
    return cluster


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> DriverMetrics:
    return DriverMetrics(registry)


@pytest.fixture
def value(registry: CollectorRegistry) -> Value:
    def read(name: str, **labels: str) -> float:
        in_namespace = {} if name.startswith("operation") else {"namespace": "play"}
        return registry.get_sample_value(f"statefulroute_driver_{name}", in_namespace | labels) or 0.0

    return read


async def test_lookups_count_by_what_answers_them(
    cluster: InMemoryCluster, metrics: DriverMetrics, value: Value
) -> None:
    async with cluster.client_driver(metrics=metrics) as client:
        await client.bind("alice", "game")
        assert value("lookups_total", source="cache") == 0
        await client.get_linked_pod("alice", "game")
        await client.get_linked_pod_if_persistent("alice", "game")
        await client.address_of("alice", "game")
        await client.get_linked_pod("nobody", "game")  # the cache knows that there is no link
        assert (value("lookups_total", source="cache"), value("lookups_total", source="request")) == (4, 0)
        await client.get_linked_pod("alice", "game", fresh=True)
        await client.batch_get(["alice"], "game")
        await client.links_of("alice")
        assert (value("lookups_total", source="cache"), value("lookups_total", source="request")) == (6, 1)
    async with cluster.client_driver(services=[], metrics=metrics) as uncached:
        await uncached.get_linked_pod("alice", "game")
        await uncached.address_of("alice", "game")
    assert (value("lookups_total", source="cache"), value("lookups_total", source="request")) == (6, 3)


async def test_lookups_of_a_server_count_as_requests(
    cluster: InMemoryCluster, metrics: DriverMetrics, value: Value
) -> None:
    async with cluster.server_driver("game", 0, configuration=NEVER, metrics=metrics) as server:
        await server.set_linked_pod("play", "alice", "game", 0)
        await server.get_linked_pod("play", "alice", "game")
        await server.address_of("play", "alice", "game")
    assert (value("lookups_total", source="cache"), value("lookups_total", source="request")) == (0, 2)


async def test_writes_count_by_what_they_change(cluster: InMemoryCluster, metrics: DriverMetrics, value: Value) -> None:
    async with cluster.server_driver("game", 0, configuration=NEVER, metrics=metrics) as server:
        for pod in (0, 0, 1):
            await server.set_linked_pod("play", "alice", "game", pod)
        await server.set_linked_pod("play", "alice", "game", 1, ttl_seconds=60)
        await server.remove_linked_pod("play", "alice", "game")
        await server.remove_linked_pod("play", "alice", "game")  # there is none
    changes = {change: value("link_writes_total", change=change) for change in ("bound", "moved", "updated", "removed")}
    assert changes == {"bound": 1, "moved": 1, "updated": 1, "removed": 1}


async def test_moves_count_whoever_moves_a_user(cluster: InMemoryCluster, metrics: DriverMetrics, value: Value) -> None:
    server = cluster.server_driver("game", 0, configuration=NEVER)
    async with cluster.client_driver(metrics=metrics) as client, server:
        await client.link_if_absent("alice", "game", 0)
        assert value("link_writes_total", change="bound") == 1
        await server.set_linked_pod("play", "alice", "game", 2)
        async with asyncio.timeout(5):
            while value("moves_total") != 1:  # noqa: ASYNC110 - until the watch has it
                await asyncio.sleep(0.005)
        await server.remove_linked_pod("play", "alice", "game")
        await client.link_if_absent("alice", "game", 1)
        assert (value("moves_total"), value("link_writes_total", change="moved")) == (1, 0)


async def test_errors_count_by_operation_and_code(
    cluster: InMemoryCluster, metrics: DriverMetrics, value: Value
) -> None:
    server = cluster.server_driver("game", 0, configuration=NEVER, metrics=metrics)
    async with cluster.client_driver(metrics=metrics, deadline_seconds=0.05) as client, server:
        with pytest.raises(InvalidParameterError):
            await client.compute_link_if_absent("", "game")
        with pytest.raises(NotLocalNamespaceError):
            await server.set_linked_pod("other", "alice", "game", 0)
        cluster.set_available(is_available=False)
        with pytest.raises(DeadlineExceededError):
            await client.get_linked_pod("alice", "game", fresh=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await server.get_linked_pod("play", "alice", "game")  # the caller gives up: no error of the driver
        cluster.set_available(is_available=True)
    assert value("errors_total", operation="compute_link_if_absent", code="InvalidParameter") == 1
    assert value("errors_total", operation="set_linked_pod", code="NotLocalNamespace") == 1
    assert value("errors_total", operation="get_linked_pod", code="Timeout") == 1
    assert value("errors_total", operation="get_linked_pod", code="Internal") == 0
    assert value("operation_duration_seconds_count", operation="compute_link_if_absent") == 1
    assert value("operation_duration_seconds_count", operation="get_linked_pod") == 2


async def test_caches_of_open_drivers_are_exposed(
    cluster: InMemoryCluster, metrics: DriverMetrics, registry: CollectorRegistry, value: Value
) -> None:
    def read(name: str) -> float | None:
        return registry.get_sample_value(f"statefulroute_driver_{name}", {"namespace": "play"})

    client, other = cluster.client_driver(metrics=metrics), cluster.client_driver(services=[], metrics=metrics)
    assert read("cached_links") is None
    async with client, other:
        for uid in ("alice", "bob"):
            await client.bind(uid, "game")
        assert (value("cached_links"), client.cached_links, other.cached_links) == (2, 2, 0)
        async with asyncio.timeout(5):
            while not value("cache_age_seconds") >= 0.05:  # noqa: ASYNC110 - the time passes
                await asyncio.sleep(0.01)
        assert _in_child(lambda: read("cached_links") is None)  # the caches of the parent are not those of the child
        scraped: list[bytes] = []
        thread = threading.Thread(target=lambda: scraped.append(generate_latest(registry)))
        thread.start()
        thread.join()
        assert b'statefulroute_driver_cached_links{namespace="play"} 2.0' in scraped[0]
    assert (read("cached_links"), read("cache_age_seconds")) == (None, None)


def _in_child(check: Callable[[], bool]) -> bool:
    child = os.fork()
    if child == 0:
        os._exit(0 if check() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


async def test_failed_address_is_a_lookup_of_the_cache(
    cluster: InMemoryCluster, metrics: DriverMetrics, value: Value
) -> None:
    async with cluster.client_driver(metrics=metrics) as client:
        await client.link_if_absent("alice", "game", 0)
        cluster.set_ready("game", 0, is_ready=False)
        async with asyncio.timeout(5):
            while 0 in client.alive_pods("game"):  # noqa: ASYNC110 - until the watch has it
                await asyncio.sleep(0.005)
        with pytest.raises(PodNotRoutableError):
            await client.address_of("alice", "game")
    assert value("lookups_total", source="cache") == 1


def test_default_registry_takes_the_metrics_once() -> None:
    metrics = DriverMetrics()
    try:
        assert b"statefulroute_driver_lookups" in generate_latest(REGISTRY)
        with pytest.raises(ValueError, match="Duplicated timeseries"):
            DriverMetrics()
    finally:
        for each in (metrics.lookups, metrics.writes, metrics.moves, metrics.errors, metrics.durations, metrics.caches):
            REGISTRY.unregister(each)


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ImportError, match=r"pip install 'statefulroute\[metrics\]'$"):
        DriverMetrics()
