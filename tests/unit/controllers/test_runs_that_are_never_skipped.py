"""An operator that skips runs of timers writes the same as one that skips none, whatever changes and fails."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from statefulroute.cluster.errors import ClusterError, UnreachableError
from statefulroute.controllers.routes import route_timer, timers
from statefulroute.domain.load import LoadReport
from support.simulated_loop import SimulatedLoop
from unit.controllers.changing_service import CHANGES, PODS, START, Change, ChangingService
from unit.controllers.environment import workload
from unit.controllers.timer_environment import TimerEnvironment

#: What timers do by themselves, or what changes the time of day.
_OF_TIMERS = {"elapse", "check_staleness", "skew", "assume", "report", "fail_report", "look"}

#: Longer than all periods, and than a load is fresh.
_SETTLE_SECONDS = 120


class _Failures(list[ClusterError]):
    """Failures of all requests until a time."""

    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop
        self.until = 0.0

    def __bool__(self) -> bool:
        return self._loop.time() < self.until

    def pop(self, _: Any = 0) -> ClusterError:
        return UnreachableError("no route to host")


class _Environment(TimerEnvironment):
    """A test environment with the clock of the event loop."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        super().__init__()
        self.pod_writer.failures, self.route_writer.failures = _Failures(loop), _Failures(loop)

    @property
    def now(self) -> datetime:  # type: ignore[override]
        return datetime(2026, 6, 1, 12, tzinfo=UTC) + timedelta(seconds=self._loop.time())

    @now.setter
    def now(self, _: datetime) -> None:
        """Nothing: only the loop lets time pass."""


class _Service(ChangingService):
    """A service whose timers run, and whose requests may fail."""

    def report_load(self, index: int, load: int, age: int) -> None:
        current = self.environment.pods.get("games", f"game-{index}")
        if current is not None:
            report = LoadReport(load, 0, self.environment.now - timedelta(seconds=age))
            self.put_pod(index, current.service_state, 0, load_report=report, annotations=current.annotations)

    def put_other_workload(self) -> None:
        self.environment.workloads.put(workload(self._next(), "another"))

    def fail(self, writer: str, seconds: int) -> None:
        failures = getattr(self.environment, writer).failures
        failures.until = self.environment._loop.time() + seconds  # type: ignore[attr-defined] # noqa: SLF001

    def shown(self) -> dict[str, Any]:
        """Returns the status and the annotations, without times: a later write may show another one."""
        current = self.environment.routes.get("games", "game")
        assert current is not None
        status = current.status.model_dump(exclude={"conditions": {"__all__": {"last_transition_time"}}})
        for pod in (*status["pods"], *status["lost_pods"]):
            pod.pop("report_time", None)
            pod.pop("lost_time", None)
        pods = self.environment.pods.in_partition("games")
        return {"status": status, "pods": {name: pod.annotations for name, pod in pods.items()}}

    def _next(self) -> int:
        self._version += 10_000  # each writer counts on from there
        return self._version


async def _write(loop: SimulatedLoop, changes: list[Change]) -> list[dict[str, Any]]:
    """Returns what is shown each time when nothing has changed for a while."""
    shown: list[dict[str, Any]] = []
    service = _Service(is_indexed=True, verifies=False, environment=_Environment(loop))
    service.edit(statePeriodSeconds=5, workloadPeriodSeconds=7)
    environment = service.environment
    assert isinstance(environment, TimerEnvironment)
    environment.scheduler.start()
    for change in (*START, *changes, ("settle", ())):
        if change[0] not in {"wait", "settle"}:
            service.apply(change)
            continue
        await asyncio.sleep(change[1][0] if change[1] else _SETTLE_SECONDS)
        if change[0] == "settle":
            shown.append(service.shown())
    await environment.scheduler.stop()
    await environment.controller.stop()
    return shown


def _run(changes: list[Change], *, skips: bool) -> list[dict[str, Any]]:
    loop = SimulatedLoop()
    clock = SimpleNamespace(monotonic=loop.time)
    with pytest.MonkeyPatch.context() as patch:
        for module in (timers, route_timer):
            patch.setattr(module, "time", clock)
        patch.setattr(random, "random", lambda: 0.5)
        if not skips:
            patch.setattr(route_timer.RepeatedWork, "is_complete", lambda *_: False)
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            return runner.run(_write(loop, changes))


_TO_ANOTHER: Change = ("edit_field", ("workloadRef", {"name": "another"}))
#: The annotations of the former workload can only be removed after a while.
LEFT_LATE: list[Change] = [
    *(("delete_link", (user,)) for user in range(PODS)),
    ("report_load", (0, 4, 0)),
    ("put_other_workload", ()),
    ("settle", ()),
    ("fail", ("pod_writer", 40)),
    _TO_ANOTHER,
]
_MORE_CHANGES = st.one_of(
    st.tuples(st.just("report_load"), st.tuples(st.integers(0, 4), st.integers(0, 9), st.sampled_from([0, 0, 30, 80]))),
    st.tuples(st.just("fail"), st.tuples(st.sampled_from(["pod_writer", "route_writer"]), st.sampled_from([3, 40]))),
    st.sampled_from([("put_other_workload", ()), _TO_ANOTHER, ("edit_field", ("workloadRef", {"name": "game"}))]),
    st.tuples(st.just("wait"), st.tuples(st.sampled_from([0.3, 3, 20]))),
    st.just(("settle", ())),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(CHANGES.filter(lambda change: change[0] not in _OF_TIMERS), _MORE_CHANGES), max_size=30))
@example(LEFT_LATE)
def test_same_is_shown_if_no_run_is_skipped(changes: list[Change]) -> None:
    assert _run(changes, skips=True) == _run(changes, skips=False)
