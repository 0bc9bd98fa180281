"""Whether a process lives and is ready: by what its reflectors do, against an API server that the test plays."""

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
    """One at work."""
    monkeypatch.setattr(reflector_module, "_INITIAL_BACKOFF_SECONDS", 0.002)
    made = Reflector(client, PODS)
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    await asyncio.wait([task])


def faults(checks: Iterable[HealthCheck]) -> dict[str, str | None]:
    return dict(checks)


def live(reflector: Reflector[Pod], at: float) -> dict[str, str | None]:
    """What the process says of its life at a moment."""
    return faults(Health([reflector], lambda: at).check_liveness())


async def test_a_reflector_without_a_sign_of_life_for_five_minutes_is_a_fault(
    api: FakeAPI, reflector: Reflector[Pod]
) -> None:
    await api.call()  # which is never answered
    began = reflector.last_activity_at
    assert live(reflector, began + INACTIVITY_LIMIT_SECONDS - 1) == {"ping": None, "watch-pods": None}
    assert live(reflector, began + INACTIVITY_LIMIT_SECONDS + 1) == {
        "ping": None,
        "watch-pods": "no news and no attempt for 301 s",
    }


async def test_an_attempt_that_fails_is_a_sign_of_life_for_a_restart_would_not_mend_it(
    api: FakeAPI, reflector: Reflector[Pod]
) -> None:
    began = reflector.last_activity_at
    (await api.call()).respond_error(500)
    await api.call()  # it tries again
    assert reflector.last_activity_at > began
    assert reflector.last_update_at == began
    between = (began + reflector.last_activity_at) / 2
    assert live(reflector, between + INACTIVITY_LIMIT_SECONDS)["watch-pods"] is None


@pytest.mark.parametrize("news", ["event", "bookmark"])
async def test_any_news_is_a_sign_of_life(api: FakeAPI, reflector: Reflector[Pod], news: str) -> None:
    (await api.call()).respond(page([], 10))
    watch = await (await api.call()).stream()
    listed = reflector.last_activity_at
    await watch.send(bookmark(11) if news == "bookmark" else {"type": "ADDED", "object": pod("a", 11)})
    await eventually(lambda: reflector.last_activity_at > listed)
    assert reflector.last_update_at == reflector.last_activity_at
    between = (listed + reflector.last_activity_at) / 2
    assert live(reflector, between + INACTIVITY_LIMIT_SECONDS)["watch-pods"] is None


async def test_it_is_ready_when_the_last_page_of_the_first_list_is_there_and_stays_so(
    api: FakeAPI, reflector: Reflector[Pod]
) -> None:
    unready = {"ping": None, "cache-pods": "the first list is not complete"}
    health = Health([reflector])
    assert faults(health.check_readiness()) == unready
    (await api.call()).respond(page([pod("a", 1)], 10, next_page="more"))
    second = await api.call()
    assert faults(health.check_readiness()) == unready
    second.respond(page([pod("b", 2)], 10))
    watch = await api.call()
    assert faults(health.check_readiness()) == {"ping": None, "cache-pods": None}
    watch.respond_error(410, "Expired", "too old")
    await api.call()  # it lists anew, and works on with what it knows
    assert faults(health.check_readiness()) == {"ping": None, "cache-pods": None}


async def test_one_silent_watch_of_several_is_named(client: Client) -> None:
    silent, lively = Reflector(client, PODS), Reflector(client, PODS)
    now = time.monotonic() + 2 * INACTIVITY_LIMIT_SECONDS
    lively.last_activity_at = now
    assert [check.failure is None for check in Health([silent, lively], lambda: now).check_liveness()] == [
        True,
        False,
        True,
    ]


async def test_the_age_of_a_cache_is_that_of_its_last_news_and_a_failure_is_none(
    api: FakeAPI, reflector: Reflector[Pod]
) -> None:
    (await api.call()).respond(page([pod("a", 1)], 10))
    (await api.call()).respond_error(500)
    await api.call()
    heard = reflector.last_update_at
    metrics = CacheMetrics([reflector], lambda: heard + 42)
    told = {sample.name: sample.value for family in metrics.collect() for sample in family.samples}
    assert told == {
        "statefulroute_cache_age_seconds": pytest.approx(42),
        "statefulroute_cache_objects": 1,
        "statefulroute_cache_synced": 1,
        "statefulroute_watch_restarts_total": 1,
    }


async def test_watches_of_several_namespaces_are_told_of_together_by_the_worst_of_them(client: Client) -> None:
    first = Reflector(client, PODS)
    second = Reflector(client, PODS, cache=first.cache)
    first.last_update_at, second.last_update_at, first.restarts, second.restarts = 10.0, 30.0, 1, 2
    first.synced.set()
    metrics = CacheMetrics([first, second], lambda: 40.0)
    told = {sample.name: sample.value for family in metrics.collect() for sample in family.samples}
    assert told == {
        "statefulroute_cache_age_seconds": 30,
        "statefulroute_cache_objects": 0,
        "statefulroute_cache_synced": 0,
        "statefulroute_watch_restarts_total": 3,
    }
