"""Routes that a standby has prepared: its first views are those of an operator that has just started."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from statefulroute.api.vocabulary import LossCause, RoutingState, ServiceState
from statefulroute.controllers.routes import preparation
from statefulroute.controllers.routes.preparation import RoutePreparation
from statefulroute.controllers.state_store import RouteStore
from statefulroute.domain.load import LoadReport
from statefulroute.domain.pod_views import PodViews
from statefulroute.domain.route import RouteView
from support.own_loop import run_in_own_loop
from unit.controllers.changing_service import CHANGES, START, Change, ChangingService
from unit.controllers.environment import (
    GAME,
    Environment,
    eventually,
    idle,
    link,
    pod,
    route,
    workload,
)

#: Only a leader does these.
LEADING = {"report", "fail_report", "check_staleness", "verify", "assume"}

#: A report keeps the time at which it was observed, so a clock that is set back counts differently.
CLOCK = {"skew"}


def _facts(service: ChangingService, view: RouteView) -> dict[str, Any]:
    """Returns what decisions and statuses depend on.

    A standby knows more than a new operator: causes, the links at reports, and reports that pods have taken back.
    """
    pods = {key: service.environment.pods.get("games", each.pod.name) for key, each in view.pods.items()}
    reporting = {key for key, each in pods.items() if each is not None and each.load_report is not None}
    state = service.store._losses._states.get(GAME)  # noqa: SLF001 - what the next evaluation depends on
    assert isinstance(view.pods, PodViews)
    return {
        "pods": [(key, replace(each, pod=each.pod.decision_inputs)) for key, each in view.pods.items()],
        "totals": (view.pods.ready, view.pods.wanted, view.pods.count_nodes([])),
        "loads": {key: load.report for key, load in view.loads.items() if key in reporting},
        "errors": dict(view.load_errors),
        "lost": list(view.lost),
        "withheld": list(view.withheld_losses),
        "suspension": view.loss_suspension,
        "workload": (view.workload, view.missing_workload),
        "absent": state and {key: (each.absence, each.since) for key, each in state.absent.items()},
        "serving": state and state.serving,
        "nodes": {name: list(entries) for name, entries in service.store._entries._by_node.items()},  # noqa: SLF001
        "links": dict(view.link_counts),
    }


def _report(load: int) -> st.SearchStrategy[Change]:
    return st.builds(
        lambda index, age: ("put_odd_pod", (index, "load_report", (load, age))), st.integers(0, 5), st.integers(0, 50)
    )


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(CHANGES.filter(lambda change: change[0] not in LEADING | CLOCK), _report(3), _report(7)), max_size=30
    ),
    st.integers(0, 30),
    st.booleans(),
)
def test_first_views_equal_those_of_a_new_operator(changes: list[Change], prepared_after: int, verifies: bool) -> None:
    async def run() -> None:
        prepared, fresh = (ChangingService(is_indexed=True, verifies=verifies) for _ in range(2))
        for service in (prepared, fresh):
            for number, change in enumerate((*START, *changes)):
                if service is prepared and number >= prepared_after:
                    service.store.prepare(GAME)
                service.apply(_with_time(service, change))
            service.store.start_term()
        assert _facts(prepared, prepared.view()) == _facts(fresh, fresh.view())
        assert [change.appeared for change in prepared.changes] == [change.appeared for change in fresh.changes]
        for service in (prepared, fresh):
            service.put_pod(0, ServiceState.READY, 1)
            service.delete_pod(1)
        assert _facts(prepared, prepared.view()) == _facts(fresh, fresh.view())

    run_in_own_loop(run())


def _with_time(service: ChangingService, change: Change) -> Change:
    """Returns a change whose load report is so many seconds old."""
    if change[0] != "put_odd_pod" or change[1][1] != "load_report":
        return change
    index, field, (load, age) = change[1]
    time = (service.environment.now + service.environment.skew).timestamp() - age
    return change[0], (index, field, LoadReport(load, 0, datetime.fromtimestamp(time, UTC)))


def _prepared_environment() -> Environment:
    environment = Environment().with_pods(0, 1)
    assert environment.route_store.prepare(GAME)
    return environment


def test_changes_do_not_accumulate_while_this_operator_stands_by() -> None:
    environment = _prepared_environment()
    assert not environment.route_store.prepare(GAME)
    environment.pods.put(pod(50, 0, uid="another"))
    for index in range(100):
        environment.links.put(link(100 + index, f"user-{index}", pod=index))
    assert environment.route_store.prepare(GAME)
    assert not environment.route_store.prepare(GAME)
    entry = environment.route_store._entries.get(GAME)  # noqa: SLF001 - what was prepared is not seen otherwise
    assert entry is not None
    assert not entry.members.have_changed
    assert entry.members.views[0].pod.uid == "another"


def test_nothing_is_observed_before_the_first_view() -> None:
    async def run() -> None:
        environment = _prepared_environment()
        views: list[RouteView] = []
        environment.route_store.listen(views.append)
        environment.links.put(link(100, pod=1))
        environment.pods.delete("games", "game-1", 50)
        environment.pods.put(pod(51, 0, is_ready=False))
        assert environment.route_store.unverified_losses(GAME) == {}
        assert views == []

    run_in_own_loop(run())


def test_prepared_route_is_used_when_the_term_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = _prepared_environment()
    environment.route_store.start_term()
    monkeypatch.setattr(RouteStore, "_create_entry", lambda *_: pytest.fail("it was prepared"))
    view = environment.route_store.get(GAME)
    assert view is not None
    assert list(view.pods) == [0, 1]


def test_view_of_an_earlier_term_is_not_used() -> None:
    environment = _prepared_environment()
    view = environment.route_store.get(GAME)
    assert not environment.route_store.prepare(GAME)
    environment.route_store.start_term()
    assert environment.route_store.prepare(GAME)
    assert environment.route_store.get(GAME) is not view


@pytest.mark.parametrize(
    "spec", [{"load": {"source": "HTTP", "http": {"port": 80}}}, {"workloadRef": {"kind": "Deployment"}}]
)
def test_route_that_is_polled_is_not_prepared(spec: dict[str, Any]) -> None:
    environment = Environment()
    environment.routes.put(route(10, spec=spec))
    environment.workloads.put(workload(11))
    assert not environment.route_store.prepare(GAME)


async def test_causes_in_a_later_status_are_known() -> None:
    environment = _prepared_environment()
    environment.links.put(link(100, pod=7))
    lost = {"index": 7, "name": "game-7", "cause": "NodeGone", "links": 1, "lostTime": "2026-01-01T00:00:00Z"}
    environment.routes.put(route(60, status={"lostPods": [lost]}))
    environment.route_store.start_term()
    view = environment.route_store.get(GAME)
    assert view is not None
    assert view.end_causes == {7: LossCause.NODE_GONE}


async def test_standby_prepares_all_routes_and_later_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "_PERIOD_SECONDS", 0.001)
    environment = Environment().with_pods(0)
    entries = environment.route_store._entries  # noqa: SLF001 - what was prepared is not seen otherwise
    async with RoutePreparation(environment.routes, environment.route_store).run():
        await eventually(lambda: entries.get(GAME))
        environment.routes.put(route(50, generation=2, spec={"routingState": "DenyNewCall"}))
        assert entries.get(GAME) is None
        await eventually(lambda: entries.get(GAME))
    environment.routes.put(route(51, generation=3, spec={"routingState": "Ready"}))
    await asyncio.sleep(0.01)
    assert entries.get(GAME) is None
    view = environment.route_store.get(GAME)
    assert view is not None
    assert view.pods[0].routing_state is RoutingState.READY


async def test_error_ends_the_preparation_and_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = Environment().with_pods(0)
    monkeypatch.setattr(environment.route_store, "prepare", lambda _: 1 / 0)
    with capture_logs() as logs:
        async with RoutePreparation(environment.routes, environment.route_store).run():
            await idle()
    assert [line["log_level"] for line in logs] == ["error"]
