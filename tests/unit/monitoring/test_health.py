"""Liveness, readiness and the metrics of caches follow the activity of the reflectors."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable

import pytest

from statefulroute.cluster import reflector as reflector_module
from statefulroute.cluster.client import Client
from statefulroute.cluster.codec import PODS
from statefulroute.cluster.reflector import Reflector
from statefulroute.domain.pod import Pod
from statefulroute.monitoring.caches import CacheMetrics
from statefulroute.monitoring.health import INACTIVITY_LIMIT_SECONDS, Health, HealthCheck
from unit.cluster.fake_api import FakeAPI, eventually
from unit.cluster.objects import bookmark, page, pod


@pytest.fixture
async def reflector(client: Client, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Reflector[Pod]]:
    """A running reflector of pods."""
    monkeypatch.setattr(reflector_module, "_INITIAL_BACKOFF_SECONDS", 0.002)
    reflector = Reflector(client, PODS)
    task = asyncio.create_task(reflector.run())
    yield reflector
    task.cancel()
    await asyncio.wait([task])


def failures(checks: Iterable[HealthCheck]) -> dict[str, str | None]:
    return dict(checks)


def liveness(reflector: Reflector[Pod], at: float) -> dict[str, str | None]:
    """Returns the liveness checks at a time."""
    return failures(Health([reflector], lambda: at).check_liveness())


async def test_liveness_fails_after_five_minutes_without_activity(api: FakeAPI, reflector: Reflector[Pod]) -> None:
    await api.call()  # never answered
    started = reflector.last_activity_at
    assert liveness(reflector, started + INACTIVITY_LIMIT_SECONDS - 1) == {"ping": None, "watch-pods": None}
    assert liveness(reflector, started + INACTIVITY_LIMIT_SECONDS + 1) == {
        "ping": None,
        "watch-pods": "no event and no attempt for 301 s",
    }


async def test_a_failed_attempt_counts_as_activity(api: FakeAPI, reflector: Reflector[Pod]) -> None:
    started = reflector.last_activity_at
    (await api.call()).respond_error(500)
    await api.call()  # the retry
    assert reflector.last_activity_at > started
    assert reflector.last_update_at == started
    between = (started + reflector.last_activity_at) / 2
    assert liveness(reflector, between + INACTIVITY_LIMIT_SECONDS)["watch-pods"] is None


@pytest.mark.parametrize("kind", ["event", "bookmark"])
async def test_events_and_bookmarks_count_as_activity(api: FakeAPI, reflector: Reflector[Pod], kind: str) -> None:
    (await api.call()).respond(page([], 10))
    watch = await (await api.call()).stream()
    listed = reflector.last_activity_at
    await watch.send(bookmark(11) if kind == "bookmark" else {"type": "ADDED", "object": pod("a", 11)})
    await eventually(lambda: reflector.last_activity_at > listed)
    assert reflector.last_update_at == reflector.last_activity_at
    between = (listed + reflector.last_activity_at) / 2
    assert liveness(reflector, between + INACTIVITY_LIMIT_SECONDS)["watch-pods"] is None


async def test_readiness_passes_after_the_last_page_of_the_first_list_and_stays(
    api: FakeAPI, reflector: Reflector[Pod]
) -> None:
    not_ready = {"ping": None, "cache-pods": "the first list is not complete"}
    health = Health([reflector])
    assert failures(health.check_readiness()) == not_ready
    (await api.call()).respond(page([pod("a", 1)], 10, next_page="more"))
    second = await api.call()
    assert failures(health.check_readiness()) == not_ready
    second.respond(page([pod("b", 2)], 10))
    watch = await api.call()
    assert failures(health.check_readiness()) == {"ping": None, "cache-pods": None}
    watch.respond_error(410, "Expired", "too old")
    await api.call()  # the new list; the cache keeps its objects
    assert failures(health.check_readiness()) == {"ping": None, "cache-pods": None}


async def test_liveness_fails_only_for_the_inactive_watch(client: Client) -> None:
    inactive, active = Reflector(client, PODS), Reflector(client, PODS)
    now = time.monotonic() + 2 * INACTIVITY_LIMIT_SECONDS
    active.last_activity_at = now
    assert [check.failure is None for check in Health([inactive, active], lambda: now).check_liveness()] == [
        True,
        False,
        True,
    ]


async def test_cache_age_counts_from_the_last_update_and_not_from_a_failure(
    api: FakeAPI, reflector: Reflector[Pod]
) -> None:
    (await api.call()).respond(page([pod("a", 1)], 10))
    (await api.call()).respond_error(500)
    await api.call()
    last_update_at = reflector.last_update_at
    metrics = CacheMetrics([reflector], lambda: last_update_at + 42)
    samples = {sample.name: sample.value for family in metrics.collect() for sample in family.samples}
    assert samples == {
        "statefulroute_cache_age_seconds": pytest.approx(42),
        "statefulroute_cache_objects": 1,
        "statefulroute_cache_synced": 1,
        "statefulroute_watch_restarts_total": 1,
    }


async def test_metrics_of_several_namespaces_are_aggregated_to_the_worst_value(client: Client) -> None:
    first = Reflector(client, PODS)
    second = Reflector(client, PODS, cache=first.cache)
    first.last_update_at, second.last_update_at, first.restarts, second.restarts = 10.0, 30.0, 1, 2
    first.synced.set()
    metrics = CacheMetrics([first, second], lambda: 40.0)
    samples = {sample.name: sample.value for family in metrics.collect() for sample in family.samples}
    assert samples == {
        "statefulroute_cache_age_seconds": 30,
        "statefulroute_cache_objects": 0,
        "statefulroute_cache_synced": 0,
        "statefulroute_watch_restarts_total": 3,
    }
