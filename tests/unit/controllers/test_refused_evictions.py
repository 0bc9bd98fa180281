"""Evictions that are refused are repeated less and less often, and logged once."""

from itertools import pairwise
from types import SimpleNamespace
from typing import cast

import pytest
from structlog.testing import capture_logs

from statefulroute.cluster.errors import ClusterError, api_error
from statefulroute.cluster.events import EventRecorder
from statefulroute.cluster.evictions import Evictor
from statefulroute.cluster.workloads import Workloads
from statefulroute.cluster.writes import RouteWriter
from statefulroute.controllers.disruption import plan_writer
from statefulroute.controllers.disruption.autoscaler import Autoscaler
from statefulroute.controllers.disruption.plan_writer import PlanWriter, Writes
from statefulroute.domain.disruption.plan import EvictPod, Plan
from unit.controllers.environment import route, workload


class Evictions:
    """A writer of plans whose evictions a budget refuses, and the seconds at which they were requested."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.requests = 0.0, list[tuple[float, str]]()
        self.error: ClusterError = api_error(429, "TooManyRequests", "a budget")
        loop = SimpleNamespace(time=lambda: self.now)
        monkeypatch.setattr(plan_writer, "asyncio", SimpleNamespace(get_running_loop=lambda: loop))
        self.writes = Writes()
        self.writer = PlanWriter(
            workloads=cast("Workloads", None),
            route_writer=cast("RouteWriter", None),
            evictor=cast("Evictor", self),
            autoscaler=cast("Autoscaler", None),
            recorder=cast("EventRecorder", None),
        )

    async def evict(self, namespace: str, name: str, uid: str) -> None:
        """Refuses an eviction."""
        del namespace, name
        self.requests.append((self.now, uid))
        raise self.error

    async def run(self, seconds: float, *uids: str) -> list[tuple[float, str]]:
        """Plans the eviction of pods again and again; returns the requests since then."""
        end, first = self.now + seconds, len(self.requests)
        actions = [EvictPod(number, f"game-{number}", uid) for number, uid in enumerate(uids)]
        plan = Plan(closing={}, actions=actions, conditions={})
        while self.now < end:
            self.writes.observe_plan(plan)
            self.now += max(await self.writer.carry_out(route(1), workload(1), self.writes, plan), 0.05)
        return self.requests[first:]


@pytest.fixture
def evictions(monkeypatch: pytest.MonkeyPatch) -> Evictions:
    return Evictions(monkeypatch)


async def test_a_refused_eviction_is_repeated_less_and_less_often_and_logged_once(evictions: Evictions) -> None:
    with capture_logs() as logs:
        requests = await evictions.run(3600.0, "uid-0")
    pauses = [later[0] - earlier[0] for earlier, later in pairwise(requests)]
    assert pauses[0] <= 5.1
    assert all(29.9 <= pause <= 60.1 for pause in pauses[5:])
    assert len(logs) == 1
    evictions.error = api_error(429, "TooManyRequests", "another budget")
    with capture_logs() as logs:
        await evictions.run(600.0, "uid-0")
    assert len(logs) == 1


async def test_a_refused_eviction_is_repeated_at_once_when_the_pod_or_the_plan_changes(evictions: Evictions) -> None:
    await evictions.run(600.0, "uid-0")
    now = evictions.now
    assert (await evictions.run(1.0, "uid-1"))[0] == (now, "uid-1")
    await evictions.run(600.0, "uid-1")
    now = evictions.now
    assert (await evictions.run(1.0, "uid-1", "uid-2"))[:2] == [(now, "uid-1"), (now, "uid-2")]


async def test_the_pause_is_as_long_as_the_api_server_asks_for(evictions: Evictions) -> None:
    evictions.error = api_error(429, "TooManyRequests", "a budget")
    evictions.error.retry_after_seconds = 20.0
    first, second, *_ = await evictions.run(60.0, "uid-0")
    assert second[0] - first[0] >= 20.0
