"""Load tracking: loads are stored, forgotten and become stale, and watchers are notified."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from statefulroute.api.vocabulary import RoutingState
from statefulroute.domain.load import Load, LoadReport, UnreadableReport
from statefulroute.domain.pod import Owner
from unit.controllers.environment import GAME, eventually, idle, link, pod, route, workload
from unit.controllers.watched_environment import WatchedEnvironment

SECOND = timedelta(seconds=1)
HTTP = {"load": {"source": "HTTP", "http": {"port": 80}}}
DENIES = RoutingState.DENY_NEW_CALL


@pytest.fixture
async def environment() -> WatchedEnvironment:
    """A watched route with two pods; the first has reported a load of 5."""
    environment = WatchedEnvironment()
    environment.with_pods()
    environment.report(5, 0)
    environment.put_pod(1)
    assert environment.view.loads == {0: Load(LoadReport(5, 0, environment.now), links_at_report=0)}
    environment.calls.clear()
    return environment


def load_of(environment: WatchedEnvironment, index: int = 0) -> Load | None:
    """Returns the load of a pod that a decision would use now."""
    return environment.view.loads.get(index)


@pytest.mark.parametrize("load_state", [5, 6, 900])
async def test_further_report_of_fresh_pod_is_stored_and_notifies_no_watcher(
    environment: WatchedEnvironment, load_state: int
) -> None:
    view = environment.view
    environment.now += SECOND
    assert environment.notifications(lambda: environment.report(load_state)) == 0
    assert view.loads[0].report == LoadReport(load_state, 0, environment.now)


async def test_first_report_of_a_pod_notifies_watchers(environment: WatchedEnvironment) -> None:
    assert environment.notifications(lambda: environment.report(5, 1)) == 1
    assert environment.view.fresh_load(1, environment.now) is not None


async def test_report_of_stale_pod_notifies_watchers(environment: WatchedEnvironment) -> None:
    environment.now += timedelta(seconds=91)
    assert environment.notifications(lambda: environment.report(5)) == 1


async def test_report_that_is_stale_on_arrival_notifies_watchers_once_and_does_not_count(
    environment: WatchedEnvironment,
) -> None:
    assert environment.notifications(lambda: environment.report(5, 1, ago=91)) == 1
    assert environment.view.fresh_load(1, environment.now) is None


async def test_report_counts_the_links_that_the_pod_carries_then(environment: WatchedEnvironment) -> None:
    environment.links.put(link(30, "alice", pod=0))
    environment.links.put(link(30, "bob", pod=0))
    assert environment.view.loads[0].links_at_report == 0
    environment.now += SECOND
    environment.report(5)
    environment.links.put(link(31, "carol", pod=0))
    assert environment.view.loads[0].links_at_report == 2


async def test_response_with_another_routing_state_notifies_watchers() -> None:
    environment = WatchedEnvironment()
    environment.routes.put(route(10, spec=HTTP))
    environment.workloads.put(workload(11))
    environment.put_pod(0)
    member = environment.view.pods[0].pod
    for state, notifications in ((RoutingState.UNKNOWN, 1), (RoutingState.UNKNOWN, 0), (DENIES, 1), (DENIES, 0)):
        environment.now += SECOND
        observe = partial(environment.route_store.observe_load, GAME, member, LoadReport(1, 1, environment.now), state)
        assert environment.notifications(observe) == notifications
    assert environment.view.pods[0].routing_state is DENIES


async def test_report_after_a_restart_counts_the_links_in_the_status() -> None:
    environment = WatchedEnvironment()
    status = {"name": "game-0", "index": 0, "serviceState": "Ready", "routingState": "Ready", "links": 3, "newLinks": 1}
    environment.routes.put(route(10, status={"pods": [{**status, "loadState": 5, "waitingTasks": 0}]}))
    environment.workloads.put(workload(11))
    for number in range(3):
        environment.links.put(link(20 + number, f"user-{number}", pod=0))
    environment.pods.put(pod(30, 0, uid="a", load_report=LoadReport(5, 0, environment.now)))
    assert environment.view.loads[0].links_at_report == 2
    environment.pods.put(pod(31, 0, uid="a", load_report=LoadReport(5, 0, environment.now + SECOND)))
    environment.now += SECOND
    environment.pods.put(pod(32, 0, uid="a", load_report=LoadReport(5, 0, environment.now + SECOND)))
    assert environment.view.loads[0].links_at_report == 3


async def test_pod_whose_load_was_stale_before_a_restart_is_known_to_be_silent() -> None:
    environment = WatchedEnvironment()
    state = {"index": 0, "serviceState": "Ready", "routingState": "Ready", "waitingTasks": 0}
    reported = {"name": "game-0", "links": 3, "newLinks": 1, "loadState": 5, "reportTime": "2026-06-01T09:00:00Z"}
    fresh = {"name": "game-1", "links": 3, "loadState": 5, "reportTime": "2026-06-01T09:00:00Z"}
    pods = [state | reported | {"loadStale": True}, state | fresh | {"index": 1}]
    for index in (0, 1, 2):
        environment.put_pod(index)
    environment.workloads.put(workload(11))
    environment.routes.put(route(12, spec=HTTP, status={"pods": pods}))
    assert list(environment.view.loads) == [0], "the others answer soon, or never have"
    stale = environment.view.loads[0]
    assert (stale.report.load_state, stale.links_at_report) == (5, 2)
    assert environment.view.fresh_load(0, environment.now) is None
    member = environment.view.pods[0].pod
    environment.route_store.observe_load_error(GAME, member, "did not answer within 1 s")
    assert environment.view.loads[0] is stale
    environment.route_store.observe_load(GAME, member, LoadReport(5, 0, environment.now))
    assert environment.view.fresh_load(0, environment.now) is not None


@pytest.mark.parametrize("year", ["2027", "9999"])
async def test_stale_load_of_a_status_is_never_from_the_future(year: str) -> None:
    environment = WatchedEnvironment()
    reported = {"name": "game-0", "index": 0, "serviceState": "Ready", "routingState": "Ready", "loadState": 5}
    pods = [reported | {"loadStale": True, "reportTime": f"{year}-12-31T23:59:59Z"}]
    environment.put_pod(0)
    environment.workloads.put(workload(11))
    environment.routes.put(route(12, spec=HTTP, status={"pods": pods}))
    assert environment.view.loads[0].report == LoadReport(5, 0, environment.now)


async def test_report_of_the_same_second_with_another_value_counts(environment: WatchedEnvironment) -> None:
    environment.links.put(link(30, "alice", pod=0))
    environment.report(9)
    assert load_of(environment) == Load(LoadReport(9, 0, environment.now), links_at_report=1)
    environment.report(5)
    assert load_of(environment) == Load(LoadReport(5, 0, environment.now), links_at_report=1)


async def test_report_of_an_earlier_time_counts_from_that_time(environment: WatchedEnvironment) -> None:
    """The clock of the pod was set back: what the pod reports now counts, and becomes stale accordingly."""
    assert environment.notifications(lambda: environment.report(9, ago=80)) == 1
    assert load_of(environment) == Load(LoadReport(9, 0, environment.seconds_ago(80)), 0)
    environment.now += timedelta(seconds=10.01)
    await eventually(lambda: environment.view.fresh_load(0, environment.now) is None)
    assert environment.notifications(lambda: environment.report(9, ago=91)) == 1
    assert environment.view.fresh_load(0, environment.now) is None


async def test_report_from_the_future_counts_as_of_now(environment: WatchedEnvironment) -> None:
    environment.report(5, 1, ago=-3600)
    assert load_of(environment, 1) == Load(LoadReport(5, 0, environment.now), 0)
    environment.now += timedelta(seconds=91)
    assert environment.view.fresh_load(1, environment.now) is None


@pytest.mark.parametrize("ago", [0, -3600], ids=["now", "in the future"])
@pytest.mark.parametrize(
    "change",
    [
        {"ip": "10.0.0.7"},
        {"labels": {"colour": "red"}},
        {"reported_routing_state": DENIES},
    ],
    ids=["an address", "a label", "a routing state"],
)
async def test_report_that_a_later_version_of_the_pod_repeats_is_not_renewed(
    environment: WatchedEnvironment, ago: float, change: dict[str, Any]
) -> None:
    environment.report(7, 1, ago=ago)
    first, report = environment.now, LoadReport(7, 0, environment.seconds_ago(ago))
    for _ in range(3):
        environment.now += SECOND
        environment.put_pod(1, load_report=report, **change)
    assert load_of(environment, 1) == Load(LoadReport(7, 0, first), 0)


async def test_new_pod_of_the_same_name_has_its_own_load(environment: WatchedEnvironment) -> None:
    assert environment.notifications(lambda: environment.put_pod(0, uid="another")) == 1
    assert environment.view.loads == {}
    environment.report(3, 0, uid="another")
    assert load_of(environment) == Load(LoadReport(3, 0, environment.now), 0)


async def test_load_of_deleted_pod_is_forgotten(environment: WatchedEnvironment) -> None:
    environment.pods.delete("games", "game-0", 5000)
    assert environment.view.loads == {}
    environment.put_pod(0)
    assert environment.view.loads == {}


async def test_response_of_a_replaced_pod_is_ignored(environment: WatchedEnvironment) -> None:
    first = environment.view.pods[0].pod
    environment.put_pod(0, uid="another")
    environment.now += SECOND
    environment.route_store.observe_load(GAME, first, LoadReport(9, 9, environment.now))
    environment.route_store.observe_load_error(GAME, first, "did not answer")
    assert (environment.view.loads, environment.view.load_errors) == ({}, {})


async def test_another_load_source_forgets_the_loads_of_the_first(environment: WatchedEnvironment) -> None:
    environment.put_pod(1, load_report=UnreadableReport("has a bad annotation"))
    environment.routes.put(route(50, generation=2, spec=HTTP))
    assert (environment.view.loads, environment.view.load_errors) == ({}, {})
    environment.now += SECOND
    environment.report(9)
    assert environment.view.loads == {}, "the annotations do not count"
    environment.routes.put(route(51, generation=3))
    assert load_of(environment) == Load(LoadReport(9, 0, environment.now), 0)


async def test_another_edit_forgets_nothing(environment: WatchedEnvironment) -> None:
    environment.links.put(link(30, pod=0))
    environment.routes.put(route(50, generation=2, spec={"load": {"staleAfterSeconds": 10}}))
    assert load_of(environment) == Load(LoadReport(5, 0, environment.now), 0)


async def test_loads_of_another_workloads_pods_do_not_count(environment: WatchedEnvironment) -> None:
    other = Owner("StatefulSet", "chess", "uid-of-chess")
    environment.workloads.put(workload(40, "chess"))
    environment.pods.put(pod(41, 0, name="chess-0", owner=other, uid="uid-of-chess-0"))
    environment.routes.put(route(50, generation=2, spec={"workloadRef": {"name": "chess"}}))
    assert list(environment.view.pods) == [0]
    assert environment.view.loads == {}


async def test_loads_of_pods_that_were_deleted_while_no_workload_existed_do_not_count(
    environment: WatchedEnvironment,
) -> None:
    environment.workloads.delete("games", "game", 5000)
    assert environment.view.pods == {}
    environment.pods.delete("games", "game-0", 5001)
    environment.workloads.put(workload(5002, uid="uid-of-the-next"))
    environment.put_pod(0, uid="another", owner=Owner("StatefulSet", "game", "uid-of-the-next"))
    assert list(environment.view.pods) == [0]
    assert environment.view.loads == {}


async def test_load_survives_a_workload_that_orphans_and_adopts_its_pods(environment: WatchedEnvironment) -> None:
    environment.workloads.delete("games", "game", 5000)
    assert environment.view.missing_workload is not None
    environment.workloads.put(workload(5001))
    assert load_of(environment) == Load(LoadReport(5, 0, environment.now), 0)


async def test_load_error_notifies_watchers_once(environment: WatchedEnvironment) -> None:
    bad = UnreadableReport("has a bad annotation")
    assert environment.notifications(lambda: environment.put_pod(1, load_report=bad)) == 1
    assert environment.view.load_errors == {1: "has a bad annotation"}
    assert environment.notifications(lambda: environment.put_pod(1, load_report=bad, ip="10.0.0.7")) == 0
    assert environment.notifications(lambda: environment.put_pod(1, load_report=UnreadableReport("has another"))) == 1
    assert environment.notifications(lambda: environment.report(5, 1)) == 1
    assert environment.view.load_errors == {}


async def test_last_load_before_an_error_counts_until_it_is_stale(environment: WatchedEnvironment) -> None:
    environment.now += SECOND
    environment.put_pod(0, load_report=UnreadableReport("has a bad annotation"))
    assert environment.view.fresh_load(0, environment.now) is not None
    assert environment.notifications(lambda: environment.report(6)) == 1, "the error is cleared"
    assert environment.view.load_errors == {}


@pytest.mark.parametrize(
    "later",
    [None, LoadReport(5, 0, datetime.fromisoformat("2026-06-01T12:00:00Z"))],
    ids=["no report", "the same report"],
)
async def test_corrected_report_clears_the_error(environment: WatchedEnvironment, later: LoadReport | None) -> None:
    environment.put_pod(0, load_report=UnreadableReport("has a bad annotation"))
    assert environment.view.load_errors == {0: "has a bad annotation"}
    assert environment.notifications(lambda: environment.put_pod(0, load_report=later)) == 1
    assert environment.view.load_errors == {}


async def test_load_that_becomes_stale_notifies_watchers_without_any_event(environment: WatchedEnvironment) -> None:
    environment.report(5, 1)
    environment.now += SECOND
    environment.report(5, 1)
    environment.now += timedelta(seconds=88.97)
    environment.put_pod(2)  # the view is built again, and the next check is due when the first load becomes stale
    environment.calls.clear()
    await idle()
    assert environment.calls == []
    environment.now += timedelta(seconds=0.04)
    await eventually(lambda: environment.calls)
    assert environment.view.fresh_load(0, environment.now) is None
    assert environment.view.fresh_load(1, environment.now) is not None


async def test_load_that_is_reported_again_in_time_notifies_no_watcher(environment: WatchedEnvironment) -> None:
    environment.routes.put(route(50, generation=2, spec={"load": {"staleAfterSeconds": 1}}))
    environment.now += timedelta(seconds=0.97)
    environment.put_pod(1, reported_routing_state=DENIES)  # the view is built again
    environment.calls.clear()
    environment.now += timedelta(seconds=0.02)
    environment.report(5)
    deadlines = environment.route_store._staleness_deadlines  # noqa: SLF001 - the next check shows nowhere else
    first = deadlines.when(GAME)
    environment.now += timedelta(seconds=0.03)
    await eventually(lambda: GAME in deadlines and deadlines.when(GAME) != first)
    assert environment.calls == []
    environment.now += timedelta(seconds=1)
    await eventually(lambda: environment.calls)


async def test_no_load_is_checked_after_the_route_was_deleted(environment: WatchedEnvironment) -> None:
    deadlines = environment.route_store._staleness_deadlines  # noqa: SLF001 - a timer of a deleted route shows nowhere else
    assert list(deadlines) == [GAME]
    environment.routes.delete("games", "game", 50)
    assert not len(deadlines)
    environment.routes.put(route(60))
    assert environment.view.loads == {0: Load(LoadReport(5, 0, environment.now), 0)}, (
        "read again from the annotations of the pod"
    )


def elsewhere(environment: WatchedEnvironment, **more: Any) -> Callable[[], object]:
    return lambda: environment.report(9, 0, ago=-1, **more)


async def test_reports_of_other_pods_are_ignored(environment: WatchedEnvironment) -> None:
    lonely = {"name": "lonely-0", "owner": None}
    chess = {"name": "chess-0", "owner": Owner("StatefulSet", "chess", "uid-of-chess")}
    for other in ({"namespace": "other"}, lonely, chess):
        assert environment.notifications(elsewhere(environment, **other)) == 0
    assert load_of(environment) == Load(LoadReport(5, 0, environment.now), 0)
