"""A summary of pods that is updated pod by pod equals one that is made from all of them, after any changes.

The same revision of a route shows the same status and annotations.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from statefulroute.api.route_status import StatefulRouteStatus
from statefulroute.api.vocabulary import ClosingReason, ServiceState
from statefulroute.cluster.events import EventRecorder
from statefulroute.controllers import view_builder
from statefulroute.controllers.disruption.statuses import DisruptionStatuses
from statefulroute.controllers.routes import statuses
from statefulroute.controllers.routes.assessments import Assessments
from statefulroute.controllers.routes.lost_pods import LostPodTracker
from statefulroute.domain import listed_pods
from statefulroute.domain.annotations import pod_annotations
from statefulroute.domain.assessment import Assessment, assess
from statefulroute.domain.closing import Closing
from statefulroute.domain.placement_index import PlacementIndex
from statefulroute.domain.pod_summary import summarize_pods
from statefulroute.domain.pod_summary_index import PodSummaryIndex
from statefulroute.domain.route_status import route_status
from support.own_loop import run_in_own_loop
from unit.controllers.changing_service import CHANGES, START, Change, ChangingService
from unit.controllers.environment import GAME, Environment, pod, route, workload

MAX = datetime.max.replace(tzinfo=UTC)


def _without_report_times(status: StatefulRouteStatus) -> dict[str, Any]:
    pods = tuple(pod.model_copy(update={"report_time": None}) for pod in status.pods)
    return dict(status.model_copy(update={"pods": pods}))


class SummarizedService(ChangingService):
    """A service whose status is built by both ways, and sometimes written."""

    def __init__(self, *, is_indexed: bool, verifies: bool) -> None:
        super().__init__(is_indexed=is_indexed, verifies=verifies)
        self._summary: PodSummaryIndex | None = None
        self._shown: dict[tuple[int | None, datetime], Any] = {}
        """What was shown by each revision."""

    @property
    def now(self) -> datetime:
        return self.environment.now + self.environment.skew

    def build_status(self) -> StatefulRouteStatus:
        """Returns the status of the route, after both ways were compared."""
        view = self.view()
        assert isinstance(view.index, PlacementIndex)
        if self._summary is None or not self._summary.is_of(view.index):
            self._summary = PodSummaryIndex(view, view.index)
        summaries = self._summary.summarize(view, self.now), summarize_pods(replace(view, index=None), self.now)
        updated, expected = (route_status(view, Assessment(), self.now, None, summary) for summary in summaries)
        assert _without_report_times(updated) == _without_report_times(expected)
        for each, plain in zip(updated.pods, expected.pods, strict=True):
            # A load that is reported once more before the status is written has the time of its first report.
            assert each.report_time == plain.report_time or (each.report_time or MAX) < (plain.report_time or MAX)
        annotations = [pod_annotations(view, each, each.pod.annotations, self.now) for each in view.pods.values()]
        shown = dict(updated), assess(view, self.now), annotations
        assert self._shown.setdefault((self.store.revision(GAME), self.now), shown) == shown
        return updated

    def write_status(self) -> None:
        """Stores the status, as another object with the same values."""
        status = StatefulRouteStatus.model_validate_json(self.build_status().model_dump_json())
        self._store(status)

    def restore_status(self, seed: int) -> None:
        """Stores a status that another client has written: an old list, with other reports."""
        random, status = Random(seed), self.build_status()
        pods = [
            pod.model_copy(update={"load_state": random.choice([pod.load_state, 3])} if pod.load_state else {})
            for pod in status.pods
            if random.random() < 0.7
        ]
        self._store(status.model_copy(update={"pods": tuple(pods)}))

    def _store(self, status: StatefulRouteStatus) -> None:
        current = self.environment.routes.get("games", "game")
        assert current is not None
        self.environment.routes.put(replace(current, resource_version=self._next(), status=status))


@pytest.fixture(scope="module", autouse=True)
def _short_lists() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listed_pods, "LISTED_PODS_MAX", 4)
        patch.setattr(listed_pods, "BEST_PODS", 1)
        patch.setattr(view_builder, "_MAX_SCANNED_PODS", -1)  # the summary needs an index of any number of pods
        yield


STATUS_CHANGES = st.one_of(CHANGES, st.tuples(st.just("restore_status"), st.tuples(st.integers(0, 9))))
LOOK: Change = ("look", ())
ANOTHER_LOAD: list[Change] = [("report", (0, 3, 0, "Ready")), LOOK, ("report", (0, 5, 0, "Ready"))]
LATER_REPORT: list[Change] = [("report", (1, 0, 0, "Ready"))]
#: The pods are compared by their loads, until there is one that has not reported.
COMPARED_BY_LINKS: list[Change] = [
    ("scale", (6,)),
    LOOK,
    *(("delete_link", (user,)) for user in range(6)),
    *(("report", (index, (9, 1, 2, 3, 4)[index], 0, "Ready")) for index in range(5)),
    LOOK,
    ("put_pod", (5, ServiceState.READY, 0)),
]


@settings(max_examples=400, deadline=None)
@given(st.lists(STATUS_CHANGES, max_size=40), st.tuples(st.booleans(), st.booleans()))
@example(ANOTHER_LOAD, (True, False))
@example(COMPARED_BY_LINKS, (True, False))
@example([*LATER_REPORT, ("elapse", (1,)), LOOK, *LATER_REPORT], (True, False))
def test_updated_statuses_equal_those_from_all_pods(changes: list[Change], options: tuple[bool, bool]) -> None:
    is_indexed, verifies = options

    async def run() -> None:
        service = SummarizedService(is_indexed=is_indexed, verifies=verifies)
        for change in (*START, LOOK, *changes, LOOK):
            service.apply(change)
            if change[0] == "look":
                service.build_status()

    run_in_own_loop(run())


def _statuses(environment: Environment) -> statuses.RouteStatuses:
    recorder = cast("EventRecorder", environment.recorder)
    return statuses.RouteStatuses(
        Assessments(),
        LostPodTracker(recorder, lambda: environment.now),
        DisruptionStatuses(),
        recorder,
        lambda: environment.now,
    )


@pytest.mark.parametrize(("pods", "is_updated"), [(5, False), (30, True)])
async def test_status_of_many_pods_is_updated(pods: int, is_updated: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = Environment()
    built = _statuses(environment)
    environment.routes.put(route(1))
    environment.workloads.put(workload(2, replicas=pods))
    for index in range(pods):
        environment.pods.put(pod(3 + index, index))

    def ready() -> int | None:
        view = environment.route_store.get(GAME)
        assert view is not None
        return built.build(view).ready_replicas

    assert ready() == pods
    if is_updated:
        monkeypatch.setattr(statuses, "summarize_pods", lambda *_: pytest.fail("all pods were looked at"))
    environment.pods.put(pod(100, 1, service_state=ServiceState.NOT_READY))
    assert ready() == pods - 1
    environment.routes.put(route(101, generation=2, spec={"placement": {"range": 3}}))  # an index of its own
    assert ready() == pods - 1
    built.forget(GAME)
    assert ready() == pods - 1


@pytest.mark.parametrize("pods", [5, 30])
async def test_closing_pods_are_shown(pods: int) -> None:
    environment = Environment()
    built = _statuses(environment)
    environment.routes.put(current := route(1, spec={"replicas": pods}))
    environment.workloads.put(workload(2, replicas=pods))
    for index in range(pods):
        environment.pods.put(pod(3 + index, index))

    def closing() -> dict[int | None, str]:
        view = environment.route_store.get(GAME)
        assert view is not None
        shown = built.build(view).pods
        return {each.index: each.routing_state.value for each in shown if each.closing is not None}

    assert closing() == {}
    closed = Closing(ClosingReason.SCALE_DOWN, environment.now, environment.now)
    environment.route_store.close_pods(current.workload_key, {3: closed, 4: replace(closed, is_over=True)})
    assert closing() == {3: "DenyNewCall", 4: "Shutdown"}
    environment.route_store.close_pods(current.workload_key, {4: closed})
    assert closing() == {4: "DenyNewCall"}
    environment.route_store.open_pods(current.workload_key)
    assert closing() == {}
